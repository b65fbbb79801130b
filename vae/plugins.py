"""Modules of one's own that register what they bring (see vae.models.register) when they are imported."""

import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from vae.errors import InputError

imported: list[str] = []  # the plugins of this process, which others that compute for it need too


def import_plugin(name: str) -> None:
    """Import a module by its name, from the working folder or where Python finds modules. It runs with all rights of
    whoever starts the program, so its name is never taken from a file or a visitor.

    Raises InputError if there is no such module, or it cannot be imported.
    """
    here = str(Path.cwd())
    if here not in sys.path and "" not in sys.path:
        sys.path.append(here)
    try:
        found = all(part.isidentifier() for part in name.split(".")) and find_spec(name) is not None
    except ModuleNotFoundError:  # of the package it would lie in
        found = False
    except Exception as error:  # of code that is not ours
        raise _failed(name, error) from error
    if not found:
        raise InputError(
            f"There is no plugin {name!r}: a Python module's name is accepted, such as my_package, of one that is "
            f"installed or lies in {here}."
        )
    try:
        import_module(name)
    except Exception as error:
        raise _failed(name, error) from error
    imported.append(name)


def _failed(name: str, error: Exception) -> InputError:
    why = str(error) if isinstance(error, InputError) else f"{type(error).__name__}: {error}"
    return InputError(f"The plugin {name!r} cannot be imported: {' '.join(why.split())[:300]}")
