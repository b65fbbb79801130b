"""From an image as it is stored to the channels and the size that a model takes."""

from collections.abc import Callable

import numpy as np
from PIL import Image

from vae.data.source import Source
from vae.errors import InputError
from vae.images import TRANSPARENT, to_array


def check_channels(source: Source, channels: int) -> None:
    """InputError if the source's images cannot be had in so many channels. Grey and RGB become each other, an image
    file's transparency can be kept or not; what an array of 2 or 4 channels holds, only its owner knows."""
    stored = source.channels
    if source.is_array and stored != channels and (stored in TRANSPARENT or channels in TRANSPARENT):
        raise InputError(
            f"The images of {source.name} have {stored} channel{'s' if stored != 1 else ''}, and the model takes "
            f"{channels}; only grey (1) and RGB (3) are turned into each other."
        )


def fitted(
    image: Image.Image | np.ndarray, channels: int, fit: Callable[[Image.Image, int], Image.Image]
) -> np.ndarray:
    """uint8 (channels, height, width).

    image: as Source.read gives it. fit: (image of mode "L" or "RGB", 1 or 3) -> what is wanted of it; of 2 or 4
    channels each is fitted alone, since the last need not be transparency.
    """
    if channels in TRANSPARENT:
        bands = _bands(image, channels)
        return np.concatenate([to_array(fit(band, 1)) for band in bands])
    if isinstance(image, np.ndarray):
        image = Image.fromarray(image[..., 0] if image.ndim == 3 and image.shape[2] == 1 else image)
    return to_array(fit(image, channels))


def _bands(image: Image.Image | np.ndarray, channels: int) -> list[Image.Image]:
    if isinstance(image, np.ndarray):
        return [Image.fromarray(np.ascontiguousarray(image[..., c])) for c in range(channels)]
    return list(image.convert("LA" if channels == 2 else "RGBA").split())
