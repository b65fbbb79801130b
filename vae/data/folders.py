"""A folder of images: which files are taken, which subfolders are splits, and which are classes."""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from vae.data.encoded import encoded
from vae.data.image_set import Vanished
from vae.data.source import Source
from vae.data.splits import own_splits
from vae.depth import Range
from vae.errors import InputError
from vae.images import SUFFIXES

_LOOKED_FOR = "files ending in .png, .jpg, … are looked for"


def walk(folder: Path, depth: int = 32, seen: set | None = None) -> Iterator[tuple[Path, str | None]]:
    """(path, ending in lower case) of each file under `folder`; hidden files and macOS's shadow files left out.

    Linked files and folders are followed, each folder once however many links lead to it, real ones first. The ending
    of a link that leads nowhere is None. Raises InputError if a folder cannot be read.
    """
    seen = set() if seen is None else seen
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        here = Path(folder).stat()
        if here.st_ino:  # 0 on file systems that do not tell folders apart
            if (here.st_dev, here.st_ino) in seen:
                return
            seen.add((here.st_dev, here.st_ino))
    except OSError as error:
        raise InputError(f"The folder {str(folder)!r} cannot be read: {error.strerror}.") from error
    linked = []
    for entry in entries:
        if entry.name.startswith((".", "__MACOSX")):
            continue
        if entry.is_dir(follow_symlinks=False):
            if depth > 1:
                yield from walk(Path(entry.path), depth - 1, seen)
        elif entry.is_dir():
            linked.append(Path(entry.path))
        else:
            yield Path(entry.path), os.path.splitext(entry.name)[1].lower() if entry.is_file() else None  # noqa: PTH122
    for path in linked if depth > 1 else []:
        yield from walk(path, depth - 1, seen)


def list_images(folder: str | os.PathLike) -> list[Path]:
    """All image files under a folder, by their endings, sorted by path. Raises InputError if it has none."""
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"There is no folder {str(folder)!r}.")
    files = in_order([path for path, ending in walk(folder) if ending in SUFFIXES], folder)
    if not files:
        raise InputError(f"The folder {folder.name!r} holds no pictures; {_LOOKED_FOR}.")
    return files


def in_order(files: list[Path], folder: Path) -> list[Path]:
    """The files, which lie under the folder, by their path below it."""
    return sorted(files, key=lambda path: _below(path, folder))


def from_images(
    folder: Path, name: str, files: list[Path], others: list[str], span: Range | None, transparency: bool
) -> Source:
    """The images in `files`, which lie under `folder`; others: names of the files there that are none. span,
    transparency: as for `encoded`."""
    files, arrangement = arranged(folder, files, others)

    def get(i: int) -> Path:
        if not files[i].exists():
            raise Vanished(f"{files[i].name} of {name} has vanished since the data were loaded.")
        return files[i]

    return encoded(name, get=get, span=span, transparency=transparency, **arrangement)


def arranged(folder: Path, files: list[Path], others: list[str]) -> tuple[list[Path], dict]:
    """The files that are taken, an image each, and what they are of a Source: names, labels, classes, splits, left_out.

    The first-level subfolders are splits, if one is named like a training set and one like a test set, else classes,
    as are those within the splits.
    """
    root, tops = folder, _tops(files, folder)
    while len(tops) == 1 and None not in tops:  # a folder that only wraps another says nothing
        folder = folder / next(iter(tops))
        tops = _tops(files, folder)
    splits = own_splits(sorted(top for top in tops if top))
    places, of = [folder] * len(files), None
    if splits:
        split_of = {top: split for split, names in splits.items() for top in names}
        others = others + [str(Path(*_below(file, root))) for file in files if _top(file, folder) not in split_of]
        files = [file for file in files if _top(file, folder) in split_of]
        places = [folder / str(_top(file, folder)) for file in files]
        of = np.array([split_of[place.name] for place in places])
    inner = [_top(file, place) for file, place in zip(files, places, strict=True)]
    classes = sorted({top for top in inner if top})
    labelled = None not in inner and len(classes) > 1
    number = {name: i for i, name in enumerate(classes)}
    return files, {
        "names": ["/".join(_below(file, root)) for file in files],
        "labels": np.array([number[top] for top in inner]) if labelled else None,
        "classes": classes if labelled else None,
        "splits": None if of is None else {split: np.flatnonzero(of == split) for split in splits},
        "left_out": others,
    }


def _below(file: Path, folder: Path) -> tuple[str, ...]:
    """The parts of a file's path below a folder in which it lies; many times as fast as Path.relative_to."""
    return file.parts[len(folder.parts) :]


def _top(file: Path, folder: Path) -> str | None:
    """The subfolder of `folder` the file lies in; None for one directly in it."""
    parts = _below(file, folder)
    return parts[0] if len(parts) > 1 else None


def _tops(files: list[Path], folder: Path) -> set[str | None]:
    return {_top(file, folder) for file in files}
