"""A small model at a glance: where images lie in its latent space, how it redraws some, and what it draws of noise."""

from torch import Tensor
from torch.nn import functional

from vae import images
from vae.inference import generate
from vae.metrics import psnr
from vae.models import AutoEncoder


def overview(model: AutoEncoder, points: Tensor, digits: Tensor, n: int, seed: int) -> dict:
    """A small model at a glance. points, digits: uint8 images (N, C, H, W) without the model's border.

    {means: (N, D) latent means of the points, kl: their KL on average, in nats, originals: uint8, the digits as the
    model sees them, reconstructions: uint8, of these through the posterior's mean, psnr: in dB, on average, samples: n
    of them, uint8, from N(0, I)}.
    """
    posterior = model.encode(_framed(model, points))
    seen = _framed(model, digits)
    rebuilt = model.decode(model.encode(seen).mode())
    return {
        "means": posterior.mean.flatten(1).cpu(),
        "kl": posterior.kl().mean().item(),
        "originals": images.to_uint8(seen).cpu(),
        "reconstructions": images.to_uint8(rebuilt).cpu(),
        "psnr": psnr(seen, rebuilt).mean().item(),
        "samples": generate(model, n, seed).pixels,
    }


def _framed(model: AutoEncoder, pixels: Tensor) -> Tensor:
    framed = functional.pad(images.to_float(pixels), [model.config.border] * 4, value=-1.0)
    return framed.to(model.device)
