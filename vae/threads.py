"""Which threads compute on a CPU, and how they wait for one another.

Where two threads share every operation, each waits for the other hundreds of times in a small network. Beside another
busy process that is what takes the time, so that two threads are slower than one. So images that come by the batch are
divided among threads that compute alone, and a single image that is not large is shared by no more threads than find a
core that nobody uses. Which thread computes a part of a batch changes nothing in it; of a single image, whose sums are
cut otherwise among more threads, the last bits may change. benchmarks/shared_cpu.py has the figures.
"""

import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from contextvars import copy_context
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")
Part = TypeVar("Part")

SPINS = 4000  # looks at what is waited for, which take 40 microseconds
RUNNING = Path("/proc/loadavg")  # where Linux says how many threads of all processes compute or want to
SECONDS = 3.0  # for which that holds: what is computed twice in a row has the same bits

_lock, _beginning = threading.Lock(), threading.Lock()
_workers: ThreadPoolExecutor | None = None
_settler: ThreadPoolExecutor | None = None  # a thread that computes nothing
_looked: tuple[float, int | None] = float("-inf"), None  # when it was last seen how many cores are unused
_thread = threading.local()  # .others: the number of threads of all others, where this thread has a number of its own


def wait_asleep() -> None:
    """Have threads that share an operation soon sleep while they wait, unless the environment says how they do
    (OMP_WAIT_POLICY).

    For all of this process's computing, if called before torch is imported; later it changes nothing. A thread that
    spins, by default for milliseconds, keeps its core from whoever it waits for; to wake one that sleeps takes longer
    than an operation on a small image. So they spin for about as long as waking takes, where the library of threads is
    GNU's, and else not at all. A training of a small network even that slows down, so it goes without.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
        os.environ.setdefault("GOMP_SPINCOUNT", str(SPINS))


def each(function: Callable[[Part], T], parts: Sequence[Part]) -> list[T]:
    """function(part) of every part, in order: each computed by one thread alone, as many at a time as PyTorch has
    threads. No gradients are recorded. The first error ends the work and is raised."""
    import torch

    if torch.get_num_threads() == 1:
        return [function(part) for part in parts]

    def alone(part: Part) -> T:
        with torch.no_grad():
            return function(part)

    futures = [_pool().submit(copy_context().run, alone, part) for part in parts]
    try:
        return [future.result() for future in futures]
    finally:
        for future in futures:
            future.cancel()


def unused_cores() -> int | None:
    """Of this machine, in the last SECONDS, beside the calling thread's own; None where that is not known, or where
    OMP_NUM_THREADS says how many threads compute."""
    global _looked
    if "OMP_NUM_THREADS" in os.environ:
        return None
    if time.monotonic() - _looked[0] > SECONDS:
        try:
            running = int(RUNNING.read_text().split()[3].partition("/")[0])
            unused = max(0, (os.cpu_count() or 1) - max(1, running))
        except (OSError, ValueError, IndexError):
            unused = None
        _looked = time.monotonic(), unused
    return _looked[1]


@contextmanager
def at_most(most: int) -> Iterator[None]:
    """Inside, the calling thread shares its operations among at most so many threads, itself included; 1: it computes
    alone. For what takes a millisecond; so does calling another thread."""
    import torch

    count = torch.get_num_threads()
    if count <= most:
        yield
        return
    others = getattr(_thread, "others", count)
    with _lock:
        torch.set_num_threads(most)
        _settle(others)
    try:
        yield
    finally:
        with _lock:
            torch.set_num_threads(count)
            if count != others:
                _settle(others)


def compute_with(count: int) -> None:
    """Let the calling thread share its operations among so many threads from now on. Others keep their number, and so
    do those that begin later."""
    import torch

    torch.get_num_threads()  # a thread's first look at it would set it to the process's
    with _lock:
        if not hasattr(_thread, "others"):
            _settler_thread().submit(int).result()  # whatever was to be put back has been
            found: list[int] = []
            new = threading.Thread(target=lambda: found.append(torch.get_num_threads()))
            new.start()
            new.join()
            _thread.others = found[0]
        torch.set_num_threads(count)
        _settler_thread().submit(torch.set_num_threads, _thread.others).result()


def _settle(others: int) -> None:
    """What a thread sets for itself is also what those begin with that have not computed yet: put theirs back."""
    import torch

    with suppress(RuntimeError):  # the process ends: no thread begins any more
        _settler_thread().submit(torch.set_num_threads, others)


def _settler_thread() -> ThreadPoolExecutor:
    global _settler
    _settler = _settler or ThreadPoolExecutor(1, "vae-threads")
    return _settler


def _pool() -> ThreadPoolExecutor:
    global _workers
    with _beginning:
        _workers = _workers or _begun()
        return _workers


def _begun() -> ThreadPoolExecutor:
    """Threads that have all begun, and compute alone from now on."""
    import torch

    count = torch.get_num_threads()
    met = threading.Barrier(count)

    def compute_alone() -> None:
        compute_with(1)
        met.wait()

    workers = ThreadPoolExecutor(count, "vae-computes")
    for begun in [workers.submit(compute_alone) for _ in range(count)]:
        begun.result()
    return workers


def _forget_workers() -> None:
    global _lock, _beginning, _workers, _settler
    _lock, _beginning, _workers, _settler = threading.Lock(), threading.Lock(), None, None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_workers)  # the child has none of its parent's threads
