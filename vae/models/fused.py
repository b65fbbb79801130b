"""Convolution, batch norm and LeakyReLU in one, for training on a CPU: what the three modules compute, in fewer passes.

PyTorch's own kernels for the CPU are slow where an image has few channels: batch norm's does not vectorize fewer than
16 of them, and a convolution spends a third of its backward on the gradient of its bias, which a batch norm after it
makes zero. Here a batch is a matrix (images, pixels x channels) in channels-last order, whose columns vectorize
whatever the number of channels. And a convolution after a nearest x2 upsampling is computed as one with four times the
channels on the small image, each output pixel of four having its own kernel.
"""

import torch
from torch import Tensor, nn

from vae.models.recording import is_graphed

# Which taps (last axis) of a 3-tap kernel on the enlarged image see which pixel of the small one (middle axis: the
# one before, at, after), for an even and an odd output pixel (first axis).
_TAPS = torch.tensor([[[1, 0, 0], [0, 1, 1], [0, 0, 0]], [[0, 0, 0], [1, 1, 0], [0, 0, 1]]], dtype=torch.float32)


WIDE = 16  # channels from which on batch norm's own kernel vectorizes
LARGE = 2**13  # pixels of a batch from which on fewer passes outweigh more calls


def is_faster(x: Tensor, conv: nn.Conv2d, norm: nn.BatchNorm2d) -> bool:
    """Whether `conv_norm_act` may be used, and is faster: in training, on the CPU, few channels and many pixels."""
    if is_graphed():
        return False
    plain = type(norm) is nn.BatchNorm2d  # and not one whose statistics several processes share
    large = conv.out_channels < WIDE and x.numel() // x.shape[1] >= LARGE
    return plain and large and norm.training and x.device.type == "cpu" and torch.is_grad_enabled()


def conv_norm_act(x: Tensor, conv: nn.Conv2d, norm: nn.BatchNorm2d, slope: float, enlarge: bool = False) -> Tensor:
    """act(norm(conv(x))) for a 3x3 convolution with padding 1; with `enlarge` of x enlarged by 2 to the nearest pixel.

    x: (N, C, H, W). Updates the batch norm's running statistics. Computes in autocast's precision, if it is on.
    """
    if torch.is_autocast_enabled("cpu"):
        x = x.to(torch.get_autocast_dtype("cpu"))
    with torch.autocast("cpu", enabled=False):
        y, mean, var = _ConvNormAct.apply(x, conv.weight, conv.bias, norm.weight, norm.bias, norm.eps, slope, enlarge)
        with torch.no_grad():
            count = y.numel() // y.shape[1]
            norm.num_batches_tracked += 1
            norm.running_mean.lerp_(mean + conv.bias, norm.momentum)
            norm.running_var.lerp_(var * (count / max(1, count - 1)), norm.momentum)
    return y


class _ConvNormAct(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, weight, bias, gamma, beta, eps, slope, enlarge):
        x = x.contiguous(memory_format=torch.channels_last)
        kernel = (_enlarging(weight) if enlarge else weight).to(x.dtype, memory_format=torch.channels_last)
        out = torch.conv2d(x, kernel, padding=1)  # without its bias, which the norm would take away again
        rows, channels = _rows(out), weight.shape[0]
        count = rows.numel() // channels
        mean = _channel_sums(rows, channels) / count
        var = (_channel_sums(rows * rows, channels) / count - mean * mean).clamp_min_(0.0)
        scale = gamma * torch.rsqrt(var + eps)
        rows = torch.addcmul(_tiled(beta - mean * scale, rows), rows, _tiled(scale, rows))
        y = _pictures(nn.functional.leaky_relu_(rows, slope), out)
        y = _interleave(y) if enlarge else y
        ctx.save_for_backward(x, kernel, out, y, gamma, mean, var)
        ctx.eps, ctx.slope, ctx.enlarge, ctx.channels = eps, slope, enlarge, channels
        ctx.mark_non_differentiable(mean, var)
        return y, mean, var

    @staticmethod
    def backward(ctx, dy, *_):
        x, kernel, out, y, gamma, mean, var = ctx.saved_tensors
        dy = dy.to(y.dtype, memory_format=torch.channels_last)
        dz = torch.ops.aten.leaky_relu_backward(dy, y, ctx.slope, True)
        dz, rows = _rows(_separate(dz) if ctx.enlarge else dz), _rows(out)
        rstd, count = torch.rsqrt(var + ctx.eps), rows.numel() // ctx.channels
        dbeta = _channel_sums(dz, ctx.channels)
        dgamma = (_channel_sums(dz * rows, ctx.channels) - mean * dbeta) * rstd
        # dout = scale * (dz - mean(dz) - normalised out * mean(dz * normalised out)), as a line in out and dz
        scale, slant = gamma * rstd, dgamma * rstd / count
        offset = scale * (mean * slant - dbeta / count)
        dout = torch.addcmul(_tiled(offset, rows), rows, _tiled(-scale * slant, rows))
        dout = _pictures(dout.addcmul_(dz, _tiled(scale, rows)), out)
        needs = [ctx.needs_input_grad[0], True, False]
        dx, dkernel, _ = torch.ops.aten.convolution_backward(
            dout, x, kernel, None, [1, 1], [1, 1], [1, 1], False, [0, 0], 1, needs
        )
        dkernel = dkernel.to(gamma.dtype)
        dweight = _enlarging_backward(dkernel) if ctx.enlarge else dkernel
        return dx, dweight, torch.zeros_like(gamma), dgamma, dbeta, None, None, None


def _rows(pictures: Tensor) -> Tensor:
    """(N, C, H, W) in channels-last order as (N, H * W * C), without a copy."""
    return pictures.permute(0, 2, 3, 1).reshape(len(pictures), -1)


def _pictures(rows: Tensor, like: Tensor) -> Tensor:
    n, c, h, w = like.shape
    return rows.view(n, h, w, c).permute(0, 3, 1, 2)


def _channel_sums(rows: Tensor, channels: int) -> Tensor:
    """In float32 (float64 for float64). The sum over the images is a matrix product: those have fast kernels."""
    exact = torch.float64 if rows.dtype == torch.float64 else torch.float32
    return (rows.new_ones(1, len(rows)) @ rows).to(exact).view(-1, channels).sum(0)


def _tiled(values: Tensor, rows: Tensor) -> Tensor:
    return values.to(rows.dtype).repeat(rows.shape[1] // len(values))


def _enlarging(weight: Tensor) -> Tensor:
    """The kernels (4 * O, I, 3, 3) on the small image that do what (O, I, 3, 3) does on the enlarged one."""
    o, i = weight.shape[:2]
    taps = _TAPS.to(weight.dtype)
    return torch.einsum("oikl,ptk,qsl->pqoits", weight, taps, taps).reshape(4 * o, i, 3, 3)


def _enlarging_backward(kernel: Tensor) -> Tensor:
    o, i = kernel.shape[0] // 4, kernel.shape[1]
    taps = _TAPS.to(kernel.dtype)
    return torch.einsum("pqoits,ptk,qsl->oikl", kernel.reshape(2, 2, o, i, 3, 3), taps, taps)


def _interleave(pictures: Tensor) -> Tensor:
    """(N, 4 * C, H, W), the four pixels of each in the channels, to (N, C, 2 * H, 2 * W)."""
    n, c, h, w = pictures.shape
    pixels = pictures.permute(0, 2, 3, 1).view(n, h, w, 2, 2, c // 4).transpose(2, 3)
    return pixels.reshape(n, 2 * h, 2 * w, c // 4).permute(0, 3, 1, 2)


def _separate(pictures: Tensor) -> Tensor:
    """The inverse of `_interleave`."""
    n, c, h, w = pictures.shape
    pixels = pictures.permute(0, 2, 3, 1).view(n, h // 2, 2, w // 2, 2, c).transpose(2, 3)
    return pixels.reshape(n, h // 2, w // 2, 4 * c).permute(0, 3, 1, 2)
