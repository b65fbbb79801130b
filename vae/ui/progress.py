"""Long work for the page, done in a thread of its own, so that its event can say how far it is and can be stopped."""

import contextvars
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

BEAT = 0.25  # seconds between two reports to the page


class Stopped(BaseException):
    """Raised inside the work where it reports, once nobody waits for it any more. No Exception, so none swallows it."""


@dataclass
class Progress:
    """What is done now, and which share of it, from 0 to 1; None if that is not known."""

    what: str = ""
    share: float | None = None


def watched(work: Callable[[Callable[[str, float | None], None]], Any]) -> Iterator[Progress | Any]:
    """Runs work(report) and yields its last report every BEAT seconds, at the end what it returned; raises what it
    raised.

    A visitor who leaves or cancels closes this generator; then the work ends at its next report(what, share).
    """
    now, done, stop = Progress(), threading.Event(), threading.Event()
    outcome: dict[str, Any] = {}

    def report(what: str, share: float | None) -> None:
        now.what, now.share = what, share
        if stop.is_set():
            raise Stopped

    def run() -> None:
        try:
            outcome["result"] = work(report)
        except BaseException as error:
            outcome["error"] = error
        finally:
            done.set()

    # The request that this is done for is told by a context variable (ZeroGPU asks for it).
    context = contextvars.copy_context()
    threading.Thread(target=context.run, args=(run,), name="work for the page", daemon=True).start()
    try:
        while not done.wait(BEAT):
            yield Progress(now.what, now.share)
    finally:
        stop.set()
    if "error" in outcome:
        raise outcome["error"]
    yield outcome["result"]
