"""A Source of images that are numbers: one array for all, or one for each split."""

import math
from collections.abc import Sequence

import numpy as np

from vae.data.source import Numbers, Source, listed
from vae.data.splits import own_splits
from vae.depth import Range, extremes, kind_of, sentence, to_bytes, usual_range
from vae.errors import InputError

MOST_CLASSES = 50_000


def one_for_each_split(names: Sequence[str], owner: str, what: str) -> dict[str, str]:
    """{split: name} of files or arrays named like splits; {"": name} of a single one. Raises InputError for others."""
    splits = own_splits(names) or {"": list(names)}
    for found in splits.values():
        if len(found) != 1:
            what = f"more than one {what} ({listed(found)})" if found else f"no {what}"
            raise InputError(
                f"{owner} holds {what}; accepted is one, or one for each split, named such as train and test."
            )
    return {split: found[0] for split, found in splits.items()}


def stacked(
    name: str,
    pixels: dict[str, np.ndarray],
    labels: Sequence[np.ndarray | None],
    left_out: Sequence[str] = (),
    span: Range | None = None,
    whole: bool | None = None,
) -> Source:
    """The images in `pixels`, by split, or under "" where there is none.

    pixels: (N, H, W) or (N, H, W, channels), of any type of number; what is no byte is scaled by `span`, by default
    the range its values have. labels: (N,), numbers or words, to each of the arrays. whole: whether the values are
    whole numbers, where their type does not say it. Raises InputError if the arrays have other than 1 to 4 channels.
    """
    arrays = list(pixels.values())
    channels = {array.shape[3:] or (1,) for array in arrays}
    if len(channels) > 1 or not 1 <= next(iter(channels))[0] <= 4:
        raise InputError(f"The images of {name} have other than 1 to 4 channels, or differ in them.")
    if not all(math.prod(array.shape) for array in arrays):
        raise InputError(f"{name} holds no images: its shape is {list(arrays[0].shape)}.")
    span, remarks = _span([array for array in arrays if array.dtype != np.uint8], span, whole)
    starts = np.cumsum([0, *(len(array) for array in arrays)])

    def read(i: int, size_hint: int | None = None) -> np.ndarray:
        part = int(np.searchsorted(starts, i, "right")) - 1
        image = arrays[part][i - starts[part]]
        return image if image.dtype == np.uint8 else to_bytes(image, span)

    numbers, classes = numbered_classes(labels)
    parts = zip(pixels, starts, starts[1:], strict=False)
    return Source(
        name,
        int(starts[-1]),
        read,
        names=Numbers(np.arange(starts[-1])),
        labels=numbers,
        classes=classes,
        splits={split: np.arange(start, stop) for split, start, stop in parts if split} or None,
        channels=next(iter(channels))[0],
        is_array=True,
        left_out=list(left_out),
        value_range=span,
        remarks=remarks,
    )


def _span(deep: list[np.ndarray], span: Range | None, whole: bool | None) -> tuple[Range | None, list[str]]:
    if not deep:
        return None, []
    if all(array.dtype.kind == "b" for array in deep):
        return (0.0, 1.0), []
    ends = [extremes(array) for array in deep]
    seen = min(low for low, _ in ends), max(high for _, high in ends)
    if whole is None:
        whole = all(array.dtype.kind != "f" for array in deep)
    span = span or usual_range(*seen, whole)
    return span, [] if span == (0.0, 255.0) and whole else [sentence(kind_of(deep[0].dtype), seen, span)]


def numbered_classes(labels: Sequence[np.ndarray | None]) -> tuple[np.ndarray | None, list[str] | None]:
    """Each image's class as a number, and the classes' names in the order of what they count, or of the alphabet."""
    if any(part is None for part in labels):
        return None, None
    found, numbers = np.unique(np.concatenate(labels), return_inverse=True)
    if len(found) > MOST_CLASSES:
        return None, None  # numbers of something else
    names = [str(value) for value in found]
    if len(names) < 2:
        return None, None  # which says nothing
    order = sorted(range(len(names)), key=lambda i: _order(names[i]))
    return np.argsort(order)[numbers.reshape(-1)], [names[i] for i in order]


def _order(text: str) -> tuple:
    try:
        return 0, float(text), text
    except ValueError:
        return 1, 0.0, text
