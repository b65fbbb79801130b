"""What a caller may take of this machine: whatever a file or a request claims to need is held against it first.

Whoever sits at the machine, in Python or on the command line, may use most of its memory. What is computed for
strangers is put inside `for_strangers()`, where the limits are tighter, since others want their share."""

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from vae.errors import InputError

MAX_PIXELS = 100_000_000  # of an image that is decoded; it then takes some 400 MB
UNKNOWN = 4 * 2**30  # bytes of memory that are assumed where the system does not say
M_ARENA_MAX = -8  # malloc.h
UNLIMITED = 2**62  # what a control group says that sets no limit is more than this


@dataclass(frozen=True)
class Share:
    """memory, image: which part of the machine's memory one piece of work may take, and the decoding of one image;
    download: bytes of one model that may be fetched, None for any number."""

    memory: float
    image: float
    download: int | None


OWNER = Share(memory=0.75, image=0.25, download=None)
STRANGER = Share(memory=0.25, image=1 / 16, download=2_000_000_000)

_share: ContextVar[Share | None] = ContextVar("share", default=None)
_usual = OWNER  # where nothing is said of who asks


@contextmanager
def for_strangers(strangers: bool = True) -> Iterator[None]:
    """What is done inside is held to a stranger's share, unless it is said that it is not for one."""
    token = _share.set(STRANGER if strangers else OWNER)
    try:
        yield
    finally:
        _share.reset(token)


def public_process(public: bool) -> None:
    """Say whether this process serves strangers: then whatever is not said to be its owner's work counts as theirs."""
    global _usual
    _usual = STRANGER if public else OWNER


def share() -> Share:
    return _share.get() or _usual


@cache
def memory() -> int:
    """Bytes of memory that this process may have: the machine's, or its container's."""
    try:
        found = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        found = UNKNOWN
    for place in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            limit = int(Path(place).read_text(encoding="ascii"))
        except (OSError, ValueError):  # no control groups, or "max"
            continue
        found = min(found, limit) if limit < UNLIMITED else found
    return found if found > 0 else UNKNOWN


def budget() -> int:
    """Bytes of memory that one piece of work may take."""
    return int(memory() * share().memory)


def give_back() -> None:
    """Have the C library return freed memory to the system, after something large; else each thread that ever did such
    a thing would keep as much. Only glibc on Linux; elsewhere nothing."""
    with suppress(OSError, AttributeError):  # another system, or another C library
        if sys.platform.startswith("linux"):
            ctypes.CDLL(None).malloc_trim(0)


def share_pools() -> None:
    """Have all threads take memory from two pools, before they begin; the C library would make eight for each core, and
    what is freed in one stays there for those that use it. Only glibc on Linux; elsewhere nothing."""
    with suppress(OSError, AttributeError):
        if sys.platform.startswith("linux"):
            ctypes.CDLL(None).mallopt(M_ARENA_MAX, 2)


def check_memory(needed: float, what: str, remedy: str = "", room: float | None = None) -> None:
    """Raises InputError if `what`, which begins the sentence, needs more bytes than the budget, or than the `room` that
    another memory than this machine's has."""
    room = budget() if room is None else room
    if needed > room:
        raise InputError(
            f"{what} would take about {needed / 1e9:,.1f} GB of memory; up to {room / 1e9:.1f} GB are accepted"
            f"{f'; {remedy}' if remedy else ''}."
        )
