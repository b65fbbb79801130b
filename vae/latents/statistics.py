"""What a model's latents are like over a data set: measured once, kept beside the checkpoint as safetensors."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vae import images, sidecar
from vae.distributions import DiagonalGaussian
from vae.errors import InputError
from vae.latents.projections import Projection, lda, pca, two_dimensions
from vae.metrics import psnr
from vae.models import AutoEncoder

FILE = "statistics.safetensors"
REMEDY = "measure it again with `python -m vae statistics`"
ACTIVE = 0.01  # variance of a dimension's means from which on it counts as active
POINTS, NUMBERS = 3000, 2**19  # embeddings kept: so many images, and so many numbers in all
REFERENCES, AT_ONCE = 2000, 2**18  # images whose figures are kept as quantiles; pixels that are decoded at once
LEVELS = tuple(math.sin(math.pi * i / 128) ** 2 for i in range(65))  # of the quantiles, closest together at both ends
MOST_PSNR = 100.0  # dB, where an image comes back exactly
THUMBNAIL, COLUMNS = 32, 60  # greatest side in pixels, and thumbnails in a row of the sheet


@dataclass(frozen=True)
class Statistics:
    """Tensors have the latent's shape (C, h, w) unless said otherwise, and lie on the CPU.

    data, split, images: what was measured on: an ImageSet's name, its split, and how many images it has.
    mean, mean_std: of the posteriors' means over the images. posterior_std: the root of the mean posterior variance,
    0 for a plain auto-encoder. kl: KL(q(z|x) || N(0, 1)) of each dimension in nats, averaged over the images.
    embeddings: (n, C, h, w), the means of n images spread evenly over the set, float16 in the file. indices: (n,)
    their places in the set. labels: (n,) with indices into `classes`, or None where the set has none.
    projections: {"pca": …, "lda": …}; "lda" is missing where there are no labels, or too few classes or images.
    sheet: a WebP image of the n images' thumbnails, `side` pixels each, 60 in a row, in the embeddings' order.
    quantiles: (2, 65), of the images' `figures`, PSNR in dB and KL in nats, at LEVELS; None in files of earlier
    versions, and for a model that gives images in other colours than it takes.
    """

    data: str
    split: str
    images: int
    mean: Tensor
    mean_std: Tensor
    posterior_std: Tensor
    kl: Tensor
    embeddings: Tensor
    indices: Tensor
    labels: Tensor | None
    classes: list[str] | None
    projections: dict[str, Projection]
    sheet: bytes
    side: int
    quantiles: Tensor | None = None

    @property
    def std(self) -> Tensor:
        """Standard deviation of the aggregate posterior, z ~ q(z|x) over all x."""
        return (self.mean_std.square() + self.posterior_std.square()).sqrt()

    @property
    def active(self) -> Tensor:
        """Which dimensions are active: those whose mean has a variance above 0.01 over the data (Burda, Grosse &
        Salakhutdinov 2016, arXiv:1509.00519, section 3)."""
        return self.mean_std.square() > ACTIVE

    def most_active(self) -> list[int]:
        """The dimensions, counted through the flattened latent, by the variance of their means, the largest first."""
        return self.mean_std.flatten().argsort(descending=True).tolist()

    def plane(self, i: int, j: int) -> Projection:
        """The map of two raw latent dimensions, counted through the flattened latent."""
        return two_dimensions(self.embeddings.flatten(1), i, j)

    def map(self, name: str) -> Projection:
        """The projection of that name. Raises InputError, which says why it may be missing."""
        if name not in self.projections:
            why = " (it takes labels of three classes or more)" if name == "lda" else ""
            raise InputError(f"There is no map {name!r} of this model{why}; there is {', '.join(self.projections)}.")
        return self.projections[name]

    def summary(self) -> dict:
        """The figures, for people and for JSON."""
        return {
            "data": self.data,
            "split": self.split,
            "images": self.images,
            "latent_dimensions": self.mean.numel(),
            "active_units": int(self.active.sum()),
            "kl": self.kl.sum().item(),
            "mean_of_std": self.std.mean().item(),
            "embeddings": len(self.embeddings),
            "maps": list(self.projections),
        }


def measure(
    model: AutoEncoder, data, split: str = "test", on_progress: Callable[[int], None] | None = None
) -> Statistics:
    """The statistics of a model over an ImageSet. on_progress is called with the number of images encoded.

    Raises InputError for a set of fewer than three images and for latents that are not finite.
    """
    from vae.latents.priors import encode_all

    if len(data) < 3:
        raise InputError(f"{data.name} has {len(data)} images in this split; statistics take three or more.")
    means, stds = encode_all(model, data, on_progress)
    if not (torch.isfinite(means).all() and torch.isfinite(stds).all()):
        raise InputError("The model's latents hold numbers that are not finite (NaN or infinity).")
    flat, dims = means.flatten(1), means[0].numel()
    posterior = DiagonalGaussian(means, 2.0 * stds.clamp_min(1e-12).log())
    posterior.is_point = not model.is_variational
    maps = {"pca": pca(flat)}
    discriminant = lda(flat, data.labels) if data.labels is not None else None
    if discriminant:
        maps = {"lda": discriminant, **maps}
    n = max(1, min(len(data), POINTS, NUMBERS // dims))
    indices = torch.arange(n) * len(data) // n
    sheet, side = _sheet(data, indices, model.config.border)
    return Statistics(
        data=data.name,
        split=split,
        images=len(data),
        mean=means.mean(0),
        mean_std=means.std(0, unbiased=False),
        posterior_std=stds.square().mean(0).sqrt(),
        kl=posterior.kl_map().mean(0),
        embeddings=means[indices].clamp(-65504.0, 65504.0).half().float(),
        indices=indices,
        labels=None if data.labels is None else data.labels[indices],
        classes=data.classes,
        projections=maps,
        sheet=sheet,
        side=side,
        quantiles=reference(model, data),
    )


@torch.inference_mode()
def figures(model: AutoEncoder, pixels: Tensor) -> Tensor:
    """(N, 2) on the CPU: each image's PSNR in dB, decoded from its posterior's mean and compared in 8 bits, and the KL
    of its posterior from N(0, I) in nats. pixels: uint8 (N, C, H, W) of the model's sample_size."""
    posterior = model.encode(images.to_float(pixels.to(model.device)))
    rebuilt = images.to_uint8(model.decode(posterior.mode())).cpu()
    return torch.stack([psnr(pixels.cpu(), rebuilt).clamp_max(MOST_PSNR), posterior.kl().cpu()], 1)


def reference(model: AutoEncoder, data) -> Tensor | None:
    """Statistics.quantiles over an ImageSet; None for a model that gives images in other colours than it takes."""
    if getattr(model.config, "out_channels", model.in_channels) != model.in_channels:
        return None
    count = min(len(data), REFERENCES)
    each = max(1, AT_ONCE // model.config.sample_size**2)
    parts = data.batches((torch.arange(count) * len(data) // count).split(each))
    found = torch.cat([figures(model, pixels) for pixels in parts])
    return found.quantile(torch.tensor(LEVELS), 0).T.contiguous()


def _sheet(data, indices: Tensor, border: int) -> tuple[bytes, int]:
    pixels = data.batch(indices).float()
    pixels = pixels[..., border : pixels.shape[-2] - border, border : pixels.shape[-1] - border]
    if pixels.shape[-1] > THUMBNAIL:
        pixels = torch.nn.functional.interpolate(pixels, (THUMBNAIL, THUMBNAIL), mode="bilinear", antialias=True)
    n, channels, side, _ = pixels.shape
    rows = -(-n // COLUMNS)
    cells = torch.zeros(rows * COLUMNS, channels, side, side, dtype=torch.uint8)
    cells[:n] = pixels.round().clamp(0, 255).to(torch.uint8)
    sheet = cells.view(rows, COLUMNS, channels, side, side).permute(2, 0, 3, 1, 4)
    buffer = BytesIO()
    images.to_image(sheet.reshape(channels, rows * side, COLUMNS * side)).save(buffer, "WEBP", quality=40, method=4)
    return buffer.getvalue(), side


def write(weights: Sequence[Path], found: Statistics) -> Path:
    """Store statistics beside the weight files they were measured on; returns the file."""
    plain = ("data", "split", "images", "classes", "side")
    content = {name: getattr(found, name) for name in plain} | {"maps": list(found.projections)}
    tensors = {name: value for name, value in vars(found).items() if isinstance(value, Tensor)}
    tensors["embeddings"] = found.embeddings.half()
    tensors["sheet"] = torch.from_numpy(np.frombuffer(found.sheet, np.uint8).copy())
    for name, projection in found.projections.items():
        tensors |= {f"map.{name}.{part}": value for part, value in vars(projection).items()}
    path = weights[0].parent / FILE
    sidecar.write(path, sidecar.fingerprint(weights), content, tensors)
    return path


def read(weights: Sequence[Path]) -> Statistics | None:
    """The statistics stored beside those weight files (see find_model.py), None if there are none.

    Raises InputError for a file that is damaged or belongs to another checkpoint.
    """
    path = weights[0].parent / FILE
    if not path.is_file():
        return None
    content, tensors = sidecar.read(path, sidecar.fingerprint(weights), REMEDY)
    try:
        maps = {
            name: Projection(*(tensors.pop(f"map.{name}.{part}") for part in ("centre", "matrix", "lift")))
            for name in content.pop("maps")
        }
        tensors["embeddings"] = tensors["embeddings"].float()
        sheet = tensors.pop("sheet").numpy().tobytes()
        tensors.pop("covariance", None)  # files of earlier versions have it
        return Statistics(**content, **({"labels": None} | tensors), projections=maps, sheet=sheet)
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{FILE} is damaged, or of another version of this library; {REMEDY}.") from error


def of(model: AutoEncoder) -> Statistics | None:
    """The statistics stored beside the weights that a model was loaded from, read once; None if there are none. Raises
    InputError as `read` does."""
    files = (model.weight_files[0].parent / FILE, *model.weight_files) if model.weight_files else ()
    if not files or not all(file.is_file() for file in files):
        return None
    return _read_once(files[1:], tuple(file.stat().st_mtime_ns for file in files))


@lru_cache(maxsize=4)
def _read_once(weights: tuple[Path, ...], stamp: tuple[int, ...]) -> Statistics | None:
    """stamp: when the files were written, so that others are read anew."""
    return read(weights)
