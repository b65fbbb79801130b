"""Weight files, read one tensor at a time, so that a model never lies in memory twice. Nothing in them is executed."""

import json
import pickle
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from vae.errors import InputError

DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "I64": torch.int64,
    "I32": torch.int32,
}
HEADER = 32 * 2**20  # bytes; that of a whole pipeline in one file has half a million
SUFFIXES = (".safetensors", ".pth", ".pt", ".ckpt", ".bin")


@dataclass(frozen=True)
class Weights:
    """The tensors of one or more files: their shapes by name, and `read(name)`, which gives one that may be kept.
    files: where they lie."""

    shapes: dict[str, tuple[int, ...]]
    read: Callable[[str], Tensor]
    metadata: dict[str, str] = field(default_factory=dict)
    files: tuple[Path, ...] = ()


def open_weights(path: Path) -> Weights:
    """Open a .safetensors, .pth, .pt, .ckpt or .bin file. Raises InputError if it is damaged or holds code."""
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise InputError(f"{path.name} is no weight file; {', '.join(SUFFIXES)} are accepted.")
    _refuse_text(path)
    return _open_safetensors(path) if suffix == ".safetensors" else _open_pickle(path)


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
    files = tuple(file for part in parts for file in part.files)
    return Weights(shapes, lambda joint: home[joint][0].read(home[joint][1]), parts[0].metadata, files)


def _refuse_text(path: Path) -> None:
    """InputError for what often lies where weights should: Git's pointer to a file it did not fetch, and a web page."""
    try:
        with path.open("rb") as file:
            begins = file.read(64).lstrip().lower()
    except OSError as error:
        raise InputError(f"{path.name} cannot be read: {error.strerror}.") from error
    if begins.startswith(b"version https://git-lfs"):
        raise InputError(f"{path.name} is Git LFS's pointer to the weights, not the weights: run git lfs pull.")
    if begins.startswith((b"<!doctype", b"<html", b"<?xml")):
        raise InputError(f"{path.name} is a web page, not weights: the download was answered with one; try it again.")


def _open_safetensors(path: Path) -> Weights:
    """The library checks the header; the bytes are read here, since a mapped file counts as a second copy in memory,
    and takes the whole process down if somebody truncates it later."""
    try:
        with path.open("rb") as raw:
            length = int.from_bytes(raw.read(8), "little")
        if length > HEADER:
            raise InputError(f"{path.name} has a header of {length:,} bytes; up to {HEADER:,} are accepted.")
        with safe_open(path, framework="pt") as file:
            slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
            shapes = {name: tuple(part.get_shape()) for name, part in slices.items()}
            dtypes = {name: part.get_dtype() for name, part in slices.items()}
            metadata = file.metadata() or {}
        with path.open("rb") as raw:
            raw.seek(8)
            header = json.loads(raw.read(length))
    except InputError:
        raise
    except (SafetensorError, OSError, ValueError) as error:
        raise InputError(f"{path.name} is not a complete safetensors file.") from error

    def read(name: str) -> Tensor:
        if dtypes[name] not in DTYPES:
            raise InputError(f"The tensor {name} is of type {dtypes[name]}, which is not read here.")
        begin, end = header[name]["data_offsets"]
        content = torch.empty(end - begin, dtype=torch.uint8)
        try:
            with path.open("rb") as raw:
                raw.seek(8 + length + begin)
                complete = raw.readinto(content.numpy()) == end - begin
        except OSError:
            complete = False
        if not complete:
            raise InputError(f"{path.name} was changed while it was read.")
        return content.view(DTYPES[dtypes[name]]).reshape(shapes[name])

    return Weights(shapes, read, metadata, (path,))


def _open_pickle(path: Path) -> Weights:
    try:
        _refuse_packed(path)
        # A whole pipeline's file is mapped, so that only the auto-encoder's part of it is read.
        mapped = path.stat().st_size > 2**30 and zipfile.is_zipfile(path)
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except InputError:
        raise
    except pickle.UnpicklingError as error:
        raise InputError(
            f"{path.name} is damaged or holds more than tensors, and reading it could run code; save its state_dict "
            "alone, best as .safetensors."
        ) from error
    except Exception as error:  # a pickle can make its reader stumble in any way
        raise InputError(f"{path.name} is not a complete weight file.") from error
    for key in ("state_dict", "model_state_dict", "model"):
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    tensors = {n: t for n, t in content.items() if isinstance(t, Tensor)} if isinstance(content, dict) else {}
    if not tensors or not all(isinstance(name, str) for name in tensors):
        raise InputError(f"{path.name} holds no tensors by name, as a state_dict does.")
    for name, tensor in tensors.items():
        _refuse_hollow(path, name, tensor)
    read = (lambda name: tensors[name].clone()) if mapped else tensors.__getitem__
    return Weights({name: tuple(tensor.shape) for name, tensor in tensors.items()}, read, files=(path,))


def _refuse_packed(path: Path) -> None:
    """InputError for an archive that unpacks to more than it has: torch writes none, and would unpack it unasked."""
    if not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
    if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries) or (
        sum(entry.file_size for entry in entries) > path.stat().st_size
    ):
        raise InputError(f"{path.name} claims to hold more than its own size; save it anew with torch.save.")


def _refuse_hollow(path: Path, name: str, tensor: Tensor) -> None:
    """InputError for a tensor with fewer bytes than its shape asks for: one number may be said to be a billion."""
    plain = tensor.layout == torch.strided and not tensor.is_meta and not tensor.is_quantized and not tensor.is_nested
    if not plain or tensor.untyped_storage().nbytes() < tensor.numel() * tensor.element_size():
        raise InputError(
            f"The tensor {name[:100]} of {path.name} has fewer numbers than its shape "
            f"{list(tensor.shape)[:8]} asks for."
        )
