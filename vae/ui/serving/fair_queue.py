"""Gradio's queue, in which nobody stands in everybody's way."""

import random
from collections import Counter
from collections.abc import Iterator
from itertools import chain

from fastapi import HTTPException
from gradio.blocks import Blocks
from gradio.queueing import Event, Queue

from vae.ui.serving import shares
from vae.ui.serving.shares import Shares

EVERYBODYS = 1000  # calls in all


class FairQueue(Queue):
    """Of one visitor's calls RUNNING are computed at a time, and CALLS are taken in until their answers are fetched;
    whoever has the fewest under way comes next."""

    def __init__(self, blocks: Blocks, owner: Shares, concurrency_limit: int):
        super().__init__(
            live_updates=True,
            concurrency_count=blocks.max_threads,
            update_intervals=1,
            max_size=None,
            blocks=blocks,
            default_concurrency_limit=concurrency_limit,
        )
        self.owner = owner
        self._taken: dict[str, tuple[str, dict[str, int]]] = {}  # of each call its session and its visitor's keys
        self._entering: Counter[str] = Counter()  # calls that are being taken in, by their visitor's keys

    async def push(self, body, request, username):
        """As Queue.push; HTTPException 429 with a sentence for a visitor who has as many calls here as they may."""
        keys = self._keys(request, body.session_hash)
        if keys:
            self.forget()
            taken = Counter(chain(self._entering.elements(), *(keys for _, keys in self._taken.values())))
            if any(taken[key] >= n * shares.CALLS for key, n in keys.items()):
                raise HTTPException(
                    429,
                    f"You have {shares.CALLS} calls waiting here, as many as one visitor may; "
                    "you can send another as soon as one of them is answered.",
                    {"Retry-After": "2"},
                )
            if len(self._taken) >= EVERYBODYS:
                raise HTTPException(429, "Too many visitors are waiting; try again in a minute.", {"Retry-After": "60"})
        self._entering += Counter(keys.keys())
        try:
            success, found, state = await super().push(body, request, username)
        finally:
            self._entering -= Counter(keys.keys())  # keeps no key without any
        if success and keys:
            self._taken[found] = body.session_hash, keys
        return success, found, state

    def forget(self) -> None:
        """Drop the calls whose answers were fetched or that were given up."""
        waiting = self.pending_event_ids_session
        self._taken = {call: of for call, of in self._taken.items() if call in waiting.get(of[0], ())}

    def get_events(self) -> tuple[list[Event], bool, str] | None:
        """The next call to compute."""
        running = Counter(chain.from_iterable(map(self._keys_of, self._running())))

        def turn(event: Event) -> float:
            return max((running[key] / n for key, n in self._keys_of(event).items()), default=0.0)

        def may_run(event: Event) -> bool:
            return all(running[key] < n * shares.RUNNING for key, n in self._keys_of(event).items())

        names = list(self.event_queue_per_concurrency_id)
        random.shuffle(names)
        for name in names:
            line = self.event_queue_per_concurrency_id[name]
            if line.concurrency_limit is None or line.current_concurrency < line.concurrency_limit:
                event = min(filter(may_run, line.queue), key=turn, default=None)  # of equals the first to have come
                if event is not None:
                    line.queue.remove(event)
                    return [event], False, name
        return None

    def _running(self) -> Iterator[Event]:
        return chain.from_iterable(job for job in self.active_jobs if job)

    def _keys(self, request: object, session: str | None) -> dict[str, int]:
        return self.owner.keys(self.owner.audience.address(request), [session] if session else ())

    def _keys_of(self, event: Event) -> dict[str, int]:
        found = event.__dict__.get("visitor")
        if found is None:
            # A call without a session has been given its own number for one.
            session = event.session_hash if event.session_hash != event._id else None
            found = event.visitor = self._keys(event.request, session)
        return found
