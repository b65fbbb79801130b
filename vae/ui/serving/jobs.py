"""Encoding and decoding one picture for the page, in tiles where it is large. On ZeroGPU these run in another process:
what goes in and out can be pickled."""

import time
from dataclasses import dataclass

import torch
from PIL import Image
from torch import Tensor

from vae import images, inference, latents, tiling
from vae.distributions import DiagonalGaussian
from vae.errors import InputError
from vae.models import AutoEncoder
from vae.ui.serving.tasks import Report

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Size:
    """side: a picture with a longer one, for a model that takes any size, is made smaller. tile: the side of the tiles
    it is computed in; None: tiles only where the memory asks for them, 0: never."""

    side: int = 1024
    tile: int | None = None


@dataclass(frozen=True)
class Encoded:
    """original: the picture as the model sees it; box: the region of the given picture that this is, left, top, right,
    bottom in its pixels, reaching beyond it where there is a border. All tensors are on the CPU."""

    original: Image.Image
    box: Box
    posterior: DiagonalGaussian
    seconds: float
    tile: int  # 0 if it was computed whole


def no_report(what: str, share: float | None) -> None:
    """A report that goes nowhere."""


def encode(model: AutoEncoder, image: Image.Image, size: Size, report: Report) -> Encoded:
    """The posterior of a picture."""
    given = image.size
    if not model.config.fixed_size and max(given) > size.side:
        image = image.copy()
        image.thumbnail((size.side, size.side), Image.Resampling.LANCZOS)
    original = inference.prepare(model, image)
    tile = tile_of(model, original.size, size.tile)
    report("Encoding", 0.0 if tile else None)
    start = time.perf_counter()
    posterior = tiling.encode(
        model,
        images.to_tensor(original),
        tile,
        progress=lambda done, total: report("Encoding", done / total),
    )
    mean = posterior.mean.cpu()
    point = posterior.is_point
    posterior = DiagonalGaussian.point(mean) if point else DiagonalGaussian(mean, posterior.logvar.cpu())
    return Encoded(original, _box(model, given, original.size), posterior, time.perf_counter() - start, tile)


def decode(
    model: AutoEncoder, latent: Tensor, like: Image.Image, tile: int | None, report: Report
) -> tuple[Image.Image, float]:
    """The picture that a latent (1, C, h, w) decodes to, of the size and colours of `like`, and the seconds.

    Raises InputError if this model takes other latents, or paints other pictures.
    """
    size, channels = (like.height, like.width), 1 if like.mode == "L" else 3
    if (model.latent_channels, model.in_channels) != (latent.shape[1], channels):
        raise InputError("The decoder takes different latents, or draws in different colours, than the encoder.")
    tile = tile_of(model, like.size, tile)
    report("Decoding", 0.0 if tile else None)
    start = time.perf_counter()
    x = tiling.decode(model, latent, size, tile, progress=lambda done, total: report("Decoding", done / total))
    x = x.float().cpu()
    seconds = time.perf_counter() - start
    if x.shape[-2:] != size:
        raise InputError("The decoder draws pictures of a different size than the encoder takes.")
    return images.to_image(x[0]), seconds


def paint(model: AutoEncoder, z: Tensor) -> Tensor:
    """uint8 pictures (n, C, H, W) on the CPU that latents (n, C, h, w) decode to."""
    return images.to_uint8(inference.decode(model, z)).cpu()


def encode_shared(model: AutoEncoder, image: Image.Image, size: Size, report: Report) -> tuple[Encoded, Tensor]:
    """Also the posterior's mean, scaled as diffusion models see it: what models of one latent space agree on."""
    found = encode(model, image, size, report)
    return found, latents.scale(model, found.posterior.mean)


def decode_shared(model: AutoEncoder, latent: Tensor, like: Image.Image, tile: int | None, report: Report):
    """As `decode`, of a latent that `encode_shared` scaled."""
    return decode(model, latents.unscale(model, latent), like, tile, report)


def tile_of(model: AutoEncoder, size: tuple[int, int], tile: int | None) -> int:
    """The tiles' side for a picture of that size; 0 if it is computed whole, also where a single tile would do."""
    if tile is None:
        tile = tiling.tile_for(model, size[1], size[0])
    return tile if tile and max(size) > tile else 0


def _box(model: AutoEncoder, given: tuple[int, int], seen: tuple[int, int]) -> Box:
    """Which region of a picture of the size given the model sees as its own picture: see images.fit."""
    (width, height), border = given, model.config.border
    if not model.config.fixed_size or given == seen:
        return 0.0, 0.0, float(width), float(height)
    scale = min(given) / (seen[0] - 2 * border)  # pixels given for each pixel seen
    left, top = (width - min(given)) / 2 - border * scale, (height - min(given)) / 2 - border * scale
    return left, top, left + seen[0] * scale, top + seen[1] * scale


@dataclass(frozen=True)
class Spread:
    """How a model's latents lie around one picture's. std: of the posterior's means about their channels' own mean;
    sigma: the posterior's own standard deviation, on average; alike: the correlation of neighbouring numbers.
    noise: what independent draws with each channel's own mean and std decode to."""

    original: Image.Image
    repainted: Image.Image
    noise: Image.Image
    std: float
    sigma: float
    alike: float


def spread(model: AutoEncoder, image: Image.Image, side: int, seed: int) -> Spread:
    """The statistics of the latent of a picture, made smaller to `side` for a model that takes any size."""
    found = encode(model, image, Size(side), no_report)
    latent = found.posterior.mean
    mean, std = latent.mean((0, 2, 3), keepdim=True), latent.std((0, 2, 3), keepdim=True, correction=0)
    centred = latent - mean
    pairs = [(centred[..., 1:], centred[..., :-1]), (centred[..., 1:, :], centred[..., :-1, :])]
    both = sum((a * b).sum() for a, b in pairs) / sum(0.5 * (a.square() + b.square()).sum() for a, b in pairs)
    noise = mean + std * torch.randn(latent.shape, generator=inference.make_generator(seed))
    return Spread(
        original=found.original,
        repainted=decode(model, latent, found.original, None, no_report)[0],
        noise=decode(model, noise, found.original, None, no_report)[0],
        std=centred.square().mean().sqrt().item(),
        sigma=found.posterior.std.mean().item(),
        alike=both.item(),
    )
