"""One latent as a file that others read: .safetensors or .npy. What a file claims is checked before it is believed."""

import json
from io import BytesIO
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save
from torch import Tensor

from vae import limits
from vae.checkpoints.weight_files import open_weights
from vae.data.arrays import open_array
from vae.errors import InputError

FORMATS = (".safetensors", ".npy")
NAMES = ("latents", "latent", "latent_tensor", "mean", "z")  # of the tensor in a file that holds several


def write_latent(z: Tensor, suffix: str, about: dict | None = None) -> bytes:
    """A latent (C, h, w) as a file of that format, in float32. about: what a .safetensors' header says of it."""
    z = z.detach().float().cpu().contiguous()
    if suffix == ".safetensors":
        return save({"latents": z[None]}, metadata={"content": json.dumps(about or {})})
    if suffix == ".npy":
        buffer = BytesIO()
        np.save(buffer, z[None].numpy(), allow_pickle=False)
        return buffer.getvalue()
    raise InputError(f"A latent is written as {' or '.join(FORMATS)}, not {suffix!r}.")


def read_latent(path: Path, channels: int) -> Tensor:
    """The latent (C, h, w) float32 in a file: of shape (C, h, w) or (1, C, h, w), in any float type.

    Of several tensors in a .safetensors file the one called "latents", "latent" or "mean" is taken. Nothing in a file
    is executed, and nothing is made room for before the file is known to hold it.
    Raises InputError for another format, shape or number of channels, several latents, and what is not finite.
    """
    if path.suffix.lower() not in FORMATS:
        raise InputError(f"{path.name} is no latent; {' and '.join(FORMATS)} are accepted.")
    if path.suffix.lower() == ".npy":
        shape, read = _npy(path)
    else:
        shape, read = _safetensors(path)
    wanted = f"a latent of this model has {channels} channels and the shape ({channels}, height, width)"
    if len(shape) == 4 and shape[0] != 1:
        raise InputError(f"{path.name} holds {shape[0]} latents; one at a time is accepted.")
    if len(shape) not in (3, 4) or shape[-3] != channels or min(shape) < 1:
        raise InputError(f"{path.name} holds numbers of the shape {shape[:8]}; {wanted}.")
    z = read()
    if not z.is_floating_point():
        raise InputError(f"{path.name} holds numbers of the type {z.dtype}; a latent's are floats.")
    z = z.float().reshape(shape[-3:])
    if not torch.isfinite(z).all():
        raise InputError(f"{path.name} holds numbers that are not finite (NaN or infinity).")
    return z


def _npy(path: Path):
    array = open_array(path)
    limits.check_memory(4 * array.bytes, path.name)
    if not array.is_numbers:
        raise InputError(f"{path.name} holds values of the type {array.dtype}; a latent's are floats.")

    def read() -> Tensor:
        values = np.ascontiguousarray(array.load())
        return torch.from_numpy(values.astype(np.float32) if values.dtype.kind == "f" else values.astype(np.int64))

    return list(array.shape), read


def _safetensors(path: Path):
    weights = open_weights(path)
    names = [name for name in NAMES if name in weights.shapes] or list(weights.shapes)
    if not names or (len(weights.shapes) > 1 and names[0] not in NAMES):
        raise InputError(f"{path.name} holds {len(weights.shapes)} tensors, none of them called {', '.join(NAMES)}.")
    shape = list(weights.shapes[names[0]])
    limits.check_memory(16 * torch.Size(shape).numel(), path.name)
    return shape, lambda: weights.read(names[0])
