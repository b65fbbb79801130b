"""A Dataset of one's own, as torch has them, with what a training needs of it."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from threading import Lock
from typing import Any

import torch
from torch import Tensor

from vae.checks import OVERSHOOT
from vae.data.image_set import ImageSet, read_ahead, unchecked
from vae.data.splits import split_indices
from vae.errors import InputError

_MARK = " (own Dataset)"


class OwnSet:
    """Items of `dataset` as batches. Each is a tensor (C, H, W), or begins with one, as (tensor, label) does: floats in
    [-1, 1], or uint8 from 0 to 255, all of one shape and type.

    Items are read anew every time, so that a Dataset may give another view of an image each time; in one thread, for
    not every Dataset bears several. One that has `__getitems__` is asked for a whole batch at once.

    indices: those that count, all unless given. lock: of those sets that read the same dataset. check: as an
    ImageSet's.
    Raises InputError for what is no such Dataset or is empty, and when an item is read that is not like the first.
    """

    # What an ImageSet says of itself.
    images, skipped, source_channels = None, 0, None
    transform = value_range = names = None
    notes = left_out = unreadable = ()

    def __init__(
        self, dataset: Any, title: str, indices: Tensor | None = None, lock: AbstractContextManager | None = None
    ):
        if not all(hasattr(dataset, method) for method in ("__len__", "__getitem__")):
            raise InputError(
                f"The {title} must be a Dataset with __len__ and __getitem__, not {type(dataset).__name__}."
            )
        self.dataset, self.title, self.lock = dataset, title, lock or Lock()
        self.check: Callable[[], None] = unchecked
        self.indices = torch.arange(len(dataset)) if indices is None else indices
        if not len(self.indices):
            raise InputError(f"The {title} is empty.")
        name = getattr(dataset, "name", None)
        self.name = name if isinstance(name, str) else type(dataset).__name__
        self.shape, self.dtype = None, None
        first = self.batch([0])
        self.shape, self.dtype = tuple(first.shape[1:]), first.dtype

    def __len__(self) -> int:
        return len(self.indices)

    def batch(self, indices: Tensor | list[int]) -> Tensor:
        """The images at `indices`, (n, C, H, W), of the dataset's own type."""
        chosen = self.indices[torch.as_tensor(indices)].tolist()
        with self.lock:
            fetch = getattr(self.dataset, "__getitems__", None)
            items = fetch(chosen) if fetch else [self._item(i) for i in chosen]
        images = torch.stack([self._image(item, i) for item, i in zip(items, chosen, strict=True)])
        if images.is_floating_point():
            low, high = (extreme.item() for extreme in images.aminmax())
            if not (low >= -OVERSHOOT and high <= OVERSHOOT):  # NaN is neither
                raise InputError(
                    f"The {self.title} has values from {low:.3g} to {high:.3g}; floats in [-1, 1] or uint8 from 0 to "
                    "255 are accepted."
                )
        return images

    def _item(self, index: int) -> Any:
        self.check()
        return self.dataset[index]

    def _image(self, item: Any, index: int) -> Tensor:
        image = item[0] if isinstance(item, tuple | list) and item else item
        if not isinstance(image, Tensor) or image.ndim != 3 or not (image.is_floating_point() or _in_bytes(image)):
            shown = f"{image.dtype} {list(image.shape)}" if isinstance(image, Tensor) else type(image).__name__
            raise InputError(
                f"Item {index} of the {self.title} is not a tensor (C, H, W) of floats in [-1, 1] or of uint8, nor "
                f"begins with one, but {shown}."
            )
        if self.shape is not None and (image.shape != self.shape or _in_bytes(image) != (self.dtype == torch.uint8)):
            raise InputError(
                f"Item {index} of the {self.title} is {_kind(image)} {list(image.shape)} and the first is "
                f"{'uint8' if self.dtype == torch.uint8 else 'floats'} {list(self.shape)}; all must be alike."
            )
        return image if _in_bytes(image) else image.float()

    def batches(self, parts: Iterable[Tensor], ahead: int = 2) -> Iterator[Tensor]:
        """batch(indices) for each of `parts`, in order; up to `ahead` are read before they are asked for."""
        return read_ahead(self.batch, parts, ahead, name="dataset")

    def preview(self, n: int) -> Tensor:
        """Images spread evenly over the set, at most n."""
        n = min(n, len(self))
        return self.batch(torch.arange(n) * len(self) // n)


AnySet = ImageSet | OwnSet


def own_sets(train_set: Any, val_set: Any, test_size: float | None) -> tuple[AnySet | None, AnySet | None]:
    """What training and validation read in place of a config's data, None where that is meant: Datasets as OwnSet takes
    them, or what load_data gave. With a train_set alone, a share of `test_size` of it is the other, unless that is
    None."""
    alone = train_set is not None and val_set is None and test_size is not None
    if alone and not isinstance(train_set, ImageSet):
        whole = OwnSet(train_set, "train_set")
        kept, held_out = split_indices(len(whole), test_size)
        if not len(kept):
            raise InputError("The train_set holds a single image; some must be left for validation, or give a val_set.")
        parts = (OwnSet(train_set, "train_set", part, whole.lock) for part in (kept, held_out))
        return next(parts), next(parts)
    if alone:
        raise InputError("Give the val_set, too, where the train_set is what load_data gave.")
    return _as_set(train_set, "train_set"), _as_set(val_set, "val_set")


def _as_set(data: Any, title: str) -> AnySet | None:
    return data if data is None or isinstance(data, ImageSet) else OwnSet(data, title)


def label_of(data: AnySet) -> str:
    """What a run's config says of such data."""
    return f"{data.name}{_MARK}"


def is_label(name: str) -> bool:
    """Whether a config's data are `label_of` some, which only Python can give again."""
    return name.endswith(_MARK)


def _in_bytes(image: Tensor) -> bool:
    return image.dtype == torch.uint8


def _kind(image: Tensor) -> str:
    return "uint8" if _in_bytes(image) else "floats"
