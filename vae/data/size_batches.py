"""Images read in threads, ahead of whoever computes with them, and gathered into batches of one size."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import repeat
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from torch import Tensor

from vae.data.image_set import WORKERS, read_ahead
from vae.errors import InputError

HELD = 2**28  # bytes of images that wait for others of their size; beyond it the most of one size go without more
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
) -> Iterator[SizeBatch[Item]]:
    """Every item once, in batches whose images have one size; the same batches however fast the threads are.

    read: (item) -> its image, uint8 (C, H, W), and whatever else is to be known of it; called in `workers` threads.
    most: (height, width) -> how many images of that size make a batch. refused: filled with the places of items whose
    `read` raised an InputError, which are in no batch; what else it raises ends the reading.
    A batch comes as soon as it is full, the rest at the end, so that items of different sizes leave their order.
    In memory are at most AHEAD + 2 batches, `held` bytes and `workers` + 2 images, however many items there are.
    """
    gathered = _gathered(items, read, most, refused, workers, held)
    for batch in read_ahead(lambda _: next(gathered, None), repeat(None), AHEAD, name="images"):
        if batch is None:
            return
        yield batch


def _gathered(items, read, most, refused, workers, held) -> Iterator[SizeBatch]:
    """The batches, made when they are asked for."""
    waiting: dict[tuple[int, ...], list[tuple]] = {}
    taken = 0
    for number, item, future in _in_order(items, read, workers):
        try:
            pixels, about = future.result()
        except InputError as error:
            refused[number] = error
            continue
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


def _in_order(items, read, workers) -> Iterator[tuple[int, Any, Future]]:
    """Each item with its reading, which threads have begun; finished or not."""
    pool = ThreadPoolExecutor(workers, thread_name_prefix="images")
    coming: deque[tuple[int, Any, Future]] = deque()
    try:
        for number, item in enumerate(items):
            coming.append((number, item, pool.submit(read, item)))
            if len(coming) > workers:
                yield coming.popleft()
        while coming:
            yield coming.popleft()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)  # nobody wants what is still to come


def _batch(group: list[tuple]) -> SizeBatch:
    numbers, items, pixels, about = (list(part) for part in zip(*group, strict=True))
    return SizeBatch(numbers, items, torch.from_numpy(np.stack(pixels)), about)
