"""Networks of one's own: any module that encodes and decodes, as an AutoEncoder."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from vae.distributions import DiagonalGaussian
from vae.errors import InputError
from vae.models.base import AutoEncoder, ModelConfig


@dataclass(frozen=True)
class OwnConfig(ModelConfig):
    """What is known of a network that is not registered: enough to say what a run trained, not to build it again.

    network: its class's name. in_channels: of its images.
    """

    network: str = ""
    in_channels: int = 1


class OwnModel(AutoEncoder):
    """`network`, a module with encode and decode, behind the interface that all models here have.

    Its encode takes images (N, C, H, W) in [-1, 1] and gives latents as (N, C, h, w) or (N, D): a tensor, which is then
    a plain auto-encoder's; (mean, logvar); a DiagonalGaussian or any object with mean and logvar; or what diffusers'
    auto-encoders give. Its decode takes such latents and gives images, as a tensor or as diffusers does. Latents
    (N, D) are (N, D, 1, 1) to everybody else.

    `decoder_names` (the beginnings of its decoder's parameters' names; "decoder." unless said) and `pixel_scale` may be
    attributes of the network. Runs it once. Raises InputError for what it gives, and if it has no parameters.
    """

    def __init__(self, network: nn.Module, config: ModelConfig, family: str, in_channels: int | None = None):
        super().__init__()
        self.network, self.config, self.family = network, config, family
        self.decoder_names = tuple(f"network.{name}" for name in getattr(network, "decoder_names", self.decoder_names))
        self.pixel_scale = getattr(network, "pixel_scale", self.pixel_scale)
        found = in_channels or getattr(config, "in_channels", None) or getattr(network, "in_channels", None)
        if not isinstance(found, int):
            raise InputError(f"A {family} does not say how many channels its images have; give its config in_channels.")
        self.in_channels, size = found, config.sample_size
        weight = next(network.parameters(), None)
        if weight is None:
            raise InputError(f"A {family} has no parameters, so there is nothing in it to train.")
        x = torch.zeros(1, found, size, size, device=weight.device, dtype=weight.dtype)
        training = [module for module in network.modules() if module.training]
        network.eval()
        try:
            with torch.no_grad():
                self.flat = as_posterior(network.encode(x)).mean.ndim == 2
                posterior = self._encode(x)
                x_hat = self._decode(posterior.mode().to(weight.dtype))
        except InputError:
            raise
        except Exception as error:  # of code that is not ours: images of other colours or size, most often
            raise InputError(
                f"A {family} cannot encode and decode images of {found}x{size}x{size} (channels, height, width): "
                f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
            ) from error
        finally:
            for module in training:
                module.training = True
        if x_hat.shape != x.shape:
            raise InputError(
                f"The decode of a {family} gives {list(x_hat.shape)} for the latent of images {list(x.shape)}; the two "
                "must be alike."
            )
        self.variational, self.shape = not posterior.is_point, tuple(posterior.mean.shape[1:])
        self.latent_channels, height, width = self.shape
        self.downscale = size // height if height else 0
        if not config.fixed_size and (height != width or self.downscale * height != size):
            raise InputError(
                f"A {family} of no fixed_size must make square latents whose side divides the image's, not "
                f"{height}x{width} from {size}x{size}."
            )

    def latent_shape(self, height: int | None = None, width: int | None = None) -> tuple[int, int, int]:
        asked = super().latent_shape(height, width)
        return self.shape if self.config.fixed_size else asked

    @property
    def is_variational(self) -> bool:
        return self.variational

    def _encode(self, x: Tensor) -> DiagonalGaussian:
        posterior = as_posterior(self.network.encode(x))
        if self.flat:
            posterior = posterior.map(lambda parameter: parameter[:, :, None, None])
        if posterior.mean.ndim != 4 or len(posterior.mean) != len(x):
            raise InputError(
                f"The encode of a {self.family} gives latents of the shape {list(posterior.mean.shape)} for {len(x)} "
                "images; (N, C, h, w) and (N, D) are accepted."
            )
        return posterior

    def _decode(self, z: Tensor) -> Tensor:
        found = self.network.decode(z.flatten(1) if self.flat else z)
        found = found if isinstance(found, Tensor) else getattr(found, "sample", None)
        if not isinstance(found, Tensor):
            raise InputError(f"The decode of a {self.family} must give images as a tensor (N, C, H, W).")
        return found


def as_posterior(found: Any) -> DiagonalGaussian:
    """What an encode of one's own gave, as a posterior; see OwnModel. Raises InputError for anything else."""
    if not isinstance(found, Tensor):
        found = getattr(found, "latent_dist", getattr(found, "latents", found))  # in diffusers' outputs
    if isinstance(found, DiagonalGaussian):
        return found
    if isinstance(found, Tensor):
        return DiagonalGaussian.point(found)
    pair = found if isinstance(found, tuple) else (getattr(found, "mean", None), getattr(found, "logvar", None))
    if len(pair) != 2 or not all(isinstance(each, Tensor) for each in pair) or pair[0].shape != pair[1].shape:
        raise InputError(
            "An encode must give latents as a tensor, as (mean, logvar) of one shape or as an object with these, "
            f"not {type(found).__name__}."
        )
    return DiagonalGaussian(*pair)
