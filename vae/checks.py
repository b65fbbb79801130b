"""What callers may give: checked once, refused in one sentence."""

import operator

from PIL import Image

from vae.errors import InputError


def whole_number(name: str, value: object, low: int, high: int | None = None) -> int:
    """`value` as an int, if it is an integer of any type (NumPy's, say) from low to high; InputError otherwise."""
    try:
        number = None if isinstance(value, bool) else operator.index(value)
    except TypeError:
        number = None
    if number is None or number < low or (high is not None and number > high):
        limits = f"from {low} to {high}" if high is not None else f"of {low} or more"
        raise InputError(f"{name} must be a whole number {limits}, not {str(value)[:40]}.")
    return number


def as_image(value: object) -> Image.Image:
    return value
