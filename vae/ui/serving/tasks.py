"""Long work for the page, done in a thread of its own, so that its event can say how far it is and can be stopped."""

import contextvars
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

BEAT = 0.25  # seconds between two reports to the page

Report = Callable[[str, float | None], None]  # what is done now, and which share of it; None if that is not known


class Stopped(BaseException):
    """Raised inside the work where it reports, once nobody waits for it. No Exception, so that nothing swallows it."""


@dataclass(frozen=True)
class Progress:
    """What is done now, and which share of it, from 0 to 1; None if that is not known."""

    what: str
    share: float | None


@dataclass(frozen=True)
class Done:
    result: Any


class Tasks:
    """The work that runs for pages now, each under a ticket with which its page can stop it."""

    def __init__(self):
        self._lock = threading.Lock()
        self._stops: dict[str, threading.Event] = {}
        self._latest: dict[str, threading.Event] = {}

    def stop(self, ticket: object) -> None:
        """End the work under this ticket; nothing happens if there is none. Scripts of pages call it."""
        with self._lock:
            stop = self._stops.get(ticket) if isinstance(ticket, str) else None
        if stop is not None:
            stop.set()

    def leave(self, owner: str | None) -> None:
        """End the owner's work: they want something else, whatever may come of that."""
        with self._lock:
            self._end(owner)

    def _end(self, owner: str | None) -> None:
        if owner in self._latest:
            self._latest[owner].set()

    def watch(self, ticket: str, work: Callable[[Report], Any], owner: str | None = None) -> Iterator[Progress | Done]:
        """Runs work(report): yields its last report every BEAT seconds, and Done at the end; raises what it raised.

        Ends without Done once stop(ticket) is called, or other work begins for the same owner. Then, and when the
        visitor has left and this generator is closed, the work ends at its next report.
        """
        now = [Progress("", None)]
        stop, done, outcome = threading.Event(), threading.Event(), {}

        def report(what: str, share: float | None = None) -> None:
            now[0] = Progress(what, share)
            if stop.is_set():
                raise Stopped

        def run() -> None:
            try:
                outcome["result"] = work(report)
            except BaseException as error:
                outcome["error"] = error
            finally:
                done.set()

        with self._lock:
            self._stops[ticket] = stop
            self._end(owner)
            if owner:
                self._latest[owner] = stop
        # The request that this is done for is told by a context variable (ZeroGPU asks for it).
        context = contextvars.copy_context()
        threading.Thread(target=context.run, args=(run,), name="work for a page", daemon=True).start()
        try:
            while not done.wait(BEAT):
                if stop.is_set():
                    return
                yield now[0]
            if "error" in outcome:
                raise outcome["error"]
            yield Done(outcome["result"])
        except Stopped:
            return
        finally:
            stop.set()
            with self._lock:
                for kept, key in ((self._stops, ticket), (self._latest, owner)):
                    if kept.get(key) is stop:
                        del kept[key]
