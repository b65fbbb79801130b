"""What a training minimises: the named terms of a batch, and the loss that is their weighted sum."""

from collections.abc import Callable
from contextlib import AbstractContextManager

import torch
import torch.nn.functional as F
from torch import Tensor

from vae.distributions import DiagonalGaussian
from vae.errors import InputError
from vae.loss import elbo
from vae.models import AutoEncoder
from vae.perceptual import ImageNetFeatures, imagenet_features
from vae.training.config import TrainConfig
from vae.training.schedule import seeded

VIEWS = (128, 224)  # pixels a side at which the perceptual network is shown the images, one of them an update
ENLARGED = 1.25  # what it is shown is cut out of the images at up to so many times that size

Terms = dict[str, Tensor]


class Objective:
    """(x, x_hat, posterior, step) to {"loss", "reconstruction", "kl", and "perceptual" and "equivariance" where these
    have a weight}: averages over the batch, float32 scalars. step: the update's number, or None in validation.

    loss = reconstruction + beta * kl + perceptual weight * n * perceptual + equivariance weight * equivariance. n is
    the number of an image's pixel values where `reconstruction` is a sum over them, and 1 where it is their mean: so
    the weight stands beside the error of one pixel value, whatever the size of the images, as in latent diffusion's
    training (Rombach et al. 2022, arXiv:2112.10752). "equivariance" is measured as `reconstruction` is, in training
    only; see that function.

    model: whose decode and pixel_scale are used. autocast: gives the context that networks compute in. average: see
    vae.loss.elbo. Raises InputError if there is a perceptual weight and no network for it.
    """

    def __init__(
        self,
        config: TrainConfig,
        model: AutoEncoder,
        autocast: Callable[[], AbstractContextManager],
        average: Callable[[Tensor], Tensor] | None = None,
    ):
        self.config, self.model, self.autocast, self.average = config, model, autocast, average
        self.network = imagenet_features(model.device) if config.perceptual else None
        self.val_terms = ("loss", "reconstruction", "kl", *(["perceptual"] if config.perceptual else []))
        self.terms = (*self.val_terms, *(["equivariance"] if config.equivariance else []))

    def __call__(self, x: Tensor, x_hat: Tensor, posterior: DiagonalGaussian, step: int | None) -> Terms:
        config = self.config
        average = self.average if step is not None else None  # each process validates images of its own
        pixel_scale = self.model.pixel_scale
        bound = elbo(x, x_hat, posterior, config.reconstruction, config.beta, pixel_scale, average)
        terms, pixels = bound._asdict(), 1 if config.reconstruction == "mean" else x[0].numel()
        if self.network is not None:
            with self.autocast():
                terms["perceptual"] = perceptual(self.network, x, x_hat, config.seed, step)
            terms["loss"] = terms["loss"] + config.perceptual * pixels * terms["perceptual"]
        if config.equivariance and step is not None:
            with self.autocast():
                y, y_hat = equivariance(self.model, x, posterior.mode(), config.seed, step)
            error = elbo(y, y_hat, posterior, config.reconstruction, 0.0, pixel_scale, average).reconstruction
            terms["equivariance"] = error * (1 if config.reconstruction == "mean" else pixels / y[0].numel())
            terms["loss"] = terms["loss"] + config.equivariance * terms["equivariance"]
        return terms


def perceptual(network: ImageNetFeatures, x: Tensor, x_hat: Tensor, seed: int, step: int | None) -> Tensor:
    """The network's distance between x and x_hat, (N, C, H, W), averaged over the batch.

    In training both are first treated alike, otherwise at every step: enlarged, cropped and perhaps mirrored. A fixed
    view would let the decoder serve the grid of the network's own strides instead of the eye.
    """
    if step is None:
        return network.distance(x, x_hat, VIEWS[0]).mean()
    generator = seeded(seed, 5, step)
    size = VIEWS[int(torch.randint(len(VIEWS), (), generator=generator))]
    zoom, top, left, mirror = torch.rand(4, generator=generator).tolist()
    largest = max(round(ENLARGED * size), x.shape[-1])  # large images are seen whole, or a part of them closely
    side = size + round(zoom * (largest - size))
    top, left = round(top * (side - size)), round(left * (side - size))

    def view(images: Tensor) -> Tensor:
        images = F.interpolate(images.float(), (side, side), mode="bicubic", antialias=True, align_corners=False)
        images = images[..., top : top + size, left : left + size]
        return images.flip(-1) if mirror < 0.5 else images

    return network.distance(view(x), view(x_hat), size).mean()


def equivariance(model: AutoEncoder, x: Tensor, z: Tensor, seed: int, step: int) -> tuple[Tensor, Tensor]:
    """x, made smaller and turned by quarters of a circle, and what the model decodes from z treated alike (EQ-VAE,
    Kouzelis et al. 2025, arXiv:2502.09509). Latents that bear this vary as images do, which diffusion learns better.

    Every step has a scale from 1/4 to 1 and an angle of its own.
    """
    generator = seeded(seed, 6, step)
    scale = 0.25 + 0.75 * torch.rand((), generator=generator).item()
    turns = int(torch.randint(4, (), generator=generator))
    height, width = (max(1, round(scale * side)) for side in z.shape[-2:])
    small = F.interpolate(z, (height, width), mode="bilinear", antialias=True, align_corners=False)
    x_hat = model.decode(torch.rot90(small, turns, (2, 3)))
    x = torch.rot90(x, turns, (2, 3))
    return F.interpolate(x, x_hat.shape[-2:], mode="bilinear", antialias=True, align_corners=False), x_hat


class CustomObjective:
    """A callable of the user's own as an objective: it gives the loss, alone or in a dict of named terms.

    What metrics always have, "reconstruction" and "kl", is added as the config has it where the dict lacks it.
    """

    def __init__(self, function: Callable, config: TrainConfig, pixel_scale: float):
        self.function, self.config, self.pixel_scale = function, config, pixel_scale
        self.terms: tuple[str, ...] = ()

    def name_terms(self, example: Terms) -> None:
        """Learn from what one call gave which terms there are: the same in training and validation."""
        self.terms = self.val_terms = tuple(example)

    def __call__(self, x: Tensor, x_hat: Tensor, posterior: DiagonalGaussian, step: int | None) -> Terms:
        terms = self.function(x, x_hat, posterior, step)
        terms = terms if isinstance(terms, dict) else {"loss": terms}
        if not isinstance(terms.get("loss"), Tensor) or terms["loss"].ndim:
            raise InputError('An objective must return the loss, a scalar tensor, or a dict with it as "loss".')
        with torch.no_grad():
            bound = elbo(x, x_hat, posterior, self.config.reconstruction, self.config.beta, self.pixel_scale)
        return {"loss": terms["loss"], "reconstruction": bound.reconstruction, "kl": bound.kl} | terms
