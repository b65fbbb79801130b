"""A folder of images: which files are taken, which subfolders are splits, and which are classes."""

import os
from pathlib import Path

import numpy as np
import torch

from vae.data.image_set import ImageSet, Vanished
from vae.data.splits import split_indices
from vae.errors import InputError
from vae.images import SUFFIXES, open_image

LOOKED_AT = 16  # images whose colours are looked at
_TEST_FOLDERS = ("test", "val", "valid", "validation")


def walk(folder: Path, depth: int = 32):
    """Paths of the image files under `folder`, unsorted; hidden files and macOS's shadow files left out."""
    try:
        entries = list(os.scandir(folder))
    except OSError as error:
        raise InputError(f"The folder {str(folder)!r} cannot be read: {error.strerror}.") from error
    for entry in entries:
        if entry.name.startswith((".", "__MACOSX")):
            continue
        if entry.is_dir(follow_symlinks=False):
            if depth > 1:
                yield from walk(Path(entry.path), depth - 1)
        elif os.path.splitext(entry.name)[1].lower() in SUFFIXES and entry.is_file():  # noqa: PTH122
            yield Path(entry.path)


def list_images(folder: str | os.PathLike) -> list[Path]:
    """All image files under a folder, by their endings, sorted by path. Raises InputError if it has none."""
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"There is no folder {str(folder)!r}.")
    files = sorted(walk(folder), key=lambda path: path.relative_to(folder).parts)
    if not files:
        raise InputError(f"The folder {folder.name!r} holds no pictures; files ending in .png, .jpg, … are looked for.")
    return files


def from_folder(folder: Path, name: str, split: str, read_file, shape, test_size: float, fill) -> ImageSet:
    """read_file: the path of an image to its pixels, as they are in the set. fill: as vae.data.image_set.fill."""
    try:
        files = list_images(folder)
    except InputError as error:
        raise InputError(f"{name} holds no pictures; files ending in .png, .jpg, … are looked for.") from error
    tops = _tops(files, folder)
    while len(tops) == 1 and None not in tops:  # a folder that only wraps another says nothing
        folder = folder / next(iter(tops))
        tops = _tops(files, folder)
    test_folder = next((t for t in _TEST_FOLDERS if t in tops), None)
    if test_folder and "train" in tops:
        folder = folder / ("train" if split == "train" else test_folder)
        files = [file for file in files if file.is_relative_to(folder)]
        tops = _tops(files, folder)
    else:
        if len(files) < 2:
            raise InputError(f"{name} holds a single picture; two or more are needed to train and to test.")
        files = [files[i] for i in split_indices(len(files), test_size)[split == "test"].tolist()]
    classes = sorted(tops) if None not in tops and len(tops) > 1 else None
    labels = None
    if classes:
        number = {c: i for i, c in enumerate(classes)}
        labels = torch.tensor([number[file.relative_to(folder).parts[0]] for file in files])

    def read(i: int) -> np.ndarray:
        try:
            return read_file(files[i])
        except InputError as error:
            if not files[i].exists():
                raise Vanished(f"{files[i].name} of {name} has vanished since the data were loaded.") from error
            raise

    data = fill(ImageSet(name, shape, labels, classes), len(files), read)
    data.source_channels = _channels(files)
    return data


def _channels(files: list[Path]) -> int | None:
    """3 if there is colour in some of the first images, 1 if there is none, whatever their files' modes; one more where
    any is transparent somewhere."""
    seen, colour, clear = False, False, False
    for file in files[:LOOKED_AT]:
        try:
            image = open_image(file, size_hint=64, transparency=True)
        except InputError:
            continue
        seen, pixels = True, np.atleast_3d(np.asarray(image))
        if image.mode in ("LA", "RGBA"):
            clear |= bool((pixels[..., -1] < 255).any())
            pixels = pixels[..., :-1][pixels[..., -1] > 0]  # what is wholly transparent has no colour
        colour |= bool(pixels.shape[-1] == 3 and np.ptp(pixels, axis=-1).any())
    return (3 if colour else 1) + clear if seen else None


def _tops(files: list[Path], folder: Path) -> set[str | None]:
    """First-level subfolders the files lie in; None among them for files directly in the folder."""
    parts = (file.relative_to(folder).parts for file in files)
    return {p[0] if len(p) > 1 else None for p in parts}
