"""Images in idx files, the format that MNIST came in: a header of a few numbers, then the bytes."""

import gzip
import re
from pathlib import Path
from typing import BinaryIO

import numpy as np

from vae.data.source import Source
from vae.data.splits import split_of
from vae.data.stacked import one_for_each_split, stacked
from vae.errors import InputError
from vae.limits import check_memory

_NAME = re.compile(r"(\.idx[1-4]?|[.-]idx[1-4]-ubyte|[.-]ubyte)(\.gz)?$", re.IGNORECASE)
_TYPE = 0x08  # bytes; the format has others, which no set of images uses


def is_idx(path: Path) -> bool:
    """Whether the file's name ends as an idx file's does: .idx3-ubyte, -idx3-ubyte, .idx, .ubyte, perhaps with .gz."""
    return _NAME.search(path.name) is not None


def from_idx(path: Path) -> Source:
    """The images of one idx file, and the labels beside it, if the names are as MNIST's. Raises InputError."""
    beside = path.with_name(path.name.replace("images", "labels").replace("idx3", "idx1"))
    return _from_files(path.name, [path], [beside] if beside != path and beside.is_file() else [])


def from_idx_folder(name: str, files: list[Path], others: list[str]) -> Source:
    """The images and labels in a folder's idx files; train-… and t10k-… are its splits, as MNIST's."""
    axes = {file: len(_shape_of(file)) for file in files}
    images = [file for file in files if axes[file] in (3, 4)]
    return _from_files(name, images, [file for file in files if axes[file] == 1], others)


def _from_files(name: str, images: list[Path], label_files: list[Path], others: list[str] | None = None) -> Source:
    by_name = {file.name: file for file in images}
    chosen = one_for_each_split(list(by_name), name, "idx file of images")
    pixels = {split: read_idx(by_name[key]) for split, key in chosen.items()}
    if any(array.ndim not in (3, 4) for array in pixels.values()):
        raise InputError(f"{name} holds no images: an idx file of them has 3 axes, or 4 with the channels last.")
    labels = [_labels(key, len(pixels[split]), label_files) for split, key in chosen.items()]
    return stacked(name, pixels, labels, others or ())


def _labels(images: str, count: int, files: list[Path]) -> np.ndarray | None:
    if len(files) > 1:
        files = [file for file in files if split_of(file.name) == split_of(images)]
    labels = read_idx(files[0]) if len(files) == 1 else None
    return labels if labels is not None and labels.shape == (count,) else None


def _shape_of(path: Path) -> tuple[int, ...]:
    try:
        with _opened(path) as file:
            return _header(file, path)
    except (OSError, EOFError) as error:
        raise InputError(f"The data file {path.name} cannot be read: {error}.") from error


def read_idx(path: Path) -> np.ndarray:
    """An idx file of bytes, gzipped or plain: two zeros, type 8, the number of axes, their lengths, the bytes.

    The format is described at yann.lecun.com/exdb/mnist. Raises InputError if the file is not one, is cut off, or
    claims more bytes than there is memory for.
    """
    try:
        with _opened(path) as file:
            shape = _header(file, path)
            count = int(np.prod(shape, dtype=object))
            check_memory(count, f"The data file {path.name}")
            data = file.read(count + 1)  # one more than there should be
    except (OSError, EOFError) as error:
        raise InputError(f"The data file {path.name} cannot be read: {error}.") from error
    if len(data) != count:
        raise InputError(_damaged(path))
    return np.frombuffer(data, np.uint8).reshape(shape)


def _opened(path: Path) -> BinaryIO:
    return gzip.open(path) if path.suffix == ".gz" else path.open("rb")


def _header(file: BinaryIO, path: Path) -> tuple[int, ...]:
    head = file.read(4)
    axes = head[3] if head[:3] == bytes([0, 0, _TYPE]) and len(head) == 4 else 0
    lengths = file.read(4 * axes)
    if not axes or len(lengths) != 4 * axes:
        raise InputError(_damaged(path))
    return tuple(np.frombuffer(lengths, ">u4").tolist())


def _damaged(path: Path) -> str:
    return f"The data file {path.name} is damaged or no idx file of bytes."
