"""Which images are for training and which are held out."""

import os
import shutil
from math import ceil
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vae.errors import InputError


def split_indices(n: int, test_size: float = 0.2, seed: int = 42) -> tuple[Tensor, Tensor]:
    """(train, test): int64 indices below n, each ascending; the sets scikit-learn's train_test_split chooses."""
    order = torch.from_numpy(np.random.RandomState(seed).permutation(n)).long()
    n_test = ceil(n * test_size)
    return order[n_test:].sort().values, order[:n_test].sort().values


def split_dataset(
    source_dir: str | os.PathLike,
    train_dir: str | os.PathLike,
    test_dir: str | os.PathLike,
    test_size: float = 0.2,
    random_state: int = 42,
) -> tuple[int, int]:
    """Copy the pictures lying in source_dir into train_dir and test_dir, which are created; returns how many each got.

    Only .png, .jpg and .jpeg files are taken, in the order of their names, so that the same files give the same split
    on every machine. load_data splits a folder without copying it; this is for tools that want two folders.
    Raises InputError if source_dir holds fewer than two pictures or test_size is no share of them.
    """
    source = Path(source_dir)
    if not source.is_dir():
        raise InputError(f"There is no folder {str(source)!r}.")
    names = sorted(f.name for f in source.iterdir() if f.suffix.lower() in (".png", ".jpg", ".jpeg") and f.is_file())
    if not 0.0 < test_size < 1.0:
        raise InputError(f"test_size is a share between 0 and 1, not {test_size}.")
    train, test = split_indices(len(names), test_size, random_state)
    if not len(train) or not len(test):
        raise InputError(f"The folder {source.name!r} holds {len(names)} pictures: too few to split in two.")
    for folder, chosen in ((Path(train_dir), train), (Path(test_dir), test)):
        folder.mkdir(parents=True, exist_ok=True)
        for i in chosen.tolist():
            shutil.copy(source / names[i], folder / names[i])
    return len(train), len(test)
