"""Weight files, read one tensor at a time, so that a model never lies in memory twice. Nothing in them is executed."""

import pickle
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from vae.errors import InputError

SUFFIXES = (".safetensors", ".pth", ".pt", ".ckpt", ".bin")


@dataclass(frozen=True)
class Weights:
    """The tensors of one or more files: their shapes by name, and `read(name)`, which may still live in the file."""

    shapes: dict[str, tuple[int, ...]]
    read: Callable[[str], Tensor]
    metadata: dict[str, str] = field(default_factory=dict)


def open_weights(path: Path) -> Weights:
    """Open a .safetensors, .pth, .pt, .ckpt or .bin file. Raises InputError if it is damaged or holds code."""
    if path.suffix not in SUFFIXES:
        raise InputError(f"{path.name} is no weight file; {', '.join(SUFFIXES)} are accepted.")
    return _open_safetensors(path) if path.suffix == ".safetensors" else _open_pickle(path)


def join(parts: list[Weights], prefixes: tuple[str, ...] = ()) -> Weights:
    """Several files as one: shards, or with `prefixes` for their names the halves of a pair."""
    home: dict[str, tuple[Weights, str]] = {}
    for i, part in enumerate(parts):
        for name in part.shapes:
            joint = (prefixes[i] if prefixes else "") + name
            if joint in home:
                raise InputError(f"Two of the weight files hold the tensor {name[:100]}.")
            home[joint] = part, name
    shapes = {joint: part.shapes[name] for joint, (part, name) in home.items()}
    return Weights(shapes, lambda joint: home[joint][0].read(home[joint][1]), parts[0].metadata)


def _open_safetensors(path: Path) -> Weights:
    try:
        file = safe_open(path, framework="pt")
        shapes = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path.name} is not a complete safetensors file.") from error
    return Weights(shapes, file.get_tensor, file.metadata() or {})


def _open_pickle(path: Path) -> Weights:
    try:
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except pickle.UnpicklingError as error:
        raise InputError(
            f"{path.name} is damaged or holds more than tensors, and reading it could run code; save its state_dict "
            "alone, best as .safetensors."
        ) from error
    except (RuntimeError, ValueError, EOFError, OSError, KeyError, AttributeError) as error:
        raise InputError(f"{path.name} is not a complete weight file.") from error
    for key in ("state_dict", "model_state_dict", "model"):
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    tensors = {n: t for n, t in content.items() if isinstance(t, Tensor)} if isinstance(content, dict) else {}
    if not tensors or not all(isinstance(name, str) for name in tensors):
        raise InputError(f"{path.name} holds no tensors by name, as a state_dict does.")
    return Weights({name: tuple(tensor.shape) for name, tensor in tensors.items()}, tensors.__getitem__)
