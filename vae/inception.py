"""InceptionV3 as the Fréchet Inception Distance knows it: the network of Szegedy et al. 2016 (arXiv:1512.00567) and the
weights that TensorFlow published in 2015, which Heusel et al. 2017 (arXiv:1706.08500) took their features from.

It differs from torchvision's in its weights, in averages that leave the border out, in one maximum in place of an
average, in 1,008 classes, and in how images are enlarged.
"""

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models import inception

from vae import torch_cache

_HASH, _SIZE = "6726825d", "96 MB"
SIDE = 299  # pixels that the network takes
FEATURES, CLASSES = 2048, 1008


class Inception(nn.Module):
    """The network, frozen and in evaluation mode whatever `train` says. Images are (N, 3 or 1, H, W) in [-1, 1]."""

    title = "InceptionV3"

    def __init__(self) -> None:
        super().__init__()
        conv = inception.BasicConv2d
        self.Conv2d_1a_3x3 = conv(3, 32, kernel_size=3, stride=2)
        self.Conv2d_2a_3x3 = conv(32, 32, kernel_size=3)
        self.Conv2d_2b_3x3 = conv(32, 64, kernel_size=3, padding=1)
        self.Conv2d_3b_1x1 = conv(64, 80, kernel_size=1)
        self.Conv2d_4a_3x3 = conv(80, 192, kernel_size=3)
        self.Mixed_5b = _A(192, pool_features=32)
        self.Mixed_5c = _A(256, pool_features=64)
        self.Mixed_5d = _A(288, pool_features=64)
        self.Mixed_6a = inception.InceptionB(288)
        self.Mixed_6b = _C(768, channels_7x7=128)
        self.Mixed_6c = _C(768, channels_7x7=160)
        self.Mixed_6d = _C(768, channels_7x7=160)
        self.Mixed_6e = _C(768, channels_7x7=192)
        self.Mixed_7a = inception.InceptionD(768)
        self.Mixed_7b = _E(1280)
        self.Mixed_7c = _LastE(2048)
        self.fc = nn.Linear(FEATURES, CLASSES)
        self.requires_grad_(False).train(False)

    def train(self, mode: bool = True) -> "Inception":
        return super().train(False)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Pooled features (N, 2048) and the probabilities of its classes (N, 1008)."""
        x = _prepared(x)
        for name, layer in self.named_children():
            if name == "fc":
                break
            x = layer(x)
            if name in ("Conv2d_2b_3x3", "Conv2d_4a_3x3"):
                x = F.max_pool2d(x, 3, stride=2)
        features = x.mean((2, 3))
        return features, self.fc(features).softmax(1)


def inception_features(device: torch.device | str = "cpu") -> Inception:
    """The network with its weights, downloaded the first time. Raises InputError if they cannot be had."""
    with torch.device("meta"):
        network = Inception()
    state = torch.load(fetch_weights(), map_location="cpu", weights_only=True)
    # Saved before batch norms counted; what they counted is not used.
    counters = {name: torch.zeros((), dtype=torch.int64) for name, _ in network.named_buffers() if "num_batch" in name}
    network.load_state_dict(counters | state, assign=True)
    return network.requires_grad_(False).to(device, memory_format=torch.channels_last)


def fetch_weights() -> Path:
    """The weights in torch's cache, downloaded if they are not there. InputError if they cannot be had."""
    return torch_cache.fetch_weights(
        torch_cache.INCEPTION,
        _HASH,
        f"The Fréchet distance by InceptionV3 needs its weights ({_SIZE})",
        "ask for the features efficientnet, which need no download",
    )


def _prepared(x: Tensor) -> Tensor:
    """(byte - 128) / 128 at 299 pixels a side, enlarged as TensorFlow 1 did: pixel i lies at i * length / 299, not half
    a pixel further."""
    x = x[:, :-1] if x.shape[1] in (2, 4) else x
    x = (x.float() * 127.5 - 0.5) / 128
    for axis in (-2, -1):
        length = x.shape[axis]
        place = torch.arange(SIDE, device=x.device, dtype=torch.float32) * (length / SIDE)
        low = place.long()
        share = (place - low).view(-1, 1) if axis == -2 else place - low
        above = (low + 1).clamp_max(length - 1)
        x = x.index_select(axis, low) * (1 - share) + x.index_select(axis, above) * share
    return x.expand(-1, 3, -1, -1)


def _average(x: Tensor) -> Tensor:
    return F.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False)


class _A(inception.InceptionA):
    def forward(self, x: Tensor) -> Tensor:
        small = self.branch5x5_2(self.branch5x5_1(x))
        double = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
        return torch.cat([self.branch1x1(x), small, double, self.branch_pool(_average(x))], 1)


class _C(inception.InceptionC):
    def forward(self, x: Tensor) -> Tensor:
        long = self.branch7x7_3(self.branch7x7_2(self.branch7x7_1(x)))
        double = x
        for name in ("1", "2", "3", "4", "5"):
            double = getattr(self, f"branch7x7dbl_{name}")(double)
        return torch.cat([self.branch1x1(x), long, double, self.branch_pool(_average(x))], 1)


class _E(inception.InceptionE):
    pooled = staticmethod(_average)

    def forward(self, x: Tensor) -> Tensor:
        wide = self.branch3x3_1(x)
        double = self.branch3x3dbl_2(self.branch3x3dbl_1(x))
        branches = [self.branch1x1(x), self.branch3x3_2a(wide), self.branch3x3_2b(wide)]
        branches += [self.branch3x3dbl_3a(double), self.branch3x3dbl_3b(double), self.branch_pool(self.pooled(x))]
        return torch.cat(branches, 1)


class _LastE(_E):
    @staticmethod
    def pooled(x: Tensor) -> Tensor:
        return F.max_pool2d(x, 3, stride=1, padding=1)
