"""Programs that a test starts, with all that they start in turn."""

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest

REPO = Path(__file__).resolve().parents[1]


@contextmanager
def running(command: list[str], ready: str, log: Path, environment: dict) -> Iterator[subprocess.Popen]:
    """A process once it has written that it is ready. Nothing that it started is left afterwards."""
    with log.open("wb") as file:
        process = subprocess.Popen(command, cwd=REPO, env=environment, stdout=file, stderr=file)
    try:
        patience = time.monotonic() + 240
        while ready not in log.read_text():
            if process.poll() is not None or time.monotonic() > patience:
                pytest.fail(log.read_text()[-3000:])
            time.sleep(0.1)
        yield process
    finally:
        for one in family(process.pid):
            with suppress(psutil.NoSuchProcess):
                one.kill()
        process.wait()


def family(root: int) -> list[psutil.Process]:
    """A process, if there is one of that id, and all its descendants."""
    try:
        first = psutil.Process(root)
        return [first, *first.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def command_of(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return ""
