"""What callers hand in, checked where it enters: numbers, tensors, images; or one InputError saying what is wanted."""

import math
import operator
import os
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from vae import images
from vae.errors import InputError

OVERSHOOT = 1.5  # a decoder's images leave [-1, 1] by a little, and are clamped; none that is one is beyond this
FAR = 8.0  # as far as an image with noise on it may go; one of 0..255 goes further unless it is black
CHANNELS = tuple(images.MODES)  # of an image: grey, RGB, and these with transparency


def whole_number(name: str, value: Any, low: int, high: int | None = None) -> int:
    """`value` as an int from `low` to `high`: a whole number of any type (Python's, NumPy's, a tensor of one, 3.0).

    name: what the number is, as it begins the sentence of the InputError, e.g. "The number of samples".
    Raises InputError for numbers outside the range, fractions, NaN, True and False, and what is no number.
    """
    wanted = f"a whole number from {low}" + ("" if high is None else f" to {high}")
    number = _scalar(value)
    if isinstance(number, float) and number.is_integer():
        number = int(number)
    if not isinstance(number, int) or number < low or (high is not None and number > high):
        raise InputError(f"{name} must be {wanted}, not {_shown(value)}.")
    return number


def real_number(name: str, value: Any, low: float, high: float) -> float:
    """`value` as a float from `low` to `high`, of any type of number. Raises InputError as `whole_number` does."""
    number = _scalar(value)
    if number is None or not low <= number <= high:
        raise InputError(f"{name} must be a number from {low:g} to {high:g}, not {_shown(value)}.")
    return float(number)


def as_tensor(name: str, value: Any) -> Tensor:
    """A dense tensor as it is, a NumPy array as a tensor of its own. Raises InputError for anything else."""
    if isinstance(value, Tensor) and value.layout == torch.strided:
        return value
    try:
        if isinstance(value, np.ndarray):
            return torch.from_numpy(value.copy())
    except TypeError:  # strings and objects
        pass
    raise InputError(f"{name} must be a dense tensor or a NumPy array of numbers, not {_shown(value)}.")


def as_images(value: Any, channels: int, look: bool = True) -> Tensor:
    """Images (N, channels, H, W) in [-1, 1], of some float type, from a tensor or array of those or of uint8 0..255.

    look: whether values are looked at, for which a GPU has to be waited for.
    Raises InputError for another shape or type, and as `refuse_other_units` does.
    """
    x = as_tensor("The images", value)
    if x.ndim != 4 or x.shape[1] != channels:
        hint = ""
        if x.ndim == 3 and x.shape[0] == channels:
            hint = "; x[None] makes one image a batch"
        elif x.ndim == 4 and x.shape[3] == channels:
            hint = "; x.permute(0, 3, 1, 2) brings the channels forward"
        raise InputError(f"Images for this model are of the shape (N, {channels}, H, W), not {list(x.shape)}{hint}.")
    if x.dtype == torch.uint8:
        return images.to_float(x)
    if not x.is_floating_point():
        raise InputError(f"Images are floats in [-1, 1] or uint8 from 0 to 255, not {x.dtype}.")
    if look:
        refuse_other_units(x)
    return x


def as_latents(value: Any, channels: int, look: bool = True) -> Tensor:
    """Latents (N, channels, h, w) of some float type, from a tensor or array of those. look: as in `as_images`.

    Raises InputError for another shape or type, and for values that are not finite.
    """
    z = as_tensor("The latents", value)
    if z.ndim != 4 or z.shape[1] != channels or z.shape[2] < 1 or z.shape[3] < 1:
        hint = "; z[None] makes one latent a batch" if z.ndim == 3 and z.shape[0] == channels else ""
        raise InputError(f"Latents of this model are of the shape (N, {channels}, h, w), not {list(z.shape)}{hint}.")
    if not z.is_floating_point():
        raise InputError(f"Latents are floats, not {z.dtype}.")
    if look:
        refuse_not_finite("The latents", z)
    return z


def as_image(value: Any) -> Image.Image:
    """One image, however it is held, as a PIL image.

    value: a PIL image; the path, the bytes or the open binary file of one; uint8 pixels 0..255 as an array or tensor,
    (H, W), (H, W, C) or (C, H, W) with C 1 or 3, or 2 or 4 with transparency; or floats in [-1, 1], (C, H, W), as the
    models take and give them. One image's batch, (1, …), counts as the image.
    Raises InputError for what is none of these, floats that are not finite or in another unit, and a file that
    `images.open_image` refuses.
    """
    if isinstance(value, Image.Image):
        try:
            value.load()  # Image.open leaves that for later, and with it the complaint about a file that is cut off
        except Exception as error:  # parsers raise whatever they like on bad bytes
            raise InputError("The image is damaged or cut off: it cannot be decoded to its end.") from error
        if not value.width * value.height:
            raise InputError("The image has no pixels.")
        return value
    if isinstance(value, str | os.PathLike | bytes | bytearray | memoryview) or hasattr(value, "read"):
        return images.open_image(value, transparency=True)
    if isinstance(value, Tensor | np.ndarray):
        channels_last = isinstance(value, np.ndarray)  # where a shape can be read both ways, what is usual
        return _from_pixels(as_tensor("The image", value).detach().cpu(), channels_last)
    raise InputError(
        f"An image is a PIL image, a path, an array or tensor of uint8 pixels, or a tensor (C, H, W) of floats "
        f"in [-1, 1], not {_shown(value)}."
    )


def refuse_other_units(x: Tensor, limit: float = FAR) -> None:
    """Raises InputError for images whose floats are not finite, or beyond `limit`, so that [-1, 1] cannot be meant.

    Nothing is said of a tensor whose values cannot be looked at: one being traced, compiled, mapped or captured.
    """
    extremes = _extremes(x)
    if extremes is None:
        return
    low, high = extremes
    if not math.isfinite(low + high):
        raise InputError("The images hold numbers that are not finite (NaN or infinity).")
    if max(-low, high) > limit:
        raise InputError(
            f"The images' values go from {low:.3g} to {high:.3g}; "
            "floats in [-1, 1] or uint8 from 0 to 255 are accepted."
        )


def refuse_not_finite(name: str, x: Tensor) -> None:
    """Raises InputError where `x` has a NaN or an infinity; as `refuse_other_units`, if its values can be looked at."""
    extremes = _extremes(x)
    if extremes is not None and not math.isfinite(sum(extremes)):
        raise InputError(f"{name} hold numbers that are not finite (NaN or infinity).")


def _extremes(x: Tensor) -> tuple[float, float] | None:
    """The least and the greatest value, NaN if there is one; None if there is none or it cannot be known now."""
    if torch.compiler.is_compiling() or torch.jit.is_tracing() or x.is_meta or not x.numel():
        return None
    if x.is_cuda and torch.cuda.is_current_stream_capturing():
        return None
    try:
        low, high = torch.stack(x.detach().aminmax()).tolist()
    except RuntimeError:  # inside vmap there are no values
        return None
    return low, high


def _scalar(value: Any) -> int | float | None:
    """A number of any type as Python's, None for what is no real number. True and False are none."""
    if isinstance(value, np.ndarray | np.generic | Tensor):
        if math.prod(value.shape) != 1:
            return None
        value = value.item()
    if isinstance(value, bool):
        return None
    if isinstance(value, float):
        return value
    try:
        return operator.index(value)
    except TypeError:
        return None


def _shown(value: Any) -> str:
    """The value in a message: short, on one line, a tensor or array by its shape."""
    if isinstance(value, Tensor | np.ndarray) and math.prod(value.shape) != 1:
        return f"a {type(value).__name__} of {value.dtype} and shape {list(value.shape)}"
    text = " ".join(repr(value).split())
    return text if len(text) <= 80 else f"{text[:77]}..."


def _from_pixels(pixels: Tensor, channels_last: bool) -> Image.Image:
    """An image's pixels as as_image takes them. channels_last: how uint8 is read whose shape would fit both ways."""
    shape, in_bytes = list(pixels.shape), pixels.dtype == torch.uint8
    if pixels.ndim == 4 and len(pixels) == 1:
        pixels = pixels[0]
    if in_bytes and pixels.ndim == 2:
        pixels = pixels[None]
    elif in_bytes and pixels.ndim == 3:
        first, last = pixels.shape[0] in CHANNELS, pixels.shape[2] in CHANNELS
        pixels = pixels.permute(2, 0, 1) if last and (channels_last or not first) else pixels
    if pixels.ndim != 3 or pixels.shape[0] not in CHANNELS or not pixels.numel():
        raise InputError(
            "An image has the shape (channels, height, width) with 1 to 4 channels, or as uint8 pixels "
            f"(height, width, channels), not {shape}."
        )
    if in_bytes:
        array = pixels.permute(1, 2, 0).numpy()
        return Image.fromarray(np.ascontiguousarray(array[..., 0] if array.shape[2] == 1 else array))
    if not pixels.is_floating_point():
        raise InputError(f"An image's pixels are uint8 from 0 to 255 or floats in [-1, 1], not {pixels.dtype}.")
    refuse_other_units(pixels, OVERSHOOT)
    return images.to_image(pixels)
