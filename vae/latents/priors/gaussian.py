"""A Gaussian, and a mixture of Gaussians, as maps of noise."""

from dataclasses import dataclass

import torch
from torch import Tensor

from vae.errors import InputError

FULL = 512  # dimensions up to which correlations are fitted
COMPONENTS = 400
NUMBERS = 110_000  # that a mixture may take, some 400 KB


@dataclass(frozen=True)
class Gaussian:
    """u = root @ noise, the root of the points' covariance; their mean is 0. Without correlations root is (A,)."""

    root: Tensor

    @classmethod
    def fit(cls, points: Tensor) -> "Gaussian":
        """points: (N, A), centred, each dimension of variance 1. The fewer they are, the more their correlations are
        drawn towards none (Ledoit & Wolf 2004), so that fewer points than dimensions will do."""
        if points.shape[1] > FULL:
            return cls(points.double().std(0, unbiased=False).float())
        from sklearn.covariance import ledoit_wolf

        covariance, _ = ledoit_wolf(points.double().numpy(), assume_centered=True)
        return cls(_root(torch.from_numpy(covariance)))

    def __call__(self, noise: Tensor, temperature: float = 1.0) -> Tensor:
        return temperature * (noise * self.root if self.root.dim() == 1 else noise @ self.root.T)

    def inverse(self, u: Tensor) -> Tensor:
        if self.root.dim() == 1:
            return u / self.root
        return torch.linalg.solve_triangular(self.root, u.T, upper=False).T


@dataclass(frozen=True)
class Mixture:
    """K Gaussians. weights: (K,), means: (K, A), roots: (K, A, A) lower triangles, or (K, A) without correlations.

    It is a function of the noise, without a choice of its own: the noise's first number says, by its place among all
    such numbers, which component it is to be, and its place within the component's share is again uniform and becomes
    the number the component is given in its stead. So for noise from N(0, I) the mixture comes out exactly.
    """

    weights: Tensor
    means: Tensor
    roots: Tensor

    @classmethod
    def fit(cls, points: Tensor, seed: int = 0) -> "Mixture":
        """Expectation maximisation from k-means, over points (N, A). Correlations need twice as many points as
        dimensions."""
        import warnings

        from sklearn.mixture import GaussianMixture

        n, dims = points.shape
        full = dims <= 128 and n >= 2 * dims
        size = dims * (dims + 3) // 2 + 1 if full else 2 * dims + 1
        k = max(1, min(COMPONENTS, NUMBERS // size, n // (2 * dims)))
        mixture = GaussianMixture(
            k,
            covariance_type="full" if full else "diag",
            reg_covar=1e-4,
            max_iter=30,
            tol=2e-3,
            random_state=seed % 2**32,
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that 30 rounds were not enough changes little
            mixture.fit(points.double().numpy())
        covariances = torch.from_numpy(mixture.covariances_)
        roots = torch.linalg.cholesky(covariances) if full else covariances.sqrt()
        weights, means = torch.from_numpy(mixture.weights_), torch.from_numpy(mixture.means_)
        return cls(weights.float(), means.float(), roots.float())

    def __call__(self, noise: Tensor, temperature: float = 1.0) -> Tensor:
        edges = (self.weights.double() / self.weights.double().sum()).cumsum(0)
        place = torch.special.ndtr(noise[:, 0].double())
        chosen = torch.searchsorted(edges, place).clamp_max(len(edges) - 1)
        low = torch.cat([edges.new_zeros(1), edges])[chosen]
        within = (place - low) / (edges[chosen] - low)
        own = noise.clone()
        own[:, 0] = torch.special.ndtri(within.clamp(1e-12, 1.0 - 1e-12)).to(noise.dtype)
        roots = self.roots[chosen]
        spread = roots * own if roots.dim() == 2 else (roots @ own[..., None])[..., 0]
        return self.means[chosen] + temperature * spread


def _root(covariance: Tensor) -> Tensor:
    """The lower triangle whose square is the covariance, in float32. Dimensions bound to each other leave it singular:
    then as much of the identity is added as it takes."""
    for jitter in (0.0, 1e-6, 1e-4, 1e-2):
        root, failed = torch.linalg.cholesky_ex(covariance + jitter * torch.eye(len(covariance)).to(covariance))
        if not failed and root.diagonal().min() > 1e-4:
            return root.float()
    raise InputError("The latents' covariance cannot be used: too many of their dimensions depend on each other.")
