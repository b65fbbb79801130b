"""A Gaussian, and a mixture of Gaussians, as maps of noise."""

from dataclasses import dataclass

import torch
from torch import Tensor

from vae.errors import InputError

FULL = 512  # dimensions up to which correlations are fitted
COMPONENTS = 400
NUMBERS = 110_000  # that a mixture may take, some 220 KB
CLEAR = 0.99  # probability of its class from which on a point is clearly of that one


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
    labels: (K,), which class each of them belongs to, where there are classes.

    It is a function of the noise, without a choice of its own: the noise's first number says, by its place among all
    such numbers, which component it is to be, and its place within the component's share is again uniform and becomes
    the number the component is given in its stead. So for noise from N(0, I) the mixture comes out exactly.
    """

    weights: Tensor
    means: Tensor
    roots: Tensor
    labels: Tensor | None = None

    @classmethod
    def fit(cls, points: Tensor, seed: int = 0, labels: Tensor | None = None) -> "Mixture":
        """Expectation maximisation from k-means, over points (N, A), rounded to 16 bits as it is stored. Correlations
        need twice as many points as dimensions. labels: (N,), the points' classes: each then has Gaussians of its own,
        as many as its share of the points, and all together are the mixture."""
        n, dims = points.shape
        labels = torch.zeros(n, dtype=torch.int64) if (unlabelled := labels is None) else labels
        classes, counts = labels.unique(return_counts=True)
        numbers = dims * (dims + 3) // 2 + 1
        full = dims <= 128 and n >= 2 * dims and numbers * len(classes) <= NUMBERS
        k = min(COMPONENTS, NUMBERS // (numbers if full else 2 * dims + 1), n // (2 * dims))
        weights, means, roots = [], [], []
        for label, count in zip(classes.tolist(), counts.tolist(), strict=True):
            own = points[labels == label]
            fitted = _expectation_maximisation(own, max(1, k * count // n), full, seed)
            for parts, part in zip((weights, means, roots), fitted, strict=True):
                parts.append(part)
            weights[-1] = weights[-1] * (count / n)
        of_class = classes.repeat_interleave(torch.tensor([len(part) for part in weights]))
        means, roots = (torch.cat(parts).half().float() for parts in (means, roots))
        return cls(torch.cat(weights).float(), means, roots, None if unlabelled else of_class)

    def parts(self) -> dict[str, Tensor]:
        """The tensors to store: of roots with correlations the triangles alone, (K, A (A + 1) / 2)."""
        stored = {"weights": self.weights, "means": self.means.half(), "roots": self.roots.half()}
        if self.roots.dim() == 3:
            rows, columns = torch.tril_indices(*self.roots.shape[1:])
            stored["triangles"] = stored.pop("roots")[:, rows, columns]
        return stored if self.labels is None else stored | {"labels": self.labels}

    @classmethod
    def of_parts(cls, parts: dict[str, Tensor]) -> "Mixture":
        """What `parts` gave, or files of earlier versions have."""
        if "triangles" in parts:
            triangles, dims = parts.pop("triangles").float(), parts["means"].shape[1]
            rows, columns = torch.tril_indices(dims, dims)
            parts["roots"] = triangles.new_zeros(len(triangles), dims, dims)
            parts["roots"][:, rows, columns] = triangles
        return cls(parts["weights"], parts["means"].float(), parts["roots"].float(), parts.get("labels"))

    def of_class(self, noise: Tensor, temperature: float, label: int) -> Tensor:
        """Points (n, A) of one class. Where classes overlap, a point may as well be another's: those that are not
        clearly this one's are drawn nearer to the centre of their Gaussian, from the same noise."""
        own = self.labels == label
        alone = Mixture(self.weights[own], self.means[own], self.roots[own])
        u = alone(noise, temperature)
        for closer in (0.8, 0.6, 0.4, 0.2, 0.0):
            unclear = torch.cat([self._share(part, own) for part in u.split(256)]) < CLEAR
            if not unclear.any():
                break
            u[unclear] = alone(noise[unclear], closer * temperature)
        return u

    def _share(self, u: Tensor, own: Tensor) -> Tensor:
        """The probability (n,) that points come from the Gaussians `own` (K,), not from others."""
        off = u - self.means[:, None]
        if self.roots.dim() == 2:
            off, size = off / self.roots[:, None], self.roots.log().sum(1)
        else:
            off = torch.linalg.solve_triangular(self.roots, off.mT, upper=False).mT
            size = self.roots.diagonal(dim1=1, dim2=2).log().sum(1)
        density = (self.weights.log() - size)[:, None] - 0.5 * off.square().sum(2)
        return (density[own].logsumexp(0) - density.logsumexp(0)).exp()

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


def _expectation_maximisation(points: Tensor, k: int, full: bool, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Weights (k,), means and roots of k Gaussians over points (N, A). full: with correlations."""
    n, dims = points.shape
    if k == 1 or n < 2 * dims:  # too few for correlations of their own are drawn towards none
        centre = points.mean(0)
        root = Gaussian.fit(points - centre).root if full else points.std(0, unbiased=False).clamp_min(1e-2)
        return torch.ones(1), centre[None], root[None]
    import warnings

    from sklearn.mixture import GaussianMixture

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
    return torch.from_numpy(mixture.weights_), torch.from_numpy(mixture.means_).float(), roots.float()


def _root(covariance: Tensor) -> Tensor:
    """The lower triangle whose square is the covariance, in float32. Dimensions bound to each other leave it singular:
    then as much of the identity is added as it takes."""
    for jitter in (0.0, 1e-6, 1e-4, 1e-2):
        root, failed = torch.linalg.cholesky_ex(covariance + jitter * torch.eye(len(covariance)).to(covariance))
        if not failed and root.diagonal().min() > 1e-4:
            return root.float()
    raise InputError("The latents' covariance cannot be used: too many of their dimensions depend on each other.")
