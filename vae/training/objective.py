"""What a training minimises: the named terms of a batch, and the loss that is their weighted sum."""

from collections.abc import Callable
from contextlib import AbstractContextManager

import torch
import torch.nn.functional as F
from torch import Tensor

from vae.distributions import DiagonalGaussian
from vae.errors import InputError
from vae.loss import elbo
from vae.perceptual import ImageNetFeatures, imagenet_features
from vae.training.config import TrainConfig
from vae.training.schedule import seeded

VIEWS = (128, 224)  # pixels a side at which the perceptual network is shown the images, one of them an update
ENLARGED = 1.25  # what it is shown is cut out of the images at up to so many times that size

Terms = dict[str, Tensor]


class Objective:
    """(x, x_hat, posterior, step) to {"loss", "reconstruction", "kl", and "perceptual" where that has a weight}:
    averages over the batch, float32 scalars.

    loss = reconstruction + beta * kl + perceptual weight * n * perceptual. n is the number of an image's pixel values
    where `reconstruction` is a sum over them, and 1 where it is their mean: so the weight stands beside the error of
    one pixel value, whatever the size of the images, as in latent diffusion's training (Rombach et al. 2022,
    arXiv:2112.10752).

    step: the update's number, or None where the model is only validated. autocast: gives the context the perceptual
    network computes in. average: see vae.loss.elbo. Raises InputError if there is a perceptual weight and no network.
    """

    def __init__(
        self,
        config: TrainConfig,
        pixel_scale: float,
        device: torch.device,
        autocast: Callable[[], AbstractContextManager],
        average: Callable[[Tensor], Tensor] | None = None,
    ):
        self.config, self.pixel_scale, self.autocast, self.average = config, pixel_scale, autocast, average
        self.network = imagenet_features(device) if config.perceptual else None
        self.terms = ("loss", "reconstruction", "kl", *(["perceptual"] if config.perceptual else []))

    def __call__(self, x: Tensor, x_hat: Tensor, posterior: DiagonalGaussian, step: int | None) -> Terms:
        config = self.config
        average = self.average if step is not None else None  # each process validates images of its own
        bound = elbo(x, x_hat, posterior, config.reconstruction, config.beta, self.pixel_scale, average)
        terms = bound._asdict()
        if self.network is not None:
            with self.autocast():
                terms["perceptual"] = perceptual(self.network, x, x_hat, config.seed, step)
            pixels = 1 if config.reconstruction == "mean" else x[0].numel()
            terms["loss"] = terms["loss"] + config.perceptual * pixels * terms["perceptual"]
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


class CustomObjective:
    """A callable of the user's own as an objective: it gives the loss, alone or in a dict of named terms.

    What metrics always have, "reconstruction" and "kl", is added as the config has it where the dict lacks it.
    """

    def __init__(self, function: Callable, config: TrainConfig, pixel_scale: float):
        self.function, self.config, self.pixel_scale = function, config, pixel_scale

    def __call__(self, x: Tensor, x_hat: Tensor, posterior: DiagonalGaussian, step: int | None) -> Terms:
        terms = self.function(x, x_hat, posterior, step)
        terms = terms if isinstance(terms, dict) else {"loss": terms}
        if not isinstance(terms.get("loss"), Tensor) or terms["loss"].ndim:
            raise InputError('An objective must return the loss, a scalar tensor, or a dict with it as "loss".')
        with torch.no_grad():
            bound = elbo(x, x_hat, posterior, self.config.reconstruction, self.config.beta, self.pixel_scale)
        return {"loss": terms["loss"], "reconstruction": bound.reconstruction, "kl": bound.kl} | terms
