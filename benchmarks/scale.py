"""How time and memory grow with what is asked for: along each axis the exponent from one size to the next.

    python benchmarks/scale.py                      half an hour on two cores
    python benchmarks/scale.py --only runs lines    some of the axes
    python benchmarks/scale.py --quick              the machinery alone, in seconds

No peer: 1.0 is linear, which nothing should exceed for long; where the exponent between two sizes is over 1.15, the
axis "bends" there. Each measurement is the least of three in a process of its own, whose greatest memory it gives. The
exponents of time are of the processor's, which others on the machine do not stretch, save the page's; those of memory
are of what is above the axis' first. What is measured:

  size     reconstructing an image with `sd-small` at a third of its width, by its pixels; attention grows with their
           square until tiles are cut
  batch    encoding and decoding so many digits at once with `mnist-vae`, by vae.encode and vae.decode
  images   reading a data set of 28x28 images from a .npy and going through it once
  runs     what a page asks first in the Train tab, where so many runs lie in the folder, of 100 lines each
  long     the same with ten runs of so many lines, one of them shown
  page     opening the page in Chromium, until the Train tab has drawn a run, with so many runs of 100,000 lines, each
           with a model; from 10 to 1,000 it may take 1.5 times as long
  lines    reading a run's metrics.jsonl
  points   a latent map of so many images of 64 numbers, and where a latent's nearest ones are
"""

import argparse
import atexit
import contextlib
import json
import math
import os
import resource
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

REPO = Path(__file__).resolve().parents[1]
TURNS = 3
BEND = 1.15
NARROW = (8, 16, 32, 64)  # channels of the network through which images of 8192 pixels go in minutes

SIZES = {
    "size": [64**2, 128**2, 256**2, 512**2, 1024**2, 2048**2, 4096**2, 8192**2],
    "batch": [1, 4, 16, 64, 256, 1024, 4096, 16384],
    "images": [10**3, 10**4, 10**5, 10**6],
    "runs": [1, 10, 100, 1000],
    "long": [10**3, 10**4, 10**5],
    "page": [10, 100, 1000],
    "lines": [10**3, 10**4, 10**5, 10**6],
    "points": [10**3, 10**4, 10**5, 10**6],
}


def size(pixels: int, place: Path) -> Callable[[], object]:
    from dataclasses import replace

    import torch

    import vae
    from vae.images import to_image
    from vae.models import KL_PRESETS, build

    side = math.isqrt(pixels)
    torch.manual_seed(0)
    model = build(replace(KL_PRESETS["sd-small"], block_out_channels=NARROW)).eval().requires_grad_(False)
    image = to_image(torch.randint(0, 256, (3, side, side), dtype=torch.uint8))
    return lambda: vae.reconstruct(model, image)


def batch(count: int, place: Path) -> Callable[[], object]:
    import torch

    import vae

    model = vae.load("mnist-vae", device="cpu")
    x = torch.rand(count, 1, 32, 32) * 2 - 1

    return lambda: vae.decode(model, vae.encode(model, x).mean)


def images(count: int, place: Path) -> Callable[[], object]:
    import numpy as np
    import torch

    import vae

    stored = np.lib.format.open_memmap(place / "set.npy", mode="w+", dtype=np.uint8, shape=(count, 28, 28))
    chance = np.random.default_rng(0)
    for start in range(0, count, 10_000):
        part = stored[start : start + 10_000]
        part[:] = chance.integers(0, 256, part.shape, dtype=np.uint8)
    stored.flush()

    def work():
        data = vae.load_data(str(place / "set.npy"), "all", size=28, channels=1)
        order = torch.randperm(len(data), generator=torch.Generator().manual_seed(0))
        return sum(int(part.sum()) for part in data.batches(order.split(1024)))

    return work


def runs(count: int, place: Path, lines: int = 100) -> Callable[[], object]:
    from vae.ui.serving.catalog import Catalog
    from vae.ui.training.watch import Watcher

    for i in range(count):
        write_run(place / f"run-{i:04}", lines)
    return lambda: Watcher(Catalog(place)).watch_run({"run": "run-0000"})


def long(lines: int, place: Path) -> Callable[[], object]:
    return runs(10, place, lines)


def page(count: int, place: Path) -> Callable[[], object]:
    """The runs' files are one another's: what counts is how many are asked for."""
    from playwright.sync_api import sync_playwright

    import vae

    sys.path.insert(0, str(REPO / "tests"))
    import browser

    first = place / "first"
    write_run(first, 100_000)
    vae.save(vae.load("mnist-vae", device="cpu"), first / "checkpoints" / "step-00100000")
    for i in range(count):
        shutil.copytree(first, place / "runs" / f"run-{i:04}", copy_function=os.link)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    more = {"VAE_RUNS_DIR": str(place / "runs"), "GRADIO_SERVER_PORT": str(port), "GRADIO_ANALYTICS_ENABLED": "False"}
    server = subprocess.Popen([sys.executable, "app.py"], cwd=REPO, env=environment() | more, stdout=subprocess.DEVNULL)
    atexit.register(server.kill)
    chromium = sync_playwright().start().chromium.launch(executable_path=browser.find(), args=browser.ARGUMENTS)

    def work():
        visit = chromium.new_context()
        tab = visit.new_page()
        tab.goto(f"http://127.0.0.1:{port}/?tab=train")
        drawn = "() => parseFloat(document.querySelector('.vs-reading b')?.textContent) > 0"
        tab.wait_for_function(drawn, timeout=120_000)
        visit.close()

    for _ in range(600):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            break
        time.sleep(0.2)
    work()  # the first visitor after a start waits for imports
    return work


def lines(count: int, place: Path) -> Callable[[], object]:
    from vae.training.runs import Run

    write_run(place / "run", count)
    return Run(place / "run").metrics


def write_run(folder: Path, lines: int) -> None:
    """A finished run: an epoch's line after every 99 of steps."""
    folder.mkdir()
    sums = {"loss": 40.125, "reconstruction": 30.0625, "kl": 10.0625}
    config = {"preset": "mnist-vae", "data": "digits", "epochs": lines // 100 + 1, "model": {}}
    state = {
        "state": "finished",
        "step": lines,
        "steps": lines,
        "epoch": 1,
        "epochs": 1,
        "started": 0.0,
        "best": 40.125,
    }
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "state.json").write_text(json.dumps(state))
    with (folder / "metrics.jsonl").open("w") as file:
        for step in range(1, lines + 1):
            entry = {"kind": "step", "step": step, "epoch": step // 100, **sums, "learning_rate": 1e-3}
            if step % 100 == 0:
                entry |= {"kind": "epoch", "images_per_second": 1000.0, "seconds": step / 10}
                entry |= {f"val_{name}": value for name, value in sums.items()}
            file.write(json.dumps(entry) + "\n")


def points(count: int, place: Path) -> Callable[[], object]:
    import torch

    from vae.latents.directions import nearest
    from vae.latents.projections import pca

    z = torch.randn(count, 4, 4, 4, generator=torch.Generator().manual_seed(0))

    def work():
        pca(z.flatten(1)).project(z)
        return nearest(z[:1], z, k=10)

    return work


AXES = {axis.__name__: axis for axis in (size, batch, images, runs, long, page, lines, points)}


def be(axis: str, amount: int) -> None:
    """One measurement, printed."""
    with tempfile.TemporaryDirectory() as place:
        work = AXES[axis](amount, Path(place))
        seconds, busy, start = [], [], time.perf_counter()
        while len(seconds) < TURNS and (not seconds or time.perf_counter() - start < 60):
            begun, worked = time.perf_counter(), time.process_time()
            work()
            seconds.append(time.perf_counter() - begun)
            busy.append(time.process_time() - worked)
    mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"seconds": min(seconds), "cpu": min(busy), "mib": mib}))


def compare(axes: list[str], fewest: int | None) -> dict:
    report = {}
    for axis in axes:
        rows = []
        for amount in SIZES[axis][:fewest]:
            command = [sys.executable, __file__, "--be", axis, str(amount)]
            done = subprocess.run(command, capture_output=True, text=True, cwd=REPO, env=environment())
            if done.returncode:
                rows.append({"amount": amount, "error": done.stderr.strip().splitlines()[-1][:200]})
                break
            rows.append({"amount": amount} | json.loads(done.stdout.splitlines()[-1]))
            print(axis, json.dumps(rows[-1]), file=sys.stderr, flush=True)
        report[axis] = grown(rows, "seconds" if axis == "page" else "cpu")
    return report


def grown(rows: list[dict], clock: str) -> dict:
    """The rows with exponents, and the amounts at which time bends. Memory is counted from the first row's on."""
    bends = []
    for before, row in pairwise(rows):
        if "error" in row:
            continue
        longer = math.log(row["amount"] / before["amount"])
        row["time_exponent"] = math.log(row[clock] / before[clock]) / longer
        more = [each["mib"] - rows[0]["mib"] for each in (before, row)]
        if min(more) > 16:  # less is noise
            row["memory_exponent"] = math.log(more[1] / more[0]) / longer
        if row["time_exponent"] > BEND:
            bends.append(row["amount"])
    return {"rows": rows, "bends": bends}


def environment() -> dict:
    others = os.environ.get("PYTHONPATH")
    path = os.pathsep.join([str(REPO), *([others] if others else [])])
    return {"OMP_WAIT_POLICY": "PASSIVE"} | os.environ | {"PYTHONPATH": path}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=AXES, default=list(AXES))
    parser.add_argument(
        "--quick", action="store_true", help="the two smallest amounts of each: tests the machinery only"
    )
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument("--be", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.be:
        be(options.be[0], int(options.be[1]))
        return
    report = compare(options.only, 2 if options.quick else None)
    if options.json:
        print(json.dumps(report, indent=2))
        return
    for axis, found in report.items():
        print(f"\n{axis}: {'bends at ' + ', '.join(f'{a:,}' for a in found['bends']) if found['bends'] else 'no bend'}")
        for row in found["rows"]:
            if "error" in row:
                print(f"{row['amount']:12,}  {row['error']}")
                continue
            exponents = [
                f"{row[name]:6.2f}" if name in row else f"{'':6}" for name in ("time_exponent", "memory_exponent")
            ]
            times = f"{row['seconds']:12.4f} s{row['cpu']:12.4f} s of a core {exponents[0]}"
            print(f"{row['amount']:12,}{times}{row['mib']:10.0f} MiB {exponents[1]}")


if __name__ == "__main__":
    main()
