"""The MNIST tutorial's convolutional auto-encoder and VAE: small enough to train on a laptop while one watches.

Each level is MaxPool (or Upsample) and two blocks of convolution, batch norm and LeakyReLU. As an auto-encoder with
features (1, 8, 16, 32, 4) it has exactly 51,357 parameters. The VAE's encoder ends in one more, plain, 1x1
convolution: moments that come out of a batch norm and a LeakyReLU cannot become the negative numbers a mean and a
log-variance need, and the KL stays high.
"""

import math
from dataclasses import dataclass
from itertools import pairwise

from torch import Tensor, nn

from vae.distributions import DiagonalGaussian
from vae.errors import InputError
from vae.models import fused_residual
from vae.models.base import AutoEncoder, ModelConfig
from vae.models.fused import conv_norm_act, is_faster

MAX_LEVELS, MAX_FEATURES = 16, 8192


@dataclass(frozen=True)
class ConvConfig(ModelConfig):
    """features: channels of the image, of each level, and of the latent. variational: VAE, or plain auto-encoder."""

    features: tuple[int, ...] = (1, 8, 16, 32, 4)
    variational: bool = True
    border: int = 2

    def __post_init__(self):
        object.__setattr__(self, "features", tuple(self.features))
        sound = all(type(f) is int and 1 <= f <= MAX_FEATURES for f in self.features)
        if not 3 <= len(self.features) <= MAX_LEVELS or not sound:
            raise InputError(
                f"features must be 3 to {MAX_LEVELS} whole numbers from 1 to {MAX_FEATURES}, "
                f"not {repr(list(self.features))[:80]}."
            )
        super().__post_init__()

    @property
    def downscale(self) -> int:
        return 2 ** (len(self.features) - 2)

    @property
    def floats_per_pixel(self) -> int:
        # Before the image and after it come the first level's channels; below, each level has a quarter of the pixels.
        return 4 * max(math.ceil(width / 4**i) for i, width in enumerate((max(self.features[:2]), *self.features[2:])))


class ConvBlock(nn.Sequential):
    """Convolution, batch norm, LeakyReLU; in one where that is faster."""

    def __init__(self, fan_in: int, fan_out: int):
        super().__init__(nn.Conv2d(fan_in, fan_out, 3, padding=1), nn.BatchNorm2d(fan_out), nn.LeakyReLU(inplace=True))

    def forward(self, x: Tensor, enlarge: bool = False) -> Tensor:
        """With `enlarge`, of x enlarged by 2."""
        conv, norm, act = self
        if is_faster(x, conv, norm):
            return conv_norm_act(x, conv, norm, act.negative_slope, enlarge)
        x = nn.functional.interpolate(x, scale_factor=2) if enlarge else x
        if fused_residual.normalizes_batches(x, norm, act):
            return fused_residual.conv_norm_act(x, conv, norm)
        return super().forward(x)


class Enlarged(nn.Sequential):
    """A decoder's level: nn.Upsample, which its first block does, and that block and the others."""

    def forward(self, x: Tensor) -> Tensor:
        _, block, *rest = self
        x = block(x, enlarge=True)
        for layer in rest:
            x = layer(x)
        return x


def conv_encoder(features: tuple[int, ...], variational: bool) -> nn.Sequential:
    """Image channels first, latent channels last; twice those and a plain 1x1 convolution for a VAE's two moments."""
    widths = [*features[:-1], features[-1] * (2 if variational else 1)]
    levels = []
    for i, (fan_in, fan_out) in enumerate(pairwise(widths)):
        pool = [nn.MaxPool2d(2)] if i > 0 else []
        levels.append(nn.Sequential(*pool, ConvBlock(fan_in, fan_out), ConvBlock(fan_out, fan_out)))
    if variational:
        levels.append(nn.Conv2d(widths[-1], widths[-1], 1))
    return nn.Sequential(*levels)


def conv_decoder(features: tuple[int, ...]) -> nn.Sequential:
    """Latent channels first, image channels last."""
    levels = []
    for i, (fan_in, fan_out) in enumerate(pairwise(features)):
        layers: list[nn.Module] = [] if i == 0 else [nn.Upsample(scale_factor=2), ConvBlock(fan_in, fan_in)]
        if i < len(features) - 2:
            layers += [ConvBlock(fan_in, fan_in), ConvBlock(fan_in, fan_out)]
        else:
            layers += [ConvBlock(fan_in, fan_in), nn.Conv2d(fan_in, fan_out, 1)]
        levels.append((Enlarged if i > 0 else nn.Sequential)(*layers))
    return nn.Sequential(*levels)


class ConvVAE(AutoEncoder):
    """The MNIST tutorial's network. Its native images are [0, 1]; encode and decode map from and to [-1, 1].

    `decode` is not clamped: the loss needs the gradient outside the range too.
    """

    family = "conv"
    pixel_scale = 0.5

    def __init__(self, config: ConvConfig):
        super().__init__()
        self.config = config
        self.in_channels, self.latent_channels = config.features[0], config.features[-1]
        self.downscale = config.downscale
        self.encoder = conv_encoder(config.features, config.variational)
        self.decoder = conv_decoder(config.features[::-1])

    @property
    def is_variational(self) -> bool:
        return self.config.variational

    def _encode(self, x: Tensor) -> DiagonalGaussian:
        h = self.encoder((x + 1.0) * 0.5)
        return DiagonalGaussian.from_moments(h) if self.config.variational else DiagonalGaussian.point(h)

    def _decode(self, z: Tensor) -> Tensor:
        return self.decoder(z) * 2.0 - 1.0
