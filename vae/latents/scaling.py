"""The scaling that a diffusion model expects of latents."""

import math
from collections.abc import Iterable

import torch
from torch import Tensor

from vae.checks import as_latents
from vae.errors import InputError
from vae.models.base import AutoEncoder


def scale(model: AutoEncoder, z: Tensor) -> Tensor:
    """What a diffusion model is trained on: (z - shift_factor) * scaling_factor, for the latents of `model`.

    Where the config has latents_mean and latents_std they are used, channel by channel, as diffusers does. Raises
    InputError for what are no latents (N, C, h, w) of this model, and where its scaling factor is not known.
    """
    z = as_latents(z, model.latent_channels, look=False)
    mean, std = _channel_statistics(model, z)
    if mean is not None:
        return (z - mean) * factor_of(model) / std
    return (z - model.config.shift_factor) * factor_of(model)


def unscale(model: AutoEncoder, z: Tensor) -> Tensor:
    """The inverse of `scale`: from a diffusion model's latents to what `model.decode` takes."""
    z = as_latents(z, model.latent_channels, look=False)
    mean, std = _channel_statistics(model, z)
    if mean is not None:
        return z * std / factor_of(model) + mean
    return z / factor_of(model) + model.config.shift_factor


@torch.no_grad()
def measured(model: AutoEncoder, batches: Iterable[Tensor]) -> dict:
    """The fields of the model's config with which `scale` gives the latents of all `batches` together, each
    (N, C, H, W) in [-1, 1], a standard deviation of 1: over all channels, or where the config has latents_mean and
    latents_std, channel by channel. A shift_factor, where it has one, becomes the latents' mean.

    Latents are samples of the posterior here, whose variance is that of its mean and its own together. In float32.
    """
    # Of each channel: how many numbers, their mean, their squared distances from it (Chan et al. 1979), variances.
    count, mean, squares, variance = 0, *torch.zeros(3, model.latent_channels, dtype=torch.float64)
    for x in batches:
        with torch.autocast(x.device.type, enabled=False):
            posterior = model.encode(x.float())
        z, own = (each.transpose(0, 1).flatten(1).cpu().double() for each in (posterior.mean, posterior.var))
        new = z.shape[1]
        off, count = z.mean(1) - mean, count + new
        squares += (z - z.mean(1, keepdim=True)).square().sum(1) + off.square() * new * (count - new) / count
        mean, variance = mean + off * new / count, variance + own.sum(1)
    if getattr(model.config, "latents_std", None) is not None:
        std = ((squares + variance) / count).sqrt().clamp_min(1e-5)
        return {"latents_mean": tuple(mean.tolist()), "latents_std": tuple(std.tolist())}
    centre = mean.mean()
    std = ((squares + variance) / count + (mean - centre).square()).mean().sqrt().item()
    return {
        "scaling_factor": float(f"{1.0 / std:.7g}") if 1e-5 < std < math.inf else 1.0,
        "shift_factor": float(f"{centre.item():.7g}") if model.config.shift_factor else 0.0,
    }


def factor_of(model: AutoEncoder) -> float:
    """The config's scaling_factor. Raises InputError where it is not known."""
    if model.config.scaling_factor is None:
        raise InputError(
            "The scaling factor of this model's latents is not known, as its file does not say whose they are; "
            "put a config.json with the scaling_factor beside it."
        )
    return model.config.scaling_factor


def _channel_statistics(model: AutoEncoder, z: Tensor) -> tuple[Tensor | None, Tensor | None]:
    mean, std = getattr(model.config, "latents_mean", None), getattr(model.config, "latents_std", None)
    if mean is None or std is None:
        return None, None
    return z.new_tensor(mean).view(1, -1, 1, 1), z.new_tensor(std).view(1, -1, 1, 1)
