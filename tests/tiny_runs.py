"""What the training tests share: a network and data so small that a run takes a second."""

import json
from pathlib import Path

import numpy as np
from PIL import Image

from vae.models import ConvConfig, KLConfig, config_to_dict
from vae.training.config import TrainConfig

TIMES = ("images_per_second", "seconds")


def tiny(**changes) -> TrainConfig:
    """A VAE of 700 parameters on 8x8 digits; 10 updates an epoch."""
    model = config_to_dict(ConvConfig(features=(1, 4, 4, 2), sample_size=8, border=0))
    settings = {
        "model": model,
        "data": "digits",
        "epochs": 3,
        "batch_size": 140,
        "learning_rate": 6e-3,
        "precision": "fp32",
        "seed": 5,
        "map_and_priors": False,
    }
    return TrainConfig(**settings | changes)


def tiny_kl(**changes) -> TrainConfig:
    """The Stable Diffusion network in small: no batch norm, attention, 6 thousand parameters."""
    config = KLConfig(
        sample_size=8,
        in_channels=1,
        out_channels=1,
        block_out_channels=(8, 8),
        layers_per_block=1,
        norm_num_groups=4,
        latent_channels=2,
    )
    return tiny(**{"model": config_to_dict(config), "learning_rate": 1e-3} | changes)


def untimed(run) -> list[dict]:
    """The run's metrics without what a clock measured."""
    return [{key: value for key, value in line.items() if key not in TIMES} for line in run.metrics()]


def lines(folder: Path) -> list[dict]:
    """The metrics file, every byte of it: a torn line would raise."""
    text = (folder / "metrics.jsonl").read_text()
    assert text.endswith("\n")
    return [json.loads(line) for line in text.splitlines()]


def dots(folder: Path, colour: bool = False) -> Path:
    """A folder of a few small images."""
    folder.mkdir()
    chance = np.random.default_rng(0)
    for i in range(40):
        pixels = chance.integers(0, 256, (8, 8, 3) if colour else (8, 8), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{i}.png")
    return folder
