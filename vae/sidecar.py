"""Files that lie beside a checkpoint and belong to it alone: what was measured on it, or fitted to its latents."""

import hashlib
import json
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from vae.errors import InputError
from vae.files import replacing

_WEIGHTS, _CONTENT = "weights", "content"


def fingerprint(files: Sequence[Path]) -> str:
    """A hash of the weights in those files: SHA-256 over the tensors' names, types, shapes and bytes.

    Whatever else a safetensors file's header says (a config that names the training data, say) does not count. Raises
    InputError if one cannot be read.
    """
    return _hashed(tuple(files), tuple(_stamp(path) for path in files))


def _stamp(path: Path) -> tuple[int, ...]:
    """What changes when another file takes that one's place."""
    try:
        found = path.stat()
    except OSError as error:
        raise InputError(f"{path.name} cannot be read.") from error
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


@lru_cache(maxsize=16)
def _hashed(files: tuple[Path, ...], stamps: tuple[tuple[int, ...], ...]) -> str:
    """stamps: so that other files are read anew; a model's are hashed once for each thing that belongs to it."""
    digest = hashlib.sha256()
    for path in files:
        try:
            with path.open("rb") as file:
                if path.suffix == ".safetensors":
                    header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
                    header.pop("__metadata__", None)
                    digest.update(json.dumps(header, sort_keys=True).encode())
                for block in iter(lambda: file.read(2**22), b""):
                    digest.update(block)
        except (OSError, ValueError) as error:
            raise InputError(f"{path.name} cannot be read.") from error
    return digest.hexdigest()[:32]


def write(path: Path, weights: str, content: dict, tensors: dict[str, Tensor]) -> None:
    """One safetensors file that appears whole or not at all. weights: the fingerprint of those it belongs to."""
    tensors = {
        name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format) for name, tensor in tensors.items()
    }
    with replacing(path) as part:
        # One entry of metadata only: of several, safetensors' order is random, and so would be the file.
        save_file(tensors, part, metadata={_CONTENT: json.dumps({_WEIGHTS: weights, **content})})


def content(path: Path) -> dict:
    """What `write` was told of a file's content, its tensors left unread and nothing checked; {} if it is not there, or
    no such file."""
    try:
        with safe_open(path, framework="pt") as file:
            found = json.loads(file.metadata()[_CONTENT])
    except (SafetensorError, OSError, ValueError, KeyError, TypeError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def read(path: Path, weights: str, remedy: str) -> tuple[dict, dict[str, Tensor]]:
    """What `write` wrote. Raises InputError for a file that is damaged or belongs to other weights than these;
    `remedy` then says how to get one that does."""
    try:
        with safe_open(path, framework="pt") as file:
            content = json.loads(file.metadata()[_CONTENT])
            belongs = content.pop(_WEIGHTS)
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(f"{path.name} is damaged, or none of this library's; {remedy}.") from error
    if belongs != weights:
        raise InputError(f"{path.name} belongs to another checkpoint than the weights beside it; {remedy}.")
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise InputError(f"{path.name} holds numbers that are not finite in {name[:80]}; {remedy}.")
    return content, tensors
