"""Why a training should end before its last step: somebody asked, the time is up, or the process is told to go."""

import math
import signal
import threading
import time
from contextlib import contextmanager

from vae.training.runs import RunWriter

REASONS = (
    None,
    "Stopped on request.",
    "Stopped: the time allowed for a run is over.",
    "Stopped: the process was told to end.",
)


class Stopper:
    """reason() is the index in REASONS of why to stop, 0 for none."""

    def __init__(self, writer: RunWriter, max_minutes: float | None):
        self.writer = writer
        self.deadline = time.monotonic() + 60.0 * max_minutes if max_minutes else math.inf
        self.signalled = False

    def reason(self) -> int:
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
