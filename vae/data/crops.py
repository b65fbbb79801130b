"""Images of any size, kept at their own resolution, out of which squares of one size are cut."""

import threading
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from vae.data.image_set import ImageSet


class Crops(NamedTuple):
    """What to cut: of the images at `indices` (n,) a square each at `places` (n, 2), top and left as shares, in [0, 1),
    of the room there is."""

    indices: Tensor
    places: Tensor


class CropSet(ImageSet):
    """A set whose batches are cut out of whole images: in the middle, or where Crops say.

    Images are read when first asked for, and kept up to limit_bytes in all; the others are decoded each time.
    """

    def __init__(self, like: ImageSet, count: int, read: Callable[[int], np.ndarray], border: int, limit_bytes: int):
        """like: whose name, shape and labels it has. read: an image, (C, H, W), no side of it smaller than the square.
        border: black pixels around what is cut, part of the shape."""
        self.__dict__ |= like.__dict__
        self._count, self._read, self._decode = count, self._kept_or_read, read
        self._border, self._room = border, limit_bytes
        self._kept: dict[int, np.ndarray] = {}
        self._lock = threading.Lock()

    def batch(self, indices: Tensor | Sequence[int] | Crops) -> Tensor:
        """As ImageSet.batch."""
        indices, places = indices if isinstance(indices, Crops) else (indices, None)
        wholes, (channels, size, _), border = self._arrays(indices), self.shape, self._border
        inner = size - 2 * border
        out = torch.zeros(len(wholes), channels, size, size, dtype=torch.uint8)
        shares = [(0.5, 0.5)] * len(wholes) if places is None else places.tolist()
        for square, whole, (down, right) in zip(out, wholes, shares, strict=True):
            spare = whole.shape[1] - inner + 1, whole.shape[2] - inner + 1
            top, left = int(down * spare[0]), int(right * spare[1])
            piece = torch.from_numpy(whole[:, top : top + inner, left : left + inner].copy())
            square[:, border : size - border, border : size - border] = piece
        return out

    def _kept_or_read(self, index: int) -> np.ndarray:
        known = self._kept.get(index)
        if known is not None:
            return known
        whole = self._decode(index)
        with self._lock:
            if index not in self._kept and whole.nbytes <= self._room:
                self._room -= whole.nbytes
                self._kept[index] = whole
        return whole
