"""The text of a config.json that nobody vouches for, as Python has it."""

import json

from vae.errors import InputError

LONGEST = 1_000_000  # characters
DEEPEST = 32  # lists and objects within one another


def parse(text: str, name: str) -> object:
    """What the JSON says. Raises InputError if it is none, too long, or nested too deeply. name: of the file."""
    if len(text) > LONGEST:
        raise InputError(f"{name} has {len(text):,} characters, as no config has; up to {LONGEST:,} are accepted.")
    try:
        found = json.loads(text)
    except RecursionError as error:
        raise InputError(_too_deep(name)) from error
    except ValueError as error:
        raise InputError(f"{name} is not readable JSON.") from error
    level, depth = [found], 0
    while level:
        depth += 1
        if depth > DEEPEST:
            raise InputError(_too_deep(name))
        inner = (item.values() if isinstance(item, dict) else item for item in level if isinstance(item, dict | list))
        level = [item for items in inner for item in items]
    return found


def _too_deep(name: str) -> str:
    return f"{name} is nested too deeply; up to {DEEPEST} levels are accepted."
