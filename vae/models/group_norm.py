"""Group normalisation that shares its statistics between tiles, and trains on a CPU in a fraction of PyTorch's time."""

from contextvars import ContextVar
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vae.models.recording import is_graphed, is_inference

# While this holds a dict, every GroupNorm takes its statistics from there, unless a gradient is recorded; those it does
# not find it measures over the whole batch it is given, and leaves there. So several images or tiles can be normalised
# as if they were one.
SHARED_STATISTICS: ContextVar[dict[nn.Module, tuple[Tensor, Tensor]] | None] = ContextVar("statistics", default=None)

# Whether the images or latents that a network was given lie in PyTorch's own order. There PyTorch's group norm is
# exact, and so it is then here, though what follows is in channels-last order.
GIVEN_IN_ORDER: ContextVar[bool] = ContextVar("given_in_order", default=False)

SMALL = 256  # pixels
CHUNK = 1024  # pixels, from which on PyTorch's kernel for channels-last order vectorizes


class GroupNorm(nn.GroupNorm):
    """nn.GroupNorm that can share its statistics between calls, as tiling does; see SHARED_STATISTICS."""

    def forward(self, x: Tensor) -> Tensor:
        # A ContextVar cannot be compiled; in training, which is what is compiled, nothing is shared.
        shared = SHARED_STATISTICS.get() if is_inference() else None
        if shared is None:
            return self._each(x)
        if self not in shared:
            grouped = x.float().unflatten(1, (self.num_groups, -1))
            variance, mean = torch.var_mean(grouped, dim=(0, 2, 3, 4), correction=0)
            channels = self.num_channels // self.num_groups
            shared[self] = mean.repeat_interleave(channels), variance.repeat_interleave(channels)
        mean, variance = shared[self]
        return F.batch_norm(x, mean, variance, self.weight.float(), self.bias.float(), training=False, eps=self.eps)

    def _each(self, x: Tensor) -> Tensor:
        """Each image by its own statistics."""
        if is_graphed():
            return self._plain(x.contiguous())  # PyTorch's own order, for exact_group_norm's reasons
        lined = x.dim() == 4 and x.is_contiguous(memory_format=torch.channels_last)
        if not lined or x.device.type != "cpu":
            return self._plain(x)
        exact = not torch.compiler.is_compiling() and GIVEN_IN_ORDER.get() and x.dtype == torch.float32
        if not torch.is_grad_enabled():
            if exact:
                return exact_group_norm(x, self.weight, self.bias, self.num_groups, self.eps)[0]
            return self._plain(x)
        if x.shape[2] * x.shape[3] > SMALL:
            return _Rows.apply(x, self.weight, self.bias, self.num_groups, self.eps, exact)
        # Of few pixels it is cheaper to bring them into PyTorch's own order and back than to call so many functions.
        return self._plain(x.contiguous()).contiguous(memory_format=torch.channels_last)

    def _plain(self, x: Tensor) -> Tensor:
        """What nn.GroupNorm gives, of a group that is one number too, which that refuses: the latent of the smallest
        image of a narrow network has such groups."""
        return torch.group_norm(x, self.num_groups, self.weight, self.bias, self.eps)


def exact_group_norm(x: Tensor, weight: Tensor, bias: Tensor, groups: int, eps: float) -> tuple[Tensor, Tensor, Tensor]:
    """Group norm of (N, C, H, W), float32 in channels-last order on a CPU, without gradients; also mean and
    1 / deviation, (N, groups).

    PyTorch's own kernel for this order adds up a whole image's numbers one after the other, and takes E[x]^2 from
    E[x^2]: of 512 x 512 pixels, or where the mean is some deviations large, it gets four digits right. So it is given
    chunks of the pixels, whose moments are put together here (Chan, Golub & LeVeque 1983), and where the mean is large
    it is taken away first.
    """
    y, mean, rstd = _by_chunks(x, weight, bias, groups, eps)
    if not bool(((mean * rstd).abs() > 1).any()):
        return y, mean, rstd
    y, rest, rstd = _by_chunks(
        x - mean.repeat_interleave(x.shape[1] // groups, 1)[:, :, None, None], weight, bias, groups, eps
    )
    return y, mean + rest, rstd


def _by_chunks(x, weight, bias, groups, eps) -> tuple[Tensor, Tensor, Tensor]:
    n, c, h, w = x.shape
    size = _chunk(h * w)
    if size == h * w:
        return torch.native_group_norm(x, weight, bias, n, c, size, groups, eps)
    pixels = x.permute(0, 2, 3, 1).view(n, h * w, c)
    chunks = pixels.view(-1, size, 1, c).permute(0, 3, 1, 2)
    y, mean, rstd = torch.native_group_norm(chunks, None, None, len(chunks), c, size, groups, eps)
    means, rstds = (part.double().view(n, -1, groups) for part in (mean, rstd))
    mean, variance = means.mean(1), (rstds.square().reciprocal() - eps).mean(1) + means.var(1, correction=0)
    rstd = (variance + eps).rsqrt()
    scale = rstd.unsqueeze(2) * weight.double().view(groups, -1)
    shift = bias.double().view(groups, -1) - mean.unsqueeze(2) * scale
    scale, shift = (part.to(x.dtype).view(n, 1, c) for part in (scale, shift))
    y = y.permute(0, 2, 3, 1).view(n, h * w, c)  # what it holds is no longer wanted
    torch.addcmul(shift, pixels, scale, out=y)
    return y.view(n, h, w, c).permute(0, 3, 1, 2), mean.float(), rstd.float()


@lru_cache(1024)
def _chunk(pixels: int) -> int:
    """The least number of pixels from CHUNK on that divides so many evenly."""
    return next(size for size in range(min(CHUNK, pixels), pixels + 1) if pixels % size == 0)


class _Rows(torch.autograd.Function):
    """Group norm of (N, C, H, W) in channels-last order, whose gradients are products of matrices (H, W * C).

    PyTorch's own backward for this order takes 5 to 20 times as long on a CPU: it does not vectorize a group's few
    channels.
    """

    @staticmethod
    def forward(ctx, x, weight, bias, groups, eps, exact):
        n, c, h, w = x.shape
        if exact:
            y, mean, rstd = exact_group_norm(x, weight, bias, groups, eps)
        else:
            y, mean, rstd = torch.native_group_norm(x, weight, bias, n, c, h * w, groups, eps)
        ctx.save_for_backward(x, weight, mean, rstd)
        return y

    @staticmethod
    def backward(ctx, dy):
        x, weight, mean, rstd = ctx.saved_tensors
        n, c, h, w = x.shape
        dy = _rows(dy.to(x.dtype).contiguous(memory_format=torch.channels_last))
        x, channels = _rows(x), c // mean.shape[1]
        weight, mean, rstd = (t.to(mean.dtype) for t in (weight, mean.unsqueeze(2), rstd.unsqueeze(2)))
        # Sums over the pixels, (N, groups, channels of a group).
        db = _sums(dy, c).to(mean.dtype).view(n, -1, channels)
        ds = _sums(dy * x, c).to(mean.dtype).view(n, -1, channels)
        dgamma, dbeta = ((ds - mean * db) * rstd).sum(0).flatten(), db.sum(0).flatten()
        # dx = scale * dy + slope * x + offset, with a slope and an offset for each group.
        gamma = weight.view(1, -1, channels)
        count = channels * h * w
        gdb, gds = ((gamma * total).sum(2, keepdim=True) for total in (db, ds))
        slope = (gdb * mean - gds) * rstd**3 / count
        offset = -slope * mean - gdb * rstd / count
        dx = torch.addcmul(_tiled(offset.expand_as(db), x), x, _tiled(slope.expand_as(db), x))
        dx.addcmul_(dy, _tiled(gamma * rstd, x))
        return dx.view(n, h, w, c).permute(0, 3, 1, 2), dgamma, dbeta, None, None, None


def _rows(pictures: Tensor) -> Tensor:
    """(N, C, H, W) in channels-last order as (N, H, W * C), without a copy."""
    return pictures.permute(0, 2, 3, 1).flatten(2)


def _sums(rows: Tensor, channels: int) -> Tensor:
    """(N, C): over all pixels, in float32 or better. Over the lines by a product, for that has the faster kernel."""
    lines = rows.new_ones(1, rows.shape[1]) @ rows
    exact = torch.float64 if rows.dtype == torch.float64 else torch.float32
    return lines.to(exact).unflatten(2, (-1, channels)).sum((1, 2))


def _tiled(values: Tensor, rows: Tensor) -> Tensor:
    """(N, groups, channels of a group), a value for each channel, to (N, 1, W * C)."""
    values = values.to(rows.dtype).flatten(1)
    return values.repeat(1, rows.shape[2] // values.shape[1]).unsqueeze(1)
