"""Threads that read, compute and save many batches of images.

Threads that share an image wait for one another at every operation, those that share a batch wait at its end for the
slowest, and where more of them work than there are cores they drive each other's numbers out of the caches. So on a CPU
there are as many as PyTorch has, and each does one thing after the other: it reads some images, computes a batch alone,
saves one.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import torch

from vae.models.base import AutoEncoder
from vae.threads import compute_with
from vae.tiling import SHARED

Batch = TypeVar("Batch")
T = TypeVar("T")


@contextmanager
def shared_threads(model: AutoEncoder) -> Iterator[Executor | None]:
    """Threads for all that is to be done; None where the calling thread computes, as with a GPU or on a single core,
    and others are to read and to save."""
    count = torch.get_num_threads() if model.device.type == "cpu" else 1
    if count == 1:
        yield None
        return
    pool = ThreadPoolExecutor(count, "vae-batches", initializer=compute_with, initargs=(1,))
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def computed(
    model: AutoEncoder,
    compute: Callable[[Batch], T],
    batches: Iterable[Batch],
    pixels: Callable[[Batch], int],
    threads: Executor | None,
) -> Iterator[T]:
    """compute(batch) of each, in order; the first error ends the work and is raised.

    pixels: (batch) -> how many one of its images has. threads: of `shared_threads`, of which each takes a batch; but
    images so large that all threads compute one together (see vae.tiling) are computed by the calling one.
    """
    if threads is None:
        yield from map(compute, batches)
        return
    most = 2 * torch.get_num_threads()  # batches that were begun or are ready
    coming: deque[Future] = deque()
    try:
        for batch in batches:
            if pixels(batch) * model.config.floats_per_pixel <= SHARED:
                coming.append(threads.submit(compute, batch))
                if len(coming) >= most:
                    yield coming.popleft().result()
                continue
            while coming:
                yield coming.popleft().result()
            yield compute(batch)
        while coming:
            yield coming.popleft().result()
    finally:
        for future in coming:
            future.cancel()
