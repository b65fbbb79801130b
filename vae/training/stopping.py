"""Why a training should end before its last step: somebody asked, the time is up, or the process is told to go."""

import math
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

from vae.training.runs import RunWriter

REASONS = (
    None,
    "Stopped on request.",
    "Stopped: the time allowed for a run is over.",
    "Stopped: the process was told to end.",
)


PATIENCE = 0.75  # seconds that an update, a validation or a preview may go on before it is interrupted
LOOKS = 0.2  # seconds between two looks at the run folder during one


class Interrupted(BaseException):
    """Raised in the middle of long work, once the training is to end. No Exception, so that nothing swallows it."""


class Stopper:
    """reason() is the index in REASONS of why to stop, 0 for none.

    Between two steps the loop asks for it. Where a step takes long, `look` is called on the way and raises Interrupted.
    """

    def __init__(self, writer: RunWriter, max_minutes: float | None):
        self.writer = writer
        self.interrupts = True  # several processes agree on a step to stop after, so none is interrupted
        self._began = self._looked = time.monotonic()
        self.deadline = time.monotonic() + 60.0 * max_minutes if max_minutes else math.inf
        self.signalled = False

    def reason(self) -> int:
        if self.signalled:
            return 3
        if time.monotonic() > self.deadline:
            return 2
        return 1 if self.writer.stop_requested() else 0

    def begin(self) -> None:
        """Say that new work begins, which may take its while."""
        self._began = time.monotonic()

    def look(self, *_) -> None:
        """Raises Interrupted if the training is to end and the work that goes on now has gone on for long."""
        now = time.monotonic()
        if self.interrupts and now - self._began > PATIENCE and now - self._looked > LOOKS:
            self._looked = now
            if self.reason():
                raise Interrupted

    @contextmanager
    def watching(self, model: nn.Module) -> Iterator[None]:
        """While inside, look before each layer of the model, and at each gradient that is known."""
        hooks = [module.register_forward_pre_hook(self.look) for module in model.modules()]
        weights = [weight for weight in model.parameters() if weight.requires_grad]
        hooks += [weight.register_post_accumulate_grad_hook(self.look) for weight in weights]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

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
