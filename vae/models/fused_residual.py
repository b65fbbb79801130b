"""Norms, activations and the residual block on a GPU, in channels-last order: what the modules compute, in fewer passes
over memory, which is what they cost beside their convolutions.

In training, of a residual block only its input and its first convolution's result are kept for the backward; what lies
between is computed again there, which costs less than it would to read what PyTorch keeps. Without gradients, what
nobody else reads is overwritten. The kernels are in `triton_norm`.
"""

from functools import cache
from importlib.util import find_spec

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vae.models.group_norm import SHARED_STATISTICS
from vae.models.recording import is_graphed


@cache
def is_available() -> bool:
    """Whether the kernels can be had here: there is a GPU, Triton, which writes them, and what Triton needs itself."""
    if not torch.cuda.is_available() or find_spec("triton") is None:
        return False
    try:
        from vae.models.triton_norm import measure, normalize

        x, line = torch.ones(1, 8, 2, 2, device="cuda"), torch.ones(8, device="cuda")
        normalize(x, measure(x, line, line, None, 2, 1.0), None)
    except Exception:  # no C compiler, a GPU that Triton does not know, …
        return False
    return True


def is_faster(x: Tensor) -> bool:
    """Whether these functions may be used on x, and are faster: on a GPU, channels last.

    A training that wants PyTorch's own kernels, as for torch.compile, keeps its model and images contiguous.
    """
    if is_graphed():  # its kernels are for this machine alone
        return False
    lined = x.dim() == 4 and x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous()
    return lined and _on_gpu(x)


def _on_gpu(x: Tensor) -> bool:
    """In float32 at most, in which the kernels compute, and with the kernels there."""
    return x.device.type == "cuda" and x.dtype != torch.float64 and is_available()


def residual_block(
    x: Tensor, shortcut: Tensor | None, norms: tuple[nn.GroupNorm, nn.GroupNorm], convs, acts: tuple[str, str | None]
) -> Tensor:
    """shortcut + conv(act(norm(conv(act(norm(x)))))); without a shortcut x itself. x: (N, C, H, W), channels last."""
    (norm1, norm2), (conv1, conv2) = norms, convs
    x = _in_autocasts_format(x)
    shortcut = None if shortcut is None else shortcut.to(x.dtype)
    with torch.autocast(x.device.type, enabled=False):
        if not torch.is_grad_enabled():
            return _residual_in_place(x, shortcut, norms, convs, acts)
        return _Residual.apply(
            *(x, shortcut, norm1.weight, norm1.bias, conv1.weight, conv1.bias),
            *(norm2.weight, norm2.bias, conv2.weight, conv2.bias, norm1.num_groups, norm1.eps, acts),
        )


def norm_act(x: Tensor, norm: nn.GroupNorm, act: str | None) -> Tensor:
    """act(norm(x)). x: (N, C, H, W), channels last."""
    from vae.models.triton_norm import normalize

    x = _in_autocasts_format(x)
    with torch.autocast(x.device.type, enabled=False):
        if not torch.is_grad_enabled():
            return normalize(x, _moments(x, norm), act)
        return _NormAct.apply(x, norm.weight, norm.bias, norm.num_groups, norm.eps, act)


def normalizes_batches(x: Tensor, norm: nn.BatchNorm2d, act: nn.LeakyReLU) -> bool:
    """Whether `conv_norm_act` may be used on x, and is faster: in training on a GPU. PyTorch's batch norm keeps one of
    its processors busy for each channel, and there are more than a hundred."""
    plain = type(norm) is nn.BatchNorm2d and norm.training and act.negative_slope == 0.01
    return plain and torch.is_grad_enabled() and not is_graphed() and _on_gpu(x)


def conv_norm_act(x: Tensor, conv: nn.Conv2d, norm: nn.BatchNorm2d) -> Tensor:
    """leaky_relu(norm(conv(x))) for a 3x3 convolution with padding 1. Updates the norm's running statistics."""
    h = F.conv2d(x, conv.weight, padding=1)  # without its bias, which the norm would take away again
    with torch.autocast(x.device.type, enabled=False):
        y, mean, rstd = _BatchNormAct.apply(
            h.contiguous(memory_format=torch.channels_last), conv.bias, norm.weight, norm.bias, norm.eps
        )
        with torch.no_grad():
            count = y.numel() // y.shape[1]
            variance = rstd.pow(-2).sub_(norm.eps).mul_(count / max(1, count - 1))
            torch._foreach_lerp_([norm.running_mean, norm.running_var], [mean, variance], norm.momentum)
            norm.num_batches_tracked += 1
    return y


def _in_autocasts_format(x: Tensor) -> Tensor:
    kind = x.device.type
    return x.to(torch.get_autocast_dtype(kind)) if torch.is_autocast_enabled(kind) else x


def _lined(x: Tensor, dtype: torch.dtype) -> Tensor:
    return x.to(dtype).contiguous(memory_format=torch.channels_last)


def _residual_in_place(x, shortcut, norms, convs, acts) -> Tensor:
    """`residual_block` without gradients."""
    from vae.models.triton_norm import add_, normalize

    conv1, conv2 = convs
    h = normalize(x, _moments(x, norms[0]), acts[0])
    h = _lined(F.conv2d(h, _lined(conv1.weight, x.dtype), padding=1), x.dtype)  # without its bias,
    h = normalize(h, _moments(h, norms[1], conv1.bias), acts[1], out=h)  # which the norm takes in
    h = _lined(F.conv2d(h, _lined(conv2.weight, x.dtype), padding=1), x.dtype)
    return add_(h, conv2.bias, x if shortcut is None else _lined(shortcut, x.dtype))


def _moments(x: Tensor, norm: nn.GroupNorm, bias: Tensor | None = None):
    """Without gradients: the moments of x + bias, each image's own or those that are shared with other tiles."""
    from vae.models.triton_norm import Moments, measure

    shared = SHARED_STATISTICS.get()
    if shared is None:
        return measure(x, norm.weight, norm.bias, bias, norm.num_groups, norm.eps)
    if norm not in shared:
        found = measure(_as_one_image(x), norm.weight, norm.bias, bias, norm.num_groups, norm.eps)
        mean, rstd = found.by_group[0].repeat_interleave(x.shape[1] // norm.num_groups, 0).unbind(1)
        shared[norm] = mean, rstd.pow(-2) - norm.eps
    mean, variance = shared[norm]
    scale = norm.weight.float() * torch.rsqrt(variance + norm.eps)
    shift = norm.bias.float() - mean * scale if bias is None else norm.bias.float() + (bias.float() - mean) * scale
    by_channel = torch.stack([scale, shift, torch.zeros_like(scale)]).repeat(len(x), 1, 1)
    return Moments(by_channel, torch.stack([mean, variance]))


class _NormAct(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, gamma, beta, groups, eps, act):
        from vae.models.triton_norm import measure, normalize

        moments = measure(x, gamma, beta, None, groups, eps)
        ctx.save_for_backward(x, gamma, *moments)
        ctx.act = act
        return normalize(x, moments, act)

    @staticmethod
    def backward(ctx, dy):
        from vae.models.triton_norm import Moments, differentiate

        x, gamma, *moments = ctx.saved_tensors
        dx, (dgamma, dbeta, _) = differentiate(x, _lined(dy, x.dtype), Moments(*moments), gamma, None, ctx.act)
        return dx, dgamma.to(gamma.dtype), dbeta.to(gamma.dtype), None, None, None


class _BatchNormAct(torch.autograd.Function):
    """Also the mean and 1 / standard deviation of each channel, which have no gradient."""

    @staticmethod
    def forward(ctx, h, bias, gamma, beta, eps):
        from vae.models.triton_norm import measure, normalize

        rows = _as_one_image(h)
        moments = measure(rows, gamma, beta, bias, len(gamma), eps)
        ctx.save_for_backward(h, bias, gamma, *moments)
        mean, rstd = moments.by_group[0].unbind(1)
        ctx.mark_non_differentiable(mean, rstd)
        return _as_batch(normalize(rows, moments, "leaky_relu"), h), mean, rstd

    @staticmethod
    def backward(ctx, dy, *_):
        from vae.models.triton_norm import Moments, differentiate

        h, bias, gamma, *moments = ctx.saved_tensors
        dy = _as_one_image(_lined(dy, h.dtype))
        dh, (dgamma, dbeta, _) = differentiate(_as_one_image(h), dy, Moments(*moments), gamma, bias, "leaky_relu")
        # The bias's gradient is zero: rounding alone would make it something, and Adam would then follow it.
        return _as_batch(dh, h), torch.zeros_like(bias), dgamma.to(gamma.dtype), dbeta.to(gamma.dtype), None


def _as_one_image(x: Tensor) -> Tensor:
    """(N, C, H, W), channels last, as (1, C, N * H, W) without a copy."""
    return x.permute(0, 2, 3, 1).flatten(0, 1).unsqueeze(0).permute(0, 3, 1, 2)


def _as_batch(x: Tensor, like: Tensor) -> Tensor:
    n, c, h, w = like.shape
    return x.permute(0, 2, 3, 1).view(n, h, w, c).permute(0, 3, 1, 2)


class _Residual(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, shortcut, gamma1, beta1, weight1, bias1, gamma2, beta2, weight2, bias2, groups, eps, acts):
        from vae.models.triton_norm import add_, measure, normalize

        kernel1, kernel2 = _lined(weight1, x.dtype), _lined(weight2, x.dtype)
        moments1 = measure(x, gamma1, beta1, None, groups, eps)
        h = _lined(F.conv2d(normalize(x, moments1, acts[0]), kernel1, padding=1), x.dtype)  # without its bias,
        moments2 = measure(h, gamma2, beta2, bias1, groups, eps)  # which the norm takes in
        out = _lined(F.conv2d(normalize(h, moments2, acts[1]), kernel2, padding=1), x.dtype)
        ctx.save_for_backward(x, h, kernel1, kernel2, gamma1, gamma2, bias1, *moments1, *moments2)
        ctx.identity, ctx.acts = shortcut is None, acts
        return add_(out, bias2, x if shortcut is None else _lined(shortcut, x.dtype))

    @staticmethod
    def backward(ctx, dout):
        from vae.models.triton_norm import Moments, differentiate, normalize

        x, h, kernel1, kernel2, gamma1, gamma2, bias1, *moments = ctx.saved_tensors
        moments1, moments2 = Moments(*moments[:2]), Moments(*moments[2:])
        dout, exact = _lined(dout, x.dtype), gamma1.dtype
        dbias2 = dout.permute(0, 2, 3, 1).flatten(0, 2).sum(0, dtype=torch.float32)
        dy, dweight2 = _conv_backward(dout, normalize(h, moments2, ctx.acts[1]), kernel2)
        dh, (dgamma2, dbeta2, dbias1) = differentiate(h, dy, moments2, gamma2, bias1, ctx.acts[1])
        dy, dweight1 = _conv_backward(dh, normalize(x, moments1, ctx.acts[0]), kernel1)
        added = dout if ctx.identity else None
        dx, (dgamma1, dbeta1, _) = differentiate(x, dy, moments1, gamma1, None, ctx.acts[0], added)
        gradients = (dgamma1, dbeta1, dweight1, dbias1, dgamma2, dbeta2, dweight2, dbias2)
        return dx, None if ctx.identity else dout, *(g.to(exact) for g in gradients), None, None, None


def _conv_backward(dout: Tensor, y: Tensor, kernel: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients of a 3x3 convolution's input and kernel."""
    dy, dkernel, _ = torch.ops.aten.convolution_backward(
        dout, y, kernel, None, [1, 1], [1, 1], [1, 1], False, [0, 0], 1, [True, True, False]
    )
    return _lined(dy, y.dtype), dkernel
