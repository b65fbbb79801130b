"""diffusers' auto-encoders of every family at small widths, each behind the same three functions."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from peers import WIDTHS, randomise
from torch import Tensor, nn


@dataclass(frozen=True)
class Peer:
    """make: the network with random weights. edit: what its config.json says beside what diffusers writes.
    lone: whether its tensors alone tell the network."""

    make: Callable[[], nn.Module]
    edit: dict | None = None
    lone: bool = True


def _kl(down: str, up: str, **fields) -> nn.Module:
    """down, up: a letter for each level, A where it has attention."""
    from diffusers import AutoencoderKL

    kinds = {"A": "Attn", "-": ""}
    fields = {"block_out_channels": WIDTHS, "layers_per_block": 1} | fields
    return AutoencoderKL(
        down_block_types=[f"{kinds[letter]}DownEncoderBlock2D" for letter in down],
        up_block_types=[f"{kinds[letter]}UpDecoderBlock2D" for letter in up],
        **fields,
    )


def reflecting(model: nn.Module) -> nn.Module:
    for module in model.modules():
        if isinstance(module, nn.Conv2d) and module.padding not in (0, (0, 0)):
            module.padding_mode = "reflect"
    return model


PEERS = {
    "attention in levels": Peer(lambda: _kl("--A", "A--", layers_per_block=2, latent_channels=6)),
    "attention in some levels": Peer(lambda: _kl("A-A", "--A", mid_block_add_attention=False)),
    "reflect": Peer(lambda: reflecting(_kl("---", "---")), {"padding_mode": "reflect"}, lone=False),
}


def peer(name: str) -> nn.Module:
    return randomise(PEERS[name].make())


@torch.no_grad()
def encode(model: nn.Module, x: Tensor) -> tuple[Tensor, Tensor | None]:
    """Mean and logvar of images (N, C, H, W), None where the posterior is a point."""
    posterior = model.encode(x).latent_dist
    return posterior.mean, posterior.logvar


@torch.no_grad()
def decode(model: nn.Module, z: Tensor) -> Tensor:
    return model.decode(z).sample
