"""Images in NumPy's files: one array of all (.npy), several by name (.npz, or a folder of .npy), or a file an image.

What a file claims, its header's shape and type, is checked before anything is read. Pickles are never opened.
"""

import zipfile
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from vae.data.archives import zip_directory_bytes
from vae.data.encoded import MEASURED
from vae.data.folders import arranged
from vae.data.image_set import Vanished
from vae.data.source import Source
from vae.data.splits import split_of
from vae.data.stacked import one_for_each_split, stacked
from vae.depth import Range, extremes, kind_of, sentence, to_bytes, usual_range
from vae.errors import InputError
from vae.limits import check_memory

DIRECTORY = 2**20  # bytes of an .npz file's table of contents, all of which zipfile reads
HEADER = 10_000  # bytes of a header that are parsed; those of plain arrays have 118


@dataclass(frozen=True)
class _Array:
    """An array that is not read yet."""

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype
    load: Callable[[], np.ndarray]

    @property
    def bytes(self) -> int:
        return int(np.prod(self.shape, dtype=object)) * self.dtype.itemsize

    @property
    def is_numbers(self) -> bool:
        return self.dtype.kind in "buif"

    @property
    def is_images(self) -> bool:
        """(N, H, W), (N, H, W, C) or (N, C, H, W)."""
        return self.is_numbers and (
            (len(self.shape) == 3 and self.shape[2] > 4)
            or (len(self.shape) == 4 and (self.shape[3] <= 4 or self.shape[1] <= 4))
        )

    @property
    def is_image(self) -> bool:
        """(H, W), (H, W, C) or (C, H, W)."""
        return self.is_numbers and (
            len(self.shape) == 2 or (len(self.shape) == 3 and (self.shape[2] <= 4 or self.shape[0] <= 4))
        )

    @property
    def is_labels(self) -> bool:
        return self.dtype.kind in "ui" and (len(self.shape) == 1 or (len(self.shape) == 2 and self.shape[1] == 1))


def from_npy(path: Path, span: Range | None) -> Source:
    """The images of one .npy file, mapped into memory rather than read. Raises InputError if it holds none."""
    array = _npy(path, path.stem)
    if not array.is_images:
        raise InputError(
            f"{path.name} is of {array.dtype} and shape {list(array.shape)}; images are numbers of the shape "
            "(N, height, width), (N, height, width, channels) or (N, channels, height, width), with 1 to 4 channels."
        )
    return _from_arrays(path.name, [array], span)


def from_npz(path: Path, span: Range | None) -> Source:
    """The images of an .npz file, with labels and splits by the arrays' names, such as x_train and y_train."""
    with _reading(path), path.open("rb") as file:
        if zip_directory_bytes(file) > DIRECTORY:
            raise InputError(f"{path.name} holds too many arrays; a few of images and of labels are accepted.")
        with zipfile.ZipFile(file) as archive:
            arrays = [_member(path, archive, info) for info in archive.infolist() if info.filename.endswith(".npy")]
    return _from_arrays(path.name, arrays, span, in_memory=True)


def from_npy_folder(folder: Path, name: str, files: list[Path], others: list[str], span: Range | None) -> Source:
    """The images of a folder's .npy files: each file an image, or as those of an .npz file."""
    arrays = [_npy(file, file.stem) for file in files]
    if not any(array.is_images for array in arrays) and all(array.is_image for array in arrays):
        return _image_files(folder, name, files, others, span)
    return _from_arrays(name, arrays, span, others)


def _image_files(folder: Path, name: str, files: list[Path], others: list[str], span: Range | None) -> Source:
    files, arrangement = arranged(folder, files, others)
    first = _npy(files[0], "").load()
    channels, remarks = _channels_last(first[None]).shape[3:], []
    if first.dtype != np.uint8:
        ends = [extremes(_npy(file, "").load()) for file in files[:: max(1, len(files) // MEASURED)]]
        seen = min(low for low, _ in ends), max(high for _, high in ends)
        span = span or usual_range(*seen, whole=first.dtype.kind != "f")
        remarks = [sentence(kind_of(first.dtype), seen, span)]

    def read(i: int, size_hint: int | None = None) -> np.ndarray:
        if not files[i].exists():
            raise Vanished(f"{files[i].name} of {name} has vanished since the data were loaded.")
        array = _npy(files[i], "")
        image = _channels_last(array.load()[None])[0]
        if not array.is_image or image.shape[2:] != channels or image.dtype != first.dtype:
            raise InputError(f"{files[i].name} is of another kind than the first image.")
        return np.ascontiguousarray(image) if image.dtype == np.uint8 else to_bytes(image, span)

    return Source(name, len(files), read, channels=(channels or (1,))[0], is_array=True, remarks=remarks, **arrangement)


def _from_arrays(
    name: str, arrays: list[_Array], span: Range | None, others: list[str] | None = None, in_memory: bool = False
) -> Source:
    """in_memory: whether loading an array takes as much memory as it has bytes."""
    images = {array.name: array for array in arrays if array.is_images}
    chosen = one_for_each_split(list(images), name, "array of images (N, height, width[, channels])")
    if in_memory:
        check_memory(sum(images[key].bytes for key in chosen.values()), f"The arrays of {name}")
    labels = [_labels_for(images[key], arrays, "" not in chosen) for key in chosen.values()]
    pixels = {split: _channels_last(images[key].load()) for split, key in chosen.items()}
    return stacked(name, pixels, [label and label.load().reshape(-1) for label in labels], others or (), span)


def _labels_for(image: _Array, arrays: list[_Array], split: bool) -> _Array | None:
    """The only whole numbers, one an image, that belong to the same split."""
    fitting = [array for array in arrays if array.is_labels and array.shape[0] == image.shape[0]]
    if split:
        fitting = [array for array in fitting if split_of(array.name) == split_of(image.name)]
    return fitting[0] if len(fitting) == 1 else None


def _channels_last(pixels: np.ndarray) -> np.ndarray:
    """(N, H, W) or (N, H, W, C) from these or (N, C, H, W)."""
    if pixels.ndim == 4 and pixels.shape[3] > 4:
        pixels = pixels.transpose(0, 2, 3, 1)
    return pixels


def open_array(path: Path) -> _Array:
    """The array of a .npy file, of which only the header is read. Raises InputError if it is damaged or a pickle."""
    return _npy(path, path.stem)


def _npy(path: Path, name: str) -> _Array:
    with _reading(path), path.open("rb") as file:
        shape, _, dtype = _header(path, file)

    def load() -> np.ndarray:
        with _reading(path):
            return np.lib.format.open_memmap(path, mode="r", max_header_size=HEADER)

    return _Array(name, shape, dtype, load)


def _member(path: Path, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> _Array:
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise InputError(f"{path.name} is packed in a way that is not supported; numpy.savez_compressed's is.")
    with archive.open(info) as file:
        shape, fortran, dtype = _header(path, file)
        start = file.tell()
    array = _Array(info.filename.removesuffix(".npy"), shape, dtype, lambda: np.empty(0))
    if info.file_size != start + array.bytes:
        raise ValueError("the header's shape is not that of the data")

    def load() -> np.ndarray:
        with _reading(path), zipfile.ZipFile(path) as again:
            values = np.frombuffer(again.read(info), dtype, offset=start)
        return values.reshape(shape, order="F" if fortran else "C")

    return _Array(array.name, shape, dtype, load)


def _header(path: Path, file: BinaryIO) -> tuple[tuple[int, ...], bool, np.dtype]:
    # Version 1.0: the others are for the names of many fields, which images have not, and may claim gigabytes for them.
    if np.lib.format.read_magic(file) != (1, 0):
        raise ValueError("unknown version")
    shape, fortran, dtype = np.lib.format.read_array_header_1_0(file, max_header_size=HEADER)
    if dtype.hasobject:
        raise InputError(f"{path.name} holds Python objects (a pickle), which are not opened; save plain numbers.")
    return shape, fortran, dtype


@contextmanager
def _reading(path: Path):
    """Turns what NumPy and zipfile raise on damaged files into a sentence."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:  # a header is parsed as Python's literals, and each step raises its own
        raise InputError(f"{path.name} is damaged, cut off, or no file of NumPy's.") from error
