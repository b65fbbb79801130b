"""Images read in threads, ahead of whoever computes with them, and gathered into batches of one size."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice, repeat
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from torch import Tensor

from vae.data.image_set import WORKERS, read_ahead
from vae.errors import InputError

HELD = 2**28  # bytes of images that wait for others of their size; beyond it the most of one size go without more
CHUNK = 2**18  # bytes of images that one thread reads in a row
AHEAD = 2  # batches that are ready before they are asked for

Item = TypeVar("Item")


@dataclass(frozen=True)
class SizeBatch(Generic[Item]):
    """numbers: the items' places among all, ascending. pixels: uint8 (n, C, H, W). about: what `read` said of each."""

    numbers: list[int]
    items: list[Item]
    pixels: Tensor
    about: list[Any]

    def __len__(self) -> int:
        return len(self.numbers)

    def singly(self) -> "Iterator[SizeBatch[Item]]":
        """Its images, each as a batch."""
        for i, (number, item, about) in enumerate(zip(self.numbers, self.items, self.about, strict=True)):
            yield SizeBatch([number], [item], self.pixels[i : i + 1], [about])


def size_batches(
    items: Iterable[Item],
    read: Callable[[Item], tuple[np.ndarray, Any]],
    most: Callable[[int, int], int],
    refused: dict[int, InputError],
    workers: int = WORKERS,
    held: int = HELD,
    threads: Executor | None = None,
) -> Iterator[SizeBatch[Item]]:
    """Every item once, in batches whose images have one size; the same batches however fast the threads are.

    read: (item) -> its image, uint8 (C, H, W), and whatever else is to be known of it; called in `workers` threads, for
    small images several times in a row. most: (height, width) -> how many images of that size make a batch. refused:
    filled with the places of items whose `read` raised an InputError, which are in no batch; what else it raises ends
    the reading. threads: those that read, which have other work, too, as vae.computing has it.
    A batch comes as soon as it is full, the rest at the end, so that items of different sizes leave their order.
    In memory are at most AHEAD + 2 batches, `held` bytes, and what 2 * `workers` reads in a row give, however many
    items there are.
    """
    if threads is not None:
        yield from _gathered(items, read, most, refused, held, threads, 2 * workers)
        return
    readers = ThreadPoolExecutor(workers, thread_name_prefix="images")
    gathered = _gathered(items, read, most, refused, held, readers, workers + 1)
    try:
        for batch in read_ahead(lambda _: next(gathered, None), repeat(None), AHEAD, name="images"):
            if batch is None:
                return
            yield batch
    finally:
        readers.shutdown(wait=False, cancel_futures=True)  # nobody wants what is still to come


def _gathered(items, read, most, refused, held, threads, ahead) -> Iterator[SizeBatch]:
    """The batches, made when they are asked for."""
    waiting: dict[tuple[int, ...], list[tuple]] = {}
    taken = 0
    for number, item, found in _in_order(items, read, most, threads, ahead):
        if isinstance(found, InputError):
            refused[number] = found
            continue
        pixels, about = found
        group = waiting.setdefault(pixels.shape, [])
        group.append((number, item, pixels, about))
        taken += pixels.nbytes
        if len(group) < most(*pixels.shape[-2:]):
            if taken <= held:
                continue
            group = max(waiting.values(), key=lambda each: len(each) * each[0][2].nbytes)
        shape = group[0][2].shape
        taken -= len(group) * group[0][2].nbytes
        yield _batch(waiting.pop(shape))
    while waiting:
        yield _batch(waiting.pop(next(iter(waiting))))


def _in_order(items, read, most, threads, ahead) -> Iterator[tuple[int, Any, tuple | InputError]]:
    """Each item with what was read of it, or why it cannot be. ahead: how many chunks are read or waited for."""
    numbered, chunk = enumerate(items), 1
    coming: deque[Future] = deque()

    def outcomes(chosen: list[tuple[int, Any]]) -> list[tuple[int, Any, tuple | InputError]]:
        return [(number, item, _outcome(read, item)) for number, item in chosen]

    try:
        while True:
            while len(coming) < ahead and (chosen := list(islice(numbered, chunk))):
                coming.append(threads.submit(outcomes, chosen))
            if not coming:
                return
            for number, item, found in coming.popleft().result():
                yield number, item, found
                if not isinstance(found, InputError):
                    pixels = found[0]
                    chunk = max(1, min(most(*pixels.shape[-2:]), CHUNK // pixels.nbytes))
    finally:
        for future in coming:
            future.cancel()


def _outcome(read, item) -> tuple | InputError:
    try:
        return read(item)
    except InputError as error:
        return error


def _batch(group: list[tuple]) -> SizeBatch:
    numbers, items, pixels, about = (list(part) for part in zip(*group, strict=True))
    return SizeBatch(numbers, items, torch.from_numpy(np.stack(pixels)), about)
