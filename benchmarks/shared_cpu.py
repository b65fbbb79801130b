"""What cores that are shared with others give: one thread, all threads as PyTorch has them, and all as here.

    python benchmarks/shared_cpu.py            eight minutes, on a machine that is otherwise idle
    python benchmarks/shared_cpu.py --quick    the machinery alone, in seconds

Each contestant is a process of its own, and they take turns; first alone, then beside a process that keeps one core
busy. The work of a turn, a second or more of it: training `mnist-vae` on digits, all that comes with it included;
sampling 64 digits; reconstructing one, as the page does, or one photograph of 64 or 128 pixels with `dogs-vae`, and of
128 with TAEF2's network. A figure is the median of the turns, in images a second; ours is given also as a share of the
better of the other two.

  one     one thread
  all     as many threads as PyTorch takes, which spin while they wait for one another
  ours    what the page and the command line have: images divided among threads that compute alone, a single one shared
          by as many as find an unused core (vae/threads.py), and for training as many threads as the last trial found
          best (vae/training/thread_trials.py)
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from turns import Contestant, Turns

CONTESTANTS = ("one", "all", "ours")
WORKS = ("train", "sample", "digit", "dogs 64", "dogs 128", "taef2 128")
SECONDS = 1.0  # of a turn, at least


def be(name: str, work: str, seconds: float) -> None:
    """A contestant's process."""
    if name == "ours" and work != "train":
        from vae.threads import wait_asleep

        wait_asleep()
    import torch

    from vae import tiling
    from vae.training import thread_trials

    if name == "one":
        torch.set_num_threads(1)
    if name != "ours":
        tiling.ALONE = tiling.SHARED = -1  # no image goes to a thread that computes alone
        thread_trials.FIRST = float("inf")
    train(seconds) if work == "train" else use(work, seconds)


def train(seconds: float) -> None:
    from dataclasses import replace

    import vae
    from vae.training.presets import preset

    config = replace(preset("mnist-vae", data="digits"), epochs=10_000)
    turns, done = None, 0

    def after(event) -> None:
        nonlocal turns, done
        if event.name != "step":
            return
        turns, done = turns or Turns(), done + config.batch_size
        if time.perf_counter() - turns.start >= seconds:
            turns.done(done)
            done = 0

    with tempfile.TemporaryDirectory() as folder:
        vae.fit(config, Path(folder) / "run", device="cpu", callbacks=[after])


def use(work: str, seconds: float) -> None:
    import vae

    if work == "sample":
        model, images = vae.load("mnist-vae", device="cpu"), 64
        job = lambda: vae.sample(model, images, seed=0)  # noqa: E731
    else:
        (model, image), images = shown(work), 1
        job = lambda: vae.reconstruct(model, image)  # noqa: E731
    job()
    turns = Turns()
    while True:
        done, start = 0, time.perf_counter()
        while time.perf_counter() - start < seconds:
            job()
            done += images
        turns.done(done)


def shown(work: str) -> tuple:
    """A model and an image to reconstruct."""
    import torch

    import vae
    from vae.images import to_image
    from vae.models import TinyConfig, build

    if work == "digit":
        return vae.load("mnist-vae", device="cpu"), to_image(vae.load_data("digits", "test", 32, 1).images[0])
    name, side = work.split()
    if name == "dogs":
        model = vae.load("dogs-vae", device="cpu")
    else:  # with random weights, which takes as long
        torch.manual_seed(0)
        model = build(TinyConfig(latent_channels=32, mid_block_pool=True)).eval().requires_grad_(False)
        model = model.to(memory_format=torch.channels_last)
    pixels = torch.randint(0, 256, (3, int(side), int(side)), dtype=torch.uint8, generator=torch.manual_seed(0))
    return model, to_image(pixels)


def compare(works: list[str], rounds: int, seconds: float) -> dict:
    report = {}
    for work in works:
        report[work] = {}
        contestants = {
            name: Contestant(__file__, ["--be", name, "--work", work, "--seconds", seconds]) for name in CONTESTANTS
        }
        try:
            for condition in ("alone", "beside one busy process"):
                busy = [sys.executable, "-c", "while True: pass"]
                other = subprocess.Popen(busy) if condition != "alone" else None
                try:
                    rates = {name: [] for name in CONTESTANTS}
                    for turn in range(rounds + 1):
                        for name, contestant in contestants.items():
                            if not contestant.turn():
                                raise SystemExit(f"{name} did not finish a turn of {work}.")
                            if turn:  # the first of each condition only warms up
                                last = contestant.turns[-1]
                                rates[name].append(last["images"] / last["seconds"])
                finally:
                    if other:
                        other.kill()
                        other.wait()
                found = {name: median(values) for name, values in rates.items()}
                pairs = zip(*rates.values(), strict=True)
                found["of_the_better"] = median(ours / max(one, every) for one, every, ours in pairs)
                report[work][condition] = found
        finally:
            for contestant in contestants.values():
                contestant.end()
    return report


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--works", nargs="+", choices=WORKS, default=list(WORKS))
    parser.add_argument("--quick", action="store_true", help="two short turns each: tests the machinery only")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument("--be", choices=CONTESTANTS, help=argparse.SUPPRESS)
    parser.add_argument("--work", choices=WORKS, help=argparse.SUPPRESS)
    parser.add_argument("--seconds", type=float, default=SECONDS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.be:
        be(options.be, options.work, options.seconds)
        return
    report = compare(options.works, 1 if options.quick else options.rounds, 0.1 if options.quick else SECONDS)
    if options.json:
        print(json.dumps(report, indent=2))
        return
    print(f"{'':12}{'':26}" + "".join(f"{name:>9}" for name in CONTESTANTS) + "   ours, of the better")
    for work, conditions in report.items():
        for condition, found in conditions.items():
            rates = "".join(f"{found[name]:9.0f}" for name in CONTESTANTS)
            print(f"{work:12}{condition:26}{rates}{found['of_the_better']:13.2f}")


if __name__ == "__main__":
    main()
