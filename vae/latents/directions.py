"""Where images lie among a model's latents: means of classes, directions between them, nearest neighbours."""

import torch
from torch import Tensor

from vae.checks import as_tensor, refuse_not_finite, whole_number
from vae.errors import InputError

CHUNK = 2**24  # distances held at a time, so that memory is bounded


def class_means(z: Tensor, labels: Tensor) -> dict[int, Tensor]:
    """The mean latent of each class that has images: {label: (C, h, w)}, labels in ascending order.

    z: latents (N, C, h, w), as `model.encode(x).mean` gives them. labels: (N,) whole numbers. Raises InputError for
    latents that are not finite, none at all, or another number of labels.

    >>> z = torch.tensor([0.0, 2.0, 10.0]).view(3, 1, 1, 1)
    >>> {label: mean.item() for label, mean in class_means(z, torch.tensor([0, 0, 7])).items()}
    {0: 1.0, 7: 10.0}
    """
    z, labels = _latents("The latents", z), as_tensor("The labels", labels)
    if labels.shape != z.shape[:1] or labels.is_floating_point():
        raise InputError(f"{len(z)} latents take {len(z)} whole numbers as labels, not {list(labels.shape)}.")
    labels = labels.to(z.device)
    return {int(label): z[labels == label].mean(0) for label in labels.unique()}


def attribute_vector(to: Tensor, away_from: Tensor) -> Tensor:
    """The direction from the images `away_from` to the images `to`, (C, h, w): the difference of their mean latents.

    Added to an image's latent, or a part or a multiple of it, it makes the decoded image more like the ones than the
    others: "thicker", "more like a 7" (Larsen et al. 2016, arXiv:1512.09300; White 2016, arXiv:1609.04468).
    to, away_from: latents (N, C, h, w) and (M, C, h, w). Raises InputError for none, for shapes that differ, and for
    numbers that are not finite.

    >>> thick, thin = torch.full((3, 1, 2, 2), 1.5), torch.full((5, 1, 2, 2), 0.5)
    >>> thin[0] + 0.5 * attribute_vector(thick, thin)
    tensor([[[1., 1.],
             [1., 1.]]])
    """
    to, away_from = _latents("The latents", to), _latents("The latents", away_from)
    if to.shape[1:] != away_from.shape[1:]:
        raise InputError(f"Latents of one shape are needed, not {list(to.shape[1:])} and {list(away_from.shape[1:])}.")
    return to.mean(0) - away_from.to(to.device).mean(0)


def nearest(z: Tensor, among: Tensor, k: int = 8) -> tuple[Tensor, Tensor]:
    """The k latents nearest to each of z: (indices, distances), both (n, k), the nearest first.

    z: (n, C, h, w). among: (N, C, h, w), what is searched, all of it: the distances are Euclidean and exact, of equal
    ones the first in `among` comes first, and a latent that is among them is its own nearest. k is at most N. Raises
    InputError for another k, none to search, shapes that differ, and numbers that are not finite.

    >>> among = torch.tensor([0.0, 1.0, 5.0]).view(3, 1, 1, 1)
    >>> indices, distances = nearest(torch.tensor([4.0]).view(1, 1, 1, 1), among, k=2)
    >>> indices.tolist(), distances.tolist()
    ([[2, 1]], [[1.0, 3.0]])
    """
    z, among = _latents("The latents", z), _latents("The latents to search", among)
    if z.shape[1:] != among.shape[1:]:
        raise InputError(f"Latents of one shape are needed, not {list(z.shape[1:])} and {list(among.shape[1:])}.")
    k = whole_number("The number of neighbours", k, 1, len(among))
    searched, wanted = among.to(z.device).flatten(1), z.flatten(1)
    found, distances = [], []
    for one in wanted.split(max(1, CHUNK // len(among))):
        # As differences, not by the product of matrices, which is inexact for latents near to one another.
        for far in torch.cdist(one, searched, compute_mode="donot_use_mm_for_euclid_dist"):
            near = (far <= far.topk(k, largest=False).values[-1]).nonzero().flatten()  # sorting all takes longer
            found.append(near[far[near].argsort(stable=True)[:k]])
            distances.append(far[found[-1]])
    return torch.stack(found), torch.stack(distances)


def _latents(name: str, z: Tensor) -> Tensor:
    """One or more latents (N, C, h, w) as float32."""
    z = as_tensor(name, z)
    if z.ndim != 4 or not len(z) or not z.is_floating_point():
        raise InputError(f"{name} are one or more floats of the shape (N, channels, h, w), not {list(z.shape)}.")
    refuse_not_finite(name, z)
    return z.float()
