"""How many threads train soonest on a CPU that others use too: found by trying, now and then."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

from vae.threads import compute_with

FIRST = 10.0  # seconds of training before the first trial: a short training is what it always was, to the last bit
EVERY = 2.0  # seconds between two, at least
SHARE = 0.05  # of the time, for trials
LONG = 0.5  # seconds of an update; one that takes longer has large operations, of which threads seldom wait
SLOWER = 1.3  # times as slow as after the last trial: time for the next one
BETTER = 1.1  # times as fast: worth a change
WINDOW = 0.3  # seconds over which the speed of updates is measured


class ThreadTrials:
    """Call it after every update, with the seconds that it took.

    work: as much computing as an update is, which changes nothing. A trial does it with the number of threads there is,
    with half as many, and with twice as many, but no more than at first. A training that is alone on the machine keeps
    all of them, and every bit of its results; a change of their number changes the last bits.
    """

    def __init__(self, work: Callable[[], None]):
        self.work = work
        self.most = self.count = torch.get_num_threads()
        self.trained, self.due = 0.0, FIRST  # seconds of updates so far, and at the next trial
        self.usual: float | None = None  # seconds of an update after the last trial
        self.took, self.updates = 0.0, 0  # of those measured now

    def __call__(self, seconds: float) -> None:
        self.trained, self.took, self.updates = self.trained + seconds, self.took + seconds, self.updates + 1
        if self.took < WINDOW or self.updates < 2:
            return
        mean, self.took, self.updates = self.took / self.updates, 0.0, 0
        self.usual = self.usual or mean
        early = EVERY / 2 if mean > SLOWER * self.usual else 0.0
        if self.trained >= self.due - early and mean < LONG:
            self._try()

    def _try(self) -> None:
        start, now = time.perf_counter(), self.count
        seconds = {count: self._timed(count) for count in {now, max(1, now // 2), min(2 * now, self.most)}}
        best = min(seconds, key=seconds.__getitem__)
        self.count = best if seconds[now] > BETTER * seconds[best] else now
        compute_with(self.count)
        self.due = self.trained + max(EVERY, (time.perf_counter() - start) / SHARE)
        self.usual = None

    def _timed(self, count: int) -> float:
        """Seconds that the work takes with so many threads."""
        compute_with(count)
        self.work()  # the threads begin, or wake
        start = time.perf_counter()
        self.work()
        return time.perf_counter() - start


@contextmanager
def thread_trials(work: Callable[[], None], device: torch.device, processes: int) -> Iterator[Callable[[float], None]]:
    """What to call after every update, with its seconds. It does nothing where there is nothing to choose, or the
    environment has chosen (OMP_NUM_THREADS). The thread has as many threads afterwards as before."""
    before = torch.get_num_threads()
    if device.type != "cpu" or processes > 1 or before == 1 or "OMP_NUM_THREADS" in os.environ:
        yield lambda seconds: None
        return
    try:
        yield ThreadTrials(work)
    finally:
        compute_with(before)
