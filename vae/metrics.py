"""How close two images are."""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

# Pixels that are compared at once: a large image never has a second copy of itself as floats. On a CPU as many as its
# caches hold.
STRIP, CPU_STRIP = 2**20, 2**16


def psnr(a: Tensor, b: Tensor) -> Tensor:
    """Peak signal-to-noise ratio of each image in dB, shape (N,); infinite where the two are equal.

    a, b: (N, C, H, W) in [-1, 1], clamped to it, or uint8; the peak is the whole range. Each image's error is averaged
    before the logarithm.
    """
    check(a, b)
    error = torch.zeros(len(a), dtype=torch.float64, device=a.device)
    for rows in strips(a, 0):
        error += (unit(a, rows) - unit(b, rows)).square().flatten(1).sum(1, dtype=torch.float64)
    return (-10.0 * torch.log10(error / a[0].numel())).float()


def ssim(a: Tensor, b: Tensor) -> Tensor:
    """Structural similarity of each image, shape (N,), 1 where they are equal (Wang, Bovik, Sheikh, Simoncelli 2004).

    a, b: (N, C, H, W) in [-1, 1], clamped to it, or uint8; compared in [0, 1], where the index is defined: its
    luminance term needs intensities that are not negative. Gaussian window of 11 pixels, sigma 1.5, K1 = 0.01,
    K2 = 0.03, averaged over channels and all pixels, the image being reflected at its edges: the figures are those of
    torchmetrics. The window shrinks where a side has fewer than 6 pixels to reflect.
    """
    check(a, b)
    n, channels, height, width = a.shape
    c1, c2 = 0.01**2, 0.03**2
    top, left = min(5, height - 1), min(5, width - 1)
    down, across = _window(top, a).view(1, 1, -1, 1), _window(left, a).view(1, 1, 1, -1)

    down, across = (window.expand(5 * n * channels, -1, -1, -1) for window in (down, across))

    def blurred(*maps: Tensor) -> tuple[Tensor, ...]:
        """All at once and depthwise: many times as fast on a CPU as images of one channel, or few channels."""
        padded = F.pad(torch.cat(maps, 1), (left, left, 0, 0), mode="reflect")
        return F.conv2d(F.conv2d(padded, down, groups=len(down)), across, groups=len(down)).chunk(len(maps), 1)

    total = torch.zeros(n, dtype=torch.float64, device=a.device)
    for rows in strips(a, top):
        x, y = (unit(image, rows).reshape(1, n * channels, len(rows), width) for image in (a, b))
        mean_x, mean_y, square_x, square_y, product = blurred(x, y, x * x, y * y, x * y)
        both, squares = mean_x * mean_y, mean_x * mean_x + mean_y * mean_y
        luminance = (2 * both + c1) / (squares + c1)
        structure = (2 * (product - both) + c2) / (square_x + square_y - squares + c2)
        total += (luminance * structure).reshape(n, -1).sum(1, dtype=torch.float64)
    return (total / a[0].numel()).float()


def error_map(a: Tensor, b: Tensor, most: int = 64) -> Tensor:
    """Where two images differ: the absolute difference of each pixel in shares of the whole range, averaged over the
    channels, (H, W); of sides above `most` pixels averaged over blocks, so that it has at most that many.

    a, b: (1, C, H, W) in [-1, 1], clamped to it, or uint8.
    """
    check(a, b)
    height, width = a.shape[-2:]
    whole = torch.arange(height, device=a.device)
    error = (unit(a, whole) - unit(b, whole)).abs().mean(1, keepdim=True)
    scale = max(1.0, max(height, width) / most)
    return F.adaptive_avg_pool2d(error, (max(1, round(height / scale)), max(1, round(width / scale))))[0, 0]


def check(a: Tensor, b: Tensor) -> None:
    if a.shape != b.shape or a.ndim != 4:
        raise ValueError(f"two batches (N, C, H, W) of one shape are compared, not {tuple(a.shape)}, {tuple(b.shape)}")


def strips(x: Tensor, margin: int) -> Iterator[Tensor]:
    """The indices of some rows at a time, until all had their turn, each time with `margin` rows before and after,
    reflected at the image's edges."""
    height = x.shape[-2]
    step = max(64, (CPU_STRIP if x.device.type == "cpu" else STRIP) // (x.shape[-1] * len(x)))
    for start in range(0, height, step):
        rows = torch.arange(start - margin, min(start + step, height) + margin, device=x.device).abs()
        yield torch.where(rows < height, rows, 2 * (height - 1) - rows)


def unit(x: Tensor, rows: Tensor) -> Tensor:
    """Those rows, in [0, 1]."""
    x = x.index_select(-2, rows)
    return x.float() / 255 if x.dtype == torch.uint8 else (x.float().clamp(-1, 1) + 1) / 2


def _window(radius: int, like: Tensor) -> Tensor:
    offsets = torch.arange(-radius, radius + 1, device=like.device, dtype=torch.float32)
    weights = torch.exp(-offsets.square() / (2 * 1.5**2))
    return weights / weights.sum()
