"""Training Stable Diffusion's auto-encoder: `vae.fit` beside diffusers' AutoencoderKL in a plain loop, of equal size.

    python benchmarks/train_kl.py           `sd` at 256x256 on a GPU, or without one `sd-small` at 64x64 on the CPU
    python benchmarks/train_kl.py --quick   the machinery alone, at 16x16, in seconds
    python benchmarks/train_kl.py --preset sd-small --side 64 --batch 8 --steps 200 --only ours

Random images, resident. The plain loop is bfloat16 autocast, Adam, squared error + KL, in PyTorch's standard layout;
--peer-fp32 leaves the autocast out. Ours is the preset, everything on: averaged weights, clipping, mirroring, metrics.

  diffusers           the plain loop
  diffusers compiled  the same with torch.compile of the whole network
  ours                `vae.fit` as it is
  ours compiled       with --compile on
  ours plain          without the GPU kernels of our own

The first two and `ours` unless --only says otherwise; without a GPU nobody is compiled. Each is a process of its own.
On a CPU they take turns; on a GPU, which is nobody else's, one follows the other, for its memory holds only one. The
batch is the same; memory is the process's greatest (GPU: what PyTorch had allocated). A first turn is not counted; what
it took longer than the others is given as the start: compiling, and trying out convolutions.
"""

import argparse
import json
import sys
import tempfile
from functools import partial
from pathlib import Path
from statistics import median

from turns import Contestant, Turns

EPOCH = 64  # updates at least, and several turns: the plain loop does not validate, and a real epoch has hundreds


def settings(options):
    """The preset's config, the image's side, the batch and the device."""
    import torch

    from vae.training.presets import PRESETS

    cuda = torch.cuda.is_available()
    config = PRESETS[options.preset or ("sd" if cuda else "sd-small")]
    side = 16 if options.quick else options.side or (256 if cuda else 64)
    return config, side, options.batch or (2 if options.quick else 16 if cuda else 8), "cuda" if cuda else "cpu"


def memory(device: str) -> float:
    """The greatest use so far, in MiB."""
    if device == "cuda":
        import torch

        return torch.cuda.max_memory_allocated() / 2**20
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def settle(device: str) -> None:
    if device == "cuda":
        import torch

        torch.cuda.synchronize()


def begin(options) -> None:
    """All is imported; wait until the GPU is free."""
    if options.one_by_one and not sys.stdin.readline():
        raise SystemExit


def diffusers(options, compiled: bool = False) -> None:
    import torch
    from diffusers import AutoencoderKL

    begin(options)
    config, side, batch, device = settings(options)
    widths = config.model["block_out_channels"]
    model = AutoencoderKL(
        down_block_types=["DownEncoderBlock2D"] * len(widths),
        up_block_types=["UpDecoderBlock2D"] * len(widths),
        block_out_channels=list(widths),
        layers_per_block=config.model["layers_per_block"],
        norm_num_groups=config.model["norm_num_groups"],
        latent_channels=4,
    ).to(device)
    model.forward = reconstruct.__get__(model)
    network = torch.compile(model) if compiled else model
    optimizer = torch.optim.Adam(model.parameters(), config.learning_rate)
    pictures = torch.randint(0, 256, (EPOCH * batch, 3, side, side), dtype=torch.uint8, device=device)
    turns = Turns()
    while True:
        for _ in range(options.steps):
            x = pictures[torch.randint(len(pictures), (batch,), device=device)].float() / 127.5 - 1.0
            with torch.autocast(device, torch.bfloat16, enabled=not options.peer_fp32):
                decoded, posterior = network(x)
            loss = (decoded.float() - x).square().mean() + 1e-6 * posterior.kl().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            loss.item()
        settle(device)
        turns.done(options.steps * batch, memory=memory(device), parameters=sum(p.numel() for p in model.parameters()))


def reconstruct(model, x):
    """diffusers' network as one forward, which a compiler sees as a whole."""
    posterior = model.encode(x).latent_dist
    return model.decode(posterior.sample()).sample, posterior


def ours(options, compiled: str = "off", kernels: bool = True) -> None:
    import torch

    from vae.data.image_set import ImageSet
    from vae.models import fused_residual
    from vae.training import batches, loop
    from vae.training.config import TrainConfig

    begin(options)
    config, side, batch, device = settings(options)
    model = dict(config.model) | {"sample_size": side}
    changes = {"model": model, "batch_size": batch, "epochs": 10_000, "compile": compiled}
    config = TrainConfig(**config.to_dict() | changes)
    if not kernels:
        fused_residual.is_available = lambda: False

    def pictures(_, split="train", *__, **___):
        count = max(EPOCH, 10 * options.steps) * batch if split == "train" else batch
        data = ImageSet("random", (3, side, side), None, None)
        data.images = torch.randint(0, 256, (count, 3, side, side), dtype=torch.uint8)
        return data

    class Timed(loop.Trainer):
        turns = None

        def update(self):
            if self.step % options.steps == 0:
                settle(device)
                if self.turns is None:
                    self.turns = Turns()
                else:
                    count = sum(p.numel() for p in self.raw.parameters())
                    images = options.steps * self.plan.update_images
                    self.turns.done(images, memory=memory(device), parameters=count)
            super().update()

    batches.load_data, loop.Trainer = pictures, Timed
    with tempfile.TemporaryDirectory() as folder:
        loop.fit(config, run=Path(folder) / "run", device=device)


CONTESTANTS = {
    "diffusers": diffusers,
    "diffusers compiled": partial(diffusers, compiled=True),
    "ours": ours,
    "ours compiled": partial(ours, compiled="on"),
    "ours plain": partial(ours, kernels=False),
}


def measured(options) -> dict[str, dict]:
    """Each contestant's figures; of one that did not finish its turns none."""
    import torch

    passed = ["--steps", options.steps]
    for name in ("batch", "side", "preset"):
        passed += [f"--{name}", getattr(options, name)] if getattr(options, name) else []
    passed += [flag for flag in ("--quick", "--peer-fp32") if getattr(options, flag[2:].replace("-", "_"))]
    alone = torch.cuda.is_available()
    names = options.only or ["diffusers", *(["diffusers compiled"] if alone else []), "ours"]
    passed += ["--one-by-one"] if alone else []
    contestants = {name: Contestant(__file__, ["--be", name, *passed], verbose=options.verbose) for name in names}
    try:
        for group in [[name] for name in names] if alone else [names]:
            going = {name: contestants[name] for name in group if not alone or contestants[name].tell("begin")}
            for _ in range(options.turns):
                going = {name: contestant for name, contestant in going.items() if contestant.turn()}
            if alone:
                contestants[group[0]].end()
            for name in going:
                row = figures(contestants[name].turns)
                print(f"{name}: {row['images_per_second']:.2f} images/s", file=sys.stderr, flush=True)
                if options.lines:
                    print(json.dumps({name: row}), flush=True)
    finally:
        for contestant in contestants.values():
            contestant.end()
    whole = {name: each.turns for name, each in contestants.items() if len(each.turns) == options.turns}
    for name in names:
        if name not in whole:
            print(f"{name} did not finish its turns; --verbose shows why.", file=sys.stderr)
    return {name: figures(turns) for name, turns in whole.items()}


def figures(turns: list[dict]) -> dict:
    seconds = median(turn["seconds"] for turn in turns[1:])
    return {
        "images_per_second": median(turn["images"] / turn["seconds"] for turn in turns[1:]),
        "peak_mib": turns[-1]["memory"],
        "start_seconds": turns[0]["seconds"] - seconds,
        "parameters": turns[-1]["parameters"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", help="ours; without it sd on a GPU, else sd-small")
    parser.add_argument("--side", type=int, help="pixels")
    parser.add_argument("--batch", type=int, help="pictures in a batch")
    parser.add_argument("--steps", type=int, default=5, help="updates in a turn")
    parser.add_argument("--turns", type=int, default=8, help="of each; the first is not counted")
    parser.add_argument("--only", nargs="+", choices=CONTESTANTS, help="who takes part")
    parser.add_argument("--peer-fp32", action="store_true", help="the plain loop in float32")
    parser.add_argument("--quick", action="store_true", help="tiny pictures, few steps: tests the machinery only")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument("--lines", action="store_true", help="print a line of JSON for each as soon as it is done")
    parser.add_argument("--verbose", action="store_true", help="let the contestants print")
    parser.add_argument("--be", choices=CONTESTANTS, help=argparse.SUPPRESS)
    parser.add_argument("--one-by-one", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.quick:
        options.steps, options.turns = 1, 2
    if options.be:
        CONTESTANTS[options.be](options)
        return
    report = measured(options)
    ratios = {name: ratio(report, name) for name in report if name != "ours" and "ours" in report}
    if options.lines:
        print(json.dumps({"ratios": ratios}))
    elif options.json:
        print(json.dumps(report | {"ratios": ratios}, indent=2))
    else:
        for name, row in report.items():
            print(
                f"{name:18} {row['images_per_second']:8.2f} images/s {row['peak_mib']:9.0f} MiB "
                f"{row['start_seconds']:6.1f} s to start  {row['parameters']:,} parameters"
            )
        for name, value in ratios.items():
            print(f"images a second: ours is {value:.2f} times {name}")
    if not report:
        raise SystemExit(1)


def ratio(report: dict, name: str) -> float:
    return report["ours"]["images_per_second"] / report[name]["images_per_second"]


if __name__ == "__main__":
    main()
