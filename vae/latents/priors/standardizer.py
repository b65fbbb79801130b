"""Where a model's latents lie: the standardised space in which priors are fitted, and the way back."""

from dataclasses import dataclass

import torch
from torch import Tensor

from vae.errors import InputError

USED = 0.01  # share of a dimension's variance that must come from the images for it to be modelled


@dataclass(frozen=True)
class Standardizer:
    """One number for each of the D latent dimensions, in the latent's own order.

    mean, scale: of the aggregate posterior, i.e. of z ~ q(z|x) over all the training images x.
    used: whether the dimension depends on the image. One that does not, because its posterior is the prior whatever
    the image, needs no model: there the noise itself is passed on.
    """

    mean: Tensor
    scale: Tensor
    used: Tensor

    def place(self, noise: Tensor, used: Tensor) -> Tensor:
        """Latents (n, D): `used` (n, A), standardised, in the used dimensions and the noise (n, D) in the others."""
        u = noise.clone()
        u[:, self.used] = used
        return self.mean + self.scale * u

    def standardise(self, z: Tensor) -> Tensor:
        """(n, D) -> (n, D), the inverse of `mean + scale * u`; 0 in a dimension that never varies."""
        return torch.where(self.scale > 0, (z - self.mean) / self.scale.clamp_min(1e-30), 0.0)


def fit_standardizer(means: Tensor, stds: Tensor) -> tuple[Standardizer, Tensor]:
    """The frame of posteriors N(means, stds²), each (N, D), and their means in it: (N, A) of variance 1.

    A posterior's mean is its latent drawn towards the prior's centre, so means spread less than the samples that the
    decoder was trained on. Here they are stretched back, dimension by dimension, to the spread of the samples: images
    decoded from them are as sharp as from the means, and have the contrast of the data. For a plain auto-encoder, whose
    stds are 0, nothing is stretched.

    Raises InputError where a latent is not finite, or none of the dimensions depends on the image.
    """
    frame, spread = _fit(means, stds)
    return frame, ((means - frame.mean) / spread)[:, frame.used]


def fit_channels(means: Tensor, stds: Tensor) -> tuple[Standardizer, Tensor]:
    """As fit_standardizer, for posteriors (N, C, h, w), with one mean, one scale and one answer to `used` for all the
    positions of a channel, so that what differs between positions is left for the prior to learn. Returns the frame of
    the C h w dimensions, and what to divide a mean by, (C h w), for variance 1 (1 where it never varies)."""
    size = means[0, 0].numel()
    by_channel = [x.transpose(0, 1).flatten(1).T for x in (means, stds)]
    frame, spread = _fit(*by_channel)
    mean, scale, used, spread = (x.repeat_interleave(size) for x in (frame.mean, frame.scale, frame.used, spread))
    return Standardizer(mean, scale, used), torch.where(spread > 1e-30, spread, 1.0)


def _fit(means: Tensor, stds: Tensor) -> tuple[Standardizer, Tensor]:
    """The frame, and the standard deviation of the means (D,)."""
    if not (torch.isfinite(means).all() and torch.isfinite(stds).all()):
        raise InputError("The model's latents hold numbers that are not finite (NaN or infinity); nothing fits them.")
    centre, between, within = means.mean(0), means.var(0, unbiased=False), stds.square().mean(0)
    frame = Standardizer(centre, (between + within).sqrt(), between > USED * (between + within))
    if not frame.used.any():
        raise InputError("The model's latents do not depend on the picture, so there is nothing to fit a prior to.")
    return frame, between.sqrt().clamp_min(1e-30)
