import os
import sys
import threading

import pytest
import torch

from vae.training import process


def in_thread(function):
    found = []
    thread = threading.Thread(target=lambda: found.append(function()))
    thread.start()
    thread.join()
    return found[0]


@pytest.fixture
def four_threads(thread_count):
    thread_count(4)


@pytest.fixture
def one_thread(thread_count):
    thread_count(1)


def test_a_background_thread_computes_with_a_core_fewer_and_no_other_thread_does(four_threads):
    def background():
        process.give_way()
        return torch.get_num_threads()

    assert in_thread(background) == 3
    assert torch.get_num_threads() == 4 and in_thread(torch.get_num_threads) == 4


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="threads have priorities of their own on Linux only")
def test_a_background_thread_is_less_urgent_and_no_other_thread_is():
    def background():
        process.give_way()
        return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    before = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    assert in_thread(background) == max(before, process.NICE)
    assert os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) == before


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc only")
def test_freed_memory_is_kept(one_thread):
    import resource

    process.keep_freed_memory()

    def faults(bytes_each: int) -> int:
        """Of this thread: others, of earlier tests, may be at work."""
        before = resource.getrusage(resource.RUSAGE_THREAD).ru_minflt
        for _ in range(20):
            torch.zeros(bytes_each, dtype=torch.uint8)
        return resource.getrusage(resource.RUSAGE_THREAD).ru_minflt - before

    faults(8 * 2**20)
    assert faults(8 * 2**20) < 2048  # one block's pages; given back each time it would be twenty times those
