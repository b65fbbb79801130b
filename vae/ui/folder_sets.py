"""The images that visitors measure models on: a data set that is here, an archive of their own, or on a private machine
a folder; opened once for all that ask."""

import threading
from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from vae import images
from vae.data.hub import StreamedSet
from vae.data.image_set import ImageSet
from vae.data.sets import ADDRESS, data_names, load_data
from vae.errors import InputError
from vae.ui.serving.access import Audience
from vae.ui.serving.lru_cache import LruCache
from vae.ui.training.training_data import KNOWN, checked, is_upload
from vae.ui.uploads import sprite

KEPT = 6  # sets that are open
THUMB = 96  # pixels a side
LARGEST = 1024  # pixels a side of images that travel inside an answer

Shape = tuple[int, int, int]  # side in pixels, channels, border


class FolderSets:
    def __init__(self, audience: Audience):
        self.audience = audience
        self._open: LruCache[ImageSet] = LruCache(KEPT)
        self._lock = threading.Lock()

    def names(self, asked: object = None) -> list[str]:
        """The sets to choose from. asked: nothing; a page sends something."""
        return data_names()

    def open(self, data: object, shape: Shape, anew: bool = False) -> ImageSet:
        """The images, read on demand, fitted as `shape` says: the test images, or all of a set without a split of its
        own. anew: a folder is looked through again. Raises InputError where load_data does, for what a visitor may not
        open, and for sets that would have to be downloaded."""
        name = checked(str(data)[:1000], not self.audience.may_open_paths())
        if name.startswith(ADDRESS) or (name in KNOWN and name not in data_names()):
            raise InputError(
                f"{name.removeprefix(ADDRESS)} is not on this machine; choose a set that is, or an archive."
            )
        side, channels, border = shape
        key = (name, shape, Path(name).stat().st_mtime if is_upload(name) else 0)
        with self._lock, self.audience.limits():
            found = self._open.get(key)
            if found is None or (anew and Path(name).is_dir()):
                found = load_data(name, "test", side, channels, border, test_size=None, limit_bytes=0)
                if isinstance(found, StreamedSet):
                    raise InputError("This data set is too large to be measured here.")
                self._open.put(key, found)
        return found

    def picture(self, asked: object) -> dict:
        """One of the images as a model of that shape sees it: {uri, label}. asked: {data, shape, number}, by a page."""
        asked = asked if isinstance(asked, dict) else {}
        found = self.open(asked.get("data"), read_shape(asked.get("shape")))
        (chosen,) = _numbers([asked.get("number")], found)
        pixels, sound = found.readable([chosen])
        if not sound:
            raise InputError("This image cannot be read any more.")
        return {"uri": images.data_uri(images.to_image(pixels[0])), "label": name_of(found, chosen)}

    def thumbnails(self, asked: object) -> dict:
        """Up to 24 of the images, small, as uploads.sprite has them. asked: {data, shape, numbers}, by a page."""
        asked = asked if isinstance(asked, dict) else {}
        found = self.open(asked.get("data"), read_shape(asked.get("shape")))
        return sprite(_small(found.batch(_numbers(asked.get("numbers"), found))))


def _small(pixels: Tensor) -> Tensor:
    if max(pixels.shape[-2:]) <= THUMB:
        return pixels
    resized = F.interpolate(pixels.float(), (THUMB, THUMB), mode="bilinear", antialias=True)
    return resized.round().clamp(0, 255).to(torch.uint8)


def read_shape(value: object) -> Shape:
    """A shape that the page sends back. Raises InputError for what is none."""
    if not isinstance(value, Sequence) or len(value) != 3 or not all(type(part) is int for part in value):
        raise InputError("These are no images of a model's.")
    side, channels, border = value
    if not (1 <= side <= LARGEST and 1 <= channels <= 4 and 0 <= 2 * border < side):
        raise InputError(f"Images of up to {LARGEST} pixels a side are shown.")
    return side, channels, border


def _numbers(value: object, found: ImageSet) -> list[int]:
    if not isinstance(value, list) or not 1 <= len(value) <= 24 or not all(type(i) is int for i in value):
        raise InputError("Up to 24 images are shown at a time.")
    if not all(0 <= i < len(found) for i in value):
        raise InputError("There is no such image.")
    return value


def name_of(found: ImageSet, number: int) -> str:
    return str(found.names[number]) if found.names is not None else str(number)
