"""The Fréchet distance between two sets of images, in a network's features."""

import torch
from torch import Tensor

from vae.errors import InputError


class Moments:
    """Mean (d,) and covariance (d, d) of feature vectors (N, d), in float64; they can come a part at a time.

    total, squares: sums over all `count` of the vectors less `shift`, which lies near the mean, where squares lose
    nothing.
    """

    def __init__(self, features: Tensor | None = None):
        self.count = 0
        self.shift = self.total = self.squares = torch.empty(0, dtype=torch.float64)
        if features is not None:
            self.add(features)
            self._check()

    def add(self, features: Tensor) -> None:
        features = features.double().cpu()
        if not self.count and len(features):
            self.shift = features.mean(0)
            self.total = torch.zeros_like(self.shift)
            self.squares = torch.zeros(len(self.shift), len(self.shift), dtype=torch.float64)
        if len(features):
            centred = features - self.shift
            self.count += len(features)
            self.total = self.total + centred.sum(0)
            self.squares = self.squares + centred.T @ centred

    @property
    def mean(self) -> Tensor:
        self._check()
        return self.shift + self.total / self.count

    @property
    def covariance(self) -> Tensor:
        self._check()
        return (self.squares - torch.outer(self.total, self.total) / self.count) / (self.count - 1)

    def _check(self) -> None:
        if self.count < 2:
            raise InputError("A Fréchet distance needs at least two images on either side.")


def frechet(a: Moments, b: Moments) -> float:
    """|m_a - m_b|² + tr(C_a + C_b - 2 (C_a C_b)^½), never negative (Dowson & Landau 1982; as a measure of generated
    images Heusel et al. 2017, arXiv:1706.08500, there in the features of Inception).

    The figure depends on the network and on how many images there are: compare within one network only.
    """
    # C_a C_b is similar to the symmetric R C_b R with R = C_a^½, whose eigenvalues can be had reliably.
    covariance, other = a.covariance, b.covariance
    values, vectors = torch.linalg.eigh(covariance)
    root = vectors * values.clamp_min(0.0).sqrt() @ vectors.T
    cross = torch.linalg.eigvalsh(root @ other @ root).clamp_min(0.0).sqrt().sum()
    distance = (a.mean - b.mean).square().sum() + covariance.trace() + other.trace() - 2.0 * cross
    return max(0.0, distance.item())
