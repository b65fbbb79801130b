"""Points of a latent space, as they travel between the page and the server: float32 in base64."""

import base64
import binascii
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from vae.errors import InputError


@dataclass(frozen=True)
class Point:
    """A latent of the chosen model, number by number. numbers: float32, as little-endian bytes."""

    numbers: bytes

    def latent(self, shape: tuple[int, int, int]) -> Tensor:
        """The latent (C, h, w). Raises InputError if a latent of that shape has more numbers, or fewer."""
        z = torch.from_numpy(np.frombuffer(self.numbers, "<f4").copy())
        if z.numel() != (expected := shape[0] * shape[1] * shape[2]):
            raise InputError(f"A latent of this model has {expected} numbers, not {z.numel()}.")
        return z.view(shape)


def write_point(z: Tensor) -> str:
    """A latent's numbers as the page keeps them."""
    return packed(z.flatten().numpy())


def read_point(text: object) -> Point:
    """The point that `write_point` wrote. Raises InputError for what is none, or not finite."""
    try:
        numbers = base64.b64decode(text, validate=True)
        finite = np.isfinite(np.frombuffer(numbers, "<f4")).all()
    except (binascii.Error, TypeError, ValueError):
        raise InputError("The latent in the request is damaged.") from None
    if not finite:
        raise InputError("The latent in the request holds numbers that are not finite (NaN or infinity).")
    return Point(numbers)


def packed(values: np.ndarray) -> str:
    """Numbers as float32 in base64."""
    return base64.b64encode(values.astype("<f4").tobytes()).decode("ascii")
