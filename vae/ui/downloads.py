"""What lies between latents, as a file that visitors keep."""

import base64
import tempfile
from pathlib import Path

from PIL import Image
from torch import Tensor

from vae import images
from vae.animation import write_animation
from vae.errors import InputError

FPS = 16.0
SMALL, SHOWN = 128, 256  # a smaller image is enlarged by a whole factor to about SHOWN pixels, unless told otherwise
SIZES = (256, 512, 1080)  # pixels, that a visitor may choose
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


def animation(pixels: Tensor, folder: Path, kind: str = "path", suffix: str = "gif", size: int = SHOWN) -> Path:
    """Frames (n, C, H, W) uint8 of a way of that kind as one file: a path there and back, a loop once around, and as a
    png side by side. A grid is one sheet, always a png, with as many rows as columns.

    size: of a frame, or of the whole sheet, in pixels at most. Raises InputError for more than one file should hold.
    """
    n, channels, height, width = pixels.shape
    path = folder / f"interpolation.{suffix}"
    if kind == "grid":
        rows = round(n**0.5)
        factor = max(1, size // (rows * max(height, width))) if max(height, width) <= SMALL else 1
        path = path.with_suffix(".png")
        path.write_bytes(images.png_bytes(images.grid(pixels, columns=rows, scale=factor, gap=0)))
        return path
    frames = [images.to_image(frame) for frame in pixels]
    wide, high = sized(frames[0], size).size
    if n * wide * high * channels > MAX_BYTES or (suffix == "png" and n * (wide + 2) > WIDEST):
        raise InputError(f"{n} frames of {wide} x {high} pixels are too many for one file; choose a smaller size.")
    frames = [sized(frame, size) for frame in frames]
    write_animation([*frames, *frames[-2:0:-1]] if kind == "path" and suffix != "png" else frames, path, fps=FPS)
    return path


def linked(pixels: Tensor, kind: str, suffix: str, size: int) -> tuple[str, str]:
    """The same as a data: URI, and its ending; no file stays behind."""
    with tempfile.TemporaryDirectory() as folder:
        path = animation(pixels, Path(folder), kind, suffix, size)
        data, ending = path.read_bytes(), path.suffix
    if len(data) > MAX_FILE:
        raise InputError(f"The file would be {len(data) / 1e6:.0f} MB; choose a smaller size, or MP4.")
    return f"data:{FORMATS[ending[1:]]};base64," + base64.b64encode(data).decode("ascii"), ending
