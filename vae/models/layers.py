"""The blocks of the latent-diffusion auto-encoder (Rombach et al. 2022, arXiv:2112.10752), with diffusers' names.

Without gradients the activations are overwritten in place: at high resolutions they are the memory that is needed.
"""

from collections.abc import Sequence
from itertools import chain

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from vae.models import fused_residual
from vae.models.group_norm import GroupNorm
from vae.models.recording import is_inference

ACTIVATIONS = {"silu": F.silu, "selu": F.selu, "relu": F.relu}


PADDINGS = ("zeros", "reflect")  # what a convolution sees beyond an image's edge


class Conv(nn.Conv2d):
    """A convolution that, where no gradient is recorded, computes in its input's number format."""

    def forward(self, x: Tensor) -> Tensor:
        weight, bias, padding = self.weight, self.bias, self.padding
        if x.dtype != weight.dtype and is_inference():
            weight, bias = weight.to(x.dtype), bias.to(x.dtype)
        if self.padding_mode == "reflect" and padding != (0, 0):
            x, padding = reflected(x), (0, 0)
        return F.conv2d(x, weight, bias, self.stride, padding)


def reflected(x: Tensor) -> Tensor:
    """Images with one pixel more on every side, reflected; where there is but one row or column, that one again."""
    if not torch.compiler.is_exporting() and min(x.shape[-2:]) > 1:
        return F.pad(x, (1, 1, 1, 1), "reflect")
    for axis in (-2, -1):  # a graph for any size cannot branch by it
        last = x.shape[axis] - 1
        index = torch.arange(-1, last + 2, device=x.device).abs()
        x = x.index_select(axis, (last - (last - index).abs()).clamp_min(0))
    return x


class EnlargingConv(Conv):
    """The 3x3 convolution of an image twice as large, nearest neighbour.

    A row of the enlarged image sees only two rows of the small one, so nine products a pixel can be had with four:
    as a transposed convolution, whose kernel is this one's run over a 2x2 square of ones.
    """

    def forward(self, x: Tensor) -> Tensor:
        # On a CPU, which it makes twice as fast; a small image is not worth the making of the kernel.
        plain = not is_inference() or x.device.type != "cpu" or self.padding_mode != "zeros"
        if plain or x.shape[0] * x.shape[2] * x.shape[3] < 1024:  # a graph must not ask for sizes
            return super().forward(F.interpolate(x, scale_factor=2.0, mode="nearest"))
        padded = F.pad(self.weight.float().flip(2, 3).transpose(0, 1), (1, 1, 1, 1))
        kernel = padded[..., 1:, 1:] + padded[..., :-1, 1:] + padded[..., 1:, :-1] + padded[..., :-1, :-1]
        kernel = kernel.to(x.dtype, memory_format=torch.channels_last)
        return F.conv_transpose2d(x, kernel, self.bias.to(x.dtype), stride=2, padding=1)


def activate(x: Tensor, name: str) -> Tensor:
    """The activation `name` of a tensor that nobody else reads: in place where no gradient is recorded."""
    return ACTIVATIONS[name](x, inplace=is_inference())


class SpatialNorm(nn.Module):
    """Group normalisation, then scaled and shifted pixel by pixel by the latent that is decoded (Zheng et al. 2022,
    arXiv:2209.09002)."""

    def __init__(self, channels: int, code_channels: int):
        super().__init__()
        self.norm_layer = GroupNorm(32, channels, eps=1e-6)
        self.conv_y = nn.Conv2d(code_channels, channels, 1)
        self.conv_b = nn.Conv2d(code_channels, channels, 1)

    def forward(self, x: Tensor, code: Tensor) -> Tensor:
        code = F.interpolate(code, x.shape[-2:], mode="nearest")
        return self.norm_layer(x) * self.conv_y(code) + self.conv_b(code)


def norm_layer(channels: int, groups: int, eps: float, code_channels: int | None) -> "GroupNorm | SpatialNorm":
    return GroupNorm(groups, channels, eps=eps) if code_channels is None else SpatialNorm(channels, code_channels)


def norm_act(x: Tensor, norm: GroupNorm | SpatialNorm, name: str | None, code: Tensor | None = None) -> Tensor:
    """The activation `name` of norm(x), or norm(x) alone. code: what a SpatialNorm goes by."""
    if isinstance(norm, SpatialNorm):
        x = norm(x, code)
        return x if name is None else activate(x, name)
    if fused_residual.is_faster(x):
        return fused_residual.norm_act(x, norm, name)
    return norm(x) if name is None else activate(norm(x), name)


class ResBlock(nn.Module):
    """x + conv(act(norm(conv(act(norm(x)))))), with a 1x1 convolution on the shortcut where the width changes.

    act_twice=False leaves out the second activation, as the Stable Diffusion notebook does. code_channels: of the
    latent that the norms go by, given with x, if they do.
    """

    def __init__(
        self,
        fan_in: int,
        fan_out: int,
        groups: int,
        eps: float,
        act: str = "silu",
        act_twice: bool = True,
        padding_mode: str = "zeros",
        code_channels: int | None = None,
    ):
        super().__init__()
        self.act, self.act_twice = act, act_twice
        self.norm1 = norm_layer(fan_in, groups, eps, code_channels)
        self.conv1 = Conv(fan_in, fan_out, 3, padding=1, padding_mode=padding_mode)
        self.norm2 = norm_layer(fan_out, groups, eps, code_channels)
        self.conv2 = Conv(fan_out, fan_out, 3, padding=1, padding_mode=padding_mode)
        self.conv_shortcut = Conv(fan_in, fan_out, 1) if fan_in != fan_out else None

    def forward(self, x: Tensor, code: Tensor | None = None) -> Tensor:
        acts = self.act, self.act if self.act_twice else None
        if code is None and self.conv1.padding_mode == "zeros" and fused_residual.is_faster(x):
            shortcut = None if self.conv_shortcut is None else self.conv_shortcut(x)
            norms, convs = (self.norm1, self.norm2), (self.conv1, self.conv2)
            return fused_residual.residual_block(x, shortcut, norms, convs, acts)
        h = self.conv1(norm_act(x, self.norm1, acts[0], code))
        h = self.conv2(norm_act(h, self.norm2, acts[1], code))
        shortcut = x if self.conv_shortcut is None else self.conv_shortcut(x)
        return shortcut.add_(h) if is_inference() else shortcut + h


def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """softmax(q k^T / sqrt(C)) v for (N, positions, C). On a CPU in bfloat16 a few rows at a time with plain products,
    softmax in float32: 2.7 times as fast there as the fused kernel."""
    if q.device.type != "cpu" or q.dtype != torch.bfloat16 or not is_inference():
        return F.scaled_dot_product_attention(q.unsqueeze(1), k.unsqueeze(1), v.unsqueeze(1)).squeeze(1)
    keys, scale = k.transpose(1, 2), k.shape[-1] ** -0.5
    return torch.cat([torch.softmax((rows @ keys).float() * scale, -1).to(v.dtype) @ v for rows in q.split(512, 1)], 1)


class Attention(nn.Module):
    """Single-head self-attention over all positions, with a residual. Memory grows linearly with their number."""

    in_bfloat16 = False  # scores and their products in bfloat16, where no gradient is recorded: `precision` sets it

    def __init__(self, channels: int, groups: int, eps: float, code_channels: int | None = None):
        super().__init__()
        self.group_norm = GroupNorm(groups, channels, eps=eps) if code_channels is None else None
        self.spatial_norm = None if code_channels is None else SpatialNorm(channels, code_channels)
        self.to_q = nn.Linear(channels, channels)
        self.to_k = nn.Linear(channels, channels)
        self.to_v = nn.Linear(channels, channels)
        self.to_out = nn.ModuleList([nn.Linear(channels, channels)])

    def forward(self, x: Tensor, code: Tensor | None = None) -> Tensor:
        n, c, height, width = x.shape
        h = norm_act(x, self.group_norm or self.spatial_norm, None, code).flatten(2).transpose(1, 2)  # (N, H*W, C)
        q, k, v = self.to_q(h), self.to_k(h), self.to_v(h)
        if self.in_bfloat16 and is_inference():
            h = attend(q.bfloat16(), k.bfloat16(), v.bfloat16()).to(h.dtype)
        else:
            h = attend(q, k, v)
        return x + self.to_out[0](h).transpose(1, 2).reshape(n, c, height, width)


class Downsample(nn.Module):
    """Half the size by a 3x3 convolution of stride 2, padded at the right and the bottom only: h -> floor(h / 2)."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv = Conv(channels, channels, 3, stride=2)

    def forward(self, x: Tensor, *_: Tensor) -> Tensor:
        return self.conv(F.pad(x, (0, 1, 0, 1)))


class Upsample(nn.Module):
    """Twice the size: nearest neighbour, then a 3x3 convolution."""

    def __init__(self, channels: int, padding_mode: str = "zeros"):
        super().__init__()
        self.conv = EnlargingConv(channels, channels, 3, padding=1, padding_mode=padding_mode)

    def forward(self, x: Tensor, *_: Tensor) -> Tensor:
        return self.conv(x)


def channel_means(x: Tensor, group: int) -> Tensor:
    """The mean of each `group` channels that follow one another."""
    return x.unflatten(1, (-1, group)).mean(2)


def chained(layers: Sequence[nn.Module], x: Tensor, again: bool, *code: Tensor) -> Tensor:
    """x through one layer after another, each given the `code` too if there is one. again: where a gradient is
    recorded, of each layer only its input is kept, and the layer computed again when its gradient is wanted (Chen et
    al. 2016, arXiv:1604.06174)."""
    for layer in layers:
        if again and torch.is_grad_enabled():
            x = checkpoint(layer, x, *code, use_reentrant=False, preserve_rng_state=False)  # no layer here is random
        else:
            x = layer(x, *code)
    return x


class Chain(nn.Module):
    """Layers computed one after another, of which `blocks` says which and in which order."""

    checkpointing = False  # computes its layers again for their gradients: a training sets it

    def forward(self, x: Tensor, *code: Tensor) -> Tensor:
        return chained(self.blocks(), x, self.checkpointing, *code)

    def blocks(self) -> Sequence[nn.Module]:
        """Its layers in their order; with `checkpointing` each is computed again for its gradient."""
        raise NotImplementedError


class Level(Chain):
    """The residual blocks at one resolution, with `attention` each followed by one, then the change to the next:
    `resample` is "down", "up" or None."""

    in_bfloat16 = False  # computes in bfloat16 where no gradient is recorded: `precision` sets it

    def __init__(self, fan_in: int, fan_out: int, depth: int, resample: str | None, attention: bool, **block):
        super().__init__()
        attentions, norm = depth if attention else 0, (block["groups"], block["eps"], block.get("code_channels"))
        self.resnets = nn.ModuleList(ResBlock(fan_in if i == 0 else fan_out, fan_out, **block) for i in range(depth))
        self.attentions = nn.ModuleList(Attention(fan_out, *norm) for _ in range(attentions))
        self.downsamplers = nn.ModuleList([Downsample(fan_out)] if resample == "down" else [])
        self.upsamplers = nn.ModuleList([Upsample(fan_out, block["padding_mode"])] if resample == "up" else [])

    def forward(self, x: Tensor, *code: Tensor) -> Tensor:
        if is_inference():
            x = x.to(torch.bfloat16 if self.in_bfloat16 else self.resnets[0].conv1.weight.dtype)
        return super().forward(x, *code)

    def blocks(self) -> Sequence[nn.Module]:
        pairs = zip(self.resnets, self.attentions, strict=True) if self.attentions else zip(self.resnets)
        return *chain.from_iterable(pairs), *self.downsamplers, *self.upsamplers


class MidBlock(Chain):
    """Residual block, attention (unless switched off), residual block."""

    def __init__(self, channels: int, attention: bool, groups: int, eps: float, **block):
        super().__init__()
        self.resnets = nn.ModuleList(ResBlock(channels, channels, groups, eps, **block) for _ in range(2))
        norm = groups, eps, block.get("code_channels")
        self.attentions = nn.ModuleList([Attention(channels, *norm)] if attention else [])

    def forward(self, x: Tensor, *code: Tensor) -> Tensor:
        if is_inference():  # after a level in bfloat16
            x = x.to(self.resnets[0].conv1.weight.dtype)
        return super().forward(x, *code)

    def blocks(self) -> Sequence[nn.Module]:
        return self.resnets[0], *self.attentions, self.resnets[1]
