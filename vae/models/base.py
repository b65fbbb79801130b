"""What every auto-encoder here offers, whatever its network."""

from dataclasses import asdict, dataclass

import torch
from torch import Tensor, nn

from vae.distributions import DiagonalGaussian


@dataclass(frozen=True)
class ModelConfig:
    """The fields every family has; each family's config dataclass adds its own.

    sample_size: side in pixels of the square images the model is meant for.
    fixed_size: True if an image is always fitted to sample_size; False if the model takes any size.
    border: black pixels added on every side after fitting (MNIST's 28 -> 32 is a border of 2).
    scaling_factor, shift_factor: what a diffusion model sees is (z - shift_factor) * scaling_factor.
    latent_space: models that declare the same name share their latents, so one may decode what the other encoded.
    trained_on: for people, e.g. "MNIST".
    """

    sample_size: int = 32
    fixed_size: bool = True
    border: int = 0
    scaling_factor: float = 1.0
    shift_factor: float = 0.0
    latent_space: str | None = None
    trained_on: str | None = None

    def to_dict(self) -> dict:
        return asdict(self)


class AutoEncoder(nn.Module):
    """Base of all models. Images are (N, C, H, W) floats in [-1, 1]; latents are unscaled.

    Subclasses set `config`, `in_channels`, `latent_channels` and implement `encode`, `decode`, `latent_shape`.
    """

    family: str  # the family's short name, as in `python -m vae info`
    decoder_names: tuple[str, ...] = ("decoder.", "post_quant_conv.")  # tensors named so are the decoder's
    pixel_scale: float = 1.0  # native pixel units in one unit of [-1, 1]: 0.5 for networks whose images are [0, 1]
    config: ModelConfig
    in_channels: int
    latent_channels: int

    def __init__(self) -> None:
        super().__init__()
        self.fitted_priors: dict = {}
        self.refused_priors: str | None = None  # why priors that lie beside the weights were not taken

    def encode(self, x: Tensor) -> DiagonalGaussian:
        raise NotImplementedError

    def decode(self, z: Tensor) -> Tensor:
        raise NotImplementedError

    def latent_shape(self, height: int | None = None, width: int | None = None) -> tuple[int, int, int]:
        """(C, h, w) of the latent of a height x width image; of the config's sample_size if left out."""
        raise NotImplementedError

    def forward(self, x: Tensor, noise: Tensor | None = None) -> tuple[Tensor, DiagonalGaussian]:
        """Reconstruction of x through one posterior sample, and the posterior. `noise`: as `sample` there takes it."""
        posterior = self.encode(x)
        return self.decode(posterior.sample(noise=noise)), posterior

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
