"""The Fréchet distance between two sets of images, in a classifier's features."""

import torch
from torch import Tensor

from vae.errors import InputError


class Moments:
    """Mean (d,) and covariance (d, d) of feature vectors (N, d), in float64."""

    def __init__(self, features: Tensor):
        if len(features) < 2:
            raise InputError("A Fréchet distance needs at least two images on either side.")
        features = features.double()
        self.mean = features.mean(0)
        centred = features - self.mean
        self.covariance = centred.T @ centred / (len(features) - 1)


def frechet(a: Moments, b: Moments) -> float:
    """|m_a - m_b|² + tr(C_a + C_b - 2 (C_a C_b)^½), never negative (Dowson & Landau 1982; as a measure of generated
    images Heusel et al. 2017, arXiv:1706.08500, there in the features of Inception).

    The figure depends on the classifier and on how many images there are: compare within one classifier only.
    """
    # C_a C_b is similar to the symmetric R C_b R with R = C_a^½, whose eigenvalues can be had reliably.
    values, vectors = torch.linalg.eigh(a.covariance)
    root = vectors * values.clamp_min(0.0).sqrt() @ vectors.T
    cross = torch.linalg.eigvalsh(root @ b.covariance @ root).clamp_min(0.0).sqrt().sum()
    distance = (a.mean - b.mean).square().sum() + a.covariance.trace() + b.covariance.trace() - 2.0 * cross
    return max(0.0, distance.item())
