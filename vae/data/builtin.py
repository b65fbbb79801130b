"""The data sets that have a name: scikit-learn's digits, and MNIST, Fashion-MNIST and CIFAR-10 as torchvision has them.

They are read from a data root where they lie there, which is never written to; else from the cache, into which
torchvision downloads them.
"""

import contextlib
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vae.data.idx import read_idx
from vae.errors import InputError
from vae.files import NO_ROOM_OR_RIGHT
from vae.user_folders import cache_dir

NAMES = ("digits", "mnist", "fashion", "cifar10")
SPLIT = ("mnist", "fashion", "cifar10")  # these come with a test set of their own

_DIGITS = [str(d) for d in range(10)]
_CLOTHES = ["T-shirt", "trousers", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot"]
_IDX = {"mnist": ("MNIST", _DIGITS), "fashion": ("FashionMNIST", _CLOTHES)}  # torchvision's name of the class, classes
_CIFAR_FOLDER, _CIFAR_ARCHIVE = "cifar-10-batches-py", "cifar-10-python.tar.gz"
FOLDERS = ("MNIST", "FashionMNIST", _CIFAR_FOLDER, _CIFAR_ARCHIVE)  # where these lie in a data root


def load(name: str, split: str, root: Path | None) -> tuple[np.ndarray, Tensor, list[str]]:
    """Pixels uint8 (N, H, W) or (N, H, W, 3), labels int64 (N,), class names. "digits" has one part for both splits.

    Raises InputError if the set is neither here nor can be downloaded, or its files are damaged.
    """
    if name == "digits":
        from sklearn.datasets import load_digits

        digits = load_digits()
        pixels = (digits.images * (255 / 16)).round().astype(np.uint8)
        return pixels, torch.from_numpy(digits.target).long(), _DIGITS
    if name == "cifar10":
        return _load_cifar(split, root)
    return _load_idx(name, split, root)


def present(name: str, root: Path | None) -> bool:
    """Whether load() needs no network for it."""
    if name == "digits":
        return True
    if name == "cifar10":
        return any((p / _CIFAR_FOLDER).is_dir() or (p / _CIFAR_ARCHIVE).is_file() for p in _places(root))
    return all(_find_idx(name, part, root) for part in ("train-images-idx3-ubyte", "t10k-images-idx3-ubyte"))


def _places(root: Path | None) -> list[Path]:
    return [p for p in (root, cache_dir()) if p is not None]


def _load_idx(name: str, split: str, root: Path | None) -> tuple[np.ndarray, Tensor, list[str]]:
    folder, classes = _IDX[name]
    stem = "train" if split == "train" else "t10k"
    parts = (f"{stem}-images-idx3-ubyte", f"{stem}-labels-idx1-ubyte")
    if not all(_find_idx(name, part, root) for part in parts):
        from torchvision import datasets

        _download(folder, lambda: getattr(datasets, folder)(cache_dir(), download=True))
    images, labels = (read_idx(_find_idx(name, part, root)) for part in parts)
    if images.ndim != 3 or labels.shape != images.shape[:1]:
        raise InputError(f"The files of {folder} do not belong together: {len(images)} images, {len(labels)} labels.")
    return images, torch.from_numpy(labels.astype(np.int64)), classes


def _find_idx(name: str, part: str, root: Path | None) -> Path | None:
    files = (p / _IDX[name][0] / "raw" / f"{part}{ending}" for p in _places(root) for ending in ("", ".gz"))
    return next((file for file in files if file.is_file()), None)


def _load_cifar(split: str, root: Path | None) -> tuple[np.ndarray, Tensor, list[str]]:
    # The files are pickles: torchvision compares their MD5 before it loads them, so reading them is left to it.
    from torchvision.datasets import CIFAR10

    place = next((p for p in _places(root) if (p / _CIFAR_FOLDER).is_dir()), None)
    if place is None:
        place = cache_dir()
        archive = next((p / _CIFAR_ARCHIVE for p in _places(root) if (p / _CIFAR_ARCHIVE).is_file()), None)

        def fetch() -> None:
            place.mkdir(parents=True, exist_ok=True)
            if archive and not (place / _CIFAR_ARCHIVE).exists():
                (place / _CIFAR_ARCHIVE).symlink_to(archive.resolve())
            CIFAR10(place, download=True)

        _download("CIFAR-10", fetch)
    try:
        data = CIFAR10(place, train=split == "train")
    except (RuntimeError, OSError) as error:
        raise InputError(f"The files of CIFAR-10 in {str(place)!r} are damaged or incomplete.") from error
    return data.data, torch.tensor(data.targets), list(data.classes)


def _download(title: str, fetch: Callable[[], object]) -> None:
    try:
        with contextlib.redirect_stdout(sys.stderr):  # stdout belongs to the command's own answer
            fetch()
    except Exception as error:  # urllib, ssl, http and torchvision each raise their own
        if isinstance(error, OSError) and error.errno in NO_ROOM_OR_RIGHT:
            raise InputError(f"{title} cannot be kept in {str(cache_dir())!r}: {error.strerror}.") from error
        raise InputError(
            f"{title} is not on this machine and cannot be downloaded ({type(error).__name__}); "
            "VAE_DATA_DIR may name a folder that has it, and digits needs no network."
        ) from error
