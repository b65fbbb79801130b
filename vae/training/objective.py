"""What a training minimises: the named terms of a batch, and the loss that is their weighted sum."""

import math
import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import reduce

import torch
import torch.nn.functional as F
from torch import Tensor

from vae.distributions import DiagonalGaussian
from vae.equivariance import treated_alike
from vae.errors import InputError
from vae.loss import elbo
from vae.lpips_distance import LPIPS, lpips_distance
from vae.models import AutoEncoder
from vae.perceptual import ImageNetFeatures, imagenet_features
from vae.training.config import TrainConfig
from vae.training.schedule import seeded

VIEWS = (128, 224)  # pixels a side at which the perceptual network is shown the images, one of them an update
ENLARGED = 1.25  # what it is shown is cut out of the images at up to so many times that size

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_./-]{0,63}")
_TAKEN = ("kind", "step", "epoch", "learning_rate", "images_per_second", "seconds", "psnr")

Terms = dict[str, Tensor]


class Objective:
    """(x, x_hat, posterior, step) to {"loss", "reconstruction", "kl", and "perceptual" and "equivariance" where these
    have a weight, and "codebook" where the model has one}: averages over the batch, float32 scalars. step: the update's
    number, or None in validation.

    loss = reconstruction + beta * kl + perceptual weight * n * perceptual + equivariance weight * equivariance. n is
    the number of an image's pixel values where `reconstruction` is a sum over them, and 1 where it is their mean: so
    the weight stands beside the error of one pixel value, whatever the size of the images, as in latent diffusion's
    training (Rombach et al. 2022, arXiv:2112.10752). "equivariance" is measured as `reconstruction` is, in training
    only; see that function. "codebook", in training only too, is added with weight 1: the squared distance between the
    encoder's latents and their codebook entries (see VQModel), a sum over the latent or, with "mean", its mean.

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
        self.network = judge(config.perceptual_network, model.device) if config.perceptual else None
        self.val_terms = ("loss", "reconstruction", "kl", *(["perceptual"] if config.perceptual else []))
        also = {"equivariance": config.equivariance, "codebook": model.codebook_size}
        self.terms = (*self.val_terms, *(name for name, wanted in also.items() if wanted))

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
        if posterior.codebook_loss is not None and step is not None:
            per = posterior.mean[0].numel() if config.reconstruction == "mean" else 1
            terms["codebook"] = posterior.codebook_loss.mean() / per
            terms["loss"] = terms["loss"] + terms["codebook"]
        return terms


def judge(name: str, device: torch.device) -> ImageNetFeatures | LPIPS:
    """The perceptual network of that name, one of config.JUDGES. InputError if it is not to be had."""
    return lpips_distance(device) if name == "lpips" else imagenet_features(device)


def perceptual(network: ImageNetFeatures | LPIPS, x: Tensor, x_hat: Tensor, seed: int, step: int | None) -> Tensor:
    """The network's distance between x and x_hat, (N, C, H, W), averaged over the batch.

    LPIPS sees the images as they are, as in other work. For EfficientNet both are in training first treated alike,
    otherwise at every step: enlarged, cropped and perhaps mirrored. A fixed view would let the decoder serve the grid
    of the network's own strides instead of the eye.
    """
    if isinstance(network, LPIPS):
        return network.distance(x, x_hat).mean()
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
    """x, made smaller and turned by quarters of a circle, and what the model decodes from z treated alike (see
    vae/equivariance.py).

    Every step has a scale from 1/4 to 1 and an angle of its own.
    """
    generator = seeded(seed, 6, step)
    scale = 0.25 + 0.75 * torch.rand((), generator=generator).item()
    turns = int(torch.randint(4, (), generator=generator))
    return treated_alike(model.decode, x, z, scale, turns)


class CustomObjective:
    """A callable of the user's own as an objective: it gives the loss, alone or in a dict of named terms. Of a dict
    without a "loss" this is the terms' sum.

    What metrics always have, "reconstruction" and "kl", is added as the config has it where the dict lacks it.
    """

    def __init__(self, function: Callable, config: TrainConfig, pixel_scale: float):
        self.function, self.config, self.pixel_scale = function, config, pixel_scale
        self.terms: tuple[str, ...] = ()
        self.val_terms: tuple[str, ...] = ()

    def try_out(self, model: AutoEncoder, x: Tensor) -> None:
        """Learn from the first images which terms there are, the same in training and validation.

        Raises InputError for a loss or terms that are none, are not finite, or depend on nothing that learns.
        """
        example = self(x, *model(x), None)
        if not example["loss"].requires_grad:
            frozen = f", and the {self.config.freeze} is frozen" if self.config.freeze else ""
            raise InputError(
                f"The objective's loss depends on no parameter that is trained{frozen}; it must be computed from x_hat "
                "or the posterior, without detaching them."
            )
        check_terms({name: term.item() for name, term in example.items()}, 0)
        self.terms = self.val_terms = tuple(example)

    def __call__(self, x: Tensor, x_hat: Tensor, posterior: DiagonalGaussian, step: int | None) -> Terms:
        given = self.function(x, x_hat, posterior, step)
        given = given if isinstance(given, dict) else {"loss": given}
        terms = {name: self._scalar(name, term, x.device) for name, term in given.items()}
        if not terms:
            raise InputError("An objective must return the loss, a scalar tensor, or a dict of named terms, not {}.")
        if "loss" not in terms:
            terms["loss"] = reduce(torch.add, terms.values())
        with torch.no_grad():
            bound = elbo(x, x_hat, posterior, self.config.reconstruction, self.config.beta, self.pixel_scale)
        terms = {"loss": terms["loss"], "reconstruction": bound.reconstruction, "kl": bound.kl} | terms
        if self.terms and set(terms) != set(self.terms):
            raise InputError(
                f"The objective's terms were {', '.join(self.terms)}, and are {', '.join(terms)} now; they must be the "
                "same at every call, in validation too, where step is None."
            )
        return terms

    def _scalar(self, name: object, term: object, device: torch.device) -> Tensor:
        if not isinstance(name, str) or not _NAME.fullmatch(name) or name in _TAKEN or name.startswith("val_"):
            raise InputError(
                "An objective's terms are named by letters, digits and _ . / -, and not as what else stands in a line "
                f"of the metrics ({', '.join(_TAKEN)}, val_…): {repr(name)[:80]} is none."
            )
        if isinstance(term, int | float) and name != "loss":
            term = torch.tensor(float(term), device=device)
        if not isinstance(term, Tensor) or term.ndim:
            shown = f"shape {list(term.shape)}" if isinstance(term, Tensor) else type(term).__name__
            raise InputError(
                f"An objective must return the loss, a scalar tensor, or a dict of such by name; {name} is of {shown}."
            )
        return term


def check_terms(terms: dict, step: int) -> None:
    """Raises InputError if a term is not finite, by name. terms: numbers; others are passed over."""
    for name, term in terms.items():
        if isinstance(term, float) and not math.isfinite(term):
            when = f"at step {step}" if step else "on the first images, before anything is learned"
            raise InputError(f"The objective's {name} is {term} {when}.")
