"""LPIPS, the learned perceptual distance of Zhang et al. 2018 (arXiv:1801.03924), with its network VGG16.

The package `lpips` brings how the features are weighed, 0.1 MB; VGG16's own weights are downloaded once, by torch, into
its cache. Figures are those of other work that uses this network at the images' own size.
"""

import warnings
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vae import torch_cache
from vae.errors import InputError

SMALLEST = 64  # pixels a side; smaller images are enlarged to it, for the network halves four times
WEIGHTS = "https://download.pytorch.org/models/vgg16-397923af.pth"
_HASH, _SIZE = "397923af", "528 MB"

INSTEAD = "use the perceptual network efficientnet"  # in a training


class LPIPS(nn.Module):
    """The distance, its weights frozen, in evaluation mode whatever `train` says; gradients reach both images.

    network: an lpips.LPIPS.
    """

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network
        self.requires_grad_(False).train(False)

    def train(self, mode: bool = True) -> "LPIPS":
        return super().train(False)

    def distance(self, x: Tensor, y: Tensor) -> Tensor:
        """How different two batches of images (N, 3 or 1, H, W) in [-1, 1] look, (N,): 0 for equal ones."""
        return self.network(_prepared(x), _prepared(y)).flatten()


def lpips_distance(device: torch.device | str = "cpu", random: bool = False, instead: str = INSTEAD) -> LPIPS:
    """LPIPS with its weights. random: with a VGG16 that has learned nothing and needs no download, for tests.
    instead: what to do where they cannot be had, for the sentence that says so.

    Raises InputError if the package is not installed or the weights cannot be had.
    """
    try:
        import lpips
    except ImportError:
        raise InputError("LPIPS needs its package; install it with: pip install lpips.") from None
    if not random:
        fetch_weights(instead)
    with warnings.catch_warnings():  # it calls torchvision as it was called years ago
        warnings.simplefilter("ignore", UserWarning)
        return LPIPS(lpips.LPIPS(net="vgg", pnet_rand=random, verbose=False)).to(device)


def fetch_weights(instead: str = INSTEAD) -> Path:
    """VGG16's weights in torch's cache, downloaded if they are not there. InputError if they cannot be had."""
    return torch_cache.fetch_weights(WEIGHTS, _HASH, f"LPIPS needs VGG16's weights ({_SIZE})", instead)


def _prepared(x: Tensor) -> Tensor:
    x = x.expand(-1, 3, -1, -1) if x.shape[1] == 1 else x
    height, width = (max(SMALLEST, side) for side in x.shape[-2:])
    if (height, width) != x.shape[-2:]:
        x = F.interpolate(x.float(), (height, width), mode="bicubic", antialias=True, align_corners=False)
    return x
