"""What every auto-encoder here offers, whatever its network."""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from vae.checks import as_images, as_latents, whole_number
from vae.distributions import DiagonalGaussian
from vae.errors import InputError
from vae.models.group_norm import GIVEN_IN_ORDER
from vae.models.recording import is_inference

MAX_SIZE = 8192  # pixels; a config can come from anywhere, and images of sample_size are made unasked


@dataclass(frozen=True)
class ModelConfig:
    """The fields every family has; each family's config dataclass adds its own.

    sample_size: side in pixels of the square images the model is meant for, a multiple of `downscale`.
    fixed_size: True if an image is always fitted to sample_size; False if the model takes any size.
    border: black pixels added on every side after fitting (MNIST's 28 -> 32 is a border of 2).
    scaling_factor, shift_factor: what a diffusion model sees is (z - shift_factor) * scaling_factor; None: unknown.
    latent_space: models that declare the same name share their latents, so one may decode what the other encoded.
    trained_on: for people, e.g. "MNIST".
    """

    sample_size: int = 32
    fixed_size: bool = True
    border: int = 0
    scaling_factor: float | None = 1.0
    shift_factor: float = 0.0
    latent_space: str | None = None
    trained_on: str | None = None

    def __post_init__(self) -> None:
        size = whole_number("sample_size", self.sample_size, 1, MAX_SIZE)
        if size % self.downscale:
            below = size // self.downscale * self.downscale
            near = f"{below} or {below + self.downscale}" if below else f"{self.downscale}"
            raise InputError(
                f"sample_size must be a multiple of {self.downscale}, which is what this network reduces an image by, "
                f"such as {near}, not {size}."
            )
        object.__setattr__(self, "sample_size", size)
        border = whole_number("border", self.border, 0, (size - 1) // 2)
        object.__setattr__(self, "border", border)
        if 0 in (self.scaling_factor, *(getattr(self, "latents_std", None) or ())):
            raise InputError("Neither scaling_factor nor latents_std may be 0: latents are divided by them.")

    @property
    def downscale(self) -> int:
        """How many pixels of an image's side make one of its latent's."""
        return 1

    @property
    def floats_per_pixel(self) -> int:
        """Numbers held at once for each pixel of an image when it is encoded or decoded without gradients."""
        return 16

    @property
    def attends(self) -> bool:
        """Whether every latent pixel attends to every other, which takes time by the square of their number."""
        return False

    def to_dict(self) -> dict:
        return asdict(self)


class AutoEncoder(nn.Module):
    """Base of all models. Images are (N, C, H, W) floats in [-1, 1]; latents are unscaled.

    Subclasses set `config`, `in_channels`, `latent_channels`, `downscale` and implement `_encode` and `_decode`, which
    are given what `encode` and `decode` have checked, on the weights' device and in their dtype.
    """

    family: str = "own"  # the family's short name, as in `python -m vae info`
    decoder_names: tuple[str, ...] = ("decoder.", "post_quant_conv.")  # tensors named so are the decoder's
    pixel_scale: float = 1.0  # native pixel units in one unit of [-1, 1]: 0.5 for networks whose images are [0, 1]
    config: ModelConfig
    in_channels: int
    latent_channels: int
    downscale: int  # the config's
    rounds_up: bool = False  # whether an image's last, incomplete `downscale` pixels make a latent pixel

    def __init__(self) -> None:
        super().__init__()
        self.fitted_priors: dict = {}
        self.refused_priors: str | None = None  # why priors that lie beside the weights were not taken
        self.weight_files: tuple[Path, ...] = ()  # that it was loaded from

    def encode(self, x: Tensor | np.ndarray) -> DiagonalGaussian:
        """The posterior of images (N, C, H, W), floats in [-1, 1] or uint8 from 0 to 255, of any float type and device.

        Raises InputError for another shape, for sides that a model of fixed size does not take or that are smaller than
        `downscale`, and, except in training mode, for values that are not finite or no such images (see vae.checks).
        """
        posterior = self._in_order(self._encode, self._images(x, look=not self.training))
        if is_inference():  # a latent and its copy from a file are to decode alike
            posterior.mean, posterior.logvar = posterior.mean.contiguous(), posterior.logvar.contiguous()
        return posterior

    def decode(self, z: Tensor | np.ndarray) -> Tensor:
        """Images (N, C, H, W) around [-1, 1], not clamped, of latents (N, latent_channels, h, w) of any float type and
        device.

        Raises InputError for another shape, for latents that are not floats and, except in training mode, not finite.
        """
        return self._in_order(self._decode, self._latents(z))

    def _encode(self, x: Tensor) -> DiagonalGaussian:
        raise NotImplementedError

    def _decode(self, z: Tensor) -> Tensor:
        raise NotImplementedError

    def _in_order(self, part: Callable[[Tensor], Any], x: Tensor) -> Any:
        """part(x), as exact as PyTorch would be in the order that x lies in; see GIVEN_IN_ORDER."""
        if torch.compiler.is_compiling():
            return part(x)
        token = GIVEN_IN_ORDER.set(x.is_contiguous())
        try:
            return part(x)
        finally:
            GIVEN_IN_ORDER.reset(token)

    def latent_shape(self, height: int | None = None, width: int | None = None) -> tuple[int, int, int]:
        """(C, h, w) of the latent of a height x width image; of the config's sample_size if left out.

        Raises InputError for sides that are no whole numbers, or smaller than the network can take.
        """
        size = self.config.sample_size
        height = size if height is None else whole_number("An image's height", height, self._least)
        width = height if width is None else whole_number("An image's width", width, self._least)
        spare = self.downscale - 1 if self.rounds_up else 0
        return self.latent_channels, (height + spare) // self.downscale, (width + spare) // self.downscale

    def forward(self, x: Tensor, noise: Tensor | None = None) -> tuple[Tensor, DiagonalGaussian]:
        """Reconstruction of x through one posterior sample, and the posterior. `noise`: as `sample` there takes it.

        Looks at shapes and types only, never at values: a GPU need not be waited for, and a training that diverges is
        told by its loss.
        """
        posterior = self._encode(self._images(x, look=False))
        return self._decode(posterior.sample(noise=noise).to(self.dtype)), posterior

    @property
    def _least(self) -> int:
        """The smallest side of an image that has a latent."""
        return 1 if self.rounds_up else self.downscale

    def _images(self, x: Any, look: bool) -> Tensor:
        """x as `_encode` takes it. look: whether its values are to be looked at."""
        x = as_images(x, self.in_channels, look)
        height, width, size, least = x.shape[2], x.shape[3], self.config.sample_size, self._least
        if self.config.fixed_size and (height != size or width != size):
            raise InputError(
                f"This model takes images of {size}x{size} pixels, not {width}x{height}; "
                "vae.reconstruct fits an image to it."
            )
        if height < least or width < least:
            raise InputError(f"The image is {width}x{height} pixels; this model needs at least {least}x{least}.")
        return self._placed("The images", x)

    def _latents(self, z: Any) -> Tensor:
        """z as `_decode` takes it."""
        z = as_latents(z, self.latent_channels, look=not self.training)
        if self.config.fixed_size and not self.training:  # in training an objective may ask for other sizes
            _, height, width = self.latent_shape()
            if z.shape[2] != height or z.shape[3] != width:
                raise InputError(
                    f"This model takes latents of {height}x{width} (height x width), not {z.shape[2]}x{z.shape[3]}."
                )
        return self._placed("The latents", z)

    def _placed(self, name: str, x: Tensor) -> Tensor:
        """x beside the weights, in their dtype."""
        weight = next(self.parameters())
        if x.is_meta and not weight.is_meta:
            raise InputError(f"{name} have no values: they are on the meta device.")
        return x.to(weight.device, weight.dtype)

    @property
    def codebook_size(self) -> int | None:
        """How many different pixels a latent can have, where they are entries of a codebook; else None. Such a model
        has `codes`, which gives their indices, too."""
        return None

    @property
    def number_bits(self) -> float:
        """What each number of a latent takes to store: 16 bits, or its share of an index into the codebook."""
        return math.log2(self.codebook_size) / self.latent_channels if self.codebook_size else 16.0

    def settled(self, z: Tensor) -> Tensor:
        """Latents as the model would give them: the nearest entries where there is a codebook, else z itself."""
        return z

    @property
    def priors(self) -> list[str]:
        """Names of the distributions the model can be sampled from; "normal", N(0, I), is always first."""
        return ["normal", *self.fitted_priors]

    @property
    def is_variational(self) -> bool:
        return True

    @property
    def parameter_count(self) -> int:
        return sum(p.numel() for p in self.parameters())

    @property
    def device(self) -> torch.device:
        return next(self.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        return next(self.parameters()).dtype


def check_channels(config: ModelConfig) -> None:
    """Raises InputError for a network that gives images of other channels than it takes: they cannot be compared."""
    taken, given = (getattr(config, name, None) for name in ("in_channels", "out_channels"))
    if taken is not None and given is not None and taken != given:
        raise InputError(
            f"The network takes images of {taken} channel{'s' * (taken != 1)} and gives images of {given}; only those "
            "that give as many as they take can be used here."
        )


def pad(x: Tensor, factor: int) -> Tensor:
    """Images with sides that are multiples of `factor`: reflected at the right and the bottom, or, where they are too
    small to be reflected, their edge repeated."""
    height, width = x.shape[-2:]
    padded = [(side + factor - 1) // factor * factor for side in (height, width)]
    bottom, right = padded[0] - height, padded[1] - width
    if any_size := torch.compiler.is_exporting():  # such a graph cannot branch by the size
        fits = [torch.full((), side, device=x.device) > more for side, more in ((height, bottom), (width, right))]
        reflected = fits[0] & fits[1]
    else:
        reflected = bottom < height and right < width
    for axis, length, whole in ((-2, height, padded[0]), (-1, width, padded[1])):
        if any_size or whole > length:
            index = torch.arange(whole, device=x.device)
            edge = torch.full_like(index, length - 1)
            beyond = 2 * edge - index
            if any_size:
                beyond = torch.where(reflected, beyond, edge)
            elif not reflected:
                beyond = edge
            x = x.index_select(axis, torch.where(index < length, index, beyond))
    return x


def as_model(value: Any) -> AutoEncoder:
    """The model, out of what torch.compile wraps one in, or around a module of a registered class. Raises InputError
    for what is none, such as a model's name."""
    from vae.models import adopted  # which stands on this module

    model = getattr(value, "_orig_mod", value)
    if isinstance(model, nn.Module) and not isinstance(model, AutoEncoder):
        model = adopted(model) or model
    if not isinstance(model, AutoEncoder):
        shown = repr(value) if isinstance(value, str) else type(value).__name__
        raise InputError(f"A model is needed, as vae.load gives it, not {shown[:80]}.")
    return model
