"""How long a training will take, roughly, before it begins: its network is tried for a moment or, where that would take
too long, a small one of the same sort, whose time is taken times as many products as the network needs more."""

import json
import threading
import time
from contextlib import nullcontext
from functools import lru_cache

import torch
from torch.utils.flop_counter import FlopCounterMode

from vae.models import build
from vae.training import memory
from vae.training.config import TrainConfig
from vae.training.hardware import checkpoint_blocks, chosen_precision, memory_format
from vae.training.presets import preset
from vae.training.process import keep_freed_memory
from vae.training.schedule import plan

SMALL = "sd-small"  # the preset that is tried in place of what is too large
SHORT = 0.3  # seconds that a trial takes, after a few updates to warm up
LONGEST = 0.5  # seconds that one image of a network may take which is tried itself
REMEMBERED = 64  # networks that were tried

_one_at_a_time = threading.Lock()


def seconds(config: TrainConfig, images: int, device: torch.device) -> float:
    """Of a training with so many training images in one process, without its validation. Takes about a second where
    nothing like it was tried before. InputError where `plan` raises it."""
    config = memory.of_one(config)
    found = plan(config, images, 1)
    with _one_at_a_time:
        small = preset(SMALL)
        factor = _products(config) / _products(small)
        an_image = factor * _tried(*_facts(small, device))
        if an_image < LONGEST:
            an_image = _tried(*_facts(config, device))
    return found.steps * found.update_images * an_image


def _facts(config: TrainConfig, device: torch.device) -> tuple[str, bool, str, int, str]:
    precision = chosen_precision(config, device)
    return json.dumps(config.model), config.gradient_checkpointing, precision, config.batch_size, str(device)


def _products(config: TrainConfig) -> int:
    """Multiplications and additions of one image's forward pass."""
    with torch.device("meta"):
        model = build(config.model)
        side = model.config.sample_size
        x, noise = torch.zeros(1, model.in_channels, side, side), torch.zeros(1, *model.latent_shape())
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(x, noise)
    return counter.get_total_flops()


@lru_cache(REMEMBERED)
def _tried(network: str, again: bool, precision: str, batch: int, device_name: str) -> float:
    """Seconds that the training of one image takes, in a batch of so many at most."""
    keep_freed_memory()
    device = torch.device(device_name)
    model = build(json.loads(network)).to(device)
    if again:
        checkpoint_blocks(model)
    layout = memory_format(model, device, compiled=False)
    model = model.to(memory_format=layout)
    side, formats = model.config.sample_size, {"bf16": torch.bfloat16, "fp16": torch.float16}
    x = torch.rand(max(2, batch), model.in_channels, side, side, device=device).contiguous(memory_format=layout)

    def update(x: torch.Tensor) -> float:
        """Of an image."""
        start = time.perf_counter()
        with torch.autocast(device.type, formats[precision]) if precision in formats else nullcontext():
            x_hat, posterior = model(x)
            loss = (x_hat - x).square().mean() + posterior.kl().mean()
        loss.backward()
        model.zero_grad()
        loss.item()  # waits for the device
        return (time.perf_counter() - start) / len(x)

    few = x[:2]  # batch norm wants more than one
    update(few)
    x = x[: max(2, int(SHORT / update(few)))]
    update(x)
    start, taken = time.perf_counter(), []
    while not taken or time.perf_counter() - start < SHORT:
        taken.append(update(x))
    return min(taken)


def in_words(duration: float) -> str:
    """A duration in seconds as people say it, to one unit."""
    for unit, length in (("day", 86_400), ("hour", 3600), ("minute", 60)):
        if duration >= 1.5 * length or (unit == "minute" and duration >= 45):
            number = round(duration / length)
            return f"{number:,} {unit}{'' if number == 1 else 's'}"
    return "less than a minute"
