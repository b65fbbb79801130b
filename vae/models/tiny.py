"""TAESD and its relatives: distilled auto-encoders of 1 to 3 million parameters that share a large model's latents.

Network after Ollin Boer Bohan's TAESD (github.com/madebyollin/taesd); state-dict names are those of diffusers'
AutoencoderTiny. They encode to a point, not to a distribution, and their own images are [0, 1].
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vae.distributions import DiagonalGaussian
from vae.errors import InputError
from vae.models.base import AutoEncoder, ModelConfig, pad
from vae.models.group_norm import GroupNorm
from vae.models.layers import Chain

STEMS = {"plain": 1, "strided": 4, "patches": 2}  # and what each reduces an image by


@dataclass(frozen=True)
class TinyConfig(ModelConfig):
    """encoder_block_out_channels, decoder_block_out_channels: the width of each level, in the order they are computed;
    with the plain stem one for all of a half's.
    num_encoder_blocks, num_decoder_blocks: residual blocks of each level, in the same order.
    stem: what the encoder begins with: a "plain" convolution; two of stride 2 (TAESana's, "strided"); or one of
    "patches" of 2x2 pixels, which the decoder then ends with, too (TAEQI2.1).
    mid_block_pool: the blocks at the lowest resolution first add a normalised branch (TAEF2).
    """

    sample_size: int = 512
    fixed_size: bool = False
    in_channels: int = 3
    out_channels: int = 3
    encoder_block_out_channels: tuple[int, ...] = (64, 64, 64, 64)
    decoder_block_out_channels: tuple[int, ...] = (64, 64, 64, 64)
    num_encoder_blocks: tuple[int, ...] = (1, 3, 3, 3)
    num_decoder_blocks: tuple[int, ...] = (3, 3, 3, 1)
    latent_channels: int = 4
    mid_block_pool: bool = False
    stem: str = "plain"

    def __post_init__(self):
        if self.stem not in STEMS:
            raise InputError(f"stem must be one of {', '.join(STEMS)}, not {self.stem[:80]!r}.")
        for part in ("encoder", "decoder"):
            widths, blocks = getattr(self, f"{part}_block_out_channels"), getattr(self, f"num_{part}_blocks")
            alike = len(set(widths)) == 1 or self.stem != "plain"
            if len(widths) != len(blocks) or not 1 <= len(blocks) <= 8 or not alike:
                raise InputError(
                    f"A tiny auto-encoder's {part} needs one width for all of its 1 to 8 levels, "
                    f"not widths {list(widths)} for blocks {list(blocks)}."
                )
            if not all(2 <= width <= 4096 for width in widths) or not all(0 <= count <= 64 for count in blocks):
                raise InputError(f"The {part}'s widths {list(widths)} or blocks {list(blocks)} are out of range.")
        if len(self.num_decoder_blocks) != len(self.num_encoder_blocks) + (2 if self.stem == "strided" else 0):
            raise InputError(
                "A tiny auto-encoder's encoder and decoder must have equally many levels, with the strided stem the "
                "decoder two more."
            )
        for name in ("in_channels", "out_channels", "latent_channels"):
            if not 1 <= getattr(self, name) <= 1024:
                raise InputError(f"{name} must be from 1 to 1024, not {getattr(self, name)}.")
        super().__post_init__()

    @property
    def downscale(self) -> int:
        return 2 ** (len(self.num_encoder_blocks) - 1) * STEMS[self.stem]

    @property
    def floats_per_pixel(self) -> int:
        widths = self.encoder_block_out_channels[0], self.decoder_block_out_channels[-1]
        return 4 * max(*widths, self.in_channels, self.out_channels, self.latent_channels // self.downscale**2)


class Block(nn.Module):
    """relu(x + conv(relu(conv(relu(conv(x)))))); with `pool`, x + pool(x) takes x's place."""

    def __init__(self, width: int, pool: bool):
        super().__init__()
        self.conv = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1),
        )
        self.pool = None
        if pool:
            self.pool = nn.Sequential(
                nn.Conv2d(width, 4 * width, 1, bias=False),
                GroupNorm(4, 4 * width),
                nn.ReLU(),
                nn.Conv2d(4 * width, width, 1, bias=False),
            )

    def forward(self, x: Tensor) -> Tensor:
        if self.pool is not None:
            x = x + self.pool(x)
        return F.relu(x + self.conv(x))


class Layers(Chain):
    """A Sequential under the name `layers`."""

    def __init__(self, *layers: nn.Module):
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def blocks(self) -> Sequence[nn.Module]:
        return tuple(self.layers)


def stem(config: TinyConfig) -> list[nn.Module]:
    """The layers before the encoder's first blocks."""
    channels, width = config.in_channels, config.encoder_block_out_channels[0]
    if config.stem == "patches":
        return [nn.PixelUnshuffle(2), nn.Conv2d(4 * channels, width, 3, padding=1), nn.ReLU()]
    if config.stem == "strided":
        half = nn.Conv2d(channels, width // 2, 3, stride=2, padding=1)
        return [half, nn.ReLU(), nn.Conv2d(width // 2, width, 3, stride=2, padding=1), nn.ReLU()]
    return [nn.Conv2d(channels, width, 3, padding=1)]


def tiny_encoder(config: TinyConfig) -> Layers:
    widths, last = config.encoder_block_out_channels, len(config.num_encoder_blocks) - 1
    layers = stem(config)
    for i, (width, count) in enumerate(zip(widths, config.num_encoder_blocks, strict=True)):
        if i > 0:
            layers.append(nn.Conv2d(widths[i - 1], width, 3, stride=2, padding=1, bias=False))
        layers += [Block(width, config.mid_block_pool and i == last) for _ in range(count)]
    return Layers(*layers, nn.Conv2d(widths[-1], config.latent_channels, 3, padding=1))


def tiny_decoder(config: TinyConfig) -> Layers:
    widths, last = config.decoder_block_out_channels, len(config.num_decoder_blocks) - 1
    layers: list[nn.Module] = [nn.Conv2d(config.latent_channels, widths[0], 3, padding=1), nn.ReLU()]
    for i, (width, count) in enumerate(zip(widths, config.num_decoder_blocks, strict=True)):
        layers += [Block(width, config.mid_block_pool and i == 0) for _ in range(count)]
        if i < last:
            layers += [nn.Upsample(scale_factor=2), nn.Conv2d(width, widths[i + 1], 3, padding=1, bias=False)]
    if config.stem == "patches":
        return Layers(*layers, nn.Conv2d(widths[-1], 4 * config.out_channels, 3, padding=1), nn.PixelShuffle(2))
    return Layers(*layers, nn.Conv2d(widths[-1], config.out_channels, 3, padding=1))


class TinyAE(AutoEncoder):
    """Images of any size in [-1, 1] to latents of 1 / `downscale` that size, rounded up, and back.

    The posterior is all at one point. Latents are pressed into (-3, 3), the range these networks are trained on, before
    they are decoded.
    """

    family = "tiny"
    pixel_scale = 0.5
    rounds_up = True

    def __init__(self, config: TinyConfig):
        super().__init__()
        self.config = config
        self.in_channels, self.latent_channels = config.in_channels, config.latent_channels
        self.downscale = config.downscale
        self.encoder = tiny_encoder(config)
        self.decoder = tiny_decoder(config)

    @property
    def is_variational(self) -> bool:
        return False

    def _encode(self, x: Tensor) -> DiagonalGaussian:
        x = pad(x, 2) if self.config.stem == "patches" else x
        return DiagonalGaussian.point(self.encoder((x + 1.0) * 0.5))

    def _decode(self, z: Tensor) -> Tensor:
        return self.decoder(torch.tanh(z / 3.0) * 3.0) * 2.0 - 1.0
