"""Which images are for training and which are held out."""

import os
import re
import shutil
from collections.abc import Iterable, Sequence
from math import ceil
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vae.checks import real_number, whole_number
from vae.errors import InputError


def split_indices(n: int, test_size: float = 0.2, seed: int = 42) -> tuple[Tensor, Tensor]:
    """(train, test): int64 indices below n, each ascending; the sets scikit-learn's train_test_split chooses."""
    order = torch.from_numpy(np.random.RandomState(seed).permutation(n)).long()
    n_test = ceil(n * test_size)
    return order[n_test:].sort().values, order[:n_test].sort().values


SPLITS = ("train", "val", "test")
_WORDS = {
    **dict.fromkeys(("train", "training", "trn"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "val"),
    **dict.fromkeys(("test", "testing", "tst", "t10k"), "test"),
}


def split_of(name: str) -> str | None:
    """The split that a folder, file or array is named after: "TRAIN", "validation", "val2017", "x_test", "seg_train",
    "trainA", "t10k-images-idx3-ubyte" and "test-00000-of-00003" are; "cat", "trainer" and "latest" are not."""
    apart = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name)
    words = re.findall(r"t10k|[a-z]+", apart.lower())
    return next((_WORDS[word] for word in words if word in _WORDS), None)


def own_splits(names: Iterable[str]) -> dict[str, list[str]] | None:
    """Those of `names` that belong to each split, if there is one to train on and one to judge by; else None."""
    found: dict[str, list[str]] = {}
    for name in names:
        if split := split_of(name):
            found.setdefault(split, []).append(name)
    return found if "train" in found and len(found) > 1 else None


def split_numbers(sources: Sequence[str]) -> tuple[dict[str, np.ndarray] | None, list[str]]:
    """From the file that each image lies in to the images of each split, if there are splits; and the files that belong
    to none of them."""
    splits = own_splits(sorted(set(sources)))
    if splits is None:
        return None, []
    of = {name: split for split, names in splits.items() for name in names}
    found = np.array([of.get(source, "") for source in sources])
    return {split: np.flatnonzero(found == split) for split in splits}, sorted(set(sources) - set(of))


def checked_share(test_size: float) -> float:
    """test_size if it leaves something on both sides; InputError otherwise."""
    share = real_number("test_size", test_size, 0.0, 1.0)
    if share in (0.0, 1.0):
        raise InputError(f"test_size is a share between 0 and 1, not {test_size}.")
    return share


def split_dataset(
    source_dir: str | os.PathLike,
    train_dir: str | os.PathLike,
    test_dir: str | os.PathLike,
    test_size: float = 0.2,
    random_state: int = 42,
) -> tuple[int, int]:
    """Copy the images lying in source_dir into train_dir and test_dir, which are created; returns how many each got.

    Only .png, .jpg and .jpeg files are taken, in the order of their names, so that the same files give the same split
    on every machine. load_data splits a folder without copying it; this is for tools that want two folders.
    Raises InputError if source_dir holds fewer than two images, test_size is no share of them, random_state is no
    whole number below 2**32, or a folder cannot be written.
    """
    for folder in (source_dir, train_dir, test_dir):
        if not isinstance(folder, str | os.PathLike):
            raise InputError(f"A folder's path is a string or a Path, not {folder!r}.")
    random_state = whole_number("random_state", random_state, 0, 2**32 - 1)
    source = Path(source_dir)
    if not source.is_dir():
        raise InputError(f"There is no folder {str(source)!r}.")
    names = sorted(f.name for f in source.iterdir() if f.suffix.lower() in (".png", ".jpg", ".jpeg") and f.is_file())
    test_size = checked_share(test_size)
    train, test = split_indices(len(names), test_size, random_state)
    if not len(train) or not len(test):
        raise InputError(f"The folder {source.name!r} holds {len(names)} pictures: too few to split in two.")
    for folder, chosen in ((Path(train_dir), train), (Path(test_dir), test)):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for i in chosen.tolist():
                shutil.copy(source / names[i], folder / names[i])
        except OSError as error:
            raise InputError(f"The folder {str(folder)!r} cannot be written: {error.strerror or error}.") from error
    return len(train), len(test)
