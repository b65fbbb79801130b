"""Images of one size, as bytes in memory or read on demand."""

import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait

import numpy as np
import torch
from torch import Tensor

from vae.data.source import Source, listed, unread
from vae.depth import Range
from vae.errors import InputError
from vae.images import COLOURS, TRANSPARENT

WORKERS = min(16, os.cpu_count() or 1)
LOOK = 0.25  # seconds between two calls of `progress` at most while all images are read
_opening = threading.Lock()  # of a set's readers


class Vanished(InputError):
    """An image's file was there when the set was loaded and is not now."""


class ImageSet:
    """N square images of one size, as bytes.

    images: uint8 (N, C, size, size), or None if they are too many to hold; batch() then reads them from their source.
    labels: int64 (N,) with indices into `classes`, or None. names: each image's file below the data set's folder, or
    its number in the source where it has no file; None where that is not known. source_channels: 1 to 4, of the images
    before they were fitted, None where that is not known. skipped, unreadable: how many images are left out because
    they could not be read, and their names as far as known. left_out: names of files that are no images. value_range:
    the values over 8 bits that are black and white, where it is one range for all. transform: what a training does to
    its images, see load_data. check: called often while images are read; what it raises ends that.
    """

    def __init__(self, name: str, shape: tuple[int, int, int], labels: Tensor | None, classes: list[str] | None):
        self.name, self.shape, self.labels, self.classes = name, shape, labels, classes
        self.images: Tensor | None = None
        self.names: Sequence[str] | None = None
        self.skipped = 0
        self.unreadable: list[str] = []
        self.left_out: list[str] = []
        self.value_range: Range | None = None
        self.transform: Callable[[Tensor], Tensor] | None = None
        self.check: Callable[[], None] = unchecked
        self.source_channels: int | None = None
        self.cut = False  # whether these are only the first images of a larger set
        self._read: Callable[[int], np.ndarray] | None = None
        self._count = 0
        self._broken: set[int] = set()
        self._pool: ThreadPoolExecutor | None = None
        self.notes: list[str] = []  # sentences about how the source was understood
        self.source: Source | None = None  # what images are read from on demand
        self.readers = WORKERS  # images that are read at once

    def __len__(self) -> int:
        return self._count if self.images is None else len(self.images)

    @property
    def has_places(self) -> bool:
        """Whether `read` gives any of the images, as it cannot where they are streamed."""
        return self.images is not None or self._read is not None

    def read(self, index: int) -> np.ndarray:
        """uint8 (C, H, W): one image, of its own size where the set's were not fitted. Raises InputError if it cannot
        be read."""
        return self._read(index) if self.images is None else self.images[index].numpy()

    def batch(self, indices: Tensor | Sequence[int]) -> Tensor:
        """uint8 (n, C, size, size): the images at `indices`, in their order.

        Raises InputError if an image's file has gone since the set was loaded. One that turns out to be damaged is
        counted in `skipped` and gives way to the next that is sound.
        """
        if self.images is not None:
            return self.images[torch.as_tensor(indices)]
        return torch.from_numpy(np.stack(self._arrays(indices)))

    def readable(self, indices: Tensor | Sequence[int]) -> tuple[Tensor, list[int]]:
        """As `batch`, of those images alone that can be read, and their numbers: none gives way to another."""
        numbers = torch.as_tensor(indices).tolist()
        if self._read is None:
            return self.batch(indices), numbers
        found = list(self._readers().map(self._read_or_none, numbers))
        self.check()
        sound = [i for i, pixels in zip(numbers, found, strict=True) if pixels is not None]
        arrays = [pixels for pixels in found if pixels is not None]
        return torch.from_numpy(np.stack(arrays)) if arrays else torch.empty(0, *self.shape, dtype=torch.uint8), sound

    def _read_or_none(self, index: int) -> np.ndarray | None:
        try:
            return self._read(index)
        except Vanished:
            raise
        except InputError:
            return None

    def _readers(self) -> ThreadPoolExecutor:
        with _opening:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(self.readers, thread_name_prefix="pictures")
            return self._pool

    def _arrays(self, indices: Tensor | Sequence[int]) -> list[np.ndarray]:
        """The images at `indices` from their source, several at a time."""
        chosen = torch.as_tensor(indices).tolist()
        if any(not -len(self) <= i < len(self) for i in chosen):
            raise IndexError(f"{self.name} has {len(self)} pictures")
        found = []
        for pixels in self._readers().map(self._read_sound, chosen):
            found.append(pixels)
            self.check()
        return found

    def _read_sound(self, index: int) -> np.ndarray:
        for step in range(min(len(self), 100)):
            i = (index + step) % len(self)
            try:
                if i not in self._broken:
                    return self._read(i)
            except Vanished:
                raise
            except InputError:
                if i not in self._broken and self.names is not None:
                    self.unreadable.append(self.names[i])
                self._broken.add(i)
                self.skipped = len(self._broken)
        if len(self._broken) == len(self):
            raise InputError(f"None of the {len(self):,} images of {self.name} can be read.")
        raise InputError(f"{self.name} has too many images in a row that cannot be read.")

    def batches(self, parts: Iterable[Tensor], ahead: int = 2) -> Iterator[Tensor]:
        """batch(indices) for each of `parts`, in order; up to `ahead` are read in the background before asked for, or
        as many as keep the readers busy."""
        if self.images is not None:
            return map(self.batch, parts)
        ahead = max(ahead, self.readers // 8)
        return read_ahead(self.batch, parts, ahead, at_once=ahead)

    def augmented(self, pixels: Tensor, seeds: Tensor) -> Tensor:
        """`transform` of each image of uint8 (n, C, size, size), with one of the n seeds each, for which PyTorch's
        generator is set and afterwards put back. Raises InputError if it gives another shape or type."""
        with torch.random.fork_rng(devices=[]):
            changed = []
            for image, seed in zip(pixels, seeds.tolist(), strict=True):
                torch.manual_seed(seed)
                changed.append(self.transform(image))
        for image in changed:
            if not isinstance(image, Tensor) or image.shape != pixels.shape[1:] or image.dtype != torch.uint8:
                found = f"{image.dtype} of {list(image.shape)}" if isinstance(image, Tensor) else type(image).__name__
                raise InputError(
                    f"A transform takes and gives one image, torch.uint8 of {list(pixels.shape[1:])}, not {found}."
                )
        return torch.stack(changed)

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
        if self.left_out:
            parts.append(f"{len(self.left_out):,} other file{'s' if len(self.left_out) > 1 else ''} left out")
        return f"{self.name}: {', '.join(parts)}"

    @property
    def remarks(self) -> list[str]:
        """Sentences about what a user should know of these data: which values are black and white, what was left out,
        which channels there are."""
        return remarks_of(self)


def unchecked() -> None:
    """The `check` of a set whose reading nothing ends."""


def read_ahead(
    batch: Callable[[Tensor], Tensor], parts: Iterable[Tensor], ahead: int, name: str = "", at_once: int = 1
) -> Iterator[Tensor]:
    """batch(indices) for each of `parts`, in order; up to `ahead` are read before asked for, `at_once` in as many
    threads."""
    reader = ThreadPoolExecutor(at_once, thread_name_prefix=name)
    coming: deque[Future] = deque()
    try:
        for indices in parts:
            coming.append(reader.submit(batch, indices))
            if len(coming) > ahead:
                yield coming.popleft().result()
        while coming:
            yield coming.popleft().result()
    finally:
        reader.shutdown(wait=False, cancel_futures=True)  # nobody wants what is still to come


def remarks_of(*sets: ImageSet) -> list[str]:
    """ImageSet.remarks of all together, such as the splits of one data set."""
    first = sets[0]
    found = list(dict.fromkeys(note for data in sets for note in data.notes))
    left_out = list(dict.fromkeys(name for data in sets for name in data.left_out))
    if left_out:
        were = "other file was" if len(left_out) == 1 else "other files were"
        found.append(f"{len(left_out):,} {were} left out: {listed(left_out)}.")
    skipped, unreadable = sum(data.skipped for data in sets), [name for data in sets for name in data.unreadable]
    if skipped:
        found.append(unread(skipped, unreadable))
    if first.source_channels in TRANSPARENT:
        if first.shape[0] == first.source_channels:
            found.append(f"The images have {first.source_channels} channels, and all are kept.")
        elif first.shape[0] not in TRANSPARENT:
            found.append("Some images are transparent; they are laid on white.")
    return found


def on_demand(data: ImageSet, count: int, read: Callable[[int], np.ndarray]) -> ImageSet:
    """The set with `count` images that are read when they are asked for."""
    data._read, data._count = read, count
    return data


def fill(
    data: ImageSet,
    count: int,
    read: Callable[[int], np.ndarray],
    limit_bytes: int,
    progress: Callable[[int, int], None] | None,
) -> ImageSet:
    """Read all `count` images into data.images if they fit into limit_bytes; else have data read them on demand. What
    `progress` raises ends the reading."""
    if count * int(np.prod(data.shape)) > limit_bytes:
        return on_demand(data, count, read)
    ended = threading.Event()
    pixels, sound = np.empty((count, *data.shape), np.uint8), np.zeros(count, bool)

    def work(first: int) -> None:
        for i in range(first, min(first + step, count)):
            if ended.is_set():
                return
            try:
                pixels[i] = read(i)
                sound[i] = True
            except InputError:
                continue

    step, done = 64, 0
    with ThreadPoolExecutor(data.readers) as pool:
        try:
            for part in [pool.submit(work, first) for first in range(0, count, step)]:
                while not wait([part], LOOK).done:
                    if progress:
                        progress(done, count)
                part.result()
                done = min(done + step, count)
                if progress:
                    progress(done, count)
        except BaseException:
            ended.set()
            pool.shutdown(wait=False, cancel_futures=True)  # what is left need not be read
            raise
    data.skipped = count - int(sound.sum())
    if data.names is not None and data.skipped:
        data.unreadable = [data.names[i] for i in np.flatnonzero(~sound)]
        data.names = [data.names[i] for i in np.flatnonzero(sound)]
    if data.skipped == count:
        raise InputError(f"None of the {count:,} pictures of {data.name} can be read.")
    if data.skipped:
        pixels = pixels[sound]
        if data.labels is not None:
            data.labels = data.labels[torch.from_numpy(sound)]
    data.images = torch.from_numpy(pixels)
    return data
