"""What is said of a training before it starts: what it will take, and whether other settings would suit the data."""

import torch

from vae.device import pick_device
from vae.models import is_own
from vae.training import estimate, memory
from vae.training.config import TrainConfig
from vae.training.recipes import PHOTOGRAPHS
from vae.ui.serving.access import Audience


def check(config: TrainConfig, audience: Audience) -> None:
    """InputError if the training would take more memory than whoever asks may have. config: with its network."""
    with audience.limits():
        memory.check(config, pick_device())


def says(config: TrainConfig, images: int | None) -> str:
    """What a training with so many images, None where that is not known, will take, in one line. config: with its
    network."""
    if is_own(config.model):
        return "How much memory and time a network of your own takes is not known before."
    device = pick_device()
    takes = f"About {_gigabytes(memory.needed(config, device))} of memory"
    if images is None:
        return f"{takes}; how long it will take is known when the images are here."
    duration = estimate.in_words(estimate.seconds(config, images, device))
    return f"{takes} and {duration} on {_called(device)}."


def suggestion(config: TrainConfig, source_channels: int | None) -> dict | None:
    """{preset, says, does} where the images have colours and the network would see them in grey. config: with its
    network. None where there is nothing to suggest."""
    if config.init or is_own(config.model) or source_channels is None or source_channels < 3:
        return None
    if (config.model.get("in_channels") or config.model["features"][0]) > 2:
        return None
    return {
        "preset": PHOTOGRAPHS,
        "says": "These images have colours, and this model would see them in grey.",
        "does": f"Take {PHOTOGRAPHS}, for colour at 64 pixels",
    }


def _called(device: torch.device) -> str:
    return "this machine's processor" if device.type == "cpu" else f"this machine's {device.type.upper()} device"


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:.2g} GB" if size >= 1e8 else "0.1 GB"
