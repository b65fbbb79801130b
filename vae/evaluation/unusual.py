"""How unusual an image is for a model, told from how it fares beside the images the model was tested on."""

from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from vae import images
from vae.checks import as_image
from vae.errors import InputError
from vae.inference import prepare
from vae.latents import statistics
from vae.models.base import AutoEncoder, as_model

UNUSUAL, VERY_UNUSUAL = 0.05, 0.005  # shares of the model's own test images that fare so, or worse


@dataclass(frozen=True)
class Unusual:
    """share: of the model's own test images that are as unusual as this one or more, from 0 to 1, where the
    reconstruction error and the KL were looked at; psnr: in dB, of the image at the model's own size, decoded from its
    posterior's mean; usual_psnr: the test images' median. kl: of its posterior from N(0, I) in nats, 0 for a plain
    auto-encoder; usual_kl: their median."""

    share: float
    psnr: float
    usual_psnr: float
    kl: float
    usual_kl: float

    def summary(self) -> dict:
        """The figures, for people and for JSON."""
        return {"word": self.word, **{name: float(f"{value:.4g}") for name, value in vars(self).items()}}

    @property
    def word(self) -> str:
        """Usual, unusual or very unusual."""
        return "very unusual" if self.share < VERY_UNUSUAL else "unusual" if self.share < UNUSUAL else "usual"


def how_unusual(model: AutoEncoder, image: Image.Image, clean_photo: bool = True) -> Unusual:
    """How unusual an image is for a model.

    Two tests against the quantiles kept with the model's statistics: how many of its own test images come back with a
    PSNR as low; and how many have a KL as far out, on either side, since an image with next to nothing in it is
    rebuilt perfectly. The smaller share counts, twice, since there were two chances (Bonferroni); of a plain
    auto-encoder there is the first alone. That a network rebuilds badly what it was not trained on is the oldest such
    test (Japkowicz, Myers & Gluck 1995, "A novelty detection approach to classification"); that a VAE's likelihood
    alone, one-sided, is none: Nalisnick et al. 2019 (arXiv:1810.09136, arXiv:1906.02994).

    image, clean_photo: as vae.reconstruct takes them; a model that takes any size sees it at its own.
    Raises InputError for what is no image, and for a model without statistics, or with those of an earlier version.

    >>> import torch, vae
    >>> model = vae.load("mnist-vae", device="cpu")
    >>> noise = torch.rand(1, 28, 28, generator=torch.Generator().manual_seed(0)) * 2 - 1
    >>> found = vae.how_unusual(model, noise)
    >>> found.word, found.share
    ('very unusual', 0.0)
    """
    model = as_model(model)
    known = measured(model)
    if known is None:
        raise InputError(f"This model's test images were not measured; {statistics.REMEDY}.")
    (figures,) = statistics.figures(model, as_tested(model, as_image(image), clean_photo)).tolist()
    return judged(model, known, *figures)


def as_tested(model: AutoEncoder, image: Image.Image, clean_photo: bool = True) -> Tensor:
    """The image as the model's test images were: uint8 (1, C, size, size) of its sample_size."""
    original, _, _ = prepare(model, image, None, clean_photo)
    fitted = images.fit(original, model.config.sample_size, model.in_channels, model.config.border)
    return torch.from_numpy(images.to_array(fitted).copy())[None]


def judged(model: AutoEncoder, known: statistics.Statistics, psnr: float, kl: float) -> Unusual:
    """How unusual an image with these figures is, in dB and nats, for a model with the quantiles in `known`."""
    worse, below = (
        float(np.interp(value, row, statistics.LEVELS, left=0.0, right=1.0))
        for value, row in zip((psnr, kl), known.quantiles.numpy(), strict=True)
    )
    share = min(1.0, 2 * min(worse, 2 * min(below, 1 - below))) if model.is_variational else worse
    middle = len(statistics.LEVELS) // 2
    return Unusual(share, psnr, known.quantiles[0, middle].item(), kl, known.quantiles[1, middle].item())


def measured(model: AutoEncoder) -> statistics.Statistics | None:
    """The model's statistics, where they tell how its test images fared. Raises InputError if they are damaged."""
    known = statistics.of(model)
    return None if known is None or known.quantiles is None else known


def if_measured(model: AutoEncoder, image: Image.Image, clean_photo: bool = True) -> Unusual | None:
    """As `how_unusual`; None for a model whose test images were not measured."""
    try:
        return how_unusual(model, image, clean_photo)
    except InputError:
        return None
