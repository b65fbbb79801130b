"""Images as they are stored, whatever the format: counted and named, not yet fitted to a model."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from tempfile import TemporaryDirectory

import numpy as np
from PIL import Image

from vae.data.splits import split_indices
from vae.depth import Range
from vae.errors import InputError

NAMED = 3  # of the files that are left out


@dataclass
class Source:
    """All images of a data set.

    count: how many. read: (i, size_hint=None) -> image i, as a PIL image of 8 bits or as uint8 pixels (H, W) or
    (H, W, channels); size_hint as in open_image. names: each image's
    file below the data set's folder, or its number where it has no file. labels: int64 (N,), indices into `classes`.
    splits: indices of the images of "train", "val" and "test" where the set is divided already. channels: of the
    stored images, 1 to 4; None where that is not known. is_array: whether they are numbers rather than image files.
    value_range: the values over 8 bits that are black and white, where it is one range for all.
    left_out: names of the files that are no images. remarks: other sentences about how the
    data were understood. held: a temporary folder, removed with the Source. readers: how many images are best read at
    once, where that is not as many as there are cores.
    """

    name: str
    count: int
    read: Callable[..., Image.Image | np.ndarray]
    names: Sequence[str]
    labels: np.ndarray | None = None
    classes: list[str] | None = None
    splits: dict[str, np.ndarray] | None = None
    channels: int | None = None
    is_array: bool = False
    value_range: Range | None = None
    left_out: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    held: TemporaryDirectory | None = None
    readers: int | None = None

    def part(self, split: str, test_size: float | None) -> np.ndarray:
        """Indices of the images of a split, ascending, as vae.data.sets.load_data explains. Raises InputError if the
        set is too small to be split."""
        if self.splits is not None:
            if split == "all":
                return np.sort(np.concatenate(list(self.splits.values())))
            other = {"val": "test", "test": "val"}.get(split)
            return self.splits.get(split, self.splits.get(other, np.empty(0, np.int64)))
        if split == "all" or test_size is None:
            return np.arange(self.count)
        if self.count < 2:
            raise InputError(f"{self.name} holds a single picture; two or more are needed to train and to test.")
        return split_indices(self.count, test_size)[split != "train"].numpy()

    def names_of(self, chosen: np.ndarray) -> Sequence[str]:
        """The names of the images at those indices."""
        if isinstance(self.names, Numbers):
            return Numbers(self.names.numbers[chosen])
        return [self.names[i] for i in chosen.tolist()]

    def close(self) -> None:
        """No image is read any more."""
        if self.held is not None:
            self.held.cleanup()


class Numbers(Sequence):
    """Names of images that have none: their numbers, without a string for each of millions."""

    def __init__(self, numbers: np.ndarray):
        self.numbers = numbers

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, i):
        return [str(number) for number in self.numbers[i]] if isinstance(i, slice) else str(self.numbers[i])


def listed(names: Sequence[str]) -> str:
    """The first few of the names, as they stand in a sentence."""
    shown = ", ".join(printable(name) for name in names[:NAMED])
    return shown if len(names) <= NAMED else f"{shown} and {len(names) - NAMED:,} more"


def unread(count: int, names: Sequence[str]) -> str:
    """The sentence about images that could not be read. names: of those whose name is known."""
    were = "image could not be read and was" if count == 1 else "images could not be read and were"
    return f"{count:,} {were} left out{f': {listed(names)}' if names else ''}."


def printable(name: str) -> str:
    """A file's name in a message: bytes that are no text replaced, one line, not too long."""
    text = name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    text = "".join(c if c.isprintable() else "�" for c in text)
    return text if len(text) <= 60 else f"…{text[-59:]}"
