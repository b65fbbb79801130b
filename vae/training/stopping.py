"""Why a training ends before its last step: somebody asked, the time is up, the process is told to go, or it failed."""

import math
import signal
import threading
import time
from contextlib import contextmanager

import torch

from vae.errors import InputError
from vae.training.runs import RunWriter

EXPLODED = 1e4  # a loss so many times its first value will not come back
REASONS = (
    None,
    "Stopped on request.",
    "Stopped: the time allowed for a run is over.",
    "Stopped: the process was told to end.",
    "Stopped by a callback.",
)


class Stopper:
    """reason() is the index in REASONS of why to stop, 0 for none."""

    def __init__(self, writer: RunWriter, max_minutes: float | None):
        self.writer = writer
        self.deadline = time.monotonic() + 60.0 * max_minutes if max_minutes else math.inf
        self.signalled = self.called_off = False

    def call_off(self) -> None:
        """Ask to stop after this step, in Python."""
        self.called_off = True

    def reason(self) -> int:
        if self.called_off:
            return 4
        if self.signalled:
            return 3
        if time.monotonic() > self.deadline:
            return 2
        return 1 if self.writer.stop_requested() else 0

    @contextmanager
    def listening(self):
        """While inside, Ctrl-C and SIGTERM ask to stop, which is kept for the end of the step; a second one is at once.

        Only the main thread can receive signals; elsewhere this does nothing.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.getsignal(number) or signal.SIG_DFL for number in (signal.SIGINT, signal.SIGTERM)}

        def note(number, frame) -> None:
            self.signalled = True
            for known, handler in before.items():
                signal.signal(known, handler)

        for number in before:
            signal.signal(number, note)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def check_loss(loss: float, first: float | None, step: int, rate: float) -> None:
    """InputError if the loss is not finite or has exploded. first: its first value; rate: the learning rate."""
    if not math.isfinite(loss) or abs(loss) > EXPLODED * first:
        raise InputError(
            f"The loss became {loss:.3g} at step {step}, so the training was stopped; lower the learning rate (it was "
            f"{rate:g}). The last good checkpoint is kept."
        )


def sentence(error: BaseException) -> str:
    """What failed, in the words of a run's state."""
    if isinstance(error, InputError):
        return str(error)
    if isinstance(error, KeyboardInterrupt):
        return "Interrupted."
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return "There is too little memory; lower the batch size and raise accumulate."
    if isinstance(error, OSError):
        return f"The training failed: {error.strerror or error}."
    return f"The training failed: {type(error).__name__}."
