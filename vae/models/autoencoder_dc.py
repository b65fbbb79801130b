"""The deep-compression auto-encoder of Sana and its relatives (Chen et al. 2024, arXiv:2410.10733): 1/32 to 1/128.

Levels are changed with shortcuts that only move pixels into channels and back, and where pixels are few there is
attention whose cost grows linearly with them (EfficientViT, Cai et al. 2022, arXiv:2205.14756).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vae.distributions import DiagonalGaussian
from vae.errors import InputError
from vae.models.base import AutoEncoder, ModelConfig, pad
from vae.models.layers import Chain, channel_means

ACTIVATIONS = {"silu": F.silu, "relu": F.relu}
BLOCKS, NORMS = ("ResBlock", "EfficientViTBlock"), ("rms_norm", "batch_norm")
EPS = 1e-15  # at least, of the attention's sum of weights; added, ONNX's optimizer would take it for nothing
PER_LEVEL = ("block_types", "block_out_channels", "layers_per_block", "qkv_multiscales")

_SIX = (128, 256, 512, 512, 1024, 1024)
_SCALES = ((), (), (), (5,), (5,), (5,))


@dataclass(frozen=True)
class DCConfig(ModelConfig):
    """Of encoder and decoder, level by level from the image's on: the kind of the blocks (BLOCKS), their width, how
    many there are (none is possible in the first level alone), and the sizes of the windows from which attention takes
    queries, keys and values beside the pixel itself. Every level but the last halves the size.

    decoder_norm_types, decoder_act_fns: the decoder's norms (NORMS) and activations by level; the encoder's are
    rms_norm and silu.
    attention_head_dim: channels of an attention's head.
    downsample_block_type: "pixel_unshuffle", or anything else for a convolution of stride 2. upsample_block_type:
    "pixel_shuffle", or "interpolate", to the nearest pixel.
    encoder_out_shortcut, decoder_in_shortcut: whether the latent is added to, and repeated in, the last level's
    channels. decoder_conv_act_fn: the activation before the last convolution.
    """

    sample_size: int = 512
    fixed_size: bool = False
    in_channels: int = 3
    latent_channels: int = 32
    attention_head_dim: int = 32
    encoder_block_types: tuple[str, ...] = ("ResBlock",) * 6
    decoder_block_types: tuple[str, ...] = ("ResBlock",) * 6
    encoder_block_out_channels: tuple[int, ...] = _SIX
    decoder_block_out_channels: tuple[int, ...] = _SIX
    encoder_layers_per_block: tuple[int, ...] = (2, 2, 2, 3, 3, 3)
    decoder_layers_per_block: tuple[int, ...] = (3, 3, 3, 3, 3, 3)
    encoder_qkv_multiscales: tuple[tuple[int, ...], ...] = _SCALES
    decoder_qkv_multiscales: tuple[tuple[int, ...], ...] = _SCALES
    upsample_block_type: str = "pixel_shuffle"
    downsample_block_type: str = "pixel_unshuffle"
    decoder_norm_types: tuple[str, ...] = ("rms_norm",) * 6
    decoder_act_fns: tuple[str, ...] = ("silu",) * 6
    encoder_out_shortcut: bool = True
    decoder_in_shortcut: bool = True
    decoder_conv_act_fn: str = "relu"

    def __post_init__(self):
        for name in ("in_channels", "latent_channels", "attention_head_dim"):
            if not 1 <= getattr(self, name) <= 4096:
                raise InputError(f"{name} must be from 1 to 4096, not {getattr(self, name)}.")
        levels = len(self.encoder_block_out_channels)
        if not 2 <= levels <= 9:
            raise InputError(f"encoder_block_out_channels must have 2 to 9 levels, not {levels}.")
        for name in (*(f"{half}_{key}" for half in ("encoder", "decoder") for key in PER_LEVEL), "decoder_norm_types"):
            if len(getattr(self, name)) != levels:
                raise InputError(f"{name} must have an entry for each of the {levels} levels.")
        for name, known in (("decoder_norm_types", NORMS), ("decoder_act_fns", tuple(ACTIVATIONS))):
            if len(getattr(self, name)) != levels or any(kind not in known for kind in getattr(self, name)):
                raise InputError(f"{name} must be {' or '.join(known)} for each of the {levels} levels.")
        if self.decoder_conv_act_fn not in ACTIVATIONS:
            raise InputError(f"decoder_conv_act_fn must be one of {', '.join(ACTIVATIONS)}.")
        for half, shortcut in (("encoder", self.encoder_out_shortcut), ("decoder", self.decoder_in_shortcut)):
            self._check(half, shortcut)
        if self.upsample_block_type not in ("pixel_shuffle", "interpolate"):
            raise InputError("upsample_block_type must be pixel_shuffle or interpolate.")
        super().__post_init__()

    def _check(self, half: str, shortcut: bool) -> None:
        kinds, widths, depths, scales = (getattr(self, f"{half}_{key}") for key in PER_LEVEL)
        if any(kind not in BLOCKS for kind in kinds):
            raise InputError(f"{half}_block_types must be {' or '.join(BLOCKS)}, not {repr(list(kinds))[:120]}.")
        if not all(1 <= width <= 8192 and width % 4 == 0 for width in widths):
            raise InputError(f"{half}_block_out_channels must be multiples of 4 up to 8192, not {list(widths)}.")
        if not all((i == 0 or depth) and 0 <= depth <= 64 for i, depth in enumerate(depths)):
            raise InputError(f"{half}_layers_per_block must be 1 to 64, or 0 in the first level, not {list(depths)}.")
        if any(4 * widths[i] % widths[i + 1] for i in range(0 if depths[0] else 1, len(widths) - 1)):
            raise InputError(f"Each of the {half}'s widths must divide four times the one before, not {list(widths)}.")
        latent, head = self.latent_channels, self.attention_head_dim
        if shortcut and widths[-1] % latent:
            raise InputError(f"latent_channels {latent} must divide the {half}'s last width {widths[-1]}.")
        if any(size % 2 == 0 or not 1 <= size <= 31 for sizes in scales for size in sizes) or max(map(len, scales)) > 4:
            raise InputError(f"{half}_qkv_multiscales must be up to four odd numbers up to 31 for each level.")
        if any(kind == BLOCKS[1] and width < head for kind, width in zip(kinds, widths, strict=True)):
            raise InputError(f"attention_head_dim {head} is more than the channels that the {half} has for it.")

    @property
    def downscale(self) -> int:
        return 2 ** (len(self.encoder_block_out_channels) - 1)

    @property
    def floats_per_pixel(self) -> int:
        needed = [self.in_channels * 4]
        for half in ("encoder", "decoder"):
            kinds, widths, depths, _ = (getattr(self, f"{half}_{key}") for key in PER_LEVEL)
            for i in range(0 if depths[0] else 1, len(widths)):
                copies = 4 if kinds[i] == BLOCKS[0] else 24  # between its layers attention's block is 8 times as wide
                needed += [copies * widths[i] // 4**i, 4 * widths[i] // 4 ** max(i - 1, 0)]
        return max(needed)


class RMSNorm(nn.Module):
    """Each pixel's channels divided by their root mean square."""

    def __init__(self, channels: int):
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(channels)), nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        scale = torch.rsqrt(x.float().square().mean(1, keepdim=True) + 1e-5)
        return (x * scale).to(x.dtype) * self.weight.view(-1, 1, 1) + self.bias.view(-1, 1, 1)


def norm_layer(kind: str, channels: int) -> nn.Module:
    return RMSNorm(channels) if kind == "rms_norm" else nn.BatchNorm2d(channels)


class ResBlock(nn.Module):
    def __init__(self, channels: int, norm: str, act: str):
        super().__init__()
        self.act = ACTIVATIONS[act]
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm = norm_layer(norm, channels)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.norm(self.conv2(self.act(self.conv1(x))))


class Window(nn.Module):
    """Queries, keys and values of a window of pixels: each channel by itself, then each head's together."""

    def __init__(self, channels: int, heads: int, size: int):
        super().__init__()
        self.proj_in = nn.Conv2d(3 * channels, 3 * channels, size, padding=size // 2, groups=3 * channels, bias=False)
        self.proj_out = nn.Conv2d(3 * channels, 3 * channels, 1, groups=3 * heads, bias=False)

    def forward(self, qkv: Tensor) -> Tensor:
        return self.proj_out(self.proj_in(qkv))


class LinearAttention(nn.Module):
    """Attention whose weights are products of relu(query) and relu(key): keys and values can be summed first."""

    def __init__(self, channels: int, head: int, sizes: Sequence[int], norm: str):
        super().__init__()
        heads = channels // head
        inner, self.head = heads * head, head
        self.to_q = nn.Linear(channels, inner, bias=False)
        self.to_k = nn.Linear(channels, inner, bias=False)
        self.to_v = nn.Linear(channels, inner, bias=False)
        self.to_qkv_multiscale = nn.ModuleList(Window(inner, heads, size) for size in sizes)
        self.to_out = nn.Linear(inner * (1 + len(sizes)), channels, bias=False)
        self.norm_out = norm_layer(norm, channels)

    def forward(self, x: Tensor) -> Tensor:
        pixels = x.movedim(1, -1)
        qkv = torch.cat([self.to_q(pixels), self.to_k(pixels), self.to_v(pixels)], -1).movedim(-1, 1)
        qkv = torch.cat([qkv, *(window(qkv) for window in self.to_qkv_multiscale)], 1)
        with torch.autocast("cpu" if x.is_meta else x.device.type, enabled=False):
            heads = qkv.float().flatten(2).unflatten(1, (-1, 3 * self.head))  # (N, heads, 3 * head, H*W)
            q, k, v = heads.chunk(3, dim=2)
            q, k = q.relu(), k.relu()
            summed = (v @ k.transpose(2, 3)) @ q
            weights = k.sum(3, keepdim=True).transpose(2, 3) @ q
            h = (summed / weights.clamp_min(EPS)).flatten(1, 2).unflatten(2, x.shape[2:]).to(qkv.dtype)
        return x + self.norm_out(self.to_out(h.movedim(1, -1)).movedim(-1, 1))


class GatedConv(nn.Module):
    """Four times the width, a 3x3 convolution of each channel by itself, gated by as many others."""

    def __init__(self, channels: int):
        super().__init__()
        wide = 8 * channels
        self.conv_inverted = nn.Conv2d(channels, wide, 1)
        self.conv_depth = nn.Conv2d(wide, wide, 3, padding=1, groups=wide)
        self.conv_point = nn.Conv2d(wide // 2, channels, 1, bias=False)
        self.norm = RMSNorm(channels)

    def forward(self, x: Tensor) -> Tensor:
        h, gate = self.conv_depth(F.silu(self.conv_inverted(x))).chunk(2, dim=1)
        return x + self.norm(self.conv_point(h * F.silu(gate)))


class EfficientViTBlock(nn.Module):
    def __init__(self, channels: int, head: int, sizes: Sequence[int], norm: str):
        super().__init__()
        self.attn = LinearAttention(channels, head, sizes, norm)
        self.conv_out = GatedConv(channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv_out(self.attn(x))


class Down(nn.Module):
    """Half the size, by a convolution; with `shortcut` plus the means of four pixels' channels."""

    def __init__(self, fan_in: int, fan_out: int, unshuffle: bool, shortcut: bool = True):
        super().__init__()
        self.unshuffle, self.group = unshuffle, 4 * fan_in // fan_out if shortcut else 0
        out, stride = (fan_out // 4, 1) if unshuffle else (fan_out, 2)
        self.conv = nn.Conv2d(fan_in, out, 3, stride=stride, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv(x)
        h = F.pixel_unshuffle(h, 2) if self.unshuffle else h
        return h + channel_means(F.pixel_unshuffle(x, 2), self.group) if self.group else h


class Up(nn.Module):
    """Twice the size, by a convolution; with `shortcut` plus the channels, repeated and spread over four pixels."""

    def __init__(self, fan_in: int, fan_out: int, shuffle: bool, shortcut: bool = True):
        super().__init__()
        self.shuffle, self.repeats = shuffle, 4 * fan_out // fan_in if shortcut else 0
        self.conv = nn.Conv2d(fan_in, 4 * fan_out if shuffle else fan_out, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        if self.shuffle:
            h = F.pixel_shuffle(self.conv(x), 2)
        else:
            h = self.conv(F.interpolate(x, scale_factor=2.0, mode="nearest"))
        return h + F.pixel_shuffle(x.repeat_interleave(self.repeats, 1), 2) if self.repeats else h


class Stage(Chain, nn.ModuleList):
    """The layers of a level, by their numbers."""

    def blocks(self) -> Sequence[nn.Module]:
        return tuple(self)


def stage_blocks(config: DCConfig, half: str, i: int, norm: str, act: str) -> list[nn.Module]:
    kind, width, depth, sizes = (getattr(config, f"{half}_{key}")[i] for key in PER_LEVEL)
    if kind == BLOCKS[0]:
        return [ResBlock(width, norm, act) for _ in range(depth)]
    return [EfficientViTBlock(width, config.attention_head_dim, sizes, norm) for _ in range(depth)]


class Encoder(nn.Module):
    def __init__(self, config: DCConfig):
        super().__init__()
        widths, depths = config.encoder_block_out_channels, config.encoder_layers_per_block
        unshuffle = config.downsample_block_type == "pixel_unshuffle"
        self.conv_in: nn.Module = nn.Conv2d(config.in_channels, widths[0], 3, padding=1)
        if not depths[0]:
            self.conv_in = Down(config.in_channels, widths[1], unshuffle, shortcut=False)
        self.down_blocks = nn.ModuleList()
        for i, width in enumerate(widths):
            change = [Down(width, widths[i + 1], unshuffle)] if i < len(widths) - 1 and depths[i] else []
            self.down_blocks.append(Stage([*stage_blocks(config, "encoder", i, "rms_norm", "silu"), *change]))
        self.conv_out = nn.Conv2d(widths[-1], config.latent_channels, 3, padding=1)
        self.group = widths[-1] // config.latent_channels if config.encoder_out_shortcut else 0

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv_in(x)
        for level in self.down_blocks:
            x = level(x)
        return self.conv_out(x) + channel_means(x, self.group) if self.group else self.conv_out(x)


class Decoder(nn.Module):
    """Its levels are counted from the image's, and computed the other way round."""

    def __init__(self, config: DCConfig):
        super().__init__()
        widths, depths = config.decoder_block_out_channels, config.decoder_layers_per_block
        shuffle = config.upsample_block_type == "pixel_shuffle"
        self.conv_in = nn.Conv2d(config.latent_channels, widths[-1], 3, padding=1)
        self.repeats = widths[-1] // config.latent_channels if config.decoder_in_shortcut else 0
        self.up_blocks = nn.ModuleList()
        for i, (width, norm, act) in enumerate(
            zip(widths, config.decoder_norm_types, config.decoder_act_fns, strict=True)
        ):
            change = [Up(widths[i + 1], width, shuffle)] if i < len(widths) - 1 and depths[i] else []
            self.up_blocks.append(Stage([*change, *stage_blocks(config, "decoder", i, norm, act)]))
        last = widths[0] if depths[0] else widths[1]
        self.norm_out = RMSNorm(last)
        self.act = ACTIVATIONS[config.decoder_conv_act_fn]
        self.conv_out: nn.Module = nn.Conv2d(last, config.in_channels, 3, padding=1)
        if not depths[0]:
            self.conv_out = Up(last, config.in_channels, shuffle, shortcut=False)

    def forward(self, z: Tensor) -> Tensor:
        x = self.conv_in(z)
        if self.repeats:
            x = x + z.repeat_interleave(self.repeats, 1)
        for level in reversed(self.up_blocks):
            x = level(x)
        return self.conv_out(self.act(self.norm_out(x)))


class AutoencoderDC(AutoEncoder):
    """Images of any size in [-1, 1] to latents of 1 / 2^(levels - 1) that size, rounded up, and back. The posterior is
    all at one point.
    """

    family = "dc"
    rounds_up = True

    def __init__(self, config: DCConfig):
        super().__init__()
        self.config = config
        self.in_channels, self.latent_channels = config.in_channels, config.latent_channels
        self.downscale = config.downscale
        self.encoder = Encoder(config)
        self.decoder = Decoder(config)

    @property
    def is_variational(self) -> bool:
        return False

    def _encode(self, x: Tensor) -> DiagonalGaussian:
        return DiagonalGaussian.point(self.encoder(pad(x, self.downscale)))

    def _decode(self, z: Tensor) -> Tensor:
        return self.decoder(z)
