"""What one visitor may take of this server, so that others have their part of it: calls, uploads, training, runs.

A visitor is whoever comes from one network address; VAE_VISITORS_PER_ADDRESS says that several do, and then each of
their sessions has the share of one, as it has where no address is known. The host, and everybody where VAE_PUBLIC=off
trusts all, has no share to keep to. What is kept for this is bounded, however many addresses and names come by.
"""

import math
import threading
import time
from collections.abc import Callable, Collection, Hashable, Mapping
from dataclasses import dataclass

from vae.errors import InputError
from vae.ui.serving.access import UNKNOWN, Audience, Visitor
from vae.ui.serving.lru_cache import LruCache

HOUR = 3600.0
RUNNING, CALLS = 2, 24  # calls through the queue: computed at once, and in all
SCRIPTS, REQUESTS = 4, 64  # of what pages' scripts call: answered at once; and requests of any kind that are open
AT_ONCE = 160_000_000  # bytes on their way here
UPLOADS = 512_000_000  # bytes an hour
UPLOADS_OF_ALL = 8_000_000_000  # bytes an hour of all visitors together; they are deleted after an hour
RUNS = 10  # left behind
TRAINING = 1800.0  # seconds an hour, or as many as one training may take if that is more
COOL_DOWN = 60.0  # seconds between the end of one training and the next one of the same visitor
AFTER_FAILURE = 10.0  # where it could not even begin
LEAST = 60.0  # seconds; no training begins that would be ended sooner
CROWD = 50  # visitors for whom a proxy speaks that says nothing of their addresses
KNOWN = 10_000  # visitors remembered; the ones not seen for longest are forgotten


@dataclass(frozen=True)
class Window:
    """How much was taken since a moment, from which on an hour is counted."""

    since: float
    taken: float = 0.0


class Hourly:
    """Amounts taken in an hour, which begins when somebody first takes some. For any thread."""

    def __init__(self, clock: Callable[[], float] = time.monotonic):
        self._clock, self._lock = clock, threading.Lock()
        self._windows: LruCache[Window] = LruCache(KNOWN)

    def left(self, shares: Mapping[Hashable, float]) -> tuple[float, float]:
        """What may still be taken by someone who is known by each of these keys, whose shares these are; and in how
        many seconds it will be more."""
        with self._lock:
            now = self._clock()
            windows = [(self._window(key, now), share) for key, share in shares.items()]
        tightest = min(windows, key=lambda entry: entry[1] - entry[0].taken)
        return max(0.0, tightest[1] - tightest[0].taken), tightest[0].since + HOUR - now

    def take(self, keys: Collection[Hashable], amount: float) -> None:
        with self._lock:
            now = self._clock()
            for key in keys:
                window = self._window(key, now)
                self._windows.put(key, Window(window.since, window.taken + amount))

    def _window(self, key: Hashable, now: float) -> Window:
        window = self._windows.get(key)
        return window if window is not None and now - window.since < HOUR else Window(now)


class Shares:
    """The one owner of what visitors have taken of uploads, training and room for runs."""

    def __init__(self, audience: Audience, clock: Callable[[], float] = time.monotonic):
        self.audience, self._clock, self._lock = audience, clock, threading.Lock()
        self._uploads, self._training = Hourly(clock), Hourly(clock)
        self._rests: LruCache[float] = LruCache(KNOWN)  # until when each may not train
        self._runs: LruCache[frozenset[int]] = LruCache(KNOWN)  # the numbers of the folders that each left behind

    def keys(self, address: str | None, sessions: Collection[str] = ()) -> dict[str, int]:
        """How many visitors' share each of the keys has by which someone is known: the address, and their sessions
        and tokens. Empty for whoever has no share to keep to."""
        if address is None:
            return {}
        if address == UNKNOWN and not sessions:
            sessions = ("without",)  # all these are one
        return {f"address {address}": self.visitors(address)} | {f"one {name}": 1 for name in sessions}

    def visitors(self, address: str) -> int:
        """How many visitors' share of calls and uploads there is for an address."""
        return self.audience.visitors_per_address * (CROWD if address == UNKNOWN else 1)

    def _trainer(self, who: Visitor) -> dict[str, int]:
        """As `keys`, for what is scarce: there all whose address is not known are one."""
        keys = self.keys(who.address, who.keys)
        return {key: min(n, self.audience.visitors_per_address) for key, n in keys.items()}

    # -- uploads, in bytes ------------------------------------------------------------------------------------------

    def check_upload(self, address: str | None, size: int = 1) -> None:
        """InputError if an upload of so many bytes is more than what is left of this hour."""
        if address is None:
            return
        left, wait = self._uploads.left({address: self.visitors(address) * UPLOADS})
        if size > left:
            raise InputError(
                f"You may upload {UPLOADS / 1e6:.0f} MB an hour to this server, of which {left / 1e6:.0f} MB are left; "
                f"you can go on {soon(wait)}."
            )
        left, wait = self._uploads.left({"all": UPLOADS_OF_ALL})
        if size > left:
            raise InputError(f"This server has no room for more uploads right now; you can upload {soon(wait)}.")

    def uploaded(self, address: str | None, size: int) -> None:
        if address is not None:
            self._uploads.take([address, "all"], size)

    # -- trainings --------------------------------------------------------------------------------------------------

    def check_training(self, who: Visitor, most: float | None) -> float | None:
        """How many seconds a training of theirs may take that begins now; None for any time.

        most: seconds that any training may take. Raises InputError, which says when they can train again.
        """
        keys = self._trainer(who)
        if not keys:
            return most
        alone = [key for key, n in keys.items() if n == 1]  # where several share an address, it does not rest
        rest = max((until for until in map(self._rests.get, alone) if until is not None), default=0) - self._clock()
        if rest > 0:
            raise InputError(
                f"You have trained a moment ago, and others may want to; you can start or continue a run {soon(rest)}."
            )
        if most is None:
            return None
        hourly = max(most, TRAINING)
        left, wait = self._training.left({key: n * hourly for key, n in keys.items()})
        if left < min(LEAST, most):
            raise InputError(
                f"You have had {hourly / 60:.3g} minutes of training in the last hour, as many as one visitor may; "
                f"you can start or continue a run {soon(wait)}."
            )
        return min(left, most)

    def check_runs(self, who: Visitor, folders: Collection[int]) -> None:
        """InputError if they have left as many runs behind as they may. folders: the numbers of all runs' folders."""
        for key, n in self._trainer(who).items():
            mine = (self._runs.get(key) or frozenset()) & frozenset(folders)
            if len(mine) >= n * RUNS:
                raise InputError(
                    f"You have {len(mine)} runs on this server, as many as one visitor may leave here; you can start "
                    "another as soon as you have deleted one."
                )

    def began(self, who: Visitor, folder: int) -> None:
        """A run of theirs has this folder now."""
        with self._lock:
            for key in self._trainer(who):
                self._runs.put(key, (self._runs.get(key) or frozenset()) | {folder})

    def gone(self, folder: int) -> None:
        """The run with this folder was deleted, and another may get its number."""
        with self._lock:
            for key in self._runs:
                self._runs.put(key, (self._runs.get(key) or frozenset()) - {folder})

    def trained(self, who: Visitor, seconds: float, failed: bool = False) -> None:
        """A training of theirs has just ended, after so long."""
        keys = self._trainer(who)
        self._training.take(keys, seconds)
        for key in keys:
            self._rests.put(key, self._clock() + (AFTER_FAILURE if failed else COOL_DOWN))


def soon(seconds: float) -> str:
    """When something will be possible."""
    seconds = max(1, math.ceil(seconds))
    return f"in {seconds} second{'s' * (seconds > 1)}" if seconds < 100 else f"in {-(-seconds // 60)} minutes"
