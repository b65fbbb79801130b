"""Pictures from a data set on the Hugging Face Hub, through the optional library `datasets`."""

from collections.abc import Callable
from itertools import islice

import numpy as np
import torch
from PIL import Image

from vae.data import ImageSet
from vae.errors import InputError
from vae.images import open_image, to_array

_TEST_SPLITS = ("test", "validation", "valid", "val")


def load(
    name: str,
    split: str,
    fitting: Callable[[Image.Image], Image.Image],
    shape: tuple[int, int, int],
    limit_bytes: int,
    progress: Callable[[int, int], None] | None = None,
) -> ImageSet:
    """The pictures of `name`, "owner/name" or "owner/name:column", streamed and kept fitted, as vae.data.load_data.

    Nothing is downloaded that is not used, and nothing written to disk. Of a set that would take more than
    limit_bytes the first pictures that fit are kept. Without a column the first one with images is taken. Without a
    test split every fifth picture goes to test.
    """
    try:
        import datasets
    except ImportError:
        raise InputError("Data sets from the Hub need the library datasets: pip install datasets.") from None
    repository, _, column = name.partition(":")
    try:
        splits = datasets.get_dataset_split_names(repository)
        part = "train" if split == "train" else next((s for s in _TEST_SPLITS if s in splits), None)
        own = part is not None and any(s in splits for s in _TEST_SPLITS)
        stream = datasets.load_dataset(repository, split=part if part in splits else splits[0], streaming=True)
        features = stream.features or stream._resolve_features().features
        column = column or next((k for k, f in features.items() if isinstance(f, datasets.Image)), "")
        if not isinstance(features.get(column), datasets.Image):
            raise InputError(f"{repository} has no column of images {column!r}; its columns are {', '.join(features)}.")
        label = next((k for k, f in features.items() if isinstance(f, datasets.ClassLabel)), None)
        rows = iter(stream.cast_column(column, datasets.Image(decode=False)))
        if not own:
            rows = (row for i, row in enumerate(rows) if (i % 5 == 4) == (split == "test"))
        return _collect(name, rows, column, label, features, fitting, shape, limit_bytes, progress)
    except InputError:
        raise
    except Exception as error:  # the Hub's client, its network library and the formats' readers each raise their own
        raise InputError(
            f"{name!r} is no folder or archive here, and cannot be had from the Hub ({type(error).__name__})."
        ) from error


def _collect(name, rows, column, label, features, fitting, shape, limit_bytes, progress) -> ImageSet:
    pictures, labels, skipped = [], [], 0
    room = max(1, limit_bytes // int(np.prod(shape)))
    for row in islice(rows, room):
        try:
            cell = row[column] or {}
            pictures.append(to_array(fitting(open_image(cell.get("bytes") or cell.get("path") or b"", shape[-1]))))
            labels.append(row[label] if label else 0)
        except InputError:
            skipped += 1
        if progress and len(pictures) % 256 == 0:
            progress(len(pictures), room)
    if not pictures:
        raise InputError(f"{name} holds no pictures that can be read.")
    data = ImageSet(name, shape, torch.tensor(labels) if label else None, features[label].names if label else None)
    data.images, data.skipped = torch.from_numpy(np.stack(pictures)), skipped
    return data
