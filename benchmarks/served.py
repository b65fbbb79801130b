"""The app in a process of its own, for benchmarks that ask it over HTTP as pages do."""

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

REPO = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Served:
    """client: gradio_client's, connected. pid: the server's. runs: its folder of training runs."""

    client: object
    port: int
    pid: int
    runs: Path


@contextmanager
def serving(threads: int | None = None, **settings: str) -> Iterator[Served]:
    """The app on a free port, with a folder of runs of its own, until the block ends.

    threads: that it computes with; None is as its users have it. settings: more environment variables.
    """
    with tempfile.TemporaryDirectory() as place, socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port, folder = probe.getsockname()[1], Path(place)
        probe.close()
        environment = os.environ | {
            "GRADIO_SERVER_PORT": str(port),
            "GRADIO_SERVER_NAME": "127.0.0.1",
            "GRADIO_ANALYTICS_ENABLED": "False",
            "VAE_RUNS_DIR": str(folder / "runs"),
            **settings,
        }
        if threads:
            environment["OMP_NUM_THREADS"] = str(threads)
        else:
            environment.pop("OMP_NUM_THREADS", None)
        with (folder / "log").open("wb") as log:
            server = subprocess.Popen([sys.executable, "app.py"], cwd=REPO, env=environment, stdout=log, stderr=log)
        try:
            yield Served(_connected(port, server, folder / "log"), port, server.pid, folder / "runs")
        finally:
            server.terminate()
            try:
                server.wait(60)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()


def _connected(port: int, server: subprocess.Popen, log: Path):
    from gradio_client import Client

    patience = time.monotonic() + 120
    while True:
        try:
            return Client(f"http://127.0.0.1:{port}/", verbose=False)
        except Exception:
            if server.poll() is not None or time.monotonic() > patience:
                raise SystemExit(log.read_text()[-2000:]) from None
            time.sleep(0.5)
