"""Values deeper than 8 bits: which of them are black and white, and how they become 8 bits.

Microscopes, scanners and depth cameras write 10, 12 or 14 bits into files of 16, and anything into floats. Divided by
what the file could hold, such an image is nearly black; here it is scaled by the range that its own values have.
"""

import math
from collections.abc import Iterator, Sequence

import numpy as np

from vae.errors import InputError

DEPTHS = (8, 10, 12, 14, 16)  # bits that sensors and scanners write
Range = tuple[float, float]


def usual_range(low: float, high: float, whole: bool) -> Range:
    """The range that values from `low` to `high`, the extremes of an image or a whole set, are taken to have.

    Whole numbers that are not negative: from 0 to the greatest of the fewest bits of DEPTHS that hold them, so that
    4080 is of 12 bits. Floats within [0, 1] or [-1, 1]: that interval. Anything else: from `low` to `high`.
    """
    if whole and low >= 0:
        return 0.0, float(next((2**bits - 1 for bits in DEPTHS if high < 2**bits), high))
    if not whole and low >= -1 and high <= 1:
        return (0.0, 1.0) if low >= 0 else (-1.0, 1.0)
    return float(low), float(high)


def checked_range(value: str | Sequence[float] | None) -> Range | None:
    """A range as a user gives it, "0:4095" or (0, 4095). Raises InputError if it is none."""
    if value is None:
        return None
    parts = value.split(":") if isinstance(value, str) else value
    try:
        low, high = (float(part) for part in parts)
    except (TypeError, ValueError):
        low = high = math.nan
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise InputError(
            f"A range of values is its least and its greatest, such as 0:4095 or (0, 4095), not {value!r}."
        )
    return low, high


def extremes(values: np.ndarray) -> Range:
    """The least and the greatest value that is finite; not-a-numbers and infinities count as 0."""
    found = [(float(block.min()), float(block.max())) for block in map(_finite, _blocks(values)) if block.size]
    return min((low for low, _ in found), default=0.0), max((high for _, high in found), default=0.0)


def to_bytes(values: np.ndarray, span: Range) -> np.ndarray:
    """uint8 of the same shape: `span` as 0 to 255, what lies beyond it clipped, what is not finite as the value 0."""
    low, high = span
    flat = np.empty(values.shape, np.uint8)
    for block, out in zip(_blocks(values), _blocks(flat), strict=True):
        scaled = (_finite(block) - low) * (255.0 / max(high - low, 1e-12))
        out[...] = scaled.round().clip(0, 255)
    return flat


def kind_of(dtype: np.dtype) -> str:
    """Values of that type in words, such as "16-bit values"."""
    return "floats" if dtype.kind == "f" else f"{8 * dtype.itemsize}-bit values"


def sentence(what: str, seen: Range, span: Range) -> str:
    """What is said where values over 8 bits are scaled. what: as kind_of has it; seen: the least and the greatest."""
    low, high, black, white = (f"{end:,.0f}" if end == int(end) else f"{end:.4g}" for end in (*seen, *span))
    return f"The {what} go from {low} to {high}; {black} is black and {white} is white."


def _blocks(values: np.ndarray) -> Iterator[np.ndarray]:
    """Parts of the array along its first axis, so that a large one needs no second of floats."""
    step = max(1, 2**20 // max(1, values[:1].size))
    return (values[i : i + step] for i in range(0, len(values), step))


def _finite(values: np.ndarray) -> np.ndarray:
    floats = values.astype(np.float32)
    return np.nan_to_num(floats, copy=False, posinf=0.0, neginf=0.0) if values.dtype.kind == "f" else floats
