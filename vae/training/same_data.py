"""Whether data that lie elsewhere now are those that a run began with."""

import hashlib

import torch
import torch.nn.functional as F
from torch import Tensor

from vae.data.own_set import AnySet
from vae.errors import InputError
from vae.images import to_float

SEEN, CELLS = 8, 4  # images, and cells along the side of each, over which its pixels are averaged
ALIKE = 0.05  # between two averages of pixels in [-1, 1]: JPEG is not decoded alike everywhere


def looks(data: AnySet) -> dict:
    """What tells a set from another, for `check`: {count, names (a digest), images}. A few images are read."""
    digest = None if data.names is None else hashlib.sha256("\n".join(map(str, data.names)).encode()).hexdigest()
    pixels = data.preview(SEEN)
    seen = to_float(pixels) if pixels.dtype == torch.uint8 else pixels
    return {"count": len(data), "names": digest, "images": _coarse(seen.cpu())}


def check(then: dict, data: AnySet, began: str, now: str) -> None:
    """Raises InputError unless `data`, which lie at `now`, look as `then`, when they lay at `began`."""
    found = looks(data)
    if found["count"] != then["count"]:
        differ = f"there are {found['count']:,} images and there were {then['count']:,}"
    elif found["names"] != then["names"]:
        differ = "the files have other names"
    elif found["images"].shape != then["images"].shape or (found["images"] - then["images"]).abs().max() > ALIKE:
        differ = "they show something else"
    else:
        return
    raise InputError(
        f"{now} does not hold the data that the run began with, which lay at {began}: {differ}. Give the place where "
        "these are now, or begin a new run."
    )


def _coarse(images: Tensor) -> Tensor:
    return F.adaptive_avg_pool2d(images, CELLS)
