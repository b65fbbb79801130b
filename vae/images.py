"""Images in and out: decoding files nobody vouches for, fitting to a model's size, PIL <-> tensor, grids.

An image here is a PIL image of mode "L" or "RGB", or, where transparency is wanted, "LA" or "RGBA". A tensor of images
is (N, C, H, W), float in [-1, 1].
"""

import base64
import math
import os
import threading
from collections.abc import Callable, Mapping
from functools import partial
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from vae import limits
from vae.depth import Range, extremes, to_bytes, usual_range
from vae.errors import InputError
from vae.limits import MAX_PIXELS

# Bytes that decoding takes at its height for each pixel, measured; OpenJPEG keeps each colour as 32 bits.
DECODING, DECODING_MORE = 14, {"JPEG2000": 40, "WEBP": 24, "AVIF": 24, "TIFF": 24, "HEIF": 24}
LARGE = 64_000_000  # bytes; what takes more to decode is decoded one at a time
MAX_ASPECT = 20  # a longer strip would be cropped to almost nothing
ACCEPTED = "PNG, JPEG, WebP, GIF, BMP, TIFF, AVIF, JPEG 2000 and PPM"
# Named, or Pillow would also try formats that start another program (EPS) or have old, little used parsers.
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "JPEG2000", "PPM")
HEIF = find_spec("pillow_heif") is not None  # whether a library is here that reads iPhones' photographs

_one_large = threading.Lock()
# Of the files that are taken from folders and archives.
_COMMON = (".png", ".apng", ".jpg", ".jpeg", ".jfif", ".jpe", ".webp", ".gif", ".bmp", ".tif", ".tiff")
_RARE = (".avif", ".jp2", ".ppm", ".pgm", ".pbm", ".pnm", *((".heic", ".heif") if HEIF else ()))
SUFFIXES = frozenset(_COMMON + _RARE)
MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}  # by channels
COLOURS = {1: "grey", 2: "grey with transparency", 3: "RGB", 4: "RGB with transparency"}
TRANSPARENT = (2, 4)  # channels of which the last is the opacity

_ORIENTATION = 0x0112
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def open_image(
    source: str | os.PathLike | bytes | BinaryIO,
    size_hint: int | None = None,
    span: Range | Mapping[str, Range] | None = None,
    transparency: bool = False,
) -> Image.Image:
    """Decode one image from a path, its bytes or an open binary file, to mode "L" or "RGB", upright.

    Of an animation the first frame; transparent pixels laid on white; 16-bit and float pixels scaled to 8 bits. Format,
    width and height are checked on the header, before anything is decoded.

    span: the values over 8 bits that become black and white, or these for some PIL modes ("I;16", "I", "F"); otherwise
    the image's own range, see depth.usual_range.
    transparency: whether to keep it, as the second channel of "LA" or the fourth of "RGBA", with colours as they are.

    size_hint: the side in pixels the image will be fitted to. A large JPEG is then decoded at a fraction of its size,
    which is many times cheaper, and any other reduced once it is decoded; what comes back is at least twice the hint on
    its short side, if the file is.
    transparency: whether it is kept, where there is any, as "LA" or "RGBA".

    Raises InputError if the source is missing, empty, truncated or no image, has over MAX_PIXELS pixels or more than
    this machine's memory allows to decode, or is more than MAX_ASPECT times as long as it is wide (or the reverse).
    """
    return _open(source, size_hint, partial(_shallow, span=span, transparency=transparency))


def deep_values(path: str | os.PathLike) -> tuple[str, Range] | None:
    """Of an image file over 8 bits: its PIL mode, and the least and the greatest of its values. Of any other None, for
    which only its header is read. Raises InputError as open_image does."""
    mode = _open(path, None, None).mode
    if not is_deep(mode):
        return None
    return mode, extremes(np.asarray(_open(path, None, lambda image: image)))


def _open(
    source: str | os.PathLike | bytes | BinaryIO,
    size_hint: int | None,
    finish: Callable[[Image.Image], Image.Image] | None,
) -> Image.Image:
    """The image, decoded and upright, as `finish` leaves it; without `finish` not decoded."""
    if isinstance(source, bytes | bytearray | memoryview):
        return _decode(BytesIO(source), "The file", size_hint, finish)
    if not isinstance(source, str | os.PathLike):
        return _decode(source, "The file", size_hint, finish)
    try:
        with Path(source).open("rb") as file:
            return _decode(file, Path(source).name, size_hint, finish)
    except FileNotFoundError:
        raise InputError(f"There is no file {str(source)!r}.") from None
    except IsADirectoryError:
        raise InputError(f"{str(source)!r} is a folder, not a picture.") from None
    except (OSError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"The file {str(source)!r} cannot be read: {error}.") from error


def _decode(file: BinaryIO, name: str, size_hint: int | None, finish: Callable | None) -> Image.Image:
    Image.init()
    if HEIF and "HEIF" not in Image.OPEN:
        import pillow_heif

        pillow_heif.register_heif_opener()
    formats = [f for f in (*FORMATS, "HEIF") if f in Image.OPEN]  # a Pillow built without AVIF has the rest
    try:
        image = Image.open(file, formats=formats)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise InputError(_too_many_pixels(name)) from None
    except Exception as error:  # parsers raise whatever they like on bad bytes
        raise InputError(_not_a_picture(file, name)) from error
    _check_size(image, name)
    if finish is None:
        return image
    per_pixel = DECODING_MORE.get(image.format, DECODING)
    try:
        if size_hint:
            image.draft(None, (2 * size_hint, 2 * size_hint))
    except Exception as error:
        raise InputError(_damaged(name)) from error
    needed, allowed = image.width * image.height * per_pixel, limits.memory() * limits.share().image
    if needed > allowed:
        raise InputError(_too_many_pixels(name, int(allowed / per_pixel)))
    if needed <= LARGE:
        return _loaded(image, name, size_hint, finish)
    with _one_large:
        try:
            return _loaded(image, name, size_hint, finish)
        finally:
            limits.give_back()


def _loaded(image: Image.Image, name: str, size_hint: int | None, finish: Callable) -> Image.Image:
    try:
        image.load()
    except MemoryError:
        raise InputError(f"{name} is too large for this machine's memory.") from None
    except Exception as error:
        raise InputError(_damaged(name)) from error
    image = finish(_upright(image))
    factor = min(image.size) // (2 * size_hint) if size_hint else 1
    if factor > 1:
        image = image.reduce(factor)
    image.info.clear()  # position, camera and profile of a visitor's photograph end here
    return image


def _not_a_picture(file: BinaryIO, name: str) -> str:
    """The sentence for a file no decoder knows; an empty one and an SVG are told apart."""
    try:
        file.seek(0)
        head = file.read(1024)
    except (OSError, ValueError):
        head = b"?"
    if not head:
        return f"{name} is empty."
    if b"<svg" in head:
        return f"{name} is a drawing (SVG), not a picture made of pixels; {ACCEPTED} are accepted."
    if head[4:8] == b"ftyp" and head[8:12] in (b"heic", b"heix", b"mif1", b"msf1"):
        return f"{name} is a photograph in HEIC; {ACCEPTED} are accepted, and HEIC after pip install pillow-heif."
    return f"{name} is not a picture that can be read; {ACCEPTED} are accepted."


def _damaged(name: str) -> str:
    return f"{name} is damaged or cut off: it cannot be decoded to its end."


def _too_many_pixels(name: str, most: int = MAX_PIXELS) -> str:
    return f"{name} has too many pixels; up to {most / 1e6:.3g} megapixels are accepted."


def _check_size(image: Image.Image, name: str) -> None:
    width, height = image.size
    if width < 1 or height < 1:
        raise InputError(f"{name} has no pixels.")
    if width * height > MAX_PIXELS:
        raise InputError(_too_many_pixels(name))
    if max(width, height) > MAX_ASPECT * min(width, height):
        raise InputError(
            f"{name} is {width} x {height} pixels, too long for its width; "
            f"a picture up to {MAX_ASPECT} times as long as wide is accepted."
        )


def _upright(image: Image.Image) -> Image.Image:
    try:
        turn = _TURNS.get(image.getexif().get(_ORIENTATION))
    except Exception:  # unreadable metadata is no reason to refuse good pixels
        turn = None
    return image.transpose(turn) if turn is not None else image


def _shallow(image: Image.Image, span: Range | Mapping[str, Range] | None, transparency: bool) -> Image.Image:
    """Any PIL image in 8 bits a channel, as open_image says."""
    if is_deep(image.mode):
        image = _eight_bits(image, span.get(image.mode) if isinstance(span, Mapping) else span)
    return _layered(image) if transparency and image.has_transparency_data else flatten(image)


def flatten(image: Image.Image) -> Image.Image:
    """Any PIL image as "L" or "RGB" of the same size: transparency on white, deep pixels scaled to 8 bits."""
    if image.mode in ("L", "RGB") and "transparency" not in image.info:
        return image
    if is_deep(image.mode):
        return _eight_bits(image)
    if image.has_transparency_data:
        layered = _layered(image)
        grey = layered.mode == "LA"
        white = Image.new("L" if grey else "RGB", image.size, 255 if grey else (255, 255, 255))
        white.paste(layered, mask=layered)
        return white
    try:
        return image.convert("L" if image.mode == "1" else "RGB")
    except ValueError:
        raise InputError(_unknown_colours(image)) from None


def is_deep(mode: str) -> bool:
    """Whether a PIL image of that mode has integers over 8 bits or floats as its pixels."""
    return mode.startswith("I") or mode == "F"


def _layered(image: Image.Image) -> Image.Image:
    """Any image of 8 bits as "LA" or "RGBA"; one without transparency is opaque."""
    if image.mode in ("LA", "RGBA"):
        return image
    try:
        return image.convert("LA" if image.mode in ("1", "L", "La") else "RGBA")
    except ValueError:
        raise InputError(_unknown_colours(image)) from None


def _unknown_colours(image: Image.Image) -> str:
    return f"Pictures with {image.mode} colours are not accepted; save it as RGB or grey."


def _eight_bits(image: Image.Image, span: Range | None = None) -> Image.Image:
    """Grey with integers over 8 bits or floats, to "L"; span: the values that are black and white."""
    values, clear = np.asarray(image), image.info.get("transparency")
    flat = to_bytes(values, span or usual_range(*extremes(values), whole=image.mode != "F"))
    if isinstance(clear, int):
        flat[values == clear] = 255
    return Image.fromarray(flat)


def fit(image: Image.Image, size: int, channels: int, border: int = 0) -> Image.Image:
    """The image as a model takes it: size x size, of the channels' mode in MODES, with `border` black pixels around.

    The short side is resized to size - 2 * border, the middle cut out. An image that already is size x size keeps its
    pixels: it has its border.
    """
    inner = size - 2 * border
    if size < 1 or border < 0 or inner < 1:
        raise InputError(f"A border of {border} leaves nothing of a {size} x {size} picture.")
    image, mode = _without_others(image, channels), mode_of(channels)
    width, height = image.size
    if (width, height) == (size, size):
        return image.convert(mode)
    side = min(width, height)
    left, top = (width - side) // 2, (height - side) // 2
    box = (left, top, left + side, top + side)
    if side == inner:
        image = image.crop(box)
    elif side > inner:
        # Lanczos is antialiased; reducing_gap lets Pillow average whole blocks first, which is invisible and quick.
        image = image.resize((inner, inner), Image.Resampling.LANCZOS, box=box, reducing_gap=3.0)
    else:
        image = image.resize((inner, inner), Image.Resampling.BICUBIC, box=box)
    image = image.convert(mode)
    if not border:
        return image
    framed = Image.new(mode, (size, size))
    framed.paste(image, (border, border))
    return framed


def mode_of(channels: int) -> str:
    """The PIL mode of images of so many channels. InputError if there is none."""
    if channels not in MODES:
        raise InputError(f"Images have 1 to 4 channels, not {channels}.")
    return MODES[channels]


def as_channels(image: Image.Image, channels: int) -> Image.Image:
    """The image at its own size, with so many channels."""
    return _without_others(image, channels).convert(mode_of(channels))


def _without_others(image: Image.Image, channels: int) -> Image.Image:
    """The image in 8 bits, with its transparency where that is among the channels."""
    return _layered(image) if channels in TRANSPARENT and image.has_transparency_data else flatten(image)


def at_least(image: Image.Image, size: int, channels: int) -> Image.Image:
    """The whole image, with so many channels, at its own resolution; enlarged where its short side is below `size`."""
    image = as_channels(image, channels)
    short = min(image.size)
    if short >= size:
        return image
    width, height = (max(size, round(side * size / short)) for side in image.size)
    return image.resize((width, height), Image.Resampling.BICUBIC)


def to_array(image: Image.Image) -> np.ndarray:
    """uint8 (C, H, W), a channel for each of "L", "LA", "RGB" and "RGBA"; of another image's what `flatten` makes."""
    pixels = np.asarray(image if image.mode in MODES.values() else flatten(image))
    return pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)


def to_tensor(image: Image.Image) -> Tensor:
    """float32 (1, C, H, W) in [-1, 1], C = 1 for grey and 3 for RGB."""
    return to_float(torch.from_numpy(to_array(flatten(image)).copy()))[None]


def to_float(pixels: Tensor) -> Tensor:
    """uint8 pixels of any shape as float32 in [-1, 1]."""
    return pixels.float().div_(127.5).sub_(1.0)


def to_uint8(x: Tensor) -> Tensor:
    """[-1, 1] floats of any shape as uint8 pixels: the inverse of to_float. Clamped; NaN becomes black."""
    return x.detach().float().add(1.0).mul_(127.5).nan_to_num_(nan=0.0).round_().clamp_(0, 255).to(torch.uint8)


def to_image(x: Tensor) -> Image.Image:
    """One image, (C, H, W) or (1, C, H, W), C as in MODES: float in [-1, 1] (clamped, NaN black), or uint8."""
    if x.ndim == 4 and x.shape[0] == 1:
        x = x[0]
    if x.ndim != 3 or x.shape[0] not in MODES:
        raise InputError(f"An image has the shape (1 to 4, height, width), not {list(x.shape)}.")
    pixels = (x if x.dtype == torch.uint8 else to_uint8(x)).cpu().numpy()
    return Image.fromarray(pixels[0] if len(pixels) == 1 else np.ascontiguousarray(pixels.transpose(1, 2, 0)))


def grid(x: Tensor, columns: int | None = None, scale: int = 1, gap: int = 2) -> Image.Image:
    """Images (N, C, H, W), as to_image takes them, in rows of `columns` (default: as square as it gets).

    Each is enlarged by the whole factor `scale` without smoothing. Between cells lie `gap` pixels of middle grey, which
    sets both black and white images apart; around the grid lies none.
    """
    if x.ndim != 4 or len(x) < 1 or x.shape[1] not in MODES:
        raise InputError(f"A grid takes images of the shape (N, 1 to 4, height, width), not {list(x.shape)}.")
    count, channels, height, width = x.shape
    columns = min(count, columns or math.ceil(math.sqrt(count)))
    rows = math.ceil(count / columns)
    pixels = (x if x.dtype == torch.uint8 else to_uint8(x)).cpu()
    pixels = pixels.repeat_interleave(scale, 2).repeat_interleave(scale, 3)
    height, width = height * scale + gap, width * scale + gap
    canvas = torch.full((channels, rows * height - gap, columns * width - gap), 128, dtype=torch.uint8)
    if channels in TRANSPARENT:
        canvas[-1] = 255
    for i, cell in enumerate(pixels):
        top, left = i // columns * height, i % columns * width
        canvas[:, top : top + height - gap, left : left + width - gap] = cell
    return to_image(canvas)


def enlarge(image: Image.Image, factor: int) -> Image.Image:
    """Every pixel as a factor x factor block: small images stay crisp."""
    return image.resize((image.width * factor, image.height * factor), Image.Resampling.NEAREST)


def png_bytes(image: Image.Image, quick: bool = False) -> bytes:
    """The image as a PNG file's bytes, lossless. quick: in a third of the time, a photograph's then 3% longer."""
    buffer = BytesIO()
    image.save(buffer, format="PNG", compress_level=2 if quick else 6)
    return buffer.getvalue()


def data_uri(image: Image.Image) -> str:
    """The image as a data: URI, lossless, for an <img> that needs no request of its own."""
    return "data:image/png;base64," + base64.b64encode(png_bytes(image)).decode("ascii")
