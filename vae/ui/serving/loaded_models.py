"""Models in this process's memory, each computing one call at a time."""

import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any

from vae import inference
from vae.checkpoints.store import load
from vae.errors import InputError
from vae.models import AutoEncoder
from vae.ui.serving.jobs import Call, answer, stamp
from vae.ui.serving.lru_cache import LruCache

KEPT = 2  # models in memory


class LoadedModels:
    """Loads models when they are first asked for and keeps the last ones. One call at a time computes with a model."""

    reports = True  # whether progress(what, done, total) comes back from where the work is done
    together = False  # whether several calls are better made at once

    def __init__(self, device: str | None = None):
        """device: to compute on; the best there is unless given."""
        self.device = device
        self._models: LruCache[tuple[AutoEncoder, int]] = LruCache(KEPT)  # with the stamp they were loaded at
        self._locks: dict[str, threading.Lock] = {}
        self._lock = threading.Lock()

    def answers(self, calls: Sequence[Call], progress: inference.Progress | None = None) -> list[Any]:
        """The result of each call; an InputError in place of one that was refused."""
        return [self._answer(call, progress) for call in calls]

    def _answer(self, call: Call, progress: inference.Progress | None) -> Any:
        with ExitStack() as held:
            for source in sorted(set(call.sources)):  # in one order, so that no two calls wait for each other
                held.enter_context(self._lock_of(source))
            try:
                return answer(call, self._model, progress)
            except InputError as error:
                return error

    def open(self, source: str, progress: Callable[[int, int], None] | None = None) -> AutoEncoder:
        """The model, downloaded and loaded if need be. progress(bytes done, in all)."""
        with self._lock_of(source):
            return self._model(source, progress)

    def _lock_of(self, source: str) -> threading.Lock:
        with self._lock:
            return self._locks.setdefault(source, threading.Lock())

    def _model(self, source: str, progress: Callable[[int, int], None] | None = None) -> AutoEncoder:
        """The model, loaded if need be, and again once other priors lie beside it. A live run's newest checkpoint is
        another source than its last one."""
        now = stamp(source)
        found = self._models.get(source)
        if found is not None and found[1] == now:
            return found[0]
        self._models.pop(source)
        self._models.shrink(KEPT - 1)  # before it is loaded, so that there are never more in memory
        try:
            model = load(source, device=self.device, progress=progress)
            self._models.put(source, (model, now))
        finally:  # names that cannot be opened leave no locks behind
            with self._lock:
                self._locks = {s: lock for s, lock in self._locks.items() if s in self._models or lock.locked()}
        return model
