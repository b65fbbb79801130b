"""The last results of long work, for those who ask for the same again."""

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Hashable, Sequence
from typing import Any

from PIL import Image

from vae.images import flatten
from vae.ui.points import Point
from vae.ui.serving.drawing import Draw, Endpoint


class LruCache:
    """Results by what they are a pure function of: the newest ones, up to `room` bytes in all. For any thread."""

    def __init__(self, room: int):
        self.room = room
        self._lock = threading.Lock()
        self._kept: OrderedDict[Hashable, tuple[Any, int]] = OrderedDict()

    def get(self, key: Hashable) -> Any:
        """The result, None if it is not kept."""
        with self._lock:
            if key not in self._kept:
                return None
            self._kept.move_to_end(key)
            return self._kept[key][0]

    def keep(self, key: Hashable, result: Any, size: int) -> None:
        """size: of the result, in bytes."""
        with self._lock:
            self._kept[key] = result, size
            while self._kept and sum(size for _, size in self._kept.values()) > self.room:
                self._kept.popitem(last=False)


def fingerprint(ends: Sequence[Endpoint]) -> tuple:
    """What says whether two lists of ends are the same, without keeping their pictures."""
    return tuple(end if isinstance(end, Draw | Point) else _hash(flatten(end)) for end in ends)


def _hash(picture: Image.Image) -> tuple:
    return picture.mode, picture.size, hashlib.sha256(picture.tobytes()).digest()
