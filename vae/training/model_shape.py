"""From the settings of a training to the config of its network: size, channels, widths, depth."""

import math
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

from vae.errors import InputError
from vae.models import ConvConfig, ModelConfig
from vae.models.autoencoder_kl import KLConfig

if TYPE_CHECKING:
    from vae.training.config import TrainConfig

NETWORK = ("in_channels", "latent_channels", "widths", "layers", "downscale")  # what makes it another network
MAX_LEVELS, MAX_WIDTH = 8, 8192
HALVED = 2**13  # a size that any number of levels can halve


def shaped(model: ModelConfig, settings: "TrainConfig") -> ModelConfig:
    """`model` with what the settings change of it; shaped once more it stays as it is.

    There are as many levels as widths. A `downscale` alone takes the last levels away or repeats the last width. Group
    norm has as many groups as before, or as divide all widths. Another size takes away the border that a preset has.

    Raises InputError for a size that is no multiple of what the network reduces an image by, for what its family does
    not have, and, with `init`, for what would make it another network.
    """
    given = {name: getattr(settings, name) for name in NETWORK if getattr(settings, name) is not None}
    if given and settings.init:
        raise InputError(f"With init the network is that model's; leave out {', '.join(given)}.")
    size = model.sample_size if settings.size is None else settings.size
    border = model.border if size == model.sample_size else 0
    if given:
        model = replace(model, sample_size=HALVED, **_changes(model, given))
    if size == model.sample_size:
        return model
    if size % model.downscale:
        below = size // model.downscale * model.downscale
        near = f"{below} or {below + model.downscale}" if below else f"{model.downscale}"
        raise InputError(
            f"size {size} is not a multiple of {model.downscale}, which is what this network reduces an image by; "
            f"give {near}."
        )
    return replace(model, sample_size=size, border=border)


def widths_text(widths: Any) -> Any:
    """Widths as the text that the setting takes, where they are given as numbers."""
    return ",".join(map(str, widths)) if isinstance(widths, list | tuple) else widths


def _changes(model: ModelConfig, given: dict) -> dict:
    """The fields of the family's own config."""
    if isinstance(model, ConvConfig):
        return _conv(model, **given)
    if isinstance(model, KLConfig):
        return _kl(model, **given)
    known = {field.name for field in fields(model)}
    for name in given:
        if name not in known or name not in ("in_channels", "latent_channels"):
            raise InputError(f"A network of this family has no {name} to set.")
    both = "in_channels" in given and "out_channels" in known
    return given | ({"out_channels": given["in_channels"]} if both else {})


def _conv(
    model: ConvConfig,
    in_channels: int | None = None,
    latent_channels: int | None = None,
    widths: str | None = None,
    layers: int | None = None,
    downscale: int | None = None,
) -> dict:
    if layers is not None:
        raise InputError("The convolutional VAE's levels have two convolutions each; layers is for the sd presets.")
    first, *levels, last = model.features
    levels = _levels(levels, widths, downscale, extra=0)
    return {"features": (in_channels or first, *levels, latent_channels or last)}


def _kl(
    model: KLConfig,
    in_channels: int | None = None,
    latent_channels: int | None = None,
    widths: str | None = None,
    layers: int | None = None,
    downscale: int | None = None,
) -> dict:
    levels = _levels(list(model.block_out_channels), widths, downscale, extra=1)
    changes: dict[str, Any] = {
        "block_out_channels": tuple(levels),
        "norm_num_groups": math.gcd(model.norm_num_groups, *levels),
    }
    if layers is not None or len(levels) != len(model.block_out_channels):
        changes |= {
            "layers_per_block": layers or model.layers_per_block,
            "encoder_layers": None,
            "decoder_layers": None,
        }
    if len(levels) != len(model.block_out_channels):
        changes |= {"encoder_attention": None, "decoder_attention": None}
    if in_channels is not None:
        changes |= {"in_channels": in_channels, "out_channels": in_channels}
    if latent_channels is not None and latent_channels != model.latent_channels:
        changes |= {"latent_channels": latent_channels, "z_channels": None, "latents_mean": None, "latents_std": None}
    return changes


def _levels(levels: list[int], widths: str | None, downscale: int | None, extra: int) -> list[int]:
    """The width of each level. extra: how many levels there are that do not halve the image."""
    if widths is not None:
        levels = _numbers(widths)
    if downscale is None:
        return levels
    halvings = downscale.bit_length() - 1
    if downscale != 2**halvings:
        raise InputError(f"downscale must be a power of 2, such as 4, 8 or 16, not {downscale}.")
    count = halvings + extra
    if not count:
        raise InputError("This network halves an image at least once; downscale must be 2 or more.")
    if widths is not None and len(levels) != count:
        raise InputError(f"widths {widths} reduce an image by {2 ** (len(levels) - extra)}, not by {downscale}.")
    return (levels + levels[-1:] * count)[:count]


def _numbers(widths: str) -> list[int]:
    try:
        found = [int(word) for word in widths.split(",")]
    except ValueError:
        found = []
    if not 1 <= len(found) <= MAX_LEVELS or not all(1 <= width <= MAX_WIDTH for width in found):
        raise InputError(
            f"widths must be 1 to {MAX_LEVELS} whole numbers from 1 to {MAX_WIDTH}, such as 32,64,128, "
            f"not {widths[:80]!r}."
        )
    return found
