import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from vae import threads
from vae.errors import InputError

HOW = ("_WAIT_POLICY", "_SPINCOUNT")
BEGINNINGS = {"the page": "import vae.ui", "the command line": "from vae.cli.main import main; main()"}


@pytest.mark.parametrize("beginning", BEGINNINGS)
@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ({}, f"PASSIVE {threads.SPINS}"),
        ({"GOMP_SPINCOUNT": "7"}, "PASSIVE 7"),
        ({"OMP_WAIT_POLICY": "ACTIVE"}, "ACTIVE None"),
    ],
)
def test_threads_soon_sleep_before_torch_could_make_them(beginning, given, wanted):
    told = "print(*map(os.environ.get, ('OMP_WAIT_POLICY', 'GOMP_SPINCOUNT')), 'torch' in sys.modules)"
    end = f"import atexit, os, sys; atexit.register(lambda: {told})"
    command = [sys.executable, "-c", f"{end}; {BEGINNINGS[beginning]}", "--help"]
    environment = {name: value for name, value in os.environ.items() if not name.endswith(HOW)} | given
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.stdout.splitlines()[-1] == f"{wanted} False", done.stderr


def test_threads_of_a_training_spin_unless_the_environment_says_otherwise():
    end = "import atexit, os; atexit.register(lambda: print(os.environ.get('OMP_WAIT_POLICY')))"
    code = f"{end}; from vae.cli.main import main; main()"
    environment = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    done = subprocess.run(
        [sys.executable, "-c", code, "train", "--help"], capture_output=True, text=True, env=environment
    )
    assert done.stdout.splitlines()[-1] == "None", done.stderr


@pytest.fixture
def two_threads(thread_count):
    thread_count(2)


def in_new_thread(function):
    with ThreadPoolExecutor(1) as other:
        return other.submit(function).result()


def test_every_part_is_computed_alone_and_in_its_place(two_threads):
    met = threading.Barrier(2)

    def look(part: int):
        met.wait(60)  # two at a time, or nobody comes
        return part, torch.get_num_threads(), torch.is_grad_enabled()

    assert threads.each(look, range(6)) == [(part, 1, False) for part in range(6)]
    assert torch.get_num_threads() == 2 and in_new_thread(torch.get_num_threads) == 2


def test_a_part_that_fails_ends_the_work(two_threads):
    def fail(part: int):
        raise InputError(f"part {part}")

    with pytest.raises(InputError, match="part 0"):
        threads.each(fail, range(3))
    assert threads.each(str, range(3)) == ["0", "1", "2"]


def test_what_this_thread_computes_alone_others_do_not(two_threads):
    with threads.at_most(1):
        assert torch.get_num_threads() == 1
        threads._settler_thread().submit(int).result()  # whatever was to be put back has been
        assert in_new_thread(torch.get_num_threads) == 2
    assert torch.get_num_threads() == 2

    def background():
        threads.compute_with(1)
        with threads.at_most(1):
            pass
        return torch.get_num_threads()

    assert in_new_thread(background) == 1
    assert torch.get_num_threads() == 2 and in_new_thread(torch.get_num_threads) == 2


def test_no_more_threads_than_asked_for_and_never_more_than_there_are(thread_count):
    thread_count(4)
    for most, count in ((1, 1), (3, 3), (9, 4)):
        with threads.at_most(most):
            assert torch.get_num_threads() == count
        assert torch.get_num_threads() == 4


@pytest.mark.parametrize(
    ("said", "unused"),
    [
        ("0.10 0.20 0.30 1/345 6789", 3),
        ("9.10 0.20 0.30 3/345 6789", 1),
        ("0.10 0.20 0.30 12/345 6789", 0),
        ("0.00 0.00 0.00 0/0 0", 3),  # of a sandbox that does not tell
        ("", None),
        ("none", None),
    ],
)
def test_how_many_cores_are_unused(said, unused, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(threads, "RUNNING", tmp_path / "loadavg")
    monkeypatch.setattr(threads, "SECONDS", -1.0)
    assert threads.unused_cores() is None, "not on Linux"
    (tmp_path / "loadavg").write_text(said)
    assert threads.unused_cores() == unused
    monkeypatch.setattr(threads, "SECONDS", 60.0)
    (tmp_path / "loadavg").write_text("0 0 0 2/345 6789")
    assert threads.unused_cores() == unused, "what it was a moment ago"
    monkeypatch.setenv("OMP_NUM_THREADS", "4")
    assert threads.unused_cores() is None, "said by whoever began the process"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_forked_process_computes_too(two_threads):
    code = (
        "import os, torch, vae.threads as t; torch.set_num_threads(2); assert t.each(str, [1, 2]) == ['1', '2']\n"
        "child = os.fork()\n"
        "if not child: os._exit(0 if t.each(str, [3, 4]) == ['3', '4'] else 1)\n"
        "assert os.waitpid(child, 0)[1] == 0"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
