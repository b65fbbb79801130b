"""Two-dimensional maps of a latent space, and the way from a place on the map back into the space."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from vae.errors import InputError

VARIES = 0.07  # of the largest standard deviation: dimensions under it are as good as constant
ROWS = 2**12  # latents that are looked at together, so that what is made of them stays in a processor's caches


@dataclass(frozen=True)
class Projection:
    """An affine map of D latent dimensions onto two: y = (z - centre) @ matrix, matrix (D, 2).

    lift: (2, D), how a latent moves where its place on the map moves by one. Of the many ways to move it (all that
    project to the same step) it is the one that a latent takes on average over the data, the regression of z on y,
    so that moving over the map keeps to where latents are; lift @ matrix is the identity.
    """

    centre: Tensor
    matrix: Tensor
    lift: Tensor

    def project(self, z: Tensor) -> Tensor:
        """Places on the map, (n, 2), of latents (n, C, h, w) or (n, D)."""
        parts = z.cpu().flatten(1).split(ROWS)
        return torch.cat([(part.float() - self.centre) @ self.matrix for part in parts])

    def invert(self, places: Tensor, base: Tensor) -> Tensor:
        """Latents (n, C, h, w) at places (n, 2) of the map, that otherwise are as the base point (C, h, w) is.

        Exact: projecting them gives the places again.
        """
        here = self.project(base[None])
        return base[None] + ((places.float() - here) @ self.lift).view(-1, *base.shape)


def pca(z: Tensor) -> Projection:
    """The two directions in which latents (N, D) vary most (Pearson 1901). Needs three or more of them."""
    if len(z) < 3:
        raise InputError("A map takes three or more pictures.")
    if z.shape[1] <= 2048:
        scatter = sum(part.T @ part for part in _centred(z))
        matrix = torch.linalg.eigh(scatter)[1][:, -2:].flip(1)
    else:  # the same from the other side: there are fewer images than dimensions
        chosen = z[torch.arange(min(len(z), 2048)) * len(z) // min(len(z), 2048)].double()
        matrix = torch.linalg.svd(chosen - chosen.mean(0), full_matrices=False)[2][:2].T
    return _projection(z, _mean(z), matrix)


def lda(z: Tensor, labels: Tensor) -> Projection | None:
    """The two directions that tell the classes apart best (linear discriminant analysis, Fisher 1936), as the MNIST
    tutorial has them; None where there are no two such: under three classes, or no more latents than dimensions.

    Dimensions that hardly vary are left out: LDA would enlarge them, and with them their rounding errors, until they
    spread as far as the others.
    """
    spread = z.std(0)
    alive = spread > VARIES * spread.max()
    dims = int(alive.sum())
    if len(labels.unique()) < 3 or dims < 2 or len(z) <= dims + 3:
        return None
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    analysis = LinearDiscriminantAnalysis(n_components=2)
    analysis.fit(z[:, alive].double().numpy(), labels.numpy())
    found = torch.from_numpy(analysis.scalings_)[:, :2]
    if found.shape[1] < 2 or not torch.isfinite(found).all():
        return None
    matrix = torch.zeros(z.shape[1], 2, dtype=torch.float64)
    matrix[alive] = found
    return _projection(z, _mean(z), matrix)


def _mean(z: Tensor) -> Tensor:
    """Of latents (N, D), in float64."""
    return sum(part.double().sum(0) for part in z.split(ROWS)) / len(z)


def _centred(z: Tensor) -> Iterator[Tensor]:
    """The latents without their mean, in float64, some at a time."""
    mean = _mean(z)
    return (part.double() - mean for part in z.split(ROWS))


def two_dimensions(z: Tensor, i: int, j: int) -> Projection:
    """The plane of the latent dimensions i and j, which alone move with the place."""
    dims = z.shape[1]
    if not (0 <= i < dims and 0 <= j < dims and i != j):
        raise InputError(f"Two different latent dimensions from 0 to {dims - 1} make a map, not {i} and {j}.")
    matrix = torch.zeros(dims, 2)
    matrix[i, 0] = matrix[j, 1] = 1.0
    return Projection(torch.zeros(dims), matrix, matrix.T.contiguous())


def _projection(z: Tensor, centre: Tensor, matrix: Tensor) -> Projection:
    """With the signs settled, each direction's largest entry being positive, and the lift by regression."""
    matrix = matrix.double()
    matrix = matrix * matrix.gather(0, matrix.abs().argmax(0, keepdim=True)).sign()
    along = sum((part @ matrix).T @ part for part in _centred(z))  # places by latents, (2, D)
    gram = along @ matrix  # places by places
    on_a_line = torch.linalg.cond(gram) > 1e12  # the shortest way back will do
    lift = torch.linalg.pinv(matrix) if on_a_line else torch.linalg.solve(gram, along)
    return Projection(centre.float(), matrix.float(), lift.float())
