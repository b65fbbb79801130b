"""The networks whose features sets of images are compared in: a Fréchet distance means nothing without its network's
name, which stands beside every figure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from vae.errors import InputError

if TYPE_CHECKING:  # Inception brings all of torchvision's networks along
    from vae.inception import Inception
    from vae.perceptual import ImageNetFeatures

    Features = Inception | ImageNetFeatures  # images (N, C, H, W) to features (N, d) and probabilities

# The field's, which is downloaded; and one that a package brings.
FEATURES = {"inception": "InceptionV3", "efficientnet": "EfficientNet-Lite0"}


def feature_network(name: str, device: torch.device | str = "cpu") -> Features:
    """The network of that name, one of FEATURES, which has its title, too: what stands beside its figures.

    Raises InputError for another name, and where its weights or its packages cannot be had.
    """
    if name not in FEATURES:
        raise InputError(f"The features are {' or '.join(FEATURES)}, not {name!r}.")
    if name == "inception":
        from vae.inception import inception_features

        return inception_features(device)
    from vae.perceptual import imagenet_features

    return imagenet_features(device)
