"""What one setting means and takes. A config's field declared by `setting` is its own check, and the command line's
option, the page's control and the API's argument are made from it. Nothing here is heavy: --help reads it."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cache
from types import MappingProxyType, NoneType
from typing import Any, get_args, get_type_hints

from vae.errors import InputError


@dataclass(frozen=True)
class Setting:
    """A field of a config dataclass.

    default: its value where it is left out and nothing else says it. type: int, float, bool or str. optional: whether
    None is a value, too. help: one sentence. low, high: the range of a number, both included. choices: all there are
    for a str; empty if any will do. label: above the page's control. public: whether visitors of the page and HTTP
    clients may set it, or only whoever runs Python or the command line. auto: whether a number may be the word "auto"
    instead, which leaves it to the machine.
    """

    name: str
    default: Any
    type: type
    optional: bool
    help: str
    low: float | None
    high: float | None
    choices: tuple[str, ...]
    label: str
    public: bool
    auto: bool

    @property
    def accepted(self) -> str:
        """What it takes, in words."""
        if self.choices:
            return f"one of {', '.join(self.choices)}"
        if self.type in (int, float):
            kind = "a whole number" if self.type is int else "a number"
            return f"{kind} from {_text(self.low)} to {_text(self.high)}{', or auto' if self.auto else ''}"
        return "true or false" if self.type is bool else "text"

    @property
    def description(self) -> str:
        """The sentence, and what is accepted where the type alone does not say it."""
        bounded = self.choices or self.type in (int, float)
        return f"{self.help.removesuffix('.')}: {self.accepted}." if bounded else self.help

    def check(self, value: object) -> Any:
        """`value` as the setting's type: a whole number is a float, too, and 5.0, as JSON clients write it, an int.

        Raises InputError if it is of another type, out of range, or none of the choices.
        """
        if self.optional and (value is None or value == ""):  # as a text box left empty
            return None
        if self.auto and value == "auto":
            return value
        number = self.type in (int, float)
        taken = type(value) in ((int, float) if number else (self.type,))
        if taken and number:
            taken = self.low <= value <= self.high and (self.type is float or value == int(value))
        if not taken or (self.choices and value not in self.choices):
            raise InputError(f"{self.name} must be {self.accepted}, not {repr(value)[:80]}.")
        return self.type(value)


def setting(
    default: Any,
    help: str,
    *,
    low: float | None = None,
    high: float | None = None,
    choices: tuple[str, ...] = (),
    label: str | None = None,
    public: bool = True,
    auto: bool = False,
) -> Any:
    """A dataclass field that is a setting; see Setting. Its annotation is int, float, bool or str, or one of these
    or None. A number needs low and high. Left out it is None until `check_settings` gives it its value."""
    facts = {"help": help, "low": low, "high": high, "choices": tuple(choices), "label": label}
    return field(default=None, metadata=facts | {"default": default, "public": public, "auto": auto})


@cache
def settings_of(config: type) -> dict[str, Setting]:
    """The settings of a config dataclass by name, in its order; its fields that are none are left out."""
    hints, found = get_type_hints(config), {}
    for entry in fields(config):
        if entry.metadata:
            kinds = get_args(hints[entry.name]) or (hints[entry.name],)
            facts = dict(entry.metadata)
            facts["label"] = facts["label"] or entry.name.replace("_", " ").capitalize()
            facts |= {"type": kinds[0], "optional": NoneType in kinds}
            found[entry.name] = Setting(entry.name, **facts)
    return found


def check_settings(config: object, usual: Mapping[str, Any] = MappingProxyType({})) -> None:
    """Check every setting of a config that is being made, and keep what `Setting.check` makes of it. One that is left
    out is as `usual` has it, or its default."""
    for name, known in settings_of(type(config)).items():
        value = getattr(config, name)
        object.__setattr__(config, name, known.check(usual.get(name, known.default) if value is None else value))


def _text(limit: float) -> str:
    return f"{limit:g}" if isinstance(limit, float) else str(limit)
