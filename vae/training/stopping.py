"""Why a training ends before its last step: somebody asked, the time is up, the process is told to go, or it failed."""

import contextvars
import math
import queue
import signal
import threading
import time
from collections.abc import Callable
from contextlib import contextmanager, nullcontext
from typing import TypeVar

import torch
from accelerate import Accelerator
from torch import Tensor

from vae.errors import InputError
from vae.training.runs import RunWriter

EXPLODED = 1e4  # a loss so many times its first value will not come back
REASONS = (
    None,
    "Stopped on request.",
    "Stopped: the time allowed for a run is over.",
    "Stopped: interrupted (Ctrl-C).",
    "Stopped: the process was told to end.",
    "Stopped by a callback.",
)
CALLED_OFF = 5  # the index in REASONS
SIGNALS = {signal.SIGINT: 3, signal.SIGTERM: 4}  # a signal's index in REASONS
POLL = 0.1  # seconds between two looks for a stop
SLOW = 0.5  # seconds from which on an update is looked into, and not left to end
ASK_EVERY = 100  # updates at most between two questions whether to stop, where several processes must agree

T = TypeVar("T")


class Stopped(BaseException):
    """The training is to stop here. No Exception, so that nothing that forgives errors forgives this.

    reason: the index in REASONS of why.
    """

    def __init__(self, reason: int):
        super().__init__(REASONS[reason])
        self.reason = reason


class Stopper:
    """Knows whether a run is to stop, and raises Stopped at whatever place looks for it.

    Several processes stop together or not at all: between the places where all of them meet, those that look raise on
    their own, so whatever looks there does so inside `together`.
    """

    def __init__(self, writer: RunWriter, max_minutes: float | None, accelerator: Accelerator | None = None):
        self.writer, self.accelerator = writer, accelerator
        self.alone = accelerator is None or accelerator.num_processes == 1
        self.deadline = time.monotonic() + 60.0 * max_minutes if max_minutes else math.inf
        self.signalled = 0  # the index in REASONS
        self.called_off = False
        self.found, self.looked = 0, 0.0
        self.slow = True  # whether an update takes long, as the first one may
        self.eager = True  # whether updates run module by module, and are not compiled
        self.next_question = 0  # the step before which the processes ask each other next
        self._ending: int | None = None  # the thread that ends the training and is no longer to be stopped

    def call_off(self) -> None:
        """Ask to stop after this step, in Python."""
        self.called_off = True

    @property
    def signal(self) -> int | None:
        """The number of the signal that stopped the run, in whichever process, if it was one."""
        return next((int(number) for number, reason in SIGNALS.items() if reason == self.found), None)

    def reason(self) -> int:
        """The index in REASONS of why to stop, 0 for none."""
        if self.called_off:
            return CALLED_OFF
        if self.signalled:
            return self.signalled
        if time.monotonic() > self.deadline:
            return 2
        return 1 if self.writer.stop_requested() else 0

    def check(self) -> None:
        """Raise Stopped if the run is to stop. So cheap that it can be called in the middle of anything."""
        if not self.found:
            now = time.monotonic()
            if now - self.looked < POLL:
                return
            self.looked, self.found = now, self.reason()
        if self.found and threading.get_ident() != self._ending:
            raise Stopped(self.found)

    def before_update(self, step: int, seconds: float | None) -> None:
        """Raise Stopped if the run is to stop before update `step`; the last one took `seconds`, None for the first.

        Several processes ask each other twice a second or so, at steps that all of them know.
        """
        if self.alone:
            self.slow = seconds is None or seconds > SLOW
            self._raise(self.reason())
        elif step >= self.next_question:
            seconds = self._most(seconds or SLOW * 2)
            self.slow = seconds > SLOW
            self.next_question = step + max(1, min(ASK_EVERY, int(SLOW / seconds)))
            self._agree(self.reason())

    def before_batch(self) -> None:
        """The same before each batch of an update that takes long."""
        if self.slow:
            self._agree(self.reason())

    def inside_batch(self):
        """A context that looks for a stop in the middle of a batch that may take long: on the CPU, where nothing else
        than the work itself takes the time, and in one process, for others would wait for this one's gradients."""
        possible = self.alone and self.eager and self.accelerator.device.type == "cpu"
        return self.looking() if self.slow and possible else nullcontext()

    @contextmanager
    def looking(self):
        """While inside, every module that this thread runs looks for a stop, in its forward and in its backward."""
        thread = threading.get_ident()

        def look(module, inputs, output) -> None:
            if threading.get_ident() == thread:
                self.check()
                if isinstance(output, Tensor) and output.requires_grad:
                    output.register_hook(look_back)

        def look_back(gradient: Tensor) -> None:
            self.check()

        handle = torch.nn.modules.module.register_module_forward_hook(look)
        try:
            yield
        finally:
            handle.remove()

    def waiting(self, work: Callable[[], T]) -> T:
        """work(), done by a thread of its own, which is left behind if a stop is asked for meanwhile: what waits for a
        disk or a network cannot look by itself."""
        done: queue.SimpleQueue = queue.SimpleQueue()
        context = contextvars.copy_context()

        def run() -> None:
            try:
                done.put((context.run(work), None))
            except BaseException as error:
                done.put((None, error))

        threading.Thread(target=run, name="load", daemon=True).start()
        while True:
            try:
                value, error = done.get(timeout=POLL)
            except queue.Empty:
                self.check()
                continue
            if error is not None:
                raise error
            return value

    @contextmanager
    def together(self):
        """What is done inside may be stopped, in all processes or in none. All of them must come here, and inside none
        may wait for another."""
        reason = 0
        try:
            yield
        except Stopped as stop:
            if self.alone:
                raise
            reason = stop.reason
        if self._ending is None and not self.alone:
            self._agree(reason or self.reason())

    @contextmanager
    def ending(self):
        """While inside, this thread ends the training and is not stopped again."""
        self._ending = threading.get_ident()
        try:
            yield
        finally:
            self._ending = None

    def _agree(self, reason: int) -> None:
        self._raise(reason if self.alone else int(self._most(reason)))

    def _most(self, value: float) -> float:
        """The greatest of all processes' values."""
        values = self.accelerator.gather(torch.tensor([value], dtype=torch.float32, device=self.accelerator.device))
        return values.max().item()

    def _raise(self, reason: int) -> None:
        self.found = reason
        if reason:
            raise Stopped(reason)

    @contextmanager
    def listening(self):
        """While inside, Ctrl-C and SIGTERM ask to stop; the same one again is at once.

        Only the main thread can receive signals; elsewhere this does nothing.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.getsignal(number) or signal.SIG_DFL for number in SIGNALS}

        def note(number, frame) -> None:
            self.signalled = self.signalled or SIGNALS[number]
            signal.signal(number, before[number])

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
