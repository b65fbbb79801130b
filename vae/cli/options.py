"""Options that commands are given: a config's settings, and modules of the user's own."""

import functools
import inspect
from collections.abc import Callable
from typing import Annotated

import typer

from vae.training.setting import settings_of


def with_settings(config: type) -> Callable:
    """Decorates a command that ends in **settings: each setting of the config dataclass becomes an option, None where
    it is left out. What a value must be is for the config to check, so that it is refused as it is everywhere else."""

    def decorate(command: Callable) -> Callable:
        signature = inspect.signature(command)
        own = [p for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD]
        options = []
        for name, known in settings_of(config).items():
            also = {"parser": number_or_word, "metavar": f"{known.type.__name__.upper()}|auto"} if known.auto else {}
            option = typer.Option(
                help=known.description, rich_help_panel="Settings (left out: as in the preset)", **also
            )
            kind = Annotated[known.type | None, option]
            options.append(inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=kind))
        command.__signature__ = signature.replace(parameters=own + options)
        command.__annotations__ = {p.name: p.annotation for p in own + options}
        return command

    return decorate


def number_or_word(text: str) -> int | str:
    """What is written as a whole number as one; the setting itself refuses any other word than "auto"."""
    try:
        return int(text)
    except ValueError:
        return text


def with_plugins(command: Callable) -> Callable:
    """Decorates a command: `--plugin MODULE`, as often as one likes, is imported before it runs."""
    help = "A Python module of yours that calls vae.register, imported first."
    kind = Annotated[list[str] | None, typer.Option("--plugin", help=help, metavar="MODULE")]
    signature = inspect.signature(command)
    extra = inspect.Parameter("plugin", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=kind)

    @functools.wraps(command)
    def plugged(*arguments, plugin: list[str] | None = None, **options):
        from vae.plugins import import_plugin

        for name in plugin or ():
            import_plugin(name)
        return command(*arguments, **options)

    plugged.__signature__ = signature.replace(parameters=[*signature.parameters.values(), extra])
    plugged.__annotations__ = {**command.__annotations__, "plugin": kind}
    return plugged
