"""Data sets by name, folder, archive or Hub id, fitted to a model's size."""

import os
import re
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from vae.checks import whole_number
from vae.data import archives, builtin
from vae.data.crops import CropSet
from vae.data.folders import from_folder, walk
from vae.data.image_set import ImageSet
from vae.data.image_set import fill as fill_set
from vae.data.splits import checked_share, split_indices
from vae.errors import InputError
from vae.images import SUFFIXES, TRANSPARENT, at_least, fit, open_image, to_array

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
    test_size: float = 0.2,
    progress: Callable[[int, int], None] | None = None,
    crop: str = "center",
) -> ImageSet:
    """The images called `name`, fitted as vae.images.fit does with size, channels and border.

    name: "digits", "mnist", "fashion" or "cifar10"; the name of a folder or archive in the data root; a folder; a
      .zip or .tar archive; or a data set on the Hugging Face Hub, "owner/name" or "owner/name:column", bare or after
      ADDRESS. A folder's
      subfolders are its classes; if it holds folders "train" and "test" (or "val"), these are its splits.
    split: "train" or "test". A set without its own split gives `test_size` of its images, always the same, to test.
    root: where data sets lie, read only; by default the environment's VAE_DATA_DIR.
    limit_bytes: a larger set is not held in memory but read batch by batch.
    progress: called with the images done so far and their total, now and then.
    crop: "center", or "random" for a CropSet: the images stay as large as they are, and squares are cut out of them.

    Raises InputError if there is no such set, it cannot be had, or holds no image that can be read.
    """
    if split not in ("train", "test"):
        raise InputError(f"The split is train or test, not {split!r}.")
    test_size = checked_share(test_size)
    size = whole_number("An image's size", size, 1, MAX_SIZE)
    if crop not in ("center", "random"):
        raise InputError(f"The crop is center or random, not {crop!r}.")
    channels = whole_number("The number of channels", channels, 1, 4)
    border = whole_number("The border", border, 0, MAX_SIZE)
    limit_bytes = whole_number("limit_bytes", limit_bytes, 0)
    shape = (channels, size, size)
    fitting = partial(fit, size=size, channels=channels, border=border)
    fitting(Image.new("L", (1, 1)))  # refuses a size, border or channels that cannot be before anything is read
    fill = partial(fill_set, limit_bytes=limit_bytes, progress=progress)
    size_hint: int | None = size
    if crop == "random":
        fitting = partial(at_least, size=size - 2 * border, channels=channels)
        fill, size_hint = partial(CropSet, border=border, limit_bytes=limit_bytes), None

    def read(source: Path) -> np.ndarray:
        return to_array(fitting(open_image(source, size_hint, channels in TRANSPARENT)))

    if not isinstance(name, str | os.PathLike):
        raise InputError(f"A data set's name is a string or a Path, not {name!r}.")
    name = str(name)
    if name in builtin.NAMES:
        pixels, labels, classes = builtin.load(name, split, data_root(root))
        if name not in builtin.SPLIT:
            chosen = split_indices(len(pixels), test_size)[split == "test"]
            pixels, labels = pixels[chosen.numpy()], labels[chosen]
        data = ImageSet(name, shape, labels, classes)
        data.source_channels = 1 if pixels.ndim == 3 else 3
        plain = channels not in TRANSPARENT and pixels.shape[1:] == (size - 2 * border,) * 2
        if plain and len(pixels) * channels * size * size <= limit_bytes:
            # Nothing to resize: the same pixels that fit gives, all at once and five times as fast.
            data.images = torch.zeros(len(pixels), *shape, dtype=torch.uint8)
            data.images[..., border : size - border, border : size - border] = torch.tensor(pixels).unsqueeze(1)
            return data
        found = fill(data, len(pixels), lambda i: to_array(fitting(Image.fromarray(pixels[i]))))
        found.source_channels = data.source_channels
        return found

    path = None if name.startswith(ADDRESS) else _find(name, root)
    if path is None and _HUB_ID.fullmatch(name.removeprefix(ADDRESS)):
        from vae.data import hub

        if crop != "center" or channels in TRANSPARENT:
            raise InputError(
                f"Of a Hub data set, as {name.removeprefix(ADDRESS)!r} is, images are taken without transparency and "
                "fitted; random crops and transparency are for folders and archives."
            )
        return hub.load(name.removeprefix(ADDRESS), split, fitting, shape, limit_bytes, progress)
    if path is None:
        raise InputError(
            f"There is no data set {name!r}; {', '.join(builtin.NAMES)}, a folder of pictures, a .zip or .tar archive, "
            "or a Hub data set (owner/name) are accepted."
        )
    if path.is_dir():
        return from_folder(path, path.name, split, read, shape, test_size, fill)
    unpacked = tempfile.TemporaryDirectory(prefix="vae-data-", ignore_cleanup_errors=True)
    try:
        archives.unpack(path, unpacked.name, SUFFIXES)
        data = from_folder(Path(unpacked.name), path.name, split, read, shape, test_size, fill)
    except BaseException:
        unpacked.cleanup()
        raise
    if data.images is None:
        data._unpacked = unpacked
    else:
        unpacked.cleanup()
    return data


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
        if entry.name not in builtin.NAMES
        and (archives.is_archive(entry) if entry.is_file() else next(walk(entry, depth=3), None) is not None)
    )


def _find(name: str, root: str | os.PathLike | None) -> Path | None:
    """The folder or archive meant by `name`: the plain name of something in the data root, or a path."""
    path, folder = Path(name).expanduser(), data_root(root)
    try:
        if folder is not None and path.name == name != ".." and (folder / name).exists():
            path = folder / name
        found = name != "" and path.exists()
    except (OSError, ValueError):  # a name no disk takes
        return None
    if found and not path.is_dir() and not archives.is_archive(path):
        raise InputError(f"{name!r} is neither a folder of pictures nor a .zip or .tar archive.")
    return path if found else None
