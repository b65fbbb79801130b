"""Waiting for what happens elsewhere, the ends of processes among it, and ports that nobody else takes meanwhile."""

import random
import socket
import subprocess
import time
from collections.abc import Callable

PATIENCE = 120.0  # seconds: it guards against waiting for ever, and measures nothing


def until(true: Callable[[], object], pause: Callable[[], object] = lambda: time.sleep(0.02)) -> None:
    """Returns once true() is; fails where it never is. pause: between two looks."""
    deadline = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < deadline, "what is waited for does not come"
        pause()


def end(process: subprocess.Popen) -> None:
    """Tells it to end, and sees that it does."""
    process.terminate()
    try:
        process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def free_port() -> int:
    """One that is free, below those that systems give to whoever asks for any."""
    while True:
        port = random.SystemRandom().randrange(12_000, 30_000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
