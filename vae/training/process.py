"""What a training does to the process it runs in: it keeps freed memory, and gives way to whatever else runs there."""

import ctypes
import os
import sys
import threading

import torch

from vae.threads import compute_with

NICE = 10  # of a training in the background


def keep_freed_memory() -> None:
    """Have the C library keep memory it is given back for its next use. Only glibc on Linux; elsewhere nothing.

    Every layer of every step takes megabytes and gives them back; by default they go back to the system each time, and
    thousands of page faults a step bring them again.
    """
    if not sys.platform.startswith("linux"):
        return
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # another C library
        return
    trim_threshold, top_pad, mmap_threshold = -1, -2, -3
    mallopt(mmap_threshold, 32 * 2**20)
    mallopt(trim_threshold, 2**31 - 1)
    mallopt(top_pad, 64 * 2**20)


def give_way() -> None:
    """Make the calling thread a background one: less urgent, and computing with one core fewer than there are.

    Other threads of the process, and those begun later, keep their urgency and their cores.
    """
    if sys.platform.startswith("linux"):
        # There a thread has a priority of its own, and those it begins to compute with inherit it.
        thread = threading.get_native_id()
        os.setpriority(os.PRIO_PROCESS, thread, max(NICE, os.getpriority(os.PRIO_PROCESS, thread)))
    compute_with(max(1, torch.get_num_threads() - 1))
