"""Opens models that are not listed, in threads of their own: a download may take minutes, a request may not."""

import contextvars
import logging
import threading
from dataclasses import dataclass

from gradio.context import LocalContext

from vae.errors import InputError
from vae.ui.components import SORRY
from vae.ui.serving.catalog import Catalog
from vae.ui.serving.lru_cache import LruCache
from vae.ui.serving.models import ModelServer

log = logging.getLogger(__name__)

AT_ONCE = 2  # downloads
EACH = 2  # on their way of one visitor
KEPT = 64  # openings remembered


@dataclass
class Opening:
    """One model on its way. state: "waiting", "loading" (with bytes done of total, 0 if none are to be fetched),
    "done" (with facts) or "failed" (with a sentence)."""

    name: str
    state: str = "waiting"
    done: int = 0
    total: int = 0
    facts: dict | None = None
    error: str = ""


class ModelLoader:
    """Whoever asks for a model that is already on its way shares that opening; visitors know it by its name."""

    def __init__(self, server: ModelServer, catalog: Catalog):
        self.server, self.catalog = server, catalog
        self._lock = threading.Lock()
        self._turn = threading.Semaphore(AT_ONCE)
        self._running: dict[str, Opening] = {}
        self._asked: dict[str, str] = {}  # of those on their way, the address of the visitor who asked first
        self._ended: LruCache[Opening] = LruCache(KEPT)

    def start(self, text: str) -> Opening:
        """Begin to open what a visitor typed: a Hub id, or on a private machine a path.

        Raises InputError at once for what can be no model, and where too many are on their way, in all or of one
        visitor.
        """
        name, audience = self.catalog.outside(str(text)), self.catalog.audience
        address = audience.address(LocalContext.request.get(None)) or ""
        with self._lock:
            if name in self._running:
                return self._running[name]
            if len(self._running) >= KEPT:
                raise InputError("Too many models are being opened right now; try again in a minute.")
            theirs = sum(asked == address for asked in self._asked.values())
            if address and theirs >= EACH * audience.visitors_per_address:
                raise InputError(f"You are opening {theirs} models already; you can open another when one is there.")
            opening, self._asked[name] = Opening(name), address
            self._running[name] = opening
        # The request that says what may be opened is in a context variable.
        context = contextvars.copy_context()
        threading.Thread(target=context.run, args=(self._open, opening), name=f"open {name}", daemon=True).start()
        return opening

    def find(self, name: str) -> Opening | None:
        """The opening of that name; None if there is none, or no longer.

        Raises InputError for a name that whoever asks could not open."""
        name = self.catalog.outside(name)
        with self._lock:
            return self._running.get(name) or self._ended.get(name)

    def _open(self, opening: Opening) -> None:
        def progress(done: int, total: int) -> None:
            opening.done, opening.total = done, total

        with self._turn:
            opening.state = "loading"
            try:
                opening.facts = self.server.open(opening.name, progress)
                opening.state = "done"
            except InputError as error:
                opening.error, opening.state = str(error), "failed"
            except Exception:
                log.exception("opening %s failed", opening.name)
                opening.error, opening.state = SORRY, "failed"
        with self._lock:
            del self._running[opening.name], self._asked[opening.name]
            self._ended.put(opening.name, opening)
