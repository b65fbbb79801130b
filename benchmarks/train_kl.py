"""Training Stable Diffusion's auto-encoder: `vae.fit` beside diffusers' AutoencoderKL in a plain loop, of equal size.

    python benchmarks/train_kl.py           `sd` at 256x256 on a GPU, or without one `sd-small` at 64x64 on the CPU
    python benchmarks/train_kl.py --quick   the machinery alone, at 16x16, in seconds

Random pictures, resident. The plain loop is bfloat16 autocast, Adam, squared error + KL, in PyTorch's standard layout;
--peer-fp32 leaves the autocast out. Ours is the preset, everything on: averaged weights, clipping, mirroring, metrics.
The two take turns, each in a process of its own. The batch is the same; memory is the process's greatest (GPU: what
PyTorch had allocated).
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path
from statistics import median

from turns import Contestant, Turns

EPOCH = 64  # updates


def settings(options):
    """The preset's config, the picture's side, the batch and the device."""
    import torch

    from vae.training.presets import PRESETS

    cuda = torch.cuda.is_available()
    config = PRESETS["sd" if cuda else "sd-small"]
    side = 16 if options.quick else 256 if cuda else 64
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


def diffusers(options) -> None:
    import torch
    from diffusers import AutoencoderKL

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
    optimizer = torch.optim.Adam(model.parameters(), config.learning_rate)
    pictures = torch.randint(0, 256, (EPOCH * batch, 3, side, side), dtype=torch.uint8, device=device)
    turns = Turns()
    while True:
        for _ in range(options.steps):
            x = pictures[torch.randint(len(pictures), (batch,), device=device)].float() / 127.5 - 1.0
            with torch.autocast(device, torch.bfloat16, enabled=not options.peer_fp32):
                posterior = model.encode(x).latent_dist
                decoded = model.decode(posterior.sample()).sample
            loss = (decoded.float() - x).square().mean() + 1e-6 * posterior.kl().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            loss.item()
        settle(device)
        turns.done(options.steps * batch, memory=memory(device), parameters=sum(p.numel() for p in model.parameters()))


def ours(options) -> None:
    import torch

    from vae.data.image_set import ImageSet
    from vae.training import batches, loop
    from vae.training.config import TrainConfig

    config, side, batch, device = settings(options)
    model = dict(config.model) | {"sample_size": side}
    config = TrainConfig(**config.to_dict() | {"model": model, "batch_size": batch, "epochs": 10_000})

    def pictures(_, split="train", *__, **___):
        """An epoch outlasts a few turns: the plain loop does not validate, and a real epoch has hundreds of updates."""
        count = EPOCH * batch if split == "train" else batch
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


CONTESTANTS = {"diffusers": diffusers, "ours": ours}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, help="pictures in a batch")
    parser.add_argument("--steps", type=int, default=5, help="updates in a turn")
    parser.add_argument("--turns", type=int, default=8, help="of each; the first is not counted")
    parser.add_argument("--peer-fp32", action="store_true", help="the plain loop in float32")
    parser.add_argument("--quick", action="store_true", help="tiny pictures, few steps: tests the machinery only")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument("--verbose", action="store_true", help="let the contestants print")
    parser.add_argument("--be", choices=CONTESTANTS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.quick:
        options.steps, options.turns = 1, 2
    if options.be:
        CONTESTANTS[options.be](options)
        return
    passed = ["--steps", options.steps, *(["--batch", options.batch] if options.batch else [])]
    passed += [flag for flag in ("--quick", "--peer-fp32") if getattr(options, flag[2:].replace("-", "_"))]
    contestants = {name: Contestant(__file__, ["--be", name, *passed], verbose=options.verbose) for name in CONTESTANTS}
    try:
        for turn in range(options.turns):
            for name, contestant in contestants.items():
                if not contestant.turn():
                    raise SystemExit(f"{name} did not finish turn {turn + 1}; --verbose shows why.")
    finally:
        for contestant in contestants.values():
            contestant.end()
    report = {
        name: {
            "images_per_second": median(turn["images"] / turn["seconds"] for turn in contestant.turns[1:]),
            "peak_mib": contestant.turns[-1]["memory"],
            "parameters": contestant.turns[-1]["parameters"],
        }
        for name, contestant in contestants.items()
    }
    ratio = report["ours"]["images_per_second"] / report["diffusers"]["images_per_second"]
    if options.json:
        print(json.dumps(report | {"ratio": ratio}, indent=2))
        return
    for name, row in report.items():
        print(f"{name:10} {row['images_per_second']:8.2f} images/s {row['peak_mib']:9.0f} MiB  {row['parameters']:,}")
    print(f"images a second: ours is {ratio:.2f} times diffusers")


if __name__ == "__main__":
    main()
