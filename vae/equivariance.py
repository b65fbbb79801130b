"""Whether a decoder takes its latents as images: smaller and turned latents then give smaller and turned images.

Latents that bear this vary as images do, which diffusion learns better (Kouzelis et al. 2025, arXiv:2502.09509).
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor


def treated_alike(
    decode: Callable[[Tensor], Tensor], x: Tensor, z: Tensor, scale: float = 1.0, turns: int = 0
) -> tuple[Tensor, Tensor]:
    """x and what is decoded from its latent z, both made smaller by `scale` and turned by so many quarters of a circle.

    x: (N, C, H, W), z: (N, c, h, w); x is brought to the size of what is decoded. Gradients pass.
    """
    height, width = (max(1, round(scale * side)) for side in z.shape[-2:])
    small = F.interpolate(z, (height, width), mode="bilinear", antialias=True, align_corners=False)
    x_hat = decode(torch.rot90(small, turns, (2, 3)))
    x = torch.rot90(x, turns, (2, 3))
    return F.interpolate(x, x_hat.shape[-2:], mode="bilinear", antialias=True, align_corners=False), x_hat
