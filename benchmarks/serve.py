"""Calls a second with replicas on a Ray cluster against the same in one process, and what one call more takes.

    python benchmarks/serve.py [--model mnist-vae-large] [--replicas 1 2] [--seconds 10] [--json]

Each call reconstructs a digit. "alone": one after another; "together": from --clients threads. One thread computes in
each process, ours and a replica's. Ray is started once for each number of replicas, and ours has a turn beside each.
"""

import argparse
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

REPO = Path(__file__).resolve().parents[1]
DIGIT = REPO / "vae" / "ui" / "static" / "examples" / "digit-2.png"


@contextmanager
def cluster(replicas: int):
    """`python -m vae serve` until the block ends; its address in the environment."""
    command = [sys.executable, "-m", "vae", "serve", "--replicas", str(replicas), "--cpus", "0.5"]
    with tempfile.NamedTemporaryFile("w+") as log:
        process = subprocess.Popen(command, cwd=REPO, stdout=log, stderr=log, env=os.environ | {"OMP_NUM_THREADS": "1"})
        try:
            while not (found := re.search(r"RAY_ADDRESS=(\S+)", Path(log.name).read_text())):
                if process.poll() is not None:
                    raise SystemExit(Path(log.name).read_text()[-2000:])
                time.sleep(0.2)
            yield found[1]
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(30)


def measure(server, model: str, seconds: float, clients: int) -> dict:
    """Milliseconds of a call alone, the median; calls a second of many at once."""
    from PIL import Image

    digit, times = Image.open(DIGIT).convert("L"), []
    for _ in range(20):
        server.reconstruct(model, digit)
    end = time.perf_counter() + seconds / 2
    while (start := time.perf_counter()) < end:
        server.reconstruct(model, digit)
        times.append(time.perf_counter() - start)
    done, lock, start = 0, threading.Lock(), time.perf_counter()

    def ask(_: int) -> None:
        nonlocal done
        while time.perf_counter() - start < seconds / 2:
            server.reconstruct(model, digit)
            with lock:
                done += 1

    with ThreadPoolExecutor(clients) as pool:
        list(pool.map(ask, range(clients)))
    return {"alone_ms": 1e3 * statistics.median(times), "calls_a_second": done / (time.perf_counter() - start)}


def one(options: argparse.Namespace) -> dict:
    """Both ways, one after the other. In a process of its own, since Ray knows one cluster in each."""
    import torch

    from vae.ui.serving.catalog import Catalog
    from vae.ui.serving.models import ModelServer
    from vae.ui.serving.remote import RemoteModels

    torch.set_num_threads(1)
    catalog = Catalog(Path(tempfile.gettempdir()) / "no-runs")
    ways = {"ray": ModelServer(catalog, RemoteModels()), "here": ModelServer(catalog)}
    return {name: measure(way, options.model, options.seconds, options.clients) for name, way in ways.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="mnist-vae-large")
    parser.add_argument("--replicas", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--seconds", type=float, default=10.0, help="of each of the two ways, for each number")
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(one(options)))
        return
    report = {}
    for replicas in options.replicas:
        with cluster(replicas) as address:
            command = [sys.executable, __file__, "--child", "--replicas", str(replicas), "--model", options.model]
            command += ["--seconds", str(options.seconds), "--clients", str(options.clients)]
            environment = os.environ | {"RAY_ADDRESS": address, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(REPO)}
            done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
        found = json.loads(done.stdout.splitlines()[-1])
        found["overhead_ms"] = found["ray"]["alone_ms"] - found["here"]["alone_ms"]
        found["ratio"] = found["ray"]["calls_a_second"] / found["here"]["calls_a_second"]
        report[str(replicas)] = found
        if not options.json:
            ray, here = found["ray"], found["here"]
            print(
                f"{replicas} replica{'s' * (replicas > 1)}: {ray['calls_a_second']:.0f} calls a second, in one process "
                f"{here['calls_a_second']:.0f}, ratio {found['ratio']:.2f}; alone {ray['alone_ms']:.1f} ms against "
                f"{here['alone_ms']:.1f}, overhead {found['overhead_ms']:.1f} ms",
                flush=True,
            )
    if options.json:
        print(json.dumps(report))


if __name__ == "__main__":
    main()
