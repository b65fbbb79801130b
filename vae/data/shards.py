"""Images in WebDataset's shards: tar files whose members with one name, such as 0001.jpg and 0001.cls, are a sample.

The format is described at github.com/webdataset/webdataset. A shard is indexed by its headers and then read where an
image lies in it, in any order; nothing is unpacked.
"""

import os
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vae.data.archives import Bounded, Limits
from vae.data.encoded import encoded
from vae.data.source import Source, printable
from vae.data.splits import split_numbers
from vae.data.stacked import numbered_classes
from vae.depth import Range
from vae.errors import InputError
from vae.images import SUFFIXES
from vae.limits import check_memory

LARGEST = Limits().file_bytes  # of one image's file
ENTRY = 400  # bytes of memory for one image's entry
LABEL = 256  # bytes of a label
PEEKED = 8  # members that tell a shard from an archive of images


@dataclass(frozen=True)
class _Member:
    name: str
    start: int
    size: int


def is_shard(path: Path) -> bool:
    """Whether a .tar file is a shard with labels rather than an archive of images: it has .cls members."""
    try:
        return any(name.endswith(".cls") for _, name in zip(range(PEEKED), _names(path), strict=False))
    except InputError:
        return False


def from_shards(files: list[Path], name: str, others: list[str], span: Range | None, transparency: bool) -> Source:
    """The images in .tar files, with the labels in .cls members beside them. span, transparency: as for `encoded`.

    Shards named like a training set and like a test set are the splits. Raises InputError if a shard is damaged, holds
    other than plain files or an image over LARGEST bytes, or none holds an image.
    """
    images: list[tuple[Path, _Member]] = []
    labels: list[str | None] = []
    left_out = list(others)
    for file in files:
        members = list(_members(file, (len(images) + len(left_out)) * ENTRY))
        classes = {_key(each.name): each for each in members if each.name.endswith(".cls")}
        for member in members:
            if os.path.splitext(member.name)[1].lower() in SUFFIXES:  # noqa: PTH122
                beside = classes.get(_key(member.name))
                labels.append(_content(file, beside, LABEL).decode("utf-8", "replace").strip() if beside else None)
                images.append((file, member))
            elif not member.name.endswith(".cls"):
                left_out.append(f"{file.name}/{member.name}")
    if not images:
        raise InputError(f"{name} holds no pictures; files ending in .png, .jpg, … are looked for in its .tar files.")
    numbers, names = numbered_classes([None if None in labels else np.array(labels)])
    of, unused = split_numbers([_below(file, files) for file, _ in images])
    return encoded(
        name,
        [f"{file.name}/{member.name}" for file, member in images],
        lambda i: _content(*images[i], LARGEST),
        span,
        transparency,
        labels=numbers,
        classes=names,
        splits=of,
        left_out=left_out + unused,
    )


def _below(file: Path, files: list[Path]) -> str:
    """The shard's path below what all shards have in common."""
    common = os.path.commonpath([each.parent for each in files])
    return os.path.relpath(file, common)


def _key(name: str) -> str:
    """What the members of a sample share: the path up to the first dot of the file's name."""
    folder, _, file = name.rpartition("/")
    return f"{folder}/{file.split('.')[0]}"


def _names(path: Path) -> Iterator[str]:
    return (member.name for member in _members(path))


def _members(path: Path, taken: int = 0) -> Iterator[_Member]:
    """taken: bytes of memory that other entries need already."""
    try:
        with path.open("rb") as file:
            length = os.fstat(file.fileno()).st_size
            with tarfile.open(fileobj=Bounded(file, length), mode="r:") as archive:
                for count, info in enumerate(archive):
                    archive.members.clear()  # tarfile keeps them all
                    check_memory(taken + count * ENTRY, f"The index of {printable(path.name)}")
                    hidden = any(part.startswith(".") and part != "." for part in info.name.split("/"))
                    if info.isdir() or hidden:
                        continue
                    if not info.isreg() or info.issparse():
                        raise InputError(f"{path.name} holds a link or special file; only plain files are accepted.")
                    if info.size > LARGEST or info.offset_data + info.size > length:
                        raise tarfile.ReadError("a member is larger than it can be")
                    yield _Member(info.name, info.offset_data, info.size)
    except (tarfile.TarError, OSError, EOFError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path.name} is damaged, cut off, or no .tar file without compression.") from error


def _content(path: Path, member: _Member, most: int) -> bytes:
    try:
        with path.open("rb") as file:
            file.seek(member.start)
            return file.read(min(member.size, most))
    except OSError as error:
        raise InputError(f"{path.name} cannot be read any more: {error.strerror}.") from error
