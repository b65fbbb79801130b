"""Points of a latent space, as they travel between the page and the server: float32 in base64."""

import base64
import binascii

import numpy as np
import torch
from torch import Tensor

from vae.errors import InputError

LONGEST = 4_000_000  # characters: 750,000 numbers


def write_point(z: Tensor) -> str:
    """A latent's numbers as the page keeps them."""
    return packed(z.flatten().numpy())


def read_point(text: object) -> Tensor:
    """The numbers (D,) that `write_point` wrote. Raises InputError for what is none, or not finite."""
    if isinstance(text, str) and len(text) > LONGEST:
        raise InputError(f"A latent in a request has up to {LONGEST:,} characters, not {len(text):,}.")
    try:
        numbers = base64.b64decode(text, validate=True)
        z = torch.from_numpy(np.frombuffer(numbers, "<f4").copy())
    except (binascii.Error, TypeError, ValueError):
        raise InputError("The latent in the request is damaged.") from None
    if not torch.isfinite(z).all():
        raise InputError("The latent in the request holds numbers that are not finite (NaN or infinity).")
    return z


def packed(values: np.ndarray) -> str:
    """Numbers as float32 in base64."""
    return base64.b64encode(values.astype("<f4").tobytes()).decode("ascii")
