"""A trained model at work: reconstruct a picture, sample new ones."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from PIL import Image
from torch import Tensor

from vae import images
from vae.distributions import DiagonalGaussian
from vae.errors import InputError
from vae.latents import priors
from vae.metrics import psnr, ssim
from vae.models.base import AutoEncoder

MAX_SAMPLES = 4096
MAX_SEED = 2**63 - 1


@dataclass(frozen=True)
class Reconstruction:
    """What `reconstruct` found. psnr is in dB, compression in pixel values for each latent value."""

    image: Image.Image
    original: Image.Image  # as the model saw it: fitted to its size and channels
    latent: Tensor  # (1, C, h, w), on the CPU
    posterior: DiagonalGaussian
    psnr: float
    ssim: float
    latent_shape: tuple[int, int, int]
    compression: float
    seconds: float
    seed: int | None  # of the posterior sample; None if the posterior's mean was decoded


def make_generator(seed: int) -> torch.Generator:
    """A CPU generator, whatever the model's device, so that a seed means the same picture everywhere.

    Raises InputError for a seed that is no whole number from 0 to 2**63 - 1.
    """
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed <= MAX_SEED:
        raise InputError(f"A seed is a whole number from 0 to {MAX_SEED}, not {seed!r}.")
    return torch.Generator().manual_seed(seed)


def draw_seed() -> int:
    """A fresh seed, short enough to be read aloud."""
    return int(torch.randint(0, 1_000_000, (), generator=torch.Generator().manual_seed(time.time_ns() % MAX_SEED)))


def prepare(model: AutoEncoder, image: Image.Image) -> Image.Image:
    """The picture as the model is to see it: grey or RGB, and of the model's size where that is fixed."""
    config = model.config
    if config.fixed_size:
        return images.fit(image, config.sample_size, model.in_channels, border=config.border)
    return images.flatten(image).convert("L" if model.in_channels == 1 else "RGB")


@torch.inference_mode()
def reconstruct(
    model: AutoEncoder, image: Image.Image, sample: bool = False, seed: int | None = None
) -> Reconstruction:
    """Encode a picture and decode it again, through the posterior's mean or, if `sample`, through one sample of it.

    image: any PIL picture; it is fitted to the model first (`Reconstruction.original` shows how). seed: of the sample;
    drawn and handed back if left out. The figures compare the two pictures as shown, in 8 bits.
    """
    original = prepare(model, image)
    x = images.to_tensor(original).to(model.device)
    if sample and seed is None:
        seed = draw_seed()
    generator = make_generator(seed) if sample else None
    start = time.perf_counter()
    posterior = encode(model, x)
    z = posterior.sample(generator) if sample else posterior.mode()
    x_hat = decode(model, z, x.shape[-2:]).float().cpu()
    seconds = time.perf_counter() - start
    rebuilt = images.to_image(x_hat[0])
    shown, before = images.to_tensor(rebuilt), x.cpu()
    return Reconstruction(
        image=rebuilt,
        original=original,
        latent=z.float().cpu(),
        posterior=posterior,
        psnr=psnr(before, shown).item(),
        ssim=ssim(before, shown).item(),
        latent_shape=tuple(z.shape[1:]),
        compression=x.numel() / z.numel(),
        seconds=seconds,
        seed=seed if sample else None,
    )


@torch.inference_mode()
def latent_of(model: AutoEncoder, end: Image.Image | int, prior: str = "normal") -> Tensor:
    """One end of an interpolation, a latent (C, h, w) on the CPU: the posterior's mean of a picture, fitted to the
    model's sample_size so that any two ends agree in shape, or the draw from `prior` that belongs to a seed."""
    if not isinstance(end, Image.Image):
        return sample_latents(model, 1, end, prior=prior)[0]
    config = model.config
    x = images.to_tensor(images.fit(end, config.sample_size, model.in_channels, border=config.border))
    return encode(model, x.to(model.device)).mode()[0].float().cpu()


@torch.inference_mode()
def decode_path(
    model: AutoEncoder, path: Tensor, batch_size: int = 16, on_progress: Callable[[int], None] | None = None
) -> list[Image.Image]:
    """The pictures of latents (steps, C, h, w), in order. on_progress is called with the number done so far."""
    frames = []
    for part in path.split(batch_size):
        frames += [images.to_image(x) for x in decode(model, part).float().cpu()]
        if on_progress:
            on_progress(len(frames))
    return frames


def encode(model: AutoEncoder, x: Tensor) -> DiagonalGaussian:
    """The posterior of (N, C, H, W) pictures; sides that are no multiples of the model's factor are padded by
    reflection (or, where the picture is smaller than the padding, by repeating its edge)."""
    factor = model.downscale
    bottom, right = -x.shape[-2] % factor, -x.shape[-1] % factor
    if bottom or right:
        mode = "reflect" if bottom < x.shape[-2] and right < x.shape[-1] else "replicate"
        x = torch.nn.functional.pad(x, (0, right, 0, bottom), mode=mode)
    return model.encode(x)


def decode(model: AutoEncoder, z: Tensor, size: tuple[int, int] | None = None) -> Tensor:
    """Pictures (N, C, H, W) clamped to [-1, 1]; cropped to `size` = (height, width), which undoes encode's padding."""
    x = model.decode(z.to(model.device)).clamp(-1.0, 1.0)
    return x if size is None else x[..., : size[0], : size[1]]


def sample_latents(
    model: AutoEncoder,
    n: int,
    seed: int = 0,
    temperature: float = 1.0,
    prior: str = "normal",
    size: int | None = None,
) -> Tensor:
    """n latents (n, C, h, w) from one of `model.priors`, on the CPU. The first k of n are the same for every n >= k.

    temperature scales the standard deviation: 1 is the prior itself, below 1 is nearer its centre. size: the side in
    pixels of the pictures that they are latents of, where it is not the config's sample_size.
    Raises InputError for n outside 1 to MAX_SAMPLES, a temperature outside 0 to 10, a prior the model lacks, or a size
    that a fitted prior was not fitted at.
    """
    if isinstance(n, bool) or not isinstance(n, int) or not 1 <= n <= MAX_SAMPLES:
        raise InputError(f"The number of samples must be from 1 to {MAX_SAMPLES}, not {n}.")
    if not 0.0 <= temperature <= 10.0:
        raise InputError(f"The temperature must be from 0 to 10, not {temperature}.")
    fitted = None if prior == "normal" else priors.of(model, prior)
    noise = torch.randn((n, *model.latent_shape(size, size)), generator=make_generator(seed))
    return noise * temperature if fitted is None else fitted(noise, temperature)


@torch.inference_mode()
def sample(
    model: AutoEncoder,
    n: int,
    seed: int = 0,
    temperature: float = 1.0,
    prior: str = "normal",
    batch_size: int = 64,
) -> Tensor:
    """n new pictures, (n, C, H, W) in [-1, 1] on the CPU: latents from the prior (see sample_latents), decoded.

    batch_size bounds the memory and does not change the pictures.
    """
    z = sample_latents(model, n, seed, temperature, prior)
    return torch.cat([decode(model, part).float().cpu() for part in z.split(max(1, batch_size))])
