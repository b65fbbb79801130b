"""How close two pictures are."""

import torch
import torch.nn.functional as F
from torch import Tensor


def _unit_pair(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    if a.shape != b.shape or a.ndim != 4:
        raise ValueError(f"two batches (N, C, H, W) of one shape are compared, not {tuple(a.shape)}, {tuple(b.shape)}")
    return (a.float().clamp(-1, 1) + 1) / 2, (b.float().clamp(-1, 1) + 1) / 2


def psnr(a: Tensor, b: Tensor) -> Tensor:
    """Peak signal-to-noise ratio of each image in dB, shape (N,); infinite where the two are equal.

    a, b: (N, C, H, W) in [-1, 1], clamped to it; the peak is 2. Each image's error is averaged before the logarithm.
    """
    a, b = _unit_pair(a, b)
    return -10.0 * torch.log10((a - b).square().flatten(1).mean(1))


def ssim(a: Tensor, b: Tensor) -> Tensor:
    """Structural similarity of each image, shape (N,), 1 where they are equal (Wang, Bovik, Sheikh, Simoncelli 2004).

    a, b: (N, C, H, W) in [-1, 1], clamped to it and compared in [0, 1], where the index is defined: its luminance term
    needs intensities that are not negative. Gaussian window of 11 pixels, sigma 1.5, K1 = 0.01, K2 = 0.03, averaged
    over channels and all pixels, the picture being reflected at its edges: the figures are those of torchmetrics.
    The window shrinks where a side has fewer than 6 pixels to reflect.
    """
    a, b = _unit_pair(a, b)
    (n, channels, height, width), c1, c2 = a.shape, 0.01**2, 0.03**2
    top, left = min(5, height - 1), min(5, width - 1)

    def window(radius: int) -> Tensor:
        offsets = torch.arange(-radius, radius + 1, device=a.device, dtype=torch.float32)
        weights = torch.exp(-offsets.square() / (2 * 1.5**2))
        return weights / weights.sum()

    down, across = window(top).view(1, 1, -1, 1), window(left).view(1, 1, 1, -1)

    def blur(x: Tensor) -> Tensor:
        return F.conv2d(F.conv2d(F.pad(x, (left, left, top, top), mode="reflect"), down), across)

    a, b = a.reshape(n * channels, 1, height, width), b.reshape(n * channels, 1, height, width)
    mean_a, mean_b = blur(a), blur(b)
    var_a, var_b = blur(a * a) - mean_a * mean_a, blur(b * b) - mean_b * mean_b
    covariance = blur(a * b) - mean_a * mean_b
    luminance = (2 * mean_a * mean_b + c1) / (mean_a * mean_a + mean_b * mean_b + c1)
    structure = (2 * covariance + c2) / (var_a + var_b + c2)
    return (luminance * structure).reshape(n, -1).mean(1)
