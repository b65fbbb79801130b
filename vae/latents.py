"""Working with latents: the scaling diffusion models expect, and the ways from one latent to another."""

import torch
from torch import Tensor

from vae.errors import InputError
from vae.models.base import AutoEncoder

MODES = ("slerp", "lerp")
MAX_STEPS = 1000


def scale(model: AutoEncoder, z: Tensor) -> Tensor:
    """What a diffusion model is trained on: (z - shift_factor) * scaling_factor, for the latents of `model`.

    Where the config has latents_mean and latents_std they are used, channel by channel, as diffusers does.
    """
    mean, std = _channel_statistics(model, z)
    if mean is not None:
        return (z - mean) * model.config.scaling_factor / std
    return (z - model.config.shift_factor) * model.config.scaling_factor


def unscale(model: AutoEncoder, z: Tensor) -> Tensor:
    """The inverse of `scale`: from a diffusion model's latents to what `model.decode` takes."""
    mean, std = _channel_statistics(model, z)
    if mean is not None:
        return z * std / model.config.scaling_factor + mean
    return z / model.config.scaling_factor + model.config.shift_factor


def _channel_statistics(model: AutoEncoder, z: Tensor) -> tuple[Tensor | None, Tensor | None]:
    mean, std = getattr(model.config, "latents_mean", None), getattr(model.config, "latents_std", None)
    if mean is None or std is None:
        return None, None
    return z.new_tensor(mean).view(1, -1, 1, 1), z.new_tensor(std).view(1, -1, 1, 1)


def interpolate(a: Tensor, b: Tensor, steps: int, mode: str = "slerp") -> Tensor:
    """`steps` latents on the way from a to b, both ends included and exact.

    a, b: latents of one shape, (C, h, w) or (1, C, h, w). Returns (steps, C, h, w). "lerp" is the straight line.
    "slerp" (Shoemake 1985) goes along the great circle, its length changing evenly from |a| to |b|: halfway between
    two draws from N(0, I) a straight line passes nearer the origin than any draw ever comes, the circle does not.
    Raises InputError for fewer than 2 or more than MAX_STEPS steps, an unknown mode, or shapes that differ.
    """
    a, b = (z[0] if z.dim() == 4 and z.shape[0] == 1 else z for z in (a, b))
    if a.shape != b.shape or a.dim() != 3:
        raise InputError(f"Two latents of one shape are needed, not {list(a.shape)} and {list(b.shape)}.")
    if not 2 <= steps <= MAX_STEPS:
        raise InputError(f"An interpolation takes 2 to {MAX_STEPS} steps, not {steps}.")
    if mode not in MODES:
        raise InputError(f"The interpolation mode must be one of {', '.join(MODES)}, not {mode!r}.")
    t = torch.linspace(0.0, 1.0, steps, device=a.device, dtype=torch.float32).view(-1, 1, 1, 1)
    path = _slerp(a.float(), b.float(), t) if mode == "slerp" else (1.0 - t) * a.float() + t * b.float()
    path = path.to(a.dtype)
    path[0], path[-1] = a, b
    return path


def _slerp(a: Tensor, b: Tensor, t: Tensor) -> Tensor:
    length_a, length_b = a.norm(), b.norm()
    cosine = (a * b).sum() / (length_a * length_b).clamp_min(1e-12)
    angle = torch.acos(cosine.clamp(-1.0, 1.0))
    # Zero, parallel or opposite: the circle is not defined, the line is.
    if torch.sin(angle) < 1e-4 or min(length_a, length_b) == 0:
        return (1.0 - t) * a + t * b
    direction = (torch.sin((1.0 - t) * angle) * a / length_a + torch.sin(t * angle) * b / length_b) / torch.sin(angle)
    return direction * ((1.0 - t) * length_a + t * length_b)
