"""How a model's latents lie around one image's: what tells an auto-encoder that can't generate on its own."""

from dataclasses import dataclass

import torch
from PIL import Image

from vae.images import to_image
from vae.inference import make_generator, reconstruct
from vae.models import AutoEncoder
from vae.tiling import decode


@dataclass(frozen=True)
class Spread:
    """std: of the posterior's means about their channels' own mean; sigma: the posterior's own standard deviation, on
    average; correlation: of neighbouring numbers. noise: what independent draws with each channel's own mean and std
    decode to."""

    original: Image.Image
    reconstruction: Image.Image
    noise: Image.Image
    std: float
    sigma: float
    correlation: float


def spread(model: AutoEncoder, image: Image.Image, side: int, seed: int) -> Spread:
    """The statistics of the latent of an image, made smaller to `side` for a model that takes any size."""
    found = reconstruct(model, image, max_side=side)
    latent = found.latent
    mean, std = latent.mean((0, 2, 3), keepdim=True), latent.std((0, 2, 3), keepdim=True, correction=0)
    centred = latent - mean
    pairs = [(centred[..., 1:], centred[..., :-1]), (centred[..., 1:, :], centred[..., :-1, :])]
    both = sum((a * b).sum() for a, b in pairs) / sum(0.5 * (a.square() + b.square()).sum() for a, b in pairs)
    noise = mean + std * torch.randn(latent.shape, generator=make_generator(seed))
    size = found.original.height, found.original.width
    return Spread(
        original=found.original,
        reconstruction=found.image,
        noise=to_image(decode(model, noise, size)[0].float()),
        std=centred.square().mean().sqrt().item(),
        sigma=found.posterior.std.mean().item(),
        correlation=both.item(),
    )
