"""Data sets by name, folder, file or Hub id, fitted to a model's size."""

import os
import re
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from vae.checks import whole_number
from vae.data import builtin, formats, litdata_shards
from vae.data.crops import CropSet
from vae.data.fitting import check_channels, fitted
from vae.data.image_set import ImageSet, fill, on_demand
from vae.data.source import Numbers, Source
from vae.data.splits import checked_share, split_indices
from vae.depth import checked_range
from vae.errors import InputError
from vae.files import rooted_path
from vae.images import TRANSPARENT, as_channels, at_least, fit

MAX_SIZE = 8192  # pixels of a side
LIMIT_BYTES = 2 * 2**30  # of fitted images held in memory
ADDRESS = "https://huggingface.co/datasets/"  # before a Hub data set's name: what it then names is no path
_HUB_ID = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*(:[^/:]+)?", re.ASCII)


def load_data(
    name: str | os.PathLike,
    split: str = "train",
    size: int = 32,
    channels: int = 1,
    border: int = 0,
    root: str | os.PathLike | None = None,
    limit_bytes: int = LIMIT_BYTES,
    test_size: float | None = 0.2,
    progress: Callable[[int, int], None] | None = None,
    value_range: str | Sequence[float] | None = None,
    transform: Callable[[Tensor], Tensor] | None = None,
    crop: str = "center",
    process: int = 0,
    processes: int = 1,
) -> ImageSet:
    """The images called `name`, fitted as vae.images.fit does with size, channels and border.

    name: "digits", "mnist", "fashion" or "cifar10"; the name of something in the data root; a folder; a file of one of
      the formats in formats.ACCEPTED, or a brace list of several; an address of litdata's shards in an object store
      ("s3://bucket/folder", "gs://bucket/folder") or on a web server ("https://host/folder"); or a data set on the
      Hugging Face Hub, "owner/name" or "owner/name:column", bare or after ADDRESS. A folder's subfolders are its
      classes; if one is named like a training set ("train", "Training", …) and another like a test or validation set,
      these are its splits.
    split: "train", "val", "test" or "all". A set without splits of its own gives `test_size` of its images, always the
      same, to both "val" and "test"; where it has only one of these two, it is the other, too. "all" is every image.
    channels: 1 (grey), 3 (RGB), or 2 or 4: these with transparency, of image files, or an array's own. Grey and RGB
      become each other; an array's 2 or 4 channels become nothing else.
    root: where data sets lie, read only; by default the environment's VAE_DATA_DIR.
    limit_bytes: a larger set is not held in memory but read batch by batch; with 0 only what the Hub gives is held.
    test_size: None holds nothing back: each split of a set without its own is all of it.
    progress: called with the images done so far and their total, now and then; what it raises ends the reading.
    value_range: of values over 8 bits, those that are black and white, (0, 4095) or "0:4095"; by default the range
      they have, see vae.depth.usual_range.
    transform: what a training does to an image each time it is learned from, such as torchvision.transforms.v2's; it
      takes and gives uint8 (channels, size, size). Only a training uses it, and never on the images it validates with.
    crop: "center"; "random" for a CropSet: the images stay as large as they are, and squares are cut out of them; or
      "none": they stay as they are, size and border mean nothing, and ImageSet.read gives one at a time.
    process, processes: this one's number among those that train together, which divide a set that is streamed.

    Raises InputError if there is no such set, it cannot be had, or holds no image that can be read.
    """
    if split not in ("train", "val", "test", "all"):
        raise InputError(f"The split is train, val, test or all, not {split!r}.")
    test_size = None if test_size is None else checked_share(test_size)
    size = whole_number("An image's size", size, 1, MAX_SIZE)
    if crop not in ("center", "random", "none"):
        raise InputError(f"The crop is center, random or none, not {crop!r}.")
    channels = whole_number("The number of channels", channels, 1, 4)
    border = whole_number("The border", border, 0, MAX_SIZE)
    limit_bytes = whole_number("limit_bytes", limit_bytes, 0)
    span = checked_range(value_range)
    if transform is not None and not callable(transform):
        raise InputError(f"A transform is called with an image and gives one, and {transform!r} cannot be called.")
    shape = (channels, size, size) if crop != "none" else (channels, 0, 0)
    fit_to = partial(fit, size=size, border=border)
    fit_to(Image.new("L", (1, 1)), channels=1)  # refuses a size or border that cannot be before anything is read
    if crop == "random":
        fit_to = partial(at_least, size=size - 2 * border)
    elif crop == "none":
        fit_to = as_channels
    if not isinstance(name, str | os.PathLike):
        raise InputError(f"A data set's name is a string or a Path, not {name!r}.")
    name = str(name)

    def held(data: ImageSet, count: int, read: Callable[[int, int | None], np.ndarray]) -> ImageSet:
        if crop == "random":
            return CropSet(data, count, partial(read, size_hint=None), border, limit_bytes)
        if crop == "none":
            return on_demand(data, count, partial(read, size_hint=None))
        return fill(data, count, partial(read, size_hint=size), limit_bytes, progress)

    def as_wanted(image: Image.Image | np.ndarray) -> np.ndarray:
        return fitted(image, channels, lambda image, channels: fit_to(image, channels=channels))

    transparency = channels in TRANSPARENT
    if name in builtin.NAMES:
        most = limit_bytes if crop == "center" else 0
        data = _builtin(name, split, test_size, shape, border, data_root(root), as_wanted, most, held)
    elif litdata_shards.is_remote(name):
        source = litdata_shards.from_store(name, span, transparency)
        data = _image_set(source, split, test_size, shape, as_wanted, held)
    else:
        paths = None if name.startswith(ADDRESS) else find(name, root)
        if paths is None and _HUB_ID.fullmatch(name.removeprefix(ADDRESS)):
            from vae.data import hub

            repository, part = name.removeprefix(ADDRESS), {"process": process, "processes": processes}
            if crop != "center":
                raise InputError(
                    f"Of a Hub data set, as {repository!r} is, images are fitted to one size; random crops and images "
                    "of their own sizes are for folders and archives."
                )
            most = limit_bytes or LIMIT_BYTES  # what comes through the network is not read again for each image
            data = hub.load(repository, split, as_wanted, shape, most, progress, test_size, span, **part)
        elif paths is None:
            raise InputError(
                f"There is no data set {name!r}; {', '.join(builtin.NAMES)}, {formats.ACCEPTED}, "
                "or a Hub data set (owner/name) are accepted."
            )
        else:
            title = paths[0].name if len(paths) == 1 else Path(name).name
            source = formats.open_source(paths, title, span, transparency)
            data = _image_set(source, split, test_size, shape, as_wanted, held)
    data.transform = transform
    return data


def _image_set(source: Source, split: str, test_size: float | None, shape, as_wanted, held: Callable) -> ImageSet:
    """The images of a source's split, fitted. held: (a set without images, their number, how one is read) -> the set
    with them."""
    try:
        check_channels(source, shape[0])
        chosen = source.part(split, test_size)
        labels = None if source.labels is None else torch.from_numpy(source.labels[chosen]).long()
        empty = ImageSet(source.name, shape, labels, source.classes)
        empty.source_channels, empty.left_out, empty.value_range = source.channels, source.left_out, source.value_range
        empty.names, empty.notes = source.names_of(chosen), source.remarks
        empty.readers = source.readers or empty.readers

        def read(i: int, size_hint: int | None) -> np.ndarray:
            return as_wanted(source.read(int(chosen[i]), size_hint))

        data = held(empty, len(chosen), read)
    except BaseException:
        source.close()
        raise
    if data.images is None:
        data.source = source
    else:
        source.close()
    return data


def _builtin(
    name: str, split: str, test_size: float | None, shape, border: int, root: Path | None, as_wanted, most, held
) -> ImageSet:
    """The images of a set in NAMES. most: bytes of images that need no fitting and are held at once; held: as for
    _image_set."""
    channels, size = shape[:2]
    own = name in builtin.SPLIT
    parts = [builtin.load(name, part, root) for part in (("train", "test") if own and split == "all" else (split,))]
    pixels, labels = np.concatenate([part[0] for part in parts]), torch.cat([part[1] for part in parts])
    numbers = np.arange(len(pixels))
    if not own and split != "all" and test_size is not None:
        numbers = split_indices(len(pixels), test_size)[split != "train"].numpy()
        pixels, labels = pixels[numbers], labels[numbers]
    names = Numbers(numbers)
    source = Source(name, len(pixels), lambda i, hint=None: pixels[i], names, channels=1 if pixels.ndim == 3 else 3)
    source.labels, source.classes, source.is_array = labels.numpy(), parts[0][2], True
    check_channels(source, channels)
    plain = channels not in TRANSPARENT and pixels.shape[1:] == (size - 2 * border,) * 2
    if plain and len(pixels) * channels * size * size <= most:
        # Nothing to resize: the same pixels that fit gives, all at once and five times as fast.
        data = ImageSet(name, shape, labels, source.classes)
        data.source_channels, data.names = source.channels, names
        data.images = torch.zeros(len(pixels), *shape, dtype=torch.uint8)
        data.images[..., border : size - border, border : size - border] = torch.tensor(pixels).unsqueeze(1)
        return data
    return _image_set(source, "all", None, shape, as_wanted, held)


def data_root(root: str | os.PathLike | None = None) -> Path | None:
    """The folder data sets are looked up in: `root`, or what VAE_DATA_DIR names, or None."""
    if root is not None and not isinstance(root, str | os.PathLike):
        raise InputError(f"The folder of data sets is a string or a Path, not {root!r}.")
    root = root or os.environ.get("VAE_DATA_DIR")
    return Path(root).expanduser() if root else None


def data_names(root: str | os.PathLike | None = None) -> list[str]:
    """Names load_data takes that are here already, needing no network: known sets first, then the root's folders."""
    folder = data_root(root)
    names = [name for name in builtin.NAMES if builtin.present(name, folder)]
    if folder is None or not folder.is_dir():
        return names
    return names + sorted(
        entry.name
        for entry in folder.iterdir()
        if entry.name not in (*builtin.NAMES, *builtin.FOLDERS)
        and not entry.name.startswith(".")
        and (formats.kind_of(entry) is not None if entry.is_file() else entry.is_dir() and formats.has_data(entry))
    )


def find(name: str, root: str | os.PathLike | None = None) -> list[Path] | None:
    """The folder or the files meant by `name`: the plain name of something in the data root, a path, or a brace list of
    paths; None if nothing is there. Raises InputError if some files of a brace list are missing."""
    listed = formats.expanded(name)
    paths = [_find(each, root) for each in listed or [name]]
    if listed and any(paths) and None in paths:
        raise InputError(f"Of {name[:200]!r} there is no {listed[paths.index(None)][-200:]!r}.")
    return None if None in paths else paths


def located(name: str, root: str | os.PathLike | None = None) -> str:
    """`name` as it means the same from any current folder: paths are made absolute, all else stays. Raises InputError
    as find does."""
    if name in builtin.NAMES or name.startswith(ADDRESS) or litdata_shards.is_remote(name):
        return name
    paths, folder = find(name, root), data_root(root)
    if paths is None or (folder is not None and all(path.parent == folder for path in paths) and os.sep not in name):
        return name
    return str(rooted_path(Path(name).expanduser()))


def _find(name: str, root: str | os.PathLike | None) -> Path | None:
    path, folder = Path(name).expanduser(), data_root(root)
    try:
        if folder is not None and path.name == name != ".." and (folder / name).exists():
            path = folder / name
        return path if name != "" and path.exists() else None
    except (OSError, ValueError, RuntimeError):  # a name no disk takes
        return None
