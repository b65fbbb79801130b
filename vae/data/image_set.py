"""Images of one size, as bytes in memory or read on demand."""

import os
import tempfile
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

from vae.errors import InputError
from vae.images import COLOURS

WORKERS = min(16, os.cpu_count() or 1)


class Vanished(InputError):
    """An image's file was there when the set was loaded and is not now."""


class ImageSet:
    """N square images of one size, as bytes.

    images: uint8 (N, C, size, size), or None if they are too many to hold; batch() then reads them from their source.
    labels: int64 (N,) with indices into `classes`, or None. skipped: images left out because they could not be read.
    source_channels: of the images before they were fitted: 1 grey, 3 colour, 2 and 4 the same with transparency; None
    where that is not known.
    """

    def __init__(self, name: str, shape: tuple[int, int, int], labels: Tensor | None, classes: list[str] | None):
        self.name, self.shape, self.labels, self.classes = name, shape, labels, classes
        self.images: Tensor | None = None
        self.skipped = 0
        self.source_channels: int | None = None
        self.cut = False  # whether these are only the first images of a larger set
        self._read: Callable[[int], np.ndarray] | None = None
        self._count = 0
        self._broken: set[int] = set()
        self._pool: ThreadPoolExecutor | None = None
        self._unpacked: tempfile.TemporaryDirectory | None = None  # an archive's files, removed with this set

    def __len__(self) -> int:
        return self._count if self.images is None else len(self.images)

    def batch(self, indices: Tensor | Sequence[int]) -> Tensor:
        """uint8 (n, C, size, size): the images at `indices`, in their order.

        Raises InputError if an image's file has gone since the set was loaded. One that turns out to be damaged is
        counted in `skipped` and gives way to the next that is sound.
        """
        if self.images is not None:
            return self.images[torch.as_tensor(indices)]
        return torch.from_numpy(np.stack(self._arrays(indices)))

    def _arrays(self, indices: Tensor | Sequence[int]) -> list[np.ndarray]:
        """The images at `indices` from their source, several at a time."""
        if self._pool is None:
            self._pool = ThreadPoolExecutor(WORKERS, thread_name_prefix="pictures")
        chosen = torch.as_tensor(indices).tolist()
        if any(not -len(self) <= i < len(self) for i in chosen):
            raise IndexError(f"{self.name} has {len(self)} pictures")
        return list(self._pool.map(self._read_sound, chosen))

    def _read_sound(self, index: int) -> np.ndarray:
        for step in range(min(len(self), 100)):
            i = (index + step) % len(self)
            try:
                if i not in self._broken:
                    return self._read(i)
            except Vanished:
                raise
            except InputError:
                self._broken.add(i)
                self.skipped = len(self._broken)
        raise InputError(f"{self.name} has too many pictures in a row that cannot be read.")

    def batches(self, parts: Iterable[Tensor], ahead: int = 2) -> Iterator[Tensor]:
        """batch(indices) for each of `parts`, in order; up to `ahead` are read in the background before asked for."""
        if self.images is not None:
            yield from map(self.batch, parts)
            return
        with ThreadPoolExecutor(1) as reader:
            coming: deque[Future] = deque()
            for indices in parts:
                coming.append(reader.submit(self.batch, indices))
                if len(coming) > ahead:
                    yield coming.popleft().result()
            while coming:
                yield coming.popleft().result()

    def preview(self, n: int = 16) -> Tensor:
        """uint8 (n, C, size, size): images spread evenly over the set, all of them if there are fewer."""
        n = min(n, len(self))
        return self.batch(torch.arange(n) * len(self) // n)

    def describe(self) -> str:
        """One line for people: how many images, of what size, in how many classes, and how many were left out."""
        channels, height, width = self.shape
        parts = [f"{len(self):,} pictures", f"{width} x {height} {COLOURS[channels]}"]
        if self.classes:
            parts.append(f"{len(self.classes)} classes")
        if self.images is None:
            parts.append("read on demand")
        if self.cut:
            parts.append("the first of a larger set")
        if self.skipped:
            parts.append(f"{self.skipped:,} unreadable left out")
        return f"{self.name}: {', '.join(parts)}"


def fill(
    data: ImageSet,
    count: int,
    read: Callable[[int], np.ndarray],
    limit_bytes: int,
    progress: Callable[[int, int], None] | None,
) -> ImageSet:
    """Read all `count` images into data.images if they fit into limit_bytes; else have data read them on demand."""
    if count * int(np.prod(data.shape)) > limit_bytes:
        data._read, data._count = read, count
        return data
    pixels, sound = np.empty((count, *data.shape), np.uint8), np.zeros(count, bool)

    def work(first: int) -> None:
        for i in range(first, min(first + step, count)):
            try:
                pixels[i] = read(i)
                sound[i] = True
            except InputError:
                continue

    step, done = 64, 0
    with ThreadPoolExecutor(WORKERS) as pool:
        try:
            for _ in pool.map(work, range(0, count, step)):
                done = min(done + step, count)
                if progress:
                    progress(done, count)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)  # what is left need not be read
            raise
    data.skipped = count - int(sound.sum())
    if data.skipped == count:
        raise InputError(f"None of the {count:,} pictures of {data.name} can be read.")
    if data.skipped:
        pixels = pixels[sound]
        if data.labels is not None:
            data.labels = data.labels[torch.from_numpy(sound)]
    data.images = torch.from_numpy(pixels)
    return data
