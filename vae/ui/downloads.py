"""What lies between latents, as a file that visitors keep."""

import base64
import math
import tempfile
from functools import cache
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont, ImageOps
from torch import Tensor

from vae import images
from vae.animation import write_animation
from vae.errors import InputError

FPS = 16.0
SMALL, SHOWN = 128, 256  # a smaller image is enlarged by a whole factor to about SHOWN pixels, unless told otherwise
POST = 1080  # pixels a side: what social media show whole, a square with a caption; post.js makes the same of images
SIZES = (256, 512, POST)  # pixels, that a visitor may choose
STRIP, TEXT, MARGIN = 64, 30, 24  # pixels of a post: the caption's strip, its letters, and the room at its sides
INK, QUIET = 224, 150  # the greys of the caption on black
SIGNED = "VAE Studio"
FORMATS = {"gif": "image/gif", "mp4": "video/mp4", "png": "image/png"}
MAX_BYTES = 128_000_000  # of pixels in one file
MAX_FILE = 48_000_000  # bytes that travel within an answer
WIDEST = 65_000  # pixels in a row: few programs open wider images


def sized(frame: Image.Image, size: int) -> Image.Image:
    """The image at a longer side of `size` pixels; a small one enlarged by a whole factor to at most that."""
    side = max(frame.size)
    if side <= SMALL:
        return images.enlarge(frame, max(1, size // side))
    if side == size:
        return frame
    width, height = (max(1, round(length * size / side)) for length in frame.size)
    return frame.resize((width, height), Image.Resampling.LANCZOS)


def posted(frame: Image.Image, caption: str, crisp: bool) -> Image.Image:
    """A square of POST pixels, black: the image, as large as it gets, and under it what it is and by whom. crisp:
    whether to enlarge it by a whole factor, pixel by pixel."""
    room = POST - STRIP
    factor = room // max(frame.size)
    frame = images.enlarge(frame, factor) if crisp and factor else ImageOps.contain(frame, (room, room))
    square = Image.new(frame.mode, (POST, POST))
    square.paste(frame, ((POST - frame.width) // 2, (POST - STRIP - frame.height) // 2))
    square.paste(_strip(frame.mode, caption), (0, POST - STRIP))
    return square


@cache
def _font() -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(TEXT)


def _strip(mode: str, caption: str) -> Image.Image:
    """The caption, cut where there is no more room, and on the right the project's name."""
    strip = Image.new("L", (POST, STRIP))
    draw, font = ImageDraw.Draw(strip), _font()
    room = POST - 3 * MARGIN - draw.textlength(SIGNED, font)
    if draw.textlength(caption, font) > room:
        while caption and draw.textlength(caption + "...", font) > room:
            caption = caption[:-1]
        caption = caption.rstrip() + "..."
    draw.text((MARGIN, STRIP / 2), caption, INK, font, anchor="lm")
    draw.text((POST - MARGIN, STRIP / 2), SIGNED, QUIET, font, anchor="rm")
    return strip.convert(mode)


def animation(
    pixels: Tensor, folder: Path, kind: str = "path", suffix: str = "gif", size: int = SHOWN, caption: str = ""
) -> Path:
    """Frames (n, C, H, W) uint8 of a way of that kind as one file: a path there and back, a loop once around, and as a
    png side by side. A grid is one sheet, always a png, with as many rows as columns.

    size: of a frame, or of the whole sheet, in pixels at most. caption: with it, and at the size POST, frames and
    sheets are posts, and what would lie side by side is a sheet of rows. Raises InputError for more than one file
    should hold.
    """
    n, channels, height, width = pixels.shape
    post, crisp = bool(caption) and size == POST, max(height, width) <= SMALL
    path = folder / f"interpolation.{suffix}"
    if kind == "grid" or (post and suffix == "png"):
        columns = math.ceil(n**0.5)
        factor = max(1, size // (columns * max(height, width))) if crisp else 1
        path = path.with_suffix(".png")
        sheet = images.grid(pixels, columns=columns, scale=1 if post else factor, gap=0)
        path.write_bytes(images.png_bytes(posted(sheet, caption, crisp) if post else sheet))
        return path
    frames = [images.to_image(frame) for frame in pixels]
    wide, high = (POST, POST) if post else sized(frames[0], size).size
    if n * wide * high * channels > MAX_BYTES or (suffix == "png" and n * (wide + 2) > WIDEST):
        raise InputError(f"{n} frames of {wide} x {high} pixels are too many for one file; choose a smaller size.")
    frames = [posted(frame, caption, crisp) if post else sized(frame, size) for frame in frames]
    write_animation([*frames, *frames[-2:0:-1]] if kind == "path" and suffix != "png" else frames, path, fps=FPS)
    return path


def linked(pixels: Tensor, kind: str, suffix: str, size: int, caption: str = "") -> tuple[str, str]:
    """The same as a data: URI, and its ending; no file stays behind."""
    with tempfile.TemporaryDirectory() as folder:
        path = animation(pixels, Path(folder), kind, suffix, size, caption)
        data, ending = path.read_bytes(), path.suffix
    if len(data) > MAX_FILE:
        raise InputError(f"The file would be {len(data) / 1e6:.0f} MB; choose a smaller size, or MP4.")
    return f"data:{FORMATS[ending[1:]]};base64," + base64.b64encode(data).decode("ascii"), ending
