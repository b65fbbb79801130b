"""The objective: reconstruction + beta * KL, the negative of the evidence lower bound (ELBO)."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from vae.errors import InputError

if TYPE_CHECKING:  # --help lists RECONSTRUCTIONS, and does not wait for torch
    from torch import Tensor

    from vae.distributions import DiagonalGaussian

RECONSTRUCTIONS = {
    "sum": "squared error summed over the pixels (the MNIST tutorial)",
    "mean": "squared error averaged over the pixels (the Stable Diffusion notebook)",
    "l1": "absolute error summed over the pixels",
    "sigma": "Gaussian negative log-likelihood in nats, its variance fitted to each batch (sigma-VAE)",
}


class Loss(NamedTuple):
    """Averages over a batch, each a float32 scalar tensor: loss = reconstruction + beta * kl."""

    loss: Tensor
    reconstruction: Tensor
    kl: Tensor


def elbo(
    x: Tensor,
    x_hat: Tensor,
    posterior: DiagonalGaussian,
    reconstruction: str = "sum",
    beta: float = 1.0,
    pixel_scale: float = 1.0,
    average: Callable[[Tensor], Tensor] | None = None,
) -> Loss:
    """The loss of a batch: `reconstruction`, one of RECONSTRUCTIONS, plus beta times the KL.

    x, x_hat: (N, C, H, W) in [-1, 1]. pixel_scale: the model's, so that errors are in its native pixel units ([0, 1]
    for the MNIST tutorial's network, [-1, 1] for Stable Diffusion's). The KL is in nats for each image: summed over the
    latent's dimensions and averaged over the batch; with "mean", beta therefore means something else at every size
    (a decoder variance of beta * D / 2 for D pixel values), with "sum" and beta 1 it is a variance of 1/2.

    "sigma" is the optimal sigma-VAE of Rybkin et al. 2021 (arXiv:2006.13202): the decoder's variance is the batch's
    mean squared error, which balances the two terms by itself; beta = 1 is then the ELBO proper. Where processes share
    a batch, `average` is to give the mean of a scalar over them, so that the variance is the whole batch's.

    Raises InputError for an unknown `reconstruction`.
    """
    error = (x_hat.float() - x.float()).mul(pixel_scale).flatten(1)
    kl = posterior.kl().mean()
    if reconstruction == "sum":
        term = error.square().sum(1).mean()
    elif reconstruction == "mean":
        term = error.square().mean()
    elif reconstruction == "l1":
        term = error.abs().sum(1).mean()
    elif reconstruction == "sigma":
        # log(2 pi) + 1 + log(sigma^2), half of it for each pixel: the likelihood where sigma^2 is the batch's error.
        # 1/255 is a grey level: finer than that there is nothing to fit, and a perfect batch must not reach log 0.
        variance = error.square().mean()
        variance = (variance if average is None else average(variance)).clamp_min((2.0 * pixel_scale / 255) ** 2 / 12)
        term = 0.5 * error.shape[1] * (variance.log() + 1.0 + math.log(2.0 * math.pi))
    else:
        raise InputError(
            f"The reconstruction loss must be one of {', '.join(RECONSTRUCTIONS)}, not {reconstruction!r}."
        )
    return Loss(term + beta * kl, term, kl)
