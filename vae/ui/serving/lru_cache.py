"""A cache that forgets what was not used for longest."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from typing import Generic, TypeVar

Value = TypeVar("Value")


class LruCache(Generic[Value]):
    """Values by key, up to `limit` of them, or, with `size`, up to a sum of size(value), which never changes. For any
    thread."""

    def __init__(self, limit: int, size: Callable[[Value], int] = lambda value: 1):
        self.limit, self._size = limit, size
        self._lock = threading.Lock()
        self._kept: OrderedDict[Hashable, Value] = OrderedDict()
        self._total = 0

    def __len__(self) -> int:
        return len(self._kept)

    def __contains__(self, key: Hashable) -> bool:
        return key in self._kept

    def __iter__(self) -> Iterator[Hashable]:
        """The keys, the one not used for longest first."""
        return iter(list(self._kept))

    def get(self, key: Hashable) -> Value | None:
        """The value, None if it is not kept; it is now the last one used."""
        with self._lock:
            if key not in self._kept:
                return None
            self._kept.move_to_end(key)
            return self._kept[key]

    def put(self, key: Hashable, value: Value) -> None:
        with self._lock:
            self._take(key)
            self._kept[key] = value
            self._total += self._size(value)
            self._shrink(self.limit)

    def pop(self, key: Hashable) -> Value | None:
        """Forget the value, and return it."""
        with self._lock:
            return self._take(key)

    def shrink(self, limit: int) -> None:
        """Forget values until what is left is within `limit`, to make room for one that is to come."""
        with self._lock:
            self._shrink(limit)

    def _take(self, key: Hashable) -> Value | None:
        value = self._kept.pop(key, None)
        self._total -= 0 if value is None else self._size(value)
        return value

    def _shrink(self, limit: int) -> None:
        while self._kept and self._total > limit:
            self._total -= self._size(self._kept.popitem(last=False)[1])
