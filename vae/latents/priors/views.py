"""Views of images, to learn more of a distribution from few of them."""

import torch
import torch.nn.functional as F
from torch import Tensor

SMALLEST = 0.75  # side of a view, as a share of the image's


def view(x: Tensor, generator: torch.Generator, mirror: bool = True) -> tuple[Tensor, Tensor]:
    """A square part of each image (N, C, H, W), with `mirror` mirrored or not, enlarged to the image's size, and (N, 3)
    that says which: how much smaller the part is and where its centre lies, all of order 1 and 0 for the whole image.

    Told which view it sees, a generative model learns from all of them and draws whole images all the same (Karras et
    al. 2022, arXiv:2206.00364, appendix F.2). Mirror images are told nothing: they are as likely as what they mirror.
    """
    n = len(x)
    side = 1.0 - (1.0 - SMALLEST) * torch.rand(n, 1, generator=generator)
    centre = (1.0 - side) * (2.0 * torch.rand(n, 2, generator=generator) - 1.0)
    turn = torch.where(torch.rand(n, 1, generator=generator) < 0.5, -1.0 if mirror else 1.0, 1.0)
    zero = torch.zeros(n, 1)
    rows = [torch.cat([turn * side, zero, centre[:, :1]], 1), torch.cat([zero, side, centre[:, 1:]], 1)]
    grid = F.affine_grid(torch.stack(rows, 1).to(x), list(x.shape), align_corners=False)
    seen = F.grid_sample(x, grid, mode="bicubic", padding_mode="reflection", align_corners=False).clamp(-1.0, 1.0)
    # A mirrored part is described where it lies in the mirrored image.
    where = torch.cat([1.0 - side, turn * centre[:, :1], centre[:, 1:]], 1)
    return seen, where / (1.0 - SMALLEST)
