"""HunyuanImage 2.1's auto-encoder: Stable Diffusion's blocks, and the deep-compression ones' changes of resolution.

1/32 of the size in 64 channels; what a convolution changes in resolution or width is added to the pixels themselves,
moved into channels and back (Chen et al. 2024, arXiv:2410.10733).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from vae.distributions import DiagonalGaussian
from vae.errors import InputError
from vae.models.base import AutoEncoder, ModelConfig, pad
from vae.models.group_norm import GroupNorm
from vae.models.layers import Chain, Conv, ResBlock, attend, channel_means, norm_act

GROUPS, EPS = 32, 1e-6


@dataclass(frozen=True)
class HunyuanConfig(ModelConfig):
    """block_out_channels: width of each level, the image's first; every level but the last halves the size.
    layers_per_block: residual blocks in each encoder level; decoder levels have one more.
    """

    sample_size: int = 384
    fixed_size: bool = False
    in_channels: int = 3
    out_channels: int = 3
    latent_channels: int = 64
    block_out_channels: tuple[int, ...] = (128, 256, 512, 512, 1024, 1024)
    layers_per_block: int = 2

    def __post_init__(self):
        widths = self.block_out_channels
        if not 2 <= len(widths) <= 8:
            raise InputError(f"block_out_channels must have 2 to 8 levels, not {len(widths)}.")
        if not all(0 < width <= 8192 and width % GROUPS == 0 for width in widths):
            raise InputError(f"block_out_channels must be multiples of {GROUPS} up to 8192, not {list(widths)}.")
        if any(4 * widths[i] % widths[i + 1] for i in range(len(widths) - 1)):
            raise InputError(f"Each of block_out_channels must divide four times the one before, not {list(widths)}.")
        for name in ("in_channels", "out_channels", "latent_channels"):
            if not 1 <= getattr(self, name) <= 4096:
                raise InputError(f"{name} must be from 1 to 4096, not {getattr(self, name)}.")
        if widths[-1] % (2 * self.latent_channels):
            raise InputError(
                f"Twice the latent_channels, {2 * self.latent_channels}, must divide the last width {widths[-1]}."
            )
        if not 1 <= self.layers_per_block <= 64:
            raise InputError(f"layers_per_block must be from 1 to 64, not {self.layers_per_block}.")
        super().__post_init__()

    @property
    def downscale(self) -> int:
        return 2 ** (len(self.block_out_channels) - 1)

    @property
    def floats_per_pixel(self) -> int:
        widths = [4 * width // 4**i for i, width in enumerate(self.block_out_channels)]
        return 4 * max(*widths, self.in_channels, self.out_channels)


class Attention(nn.Module):
    """Single-head self-attention over all positions, with a residual."""

    def __init__(self, channels: int):
        super().__init__()
        self.norm = GroupNorm(GROUPS, channels, eps=EPS)
        self.to_q = nn.Conv2d(channels, channels, 1)
        self.to_k = nn.Conv2d(channels, channels, 1)
        self.to_v = nn.Conv2d(channels, channels, 1)
        self.proj = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        h = norm_act(x, self.norm, None)
        q, k, v = (layer(h).flatten(2).transpose(1, 2) for layer in (self.to_q, self.to_k, self.to_v))
        return x + self.proj(attend(q, k, v).transpose(1, 2).reshape(x.shape))


class MidBlock(Chain):
    def __init__(self, channels: int):
        super().__init__()
        self.resnets = nn.ModuleList(ResBlock(channels, channels, GROUPS, EPS) for _ in range(2))
        self.attentions = nn.ModuleList([Attention(channels)])

    def blocks(self) -> Sequence[nn.Module]:
        return self.resnets[0], self.attentions[0], self.resnets[1]


class Down(nn.Module):
    """Half the size: the pixels of each 2x2 square become channels."""

    def __init__(self, fan_in: int, fan_out: int):
        super().__init__()
        self.conv = Conv(fan_in, fan_out // 4, 3, padding=1)
        self.group = 4 * fan_in // fan_out

    def forward(self, x: Tensor) -> Tensor:
        return gathered(self.conv(x)) + channel_means(gathered(x), self.group)


class Up(nn.Module):
    """Twice the size: channels become the pixels of 2x2 squares."""

    def __init__(self, fan_in: int, fan_out: int):
        super().__init__()
        self.conv = Conv(fan_in, 4 * fan_out, 3, padding=1)
        self.repeats = 4 * fan_out // fan_in

    def forward(self, x: Tensor) -> Tensor:
        return spread(self.conv(x)) + spread(x.repeat_interleave(self.repeats, 1))


def gathered(x: Tensor) -> Tensor:
    """(N, C, 2h, 2w) to (N, 4C, h, w), all channels of a square's first pixel before those of its second."""
    squares = x.unflatten(3, (-1, 2)).unflatten(2, (-1, 2))
    return squares.permute(0, 3, 5, 1, 2, 4).flatten(1, 3)


def spread(x: Tensor) -> Tensor:
    """The inverse of `gathered`."""
    return x.unflatten(1, (2, 2, -1)).permute(0, 3, 4, 1, 5, 2).flatten(4, 5).flatten(2, 3)


def row(widths: Sequence[int], depth: int, change: type[Down] | type[Up]) -> nn.ModuleList:
    """Levels of residual blocks and the changes between them, all in one row."""
    layers: list[nn.Module] = []
    for i, width in enumerate(widths):
        layers += [ResBlock(width, width, GROUPS, EPS) for _ in range(depth)]
        if i < len(widths) - 1:
            layers.append(change(width, widths[i + 1]))
    return nn.ModuleList(layers)


class Encoder(Chain):
    def __init__(self, config: HunyuanConfig):
        super().__init__()
        widths, moments = config.block_out_channels, 2 * config.latent_channels
        self.group = widths[-1] // moments
        self.conv_in = Conv(config.in_channels, widths[0], 3, padding=1)
        self.down_blocks = row(widths, config.layers_per_block, Down)
        self.mid_block = MidBlock(widths[-1])
        self.norm_out = GroupNorm(GROUPS, widths[-1], eps=EPS)
        self.conv_out = Conv(widths[-1], moments, 3, padding=1)

    def blocks(self) -> Sequence[nn.Module]:
        return tuple(self.down_blocks)

    def forward(self, x: Tensor) -> Tensor:
        x = self.mid_block(super().forward(self.conv_in(x)))
        return self.conv_out(norm_act(x, self.norm_out, "silu")) + channel_means(x, self.group)


class Decoder(Chain):
    def __init__(self, config: HunyuanConfig):
        super().__init__()
        widths = config.block_out_channels[::-1]
        self.repeats = widths[0] // config.latent_channels
        self.conv_in = Conv(config.latent_channels, widths[0], 3, padding=1)
        self.mid_block = MidBlock(widths[0])
        self.up_blocks = row(widths, config.layers_per_block + 1, Up)
        self.norm_out = GroupNorm(GROUPS, widths[-1], eps=EPS)
        self.conv_out = Conv(widths[-1], config.out_channels, 3, padding=1)

    def blocks(self) -> Sequence[nn.Module]:
        return tuple(self.up_blocks)

    def forward(self, z: Tensor) -> Tensor:
        x = self.conv_in(z) + z.repeat_interleave(self.repeats, 1)
        x = super().forward(self.mid_block(x))
        return self.conv_out(norm_act(x, self.norm_out, "silu"))


class AutoencoderHunyuan(AutoEncoder):
    """Images of any size in [-1, 1] to a posterior over latents of 1 / 2^(levels - 1) that size, rounded up, and
    back."""

    family = "hunyuan"
    rounds_up = True

    def __init__(self, config: HunyuanConfig):
        super().__init__()
        self.config = config
        self.in_channels, self.latent_channels = config.in_channels, config.latent_channels
        self.downscale = config.downscale
        self.encoder = Encoder(config)
        self.decoder = Decoder(config)

    def _encode(self, x: Tensor) -> DiagonalGaussian:
        return DiagonalGaussian.from_moments(self.encoder(pad(x, self.downscale)))

    def _decode(self, z: Tensor) -> Tensor:
        return self.decoder(z)
