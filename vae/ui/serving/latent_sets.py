"""Sets of images that a visitor names on the map, a class or images picked there, and the way from one to another."""

import torch
from torch import Tensor

from vae.errors import InputError
from vae.latents.directions import attribute_vector
from vae.latents.statistics import Statistics
from vae.ui.components import number, whole

FARTHEST = 10.0  # times the way between two sets that a latent is moved along it, at most


def members(found: Statistics, chosen: object) -> Tensor:
    """The latents (n, C, h, w) of a set as the page names it: {"class": place among the classes} or {"points": [places
    among the images of the map]}; for None, the mean of all. Raises InputError for another or an empty one.
    """
    if chosen is None:
        return found.mean[None]
    if not isinstance(chosen, dict) or len(chosen) != 1 or next(iter(chosen)) not in ("class", "points"):
        raise InputError("A set of images is a class or a list of points.")
    if "class" in chosen:
        if found.labels is None:
            raise InputError("The images of this map have no classes.")
        at = (found.labels == whole("The class", chosen["class"], 0, len(found.classes or []) - 1)).nonzero()[:, 0]
    else:
        points, last = chosen["points"], len(found.embeddings) - 1
        if not isinstance(points, list) or len(points) > len(found.embeddings):
            raise InputError(f"Up to {len(found.embeddings)} images are picked from this map.")
        at = torch.tensor([whole("The image", i, 0, last) for i in points], dtype=torch.long)
    if not len(at):
        raise InputError("There are no images in this set.")
    return found.embeddings[at]


def moved_along(found: Statistics, z: Tensor, value: object, most: int) -> Tensor:
    """The latent z (C, h, w) moved from one set towards another, (n, C, h, w) for n shares of the way between their
    means: value is {"to": a set, "from": a set, "by": [shares]}, up to `most` of them."""
    value = value if isinstance(value, dict) else {}
    by = value.get("by")
    if not isinstance(by, list) or not 1 <= len(by) <= most:
        raise InputError(f"One step or up to {most} are decoded at a time.")
    way = attribute_vector(members(found, value.get("to")), members(found, value.get("from")))
    shares = torch.tensor([number("The share of the way", share, -FARTHEST, FARTHEST) for share in by])
    return z + shares.view(-1, 1, 1, 1) * way
