"""What Gradio keeps for its visitors, kept small: it would hold on to all they were shown, and to answers that nobody
fetches."""

import contextlib
import shutil
import time
from copy import copy
from pathlib import Path

from gradio.blocks import Blocks
from gradio.queueing import Queue
from gradio.state_holder import SessionState, StateHolder

LONGEST_NAME = 128  # characters of a session's
UNFETCHED = 30.0  # seconds for which an answer waits for a page or client that has gone


class LeanSession(SessionState):
    """A session without the copy of the whole page and all its values that Gradio keeps for deep links, 300 kB and
    each image shown; we have none of these links."""

    def __init__(self, blocks: Blocks):
        self.blocks_config = copy(blocks.default_config)
        self.config_values, self.state_data, self._state_ttl = _Nothing(), {}, {}
        self.is_closed = False
        self.STATE_TTL_WHEN_CLOSED = 3600

    def _update_config(self, key: int) -> None:
        pass

    def _update_value_in_config(self, key: int, value: object) -> None:
        pass


class _Nothing(dict):
    def __setitem__(self, key: object, value: object) -> None:
        pass


class LeanSessions(StateHolder):
    """The last sessions, up to Gradio's state_session_capacity. A session's name is chosen by the client."""

    def __getitem__(self, session_id: str) -> LeanSession:
        if not isinstance(session_id, str) or len(session_id) > LONGEST_NAME:
            return LeanSession(self.blocks)
        with self.lock:
            if session_id not in self.session_data:
                self.session_data[session_id] = LeanSession(self.blocks)
        return super().__getitem__(session_id)


class Sweeper:
    """Forgets answers that nobody fetched, and files that Gradio doesn't know of: of uploads that broke off, and those
    that were answers of ours."""

    def __init__(self, queue: Queue, folder: Path, age: float):
        """folder: where uploads arrive; age: seconds for which its files are kept."""
        self.queue, self.folder, self.age = queue, folder, age
        self._ended: dict[str, float] = {}  # of sessions with nothing but ended calls, since when they were seen

    def sweep(self) -> None:
        """To be called now and then, in the thread of the queue."""
        now, queue = time.monotonic(), self.queue
        idle = {
            session
            for session, calls in queue.pending_event_ids_session.items()
            if not any(call in queue.event_ids_to_events for call in calls)
        }
        idle |= {
            session for session in queue.pending_messages_per_session if session not in queue.pending_event_ids_session
        }
        self._ended = {session: self._ended.get(session, now) for session in idle}
        for session, since in list(self._ended.items()):
            if now - since > UNFETCHED:
                queue.pending_event_ids_session.pop(session, None)
                queue.pending_messages_per_session.pop(session, None)
                del self._ended[session]
        if queue.server_app is not None:  # one is added with each call that is cancelled
            queue.server_app.iterators_to_reset &= queue.event_ids_to_events.keys()

    def sweep_files(self) -> None:
        """To be called in any thread."""
        for path in self.folder.glob("tmp*"):  # the folder may be other apps', too; these are named at random
            with contextlib.suppress(OSError):  # another was quicker
                if time.time() - path.stat().st_mtime > self.age:
                    shutil.rmtree(path) if path.is_dir() else path.unlink()
