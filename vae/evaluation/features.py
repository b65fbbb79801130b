"""The networks whose features sets of images are compared in: a Fréchet distance means nothing without its network's
name, which stands beside every figure."""

import torch

from vae import inception, perceptual
from vae.errors import InputError

FEATURES = ("inception", "efficientnet")  # the field's, which is downloaded; and one that a package brings

Features = inception.Inception | perceptual.ImageNetFeatures  # images (N, C, H, W) to features (N, d) and probabilities


def feature_network(name: str, device: torch.device | str = "cpu") -> Features:
    """The network of that name, one of FEATURES; its `title` is what stands beside its figures.

    Raises InputError for another name, and where its weights or its packages cannot be had.
    """
    if name not in FEATURES:
        raise InputError(f"The features are {' or '.join(FEATURES)}, not {name!r}.")
    if name == "inception":
        return inception.inception_features(device)
    return perceptual.imagenet_features(device)
