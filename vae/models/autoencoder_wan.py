"""The auto-encoder of Wan, Qwen-Image and their relatives, for images: a network for videos at a single frame.

Its convolutions are causal in time (Wan team 2025, arXiv:2503.20314): before a video's first frame they see zeros, so
that for one frame only the last slice of a kernel counts. Here that slice alone is computed with, and trained, in two
dimensions, which is exact; the others are kept as they are, for those who open the model for videos again.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vae.distributions import DiagonalGaussian
from vae.errors import InputError
from vae.models.base import AutoEncoder, ModelConfig, pad
from vae.models.layers import Chain, Conv, EnlargingConv, activate, attend, channel_means
from vae.models.recording import is_graphed

# Wan 2.1's latents, channel by channel; Qwen-Image's network has the same encoder.
LATENTS_MEAN = (-0.7571, -0.7089, -0.9113, 0.1075, -0.1745, 0.9653, -0.1517, 1.5508)
LATENTS_MEAN += (0.4134, -0.0715, 0.5517, -0.3632, -0.1922, -0.9497, 0.2503, -0.2921)
LATENTS_STD = (2.8184, 1.4541, 2.3275, 2.6558, 1.2196, 1.7708, 2.6052, 2.0743)
LATENTS_STD += (3.2687, 2.1526, 2.8652, 1.5579, 1.6382, 1.1253, 2.8251, 1.9160)


@dataclass(frozen=True)
class WanConfig(ModelConfig):
    """base_dim, dim_mult: the width of the encoder's level i is base_dim * dim_mult[i], the image's first.
    decoder_base_dim: the decoder's, where it is another. z_dim: latent channels.
    num_res_blocks: residual blocks of an encoder's level; a decoder's has one more.
    temperal_downsample: at which changes of resolution a video's frames are reduced too; an image feels it in the
    shortcuts alone.
    is_residual: whether levels have shortcuts that move pixels into channels and back, as Wan 2.2's.
    patch_size: side of the squares of pixels whose channels are all channels of one, before the first level.
    latents_mean, latents_std: per-channel statistics with which the diffusion models scale.
    """

    sample_size: int = 512
    fixed_size: bool = False
    in_channels: int = 3
    out_channels: int = 3
    base_dim: int = 96
    decoder_base_dim: int | None = None
    z_dim: int = 16
    dim_mult: tuple[int, ...] = (1, 2, 4, 4)
    num_res_blocks: int = 2
    temperal_downsample: tuple[bool, ...] = (False, True, True)
    is_residual: bool = False
    patch_size: int | None = None
    latents_mean: tuple[float, ...] | None = LATENTS_MEAN
    latents_std: tuple[float, ...] | None = LATENTS_STD
    frames: ClassVar[int] = 3  # that a kernel sees

    def __post_init__(self):
        levels = len(self.dim_mult)
        if not 1 <= levels <= 8 or len(self.temperal_downsample) != levels - 1:
            raise InputError(
                f"dim_mult must have 1 to 8 levels and temperal_downsample one entry less, not {levels} and "
                f"{len(self.temperal_downsample)}."
            )
        for width in (*self.widths(self.base_dim), *self.widths(self.decoder_base_dim or self.base_dim)):
            if not 1 < width <= 8192 or width % 2:
                raise InputError(f"base_dim times dim_mult must be even numbers up to 8192, not {width}.")
        for name in ("in_channels", "out_channels", "z_dim", "base_dim"):
            if not 1 <= getattr(self, name) <= 1024:
                raise InputError(f"{name} must be from 1 to 1024, not {getattr(self, name)}.")
        if not 1 <= self.num_res_blocks <= 64:
            raise InputError(f"num_res_blocks must be from 1 to 64, not {self.num_res_blocks}.")
        if self.patch_size is not None and not 1 <= self.patch_size <= 16:
            raise InputError(f"patch_size must be from 1 to 16, not {self.patch_size}.")
        if self.is_residual:
            self._check_shortcuts()
        for name in ("latents_mean", "latents_std"):
            values = getattr(self, name)
            if values is not None and len(values) != self.z_dim:
                raise InputError(f"{name} must have {self.z_dim} numbers, one a latent channel.")
        super().__post_init__()

    def _check_shortcuts(self) -> None:
        moves = [4 * (1 + timed) for timed in self.temperal_downsample]  # channels that a pixel's become one of
        down, up = self.widths(self.base_dim), self.widths(self.decoder_base_dim or self.base_dim)[::-1]
        shortcuts = [*zip([self.base_dim, *down], [*moves, 1], down, strict=False)]
        shortcuts += zip(up, moves[::-1], [up[0], *up], strict=False)
        for more, move, fewer in shortcuts:
            if more * move % fewer:
                raise InputError(
                    f"With is_residual neighbouring levels must share out their channels, and {move} times {more} are "
                    f"no multiple of {fewer}."
                )

    def widths(self, base: int) -> list[int]:
        return [base * factor for factor in self.dim_mult]

    @property
    def downscale(self) -> int:
        return 2 ** (len(self.dim_mult) - 1) * (self.patch_size or 1)

    @property
    def floats_per_pixel(self) -> int:
        widths = [
            width // 4 ** max(i - 1, 0)  # a level is enlarged before its width changes
            for base in (self.base_dim, self.decoder_base_dim or self.base_dim)
            for i, width in enumerate(self.widths(base))
        ]
        return 4 * max(*(width // (self.patch_size or 1) ** 2 for width in widths), self.in_channels, self.out_channels)


@dataclass(frozen=True)
class QwenImageConfig(WanConfig):
    """The same network as Qwen-Image has it: images go in and come out with equally many channels."""

    def __post_init__(self):
        super().__post_init__()
        alike = self.in_channels == self.out_channels and self.decoder_base_dim in (None, self.base_dim)
        if not alike or self.is_residual or self.patch_size is not None:
            raise InputError(
                "Qwen-Image's network has the same channels and base_dim in its decoder, and neither is_residual nor a "
                "patch_size."
            )


class CausalConv(Conv):
    """A causal convolution in space and time at a single frame. kernel: its side. frames: that it sees, unless it sees
    a single pixel.

    earlier: the slices of its kernel that see the frames before, (fan_out, fan_in * (frames - 1), kernel, kernel); not
    computed with.
    """

    def __init__(self, fan_in: int, fan_out: int, kernel: int, frames: int):
        super().__init__(fan_in, fan_out, kernel, padding=kernel // 2)
        if kernel > 1 and frames > 1:
            self.register_buffer("earlier", torch.zeros(fan_out, fan_in * (frames - 1), kernel, kernel))


class TimeConv(nn.Module):
    """The weights of a convolution over frames alone, which an image does not go through."""

    def __init__(self, fan_in: int, fan_out: int, frames: int):
        super().__init__()
        self.register_buffer("weight", torch.zeros(fan_out, fan_in, frames))
        self.register_buffer("bias", torch.zeros(fan_out))


class RMSNorm(nn.Module):
    """Each pixel's channels brought to a root mean square of gamma."""

    def __init__(self, channels: int):
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return F.normalize(x.float(), dim=1).to(x.dtype) * (self.gamma * x.shape[1] ** 0.5)


class ResBlock(nn.Module):
    def __init__(self, fan_in: int, fan_out: int, frames: int):
        super().__init__()
        self.norm1, self.conv1 = RMSNorm(fan_in), CausalConv(fan_in, fan_out, 3, frames)
        self.norm2, self.conv2 = RMSNorm(fan_out), CausalConv(fan_out, fan_out, 3, frames)
        self.conv_shortcut = CausalConv(fan_in, fan_out, 1, frames) if fan_in != fan_out else None

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv1(activate(self.norm1(x), "silu"))
        h = self.conv2(activate(self.norm2(h), "silu"))
        return h + (x if self.conv_shortcut is None else self.conv_shortcut(x))


class Attention(nn.Module):
    """Single-head self-attention over a frame's positions, with a residual."""

    def __init__(self, channels: int):
        super().__init__()
        self.norm = RMSNorm(channels)
        self.to_qkv = nn.Conv2d(channels, 3 * channels, 1)
        self.proj = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        qkv = self.to_qkv(self.norm(x)).flatten(2).transpose(1, 2)  # (N, H*W, 3C)
        return x + self.proj(attend(*qkv.chunk(3, dim=-1)).transpose(1, 2).reshape(x.shape))


class Resample(nn.Module):
    """Half the size, or twice the size if `up`, which says into how many channels. timed: where a video's frames change
    too."""

    def __init__(self, channels: int, up: int | None, timed: bool, frames: int):
        super().__init__()
        conv = EnlargingConv(channels, up, 3, padding=1) if up else Conv(channels, channels, 3, stride=2)
        self.up = up
        self.resample = nn.Sequential(nn.Identity(), conv)
        self.time_conv = TimeConv(channels, 2 * channels if up else channels, frames) if timed else None

    def forward(self, x: Tensor) -> Tensor:
        return self.resample(x if self.up else F.pad(x, (0, 1, 0, 1)))


class MidBlock(Chain):
    def __init__(self, channels: int, frames: int):
        super().__init__()
        self.resnets = nn.ModuleList(ResBlock(channels, channels, frames) for _ in range(2))
        self.attentions = nn.ModuleList([Attention(channels)])

    def blocks(self) -> Sequence[nn.Module]:
        return self.resnets[0], self.attentions[0], self.resnets[1]


class UpBlock(Chain):
    def __init__(self, fan_in: int, fan_out: int, depth: int, resample: Resample | None, frames: int):
        super().__init__()
        self.resnets = nn.ModuleList(ResBlock(fan_in if i == 0 else fan_out, fan_out, frames) for i in range(depth))
        self.upsamplers = nn.ModuleList([resample] if resample else [])

    def blocks(self) -> Sequence[nn.Module]:
        return *self.resnets, *self.upsamplers


class ResidualDown(Chain):
    """A level of the encoder whose input, its pixels moved into channels, is added to what comes out of it. A frame
    before the first, where one is joined with it, is all zero."""

    def __init__(self, fan_in: int, fan_out: int, depth: int, resample: Resample | None, frames: int):
        super().__init__()
        self.resnets = nn.ModuleList(ResBlock(fan_in if i == 0 else fan_out, fan_out, frames) for i in range(depth))
        self.downsampler = resample
        self.timed = resample is not None and resample.time_conv is not None
        self.group = fan_in * (4 if resample else 1) * (2 if self.timed else 1) // fan_out

    def forward(self, x: Tensor) -> Tensor:
        moved = x if self.downsampler is None else F.pixel_unshuffle(x, 2)
        if self.timed:
            moved = moved.unflatten(1, (-1, 4))
            moved = torch.cat([torch.zeros_like(moved), moved], 2).flatten(1, 2)
        return super().forward(x) + channel_means(moved, self.group)

    def blocks(self) -> Sequence[nn.Module]:
        return *self.resnets, *([self.downsampler] if self.downsampler else [])


class ResidualUp(Chain):
    """A level of the decoder, likewise: channels become pixels, and of two frames the later is the image's."""

    def __init__(self, fan_in: int, fan_out: int, depth: int, resample: Resample | None, frames: int):
        super().__init__()
        self.resnets = nn.ModuleList(ResBlock(fan_in if i == 0 else fan_out, fan_out, frames) for i in range(depth))
        self.upsampler = resample
        self.into = 2 if resample is not None and resample.time_conv is not None else 1
        self.repeats = fan_out * 4 * self.into // fan_in

    def forward(self, x: Tensor) -> Tensor:
        if self.upsampler is None:
            return super().forward(x)
        moved = x.repeat_interleave(self.repeats, 1).unflatten(1, (-1, self.into, 4))[:, :, -1].flatten(1, 2)
        return super().forward(x) + F.pixel_shuffle(moved, 2)

    def blocks(self) -> Sequence[nn.Module]:
        return *self.resnets, *([self.upsampler] if self.upsampler else [])


class Encoder(Chain):
    def __init__(self, config: WanConfig):
        super().__init__()
        widths, frames, depth = config.widths(config.base_dim), config.frames, config.num_res_blocks
        layers: list[nn.Module] = []
        before = config.base_dim
        for i, width in enumerate(widths):
            timed = i < len(widths) - 1 and config.temperal_downsample[i]
            change = Resample(width, None, timed, frames) if i < len(widths) - 1 else None
            if config.is_residual:
                layers.append(ResidualDown(before, width, depth, change, frames))
            else:
                layers += [ResBlock(before if j == 0 else width, width, frames) for j in range(depth)]
                layers += [change] if change else []
            before = width
        self.conv_in = CausalConv(config.in_channels * (config.patch_size or 1) ** 2, config.base_dim, 3, frames)
        self.down_blocks = nn.ModuleList(layers)
        self.mid_block = MidBlock(widths[-1], frames)
        self.norm_out = RMSNorm(widths[-1])
        self.conv_out = CausalConv(widths[-1], 2 * config.z_dim, 3, frames)

    def blocks(self) -> Sequence[nn.Module]:
        return tuple(self.down_blocks)

    def forward(self, x: Tensor) -> Tensor:
        x = self.mid_block(super().forward(self.conv_in(x)))
        return self.conv_out(activate(self.norm_out(x), "silu"))


class Decoder(nn.Module):
    def __init__(self, config: WanConfig):
        super().__init__()
        widths = config.widths(config.decoder_base_dim or config.base_dim)[::-1]
        timed, frames, residual = config.temperal_downsample[::-1], config.frames, config.is_residual
        self.conv_in = CausalConv(config.z_dim, widths[0], 3, frames)
        self.mid_block = MidBlock(widths[0], frames)
        self.up_blocks = nn.ModuleList()
        before = widths[0]
        for i, width in enumerate(widths):
            after = width if residual else width // 2  # channels of what is enlarged
            change = Resample(width, after, timed[i], frames) if i < len(timed) else None
            level = (ResidualUp if residual else UpBlock)(before, width, config.num_res_blocks + 1, change, frames)
            self.up_blocks.append(level)
            before = after
        self.norm_out = RMSNorm(widths[-1])
        self.conv_out = CausalConv(widths[-1], config.out_channels * (config.patch_size or 1) ** 2, 3, frames)

    def forward(self, x: Tensor) -> Tensor:
        x = self.mid_block(self.conv_in(x))
        for level in self.up_blocks:
            x = level(x)
        return self.conv_out(activate(self.norm_out(x), "silu"))


class AutoencoderWan(AutoEncoder):
    """Images of any size in [-1, 1] to a posterior over latents of 1 / `downscale` that size, and back.

    What it decodes is clamped to [-1, 1], as by those who made it, but where a gradient is recorded.
    """

    family = "wan"

    def __init__(self, config: WanConfig):
        super().__init__()
        self.config = config
        self.in_channels, self.latent_channels = config.in_channels, config.z_dim
        self.downscale = config.downscale
        self.encoder = Encoder(config)
        self.decoder = Decoder(config)
        self.quant_conv = CausalConv(2 * config.z_dim, 2 * config.z_dim, 1, config.frames)
        self.post_quant_conv = CausalConv(config.z_dim, config.z_dim, 1, config.frames)
        self.patch = config.patch_size or 1
        self.rounds_up = config.is_residual or self.patch > 1

    def _encode(self, x: Tensor) -> DiagonalGaussian:
        x = pad(x, self.downscale) if self.rounds_up else x
        x = F.pixel_unshuffle(x.mT, self.patch).mT if self.patch > 1 else x  # a square's columns before its rows
        return DiagonalGaussian.from_moments(self.quant_conv(self.encoder(x)))

    def _decode(self, z: Tensor) -> Tensor:
        x = self.decoder(self.post_quant_conv(z))
        x = F.pixel_shuffle(x.mT, self.patch).mT if self.patch > 1 else x
        return x if torch.is_grad_enabled() and not is_graphed() else x.clamp(-1.0, 1.0)
