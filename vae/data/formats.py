"""Which format the data of a path are in, and how they are opened."""

import re
import tempfile
from collections.abc import Iterable
from itertools import product
from pathlib import Path

from vae.data import archives, arrays, csv_rows, idx, litdata_shards, shards, tables
from vae.data.folders import from_images, in_order, walk
from vae.data.source import Source, listed
from vae.depth import Range
from vae.errors import InputError
from vae.images import SUFFIXES

ACCEPTED = (
    "a folder of pictures, a .zip or .tar archive, .npy, .npz, idx, .csv, .parquet and .arrow files, a list of shards "
    "(train-{000..009}.tar), litdata's shards (also s3:// and https://)"
)
MOST = 100_000  # files that a brace list may name
_BRACES = re.compile(r"\{([^{}]*)\}")
_RANGE = re.compile(r"(\d{1,9})\.\.(\d{1,9})", re.ASCII)


def kind_of(path: Path) -> str | None:
    """The format of images a file is in, by its name: "archive", "npy", "npz", "csv", "table", "idx"; None for others,
    single images among them."""
    if archives.is_archive(path):
        return "archive"
    if idx.is_idx(path):
        return "idx"
    return {".npy": "npy", ".npz": "npz", ".csv": "csv", ".parquet": "table", ".arrow": "table"}.get(
        path.suffix.lower()
    )


def has_data(folder: Path, depth: int = 3) -> bool:
    """Whether a folder has images, or files of a format that holds images, not deeper than so many folders."""
    return litdata_shards.is_litdata(folder) or any(
        ending in SUFFIXES or kind_of(path) for path, ending in walk(folder, depth)
    )


def expanded(name: str) -> list[str] | None:
    """The names that a brace list stands for, as in a shell: "a-{000..002}.tar" and "{a,b}.tar"; None for other names.
    Raises InputError if it names more than MOST files."""
    parts = _BRACES.split(name)
    if len(parts) == 1:
        return None
    choices: list[Iterable[str]] = []
    count = 1
    for i, part in enumerate(parts):
        if i % 2 == 0:
            choices.append([part])
            continue
        ends = _RANGE.fullmatch(part)
        if ends:
            first, last = (int(end) for end in ends.groups())
            width = len(ends[1]) if ends[1].startswith("0") else 0
            count *= max(0, last - first + 1)
            choices.append(str(k).zfill(width) for k in range(first, last + 1))
        else:
            choices.append(part.split(","))
            count *= part.count(",") + 1
        if not 0 < count <= MOST:
            raise InputError(f"{name[:80]!r} names {count:,} files; 1 to {MOST:,} are accepted.")
    return ["".join(each) for each in product(*choices)]


def open_source(paths: list[Path], name: str, span: Range | None = None, transparency: bool = False) -> Source:
    """The images of a folder or file, or of several files of one format.

    span: which values over 8 bits are black and white; by default the range they have. transparency: whether image
    files give it as another channel. Raises InputError if there are no images.
    """
    if len(paths) > 1:
        if all(path.suffix.lower() == ".tar" for path in paths):
            return shards.from_shards(paths, name, [], span, transparency)
        if all(kind_of(path) == "table" for path in paths):
            return tables.from_tables(paths, name, [], span, transparency)
        raise InputError(f"Several files are taken together if all are .tar, or all .parquet or .arrow, not {name!r}.")
    path = paths[0]
    if path.is_dir() and litdata_shards.is_litdata(path):
        return litdata_shards.from_folder(path, name, span, transparency)
    if path.is_dir():
        return _from_folder(path, name, span, transparency)
    match kind_of(path):
        case "archive":
            if path.suffix.lower() == ".tar" and shards.is_shard(path):
                return shards.from_shards([path], name, [], span, transparency)
            return _from_archive(path, span, transparency)
        case "npy":
            return arrays.from_npy(path, span)
        case "npz":
            return arrays.from_npz(path, span)
        case "csv":
            return csv_rows.from_csv([path], name, [], span)
        case "table":
            return tables.from_tables([path], name, [], span, transparency)
        case "idx":
            return idx.from_idx(path)
    if path.suffix.lower() in SUFFIXES:
        raise InputError(f"{str(path)!r} is a single picture; a folder of them is accepted.")
    raise InputError(f"{str(path)!r} is neither a folder of pictures nor another format; accepted are {ACCEPTED}.")


def _from_folder(folder: Path, name: str, span: Range | None, transparency: bool) -> Source:
    found = list(walk(folder))
    images = in_order([path for path, ending in found if ending in SUFFIXES], folder)
    kinds = {} if images else _by_kind(found)
    taken = {path for paths in kinds.values() for path in paths} | set(images)
    others = sorted(
        path.relative_to(folder).as_posix() + (" (a link that leads nowhere)" if ending is None else "")
        for path, ending in found
        if path not in taken
    )
    if images:
        return from_images(folder, name, images, others, span, transparency)
    if not kinds:
        has = f" (it has {listed(others)})" if others else ""
        raise InputError(f"{name} holds no pictures{has}; files ending in .png, .jpg, … are looked for.")
    if len(kinds) > 1:
        raise InputError(
            f"{name} holds images in several formats ({listed([paths[0].name for paths in kinds.values()])}); "
            "name the file that is meant."
        )
    ((kind, files),) = kinds.items()
    files = in_order(files, folder)
    match kind:
        case "shard":
            return shards.from_shards(files, name, others, span, transparency)
        case "npy":
            return arrays.from_npy_folder(folder, name, files, others, span)
        case "csv":
            return csv_rows.from_csv(files, name, others, span)
        case "table":
            return tables.from_tables(files, name, others, span, transparency)
        case "idx":
            return idx.from_idx_folder(name, files, others)
    if len(files) > 1:
        raise InputError(f"{name} holds several .npz files ({listed([file.name for file in files])}); name one.")
    return arrays.from_npz(files[0], span)


def _by_kind(found: list[tuple[Path, str | None]]) -> dict[str, list[Path]]:
    """The files of each format that holds images; those that `datasets` has computed from others are none."""
    kinds: dict[str, list[Path]] = {}
    for path, ending in found:
        kind = None if ending is None else "shard" if ending == ".tar" else kind_of(path)
        if kind not in (None, "archive") and not path.name.startswith("cache-"):
            kinds.setdefault(str(kind), []).append(path)
    return kinds


def _from_archive(path: Path, span: Range | None, transparency: bool) -> Source:
    unpacked = tempfile.TemporaryDirectory(prefix="vae-data-", ignore_cleanup_errors=True)
    left_out: list[str] = []
    try:
        archives.unpack(path, unpacked.name, SUFFIXES, other=left_out.append)
        source = _from_folder(Path(unpacked.name), path.name, span, transparency)
    except BaseException:
        unpacked.cleanup()
        raise
    source.left_out += left_out
    source.held = unpacked
    return source
