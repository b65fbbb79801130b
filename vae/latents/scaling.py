"""The scaling that a diffusion model expects of latents."""

import math

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
def measured(model: AutoEncoder, x: Tensor) -> dict:
    """The fields of the model's config with which `scale` gives the latents of x, (N, C, H, W) in [-1, 1], a standard
    deviation of 1: over all channels, or where the config has latents_mean and latents_std, channel by channel."""
    posterior = model.encode(x)
    mean, variance = posterior.mean, posterior.var
    if getattr(model.config, "latents_std", None) is not None:
        channels, each = mean.transpose(0, 1).flatten(1), variance.transpose(0, 1).flatten(1)
        std = (channels.var(1) + each.mean(1)).sqrt().clamp_min(1e-5)
        return {"latents_mean": tuple(channels.mean(1).tolist()), "latents_std": tuple(std.tolist())}
    std = (mean.var() + variance.mean()).sqrt().item()
    factor = 1.0 / std if 1e-5 < std < math.inf else 1.0
    return {
        "scaling_factor": round(factor, 5) or factor,
        "shift_factor": 0.0,
    }  # never 0, which nothing can be scaled by


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
