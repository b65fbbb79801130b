"""Group norm and activation over (N, C, H, W) in channels-last order on a GPU: kernels that copy nothing.

A batch norm is the same of one image, all the batch's, in groups of one channel.

PyTorch's group norm for CUDA brings such a batch into its own order and back, and writes the normalised values and the
activated ones apart. Here a batch is read as rows (pixels) of channels:

- `measure` reads it once, for the sums of each channel, from which `scale` and `shift` follow: what is normalised is
  scale * x + shift, with one of each for every image and channel;
- `normalize` reads it once more and writes act(scale * x + shift);
- `differentiate` does the same backwards, from x and the gradient alone: nothing normalised need be kept.

A bias that the convolution before would have added to x is folded into scale, shift and the gradients instead. Sums are
in float32 and in a fixed order, so that they come out the same every time.

Only imported where Triton is there; it also runs, slowly, on a CPU with TRITON_INTERPRET=1, which the tests use.
"""

from collections.abc import Callable
from functools import wraps
from typing import NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

ACTIVATIONS = {None: 0, "silu": 1, "relu": 2, "selu": 3, "leaky_relu": 4}
_ELEMENTS = 4096  # of a program's tile
_PROGRAMS = 2048  # about so many fill a GPU

_SELU_SCALE, _SELU_ALPHA = tl.constexpr(1.0507009873554805), tl.constexpr(1.6732632423543772)
_LEAK = tl.constexpr(0.01)


class Moments(NamedTuple):
    """What `measure` found, float32. by_channel: (N, 3, C), the scale, the shift, and the sum over the pixels with the
    bias. by_group: (N, groups, 2), the mean and 1 / standard deviation."""

    by_channel: Tensor
    by_group: Tensor


@triton.jit
def _tile(pixels, channels, chunk, BLOCK_R: tl.constexpr, BLOCK_C: tl.constexpr):
    """This program's image's first element, its first and last row, the columns, and which of those exist."""
    first = tl.program_id(1) * chunk
    column = tl.arange(0, BLOCK_C)
    return (
        tl.program_id(0).to(tl.int64) * pixels * channels,
        first,
        tl.minimum(first + chunk, pixels),
        column[None, :],
        (column < channels)[None, :],
    )


@triton.jit
def _activate(z, ACT: tl.constexpr):
    if ACT == 1:
        z = z / (1.0 + tl.exp(-z))
    elif ACT == 2:
        z = tl.maximum(z, 0.0)
    elif ACT == 3:
        z = _SELU_SCALE * tl.where(z > 0, z, _SELU_ALPHA * (tl.exp(tl.minimum(z, 0.0)) - 1.0))
    elif ACT == 4:
        z = tl.where(z > 0, z, _LEAK * z)
    return z


@triton.jit
def _slope(z, ACT: tl.constexpr):
    """The activation's derivative."""
    if ACT == 1:
        sigmoid = 1.0 / (1.0 + tl.exp(-z))
        return sigmoid * (1.0 + z * (1.0 - sigmoid))
    elif ACT == 2:
        return tl.where(z > 0, 1.0, 0.0)
    elif ACT == 3:
        return _SELU_SCALE * tl.where(z > 0, 1.0, _SELU_ALPHA * tl.exp(tl.minimum(z, 0.0)))
    elif ACT == 4:
        return tl.where(z > 0, 1.0, _LEAK)
    else:
        return tl.full(z.shape, 1.0, tl.float32)


@triton.jit
def _sums_kernel(x_ptr, sums_ptr, pixels, channels, chunk, BLOCK_R: tl.constexpr, BLOCK_C: tl.constexpr):
    """Each channel's sum of x and of x², over this program's rows."""
    image, first, stop, column, known = _tile(pixels, channels, chunk, BLOCK_R, BLOCK_C)
    total = tl.zeros((BLOCK_R, BLOCK_C), tl.float32)
    square = tl.zeros((BLOCK_R, BLOCK_C), tl.float32)
    for start in range(first, stop, BLOCK_R):
        row = start + tl.arange(0, BLOCK_R)[:, None]
        x = tl.load(x_ptr + image + row * channels + column, mask=(row < stop) & known, other=0.0).to(tl.float32)
        total += x
        square += x * x
    place = sums_ptr + (tl.program_id(0) * tl.num_programs(1) + tl.program_id(1)) * 2 * channels
    line = tl.arange(0, BLOCK_C)
    tl.store(place + line, tl.sum(total, 0), mask=line < channels)
    tl.store(place + channels + line, tl.sum(square, 0), mask=line < channels)


@triton.jit
def _moments_kernel(
    sums_ptr, gamma_ptr, beta_ptr, bias_ptr, by_channel_ptr, by_group_ptr,
    pixels, channels, width, parts, eps,
    HAS_BIAS: tl.constexpr, BLOCK_P: tl.constexpr, BLOCK_W: tl.constexpr,
):  # fmt: skip
    """One group of one image: from the parts' sums to the moments. `width` is the group's number of channels."""
    image, group = tl.program_id(0), tl.program_id(1)
    part, place = tl.arange(0, BLOCK_P), tl.arange(0, BLOCK_W)
    channel, known = group * width + place, place < width
    sums = sums_ptr + (image * parts + part)[:, None] * 2 * channels + channel[None, :]
    mask = (part < parts)[:, None] & known[None, :]
    mean = tl.sum(tl.load(sums, mask=mask, other=0.0), 0) / pixels
    variance = tl.sum(tl.load(sums + channels, mask=mask, other=0.0), 0) / pixels - mean * mean
    bias = tl.zeros((BLOCK_W,), tl.float32)
    if HAS_BIAS:
        bias = tl.load(bias_ptr + channel, mask=known, other=0.0).to(tl.float32)
    mean += bias
    group_mean = tl.sum(mean, 0) / width
    away = tl.where(known, mean - group_mean, 0.0)
    rstd = 1.0 / tl.sqrt(tl.maximum(tl.sum(variance + away * away, 0) / width, 0.0) + eps)
    scale = tl.load(gamma_ptr + channel, mask=known, other=0.0).to(tl.float32) * rstd
    shift = tl.load(beta_ptr + channel, mask=known, other=0.0).to(tl.float32) + (bias - group_mean) * scale
    out = by_channel_ptr + image * 3 * channels + channel
    tl.store(out, scale, mask=known)
    tl.store(out + channels, shift, mask=known)
    tl.store(out + 2 * channels, mean * pixels, mask=known)
    out = by_group_ptr + (image * tl.num_programs(1) + group) * 2
    tl.store(out, group_mean)
    tl.store(out + 1, rstd)


@triton.jit
def _normalize_kernel(
    x_ptr, by_channel_ptr, y_ptr, pixels, channels, chunk,
    ACT: tl.constexpr, BLOCK_R: tl.constexpr, BLOCK_C: tl.constexpr,
):  # fmt: skip
    image, first, stop, column, known = _tile(pixels, channels, chunk, BLOCK_R, BLOCK_C)
    line = by_channel_ptr + tl.program_id(0) * 3 * channels + column
    scale, shift = tl.load(line, mask=known, other=0.0), tl.load(line + channels, mask=known, other=0.0)
    for start in range(first, stop, BLOCK_R):
        row = start + tl.arange(0, BLOCK_R)[:, None]
        place, mask = image + row * channels + column, (row < stop) & known
        x = tl.load(x_ptr + place, mask=mask, other=0.0).to(tl.float32)
        tl.store(y_ptr + place, _activate(x * scale + shift, ACT).to(y_ptr.dtype.element_ty), mask=mask)


@triton.jit
def _gradient_sums_kernel(
    x_ptr, dy_ptr, by_channel_ptr, sums_ptr, pixels, channels, chunk,
    ACT: tl.constexpr, BLOCK_R: tl.constexpr, BLOCK_C: tl.constexpr,
):  # fmt: skip
    """Each channel's sum of dz and of dz * x over this program's rows, where z = scale * x + shift."""
    image, first, stop, column, known = _tile(pixels, channels, chunk, BLOCK_R, BLOCK_C)
    line = by_channel_ptr + tl.program_id(0) * 3 * channels + column
    scale, shift = tl.load(line, mask=known, other=0.0), tl.load(line + channels, mask=known, other=0.0)
    total = tl.zeros((BLOCK_R, BLOCK_C), tl.float32)
    product = tl.zeros((BLOCK_R, BLOCK_C), tl.float32)
    for start in range(first, stop, BLOCK_R):
        row = start + tl.arange(0, BLOCK_R)[:, None]
        place, mask = image + row * channels + column, (row < stop) & known
        x = tl.load(x_ptr + place, mask=mask, other=0.0).to(tl.float32)
        dz = tl.load(dy_ptr + place, mask=mask, other=0.0).to(tl.float32) * _slope(x * scale + shift, ACT)
        total += dz
        product += dz * x
    place = sums_ptr + (tl.program_id(0) * tl.num_programs(1) + tl.program_id(1)) * 2 * channels
    line = tl.arange(0, BLOCK_C)
    tl.store(place + line, tl.sum(total, 0), mask=line < channels)
    tl.store(place + channels + line, tl.sum(product, 0), mask=line < channels)


@triton.jit
def _gradients_kernel(
    sums_ptr, gamma_ptr, bias_ptr, by_channel_ptr, by_group_ptr, lines_ptr, gradients_ptr,
    images, pixels, channels, width, parts,
    HAS_BIAS: tl.constexpr, BLOCK_P: tl.constexpr, BLOCK_W: tl.constexpr,
):  # fmt: skip
    """One group of one image: dx = scale * dz + slope * x + offset, and its share of gamma's, beta's, bias's gradient.

    lines: (N, 2, C), slope and offset. gradients: (3, N, C).
    """
    image, group = tl.program_id(0), tl.program_id(1)
    part, place = tl.arange(0, BLOCK_P), tl.arange(0, BLOCK_W)
    channel, known = group * width + place, place < width
    sums = sums_ptr + (image * parts + part)[:, None] * 2 * channels + channel[None, :]
    mask = (part < parts)[:, None] & known[None, :]
    db = tl.sum(tl.load(sums, mask=mask, other=0.0), 0)
    ds = tl.sum(tl.load(sums + channels, mask=mask, other=0.0), 0)
    bias = tl.zeros((BLOCK_W,), tl.float32)
    if HAS_BIAS:
        bias = tl.load(bias_ptr + channel, mask=known, other=0.0).to(tl.float32)
    ds += bias * db
    stored = by_group_ptr + (image * tl.num_programs(1) + group) * 2
    mean, rstd = tl.load(stored), tl.load(stored + 1)
    gamma = tl.load(gamma_ptr + channel, mask=known, other=0.0).to(tl.float32)
    gdb, gds = tl.sum(gamma * db, 0), tl.sum(gamma * ds, 0)
    count = width * pixels
    slope = (gdb * mean - gds) * rstd * rstd * rstd / count
    offset = -slope * mean - gdb * rstd / count
    out = lines_ptr + image * 2 * channels + channel
    tl.store(out, tl.zeros((BLOCK_W,), tl.float32) + slope, mask=known)
    tl.store(out + channels, offset + slope * bias, mask=known)
    total = tl.load(by_channel_ptr + image * 3 * channels + 2 * channels + channel, mask=known, other=0.0)
    out = gradients_ptr + image * channels + channel
    tl.store(out, (ds - mean * db) * rstd, mask=known)
    tl.store(out + images * channels, db, mask=known)
    tl.store(out + 2 * images * channels, gamma * rstd * db + slope * total + offset * pixels, mask=known)


@triton.jit
def _differentiate_kernel(
    x_ptr, dy_ptr, by_channel_ptr, lines_ptr, added_ptr, dx_ptr, pixels, channels, chunk,
    ACT: tl.constexpr, HAS_ADDED: tl.constexpr, BLOCK_R: tl.constexpr, BLOCK_C: tl.constexpr,
):  # fmt: skip
    image, first, stop, column, known = _tile(pixels, channels, chunk, BLOCK_R, BLOCK_C)
    line = by_channel_ptr + tl.program_id(0) * 3 * channels + column
    scale, shift = tl.load(line, mask=known, other=0.0), tl.load(line + channels, mask=known, other=0.0)
    line = lines_ptr + tl.program_id(0) * 2 * channels + column
    slope, offset = tl.load(line, mask=known, other=0.0), tl.load(line + channels, mask=known, other=0.0)
    for start in range(first, stop, BLOCK_R):
        row = start + tl.arange(0, BLOCK_R)[:, None]
        place, mask = image + row * channels + column, (row < stop) & known
        x = tl.load(x_ptr + place, mask=mask, other=0.0).to(tl.float32)
        dz = tl.load(dy_ptr + place, mask=mask, other=0.0).to(tl.float32) * _slope(x * scale + shift, ACT)
        dx = scale * dz + slope * x + offset
        if HAS_ADDED:
            dx += tl.load(added_ptr + place, mask=mask, other=0.0).to(tl.float32)
        tl.store(dx_ptr + place, dx.to(dx_ptr.dtype.element_ty), mask=mask)


@triton.jit
def _add_kernel(
    h_ptr, bias_ptr, x_ptr, pixels, channels, chunk, BLOCK_R: tl.constexpr, BLOCK_C: tl.constexpr
):  # fmt: skip
    image, first, stop, column, known = _tile(pixels, channels, chunk, BLOCK_R, BLOCK_C)
    bias = tl.load(bias_ptr + column, mask=known, other=0.0).to(tl.float32)
    for start in range(first, stop, BLOCK_R):
        row = start + tl.arange(0, BLOCK_R)[:, None]
        place, mask = image + row * channels + column, (row < stop) & known
        h = tl.load(h_ptr + place, mask=mask, other=0.0).to(tl.float32) + bias
        h += tl.load(x_ptr + place, mask=mask, other=0.0).to(tl.float32)
        tl.store(h_ptr + place, h.to(h_ptr.dtype.element_ty), mask=mask)


def _on_its_device(function: Callable) -> Callable:
    """Triton launches on the current device; this makes it the one that the first argument lies on."""

    @wraps(function)
    def call(x: Tensor, *arguments, **named):
        with torch.cuda.device_of(x):
            return function(x, *arguments, **named)

    return call


class _Launch:
    """How the kernels are laid over one batch: a program takes `chunk` rows of one image, a few at a time."""

    def __init__(self, x: Tensor):
        n, self.channels, h, w = x.shape
        self.pixels = h * w
        block_c = triton.next_power_of_2(self.channels)
        block_r = max(1, _ELEMENTS // block_c)
        self.blocks = {"BLOCK_R": block_r, "BLOCK_C": block_c}
        wanted = max(1, min(triton.cdiv(_PROGRAMS, n), triton.cdiv(self.pixels, block_r)))
        self.chunk = triton.cdiv(triton.cdiv(self.pixels, wanted), block_r) * block_r
        self.parts = triton.cdiv(self.pixels, self.chunk)
        self.grid = (n, self.parts)

    def __call__(self, kernel, *tensors: Tensor, **constants) -> None:
        """A kernel over the pixels."""
        kernel[self.grid](*tensors, self.pixels, self.channels, self.chunk, **constants, **self.blocks, num_warps=8)

    def sums(self, x: Tensor) -> Tensor:
        """Room for two sums of each channel in each part."""
        return torch.empty(*self.grid, 2, self.channels, dtype=torch.float32, device=x.device)


@_on_its_device
def measure(x: Tensor, gamma: Tensor, beta: Tensor, bias: Tensor | None, groups: int, eps: float) -> Moments:
    """The moments of x + bias. x: (N, C, H, W), channels last; gamma, beta, bias: (C,)."""
    launch = _Launch(x)
    n, channels = x.shape[:2]
    sums = launch.sums(x)
    launch(_sums_kernel, x, sums)
    by_channel = torch.empty(n, 3, channels, dtype=torch.float32, device=x.device)
    by_group = torch.empty(n, groups, 2, dtype=torch.float32, device=x.device)
    width = channels // groups
    _moments_kernel[(n, groups)](
        sums, gamma, beta, gamma if bias is None else bias, by_channel, by_group,
        launch.pixels, channels, width, launch.parts, eps,
        HAS_BIAS=bias is not None,
        BLOCK_P=triton.next_power_of_2(launch.parts), BLOCK_W=triton.next_power_of_2(width),
    )  # fmt: skip
    return Moments(by_channel, by_group)


@_on_its_device
def normalize(x: Tensor, moments: Moments, act: str | None, out: Tensor | None = None) -> Tensor:
    """act(group norm of x + bias), in x's shape, order and number format; into `out` if given, which may be x."""
    y = torch.empty_like(x) if out is None else out
    _Launch(x)(_normalize_kernel, x, moments.by_channel, y, ACT=ACTIVATIONS[act])
    return y


@_on_its_device
def differentiate(
    x: Tensor,
    dy: Tensor,
    moments: Moments,
    gamma: Tensor,
    bias: Tensor | None,
    act: str | None,
    added: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """From dy, the gradient of `normalize`'s result: that of x, plus `added` if given, and (3, C) those of gamma, beta
    and the bias. All images are channels last."""
    launch = _Launch(x)
    n, channels = x.shape[:2]
    sums, groups = launch.sums(x), moments.by_group.shape[1]
    launch(_gradient_sums_kernel, x, dy, moments.by_channel, sums, ACT=ACTIVATIONS[act])
    lines = torch.empty(n, 2, channels, dtype=torch.float32, device=x.device)
    gradients = torch.empty(3, n, channels, dtype=torch.float32, device=x.device)
    width = channels // groups
    _gradients_kernel[(n, groups)](
        sums, gamma, gamma if bias is None else bias, *moments, lines, gradients,
        n, launch.pixels, channels, width, launch.parts,
        HAS_BIAS=bias is not None,
        BLOCK_P=triton.next_power_of_2(launch.parts), BLOCK_W=triton.next_power_of_2(width),
    )  # fmt: skip
    dx = torch.empty_like(x)
    extra = x if added is None else added
    launch(
        _differentiate_kernel, x, dy, moments.by_channel, lines, extra, dx,
        ACT=ACTIVATIONS[act], HAS_ADDED=added is not None,
    )  # fmt: skip
    return dx, gradients.sum(1)


@_on_its_device
def add_(h: Tensor, bias: Tensor, x: Tensor) -> Tensor:
    """h + bias + x, in h's place. h, x: (N, C, H, W), channels last; bias: (C,)."""
    _Launch(h)(_add_kernel, h, bias, x)
    return h
