"""What visitors send as an image, to PIL; and many images packed into one for the page."""

import base64
import binascii
import contextlib
import io
import math
import re
import secrets
import shutil
import time
from functools import cache
from pathlib import Path

from gradio.utils import get_upload_folder
from PIL import Image
from torch import Tensor

from vae import images
from vae.checkpoints.find_model import bundled
from vae.errors import InputError
from vae.latents import statistics

EXAMPLES = Path(__file__).parent / "static" / "examples"
MAX_INLINE = 8 * 2**20  # characters
INLINE = 100_000  # bytes of an image that travels within the answer
KEPT = 3600
CLOTHES = {"clothes-bag": 9, "clothes-shirt": 39}  # which of fashion-vae's test images
SMALL = 120  # pixels a side of an example as the page has it, at most


def examples() -> list[dict]:
    """The example images for the page, small: {name, label, uri}; digits, clothes, photographs."""
    digits, photographs = ({path.stem: path for path in paths} for paths in (_digits(), _photographs()))
    uris = {name: _data_uri("png", path.read_bytes()) for name, path in digits.items()}
    uris |= {name: images.data_uri(image) for name, image in clothes().items()}
    uris |= {name: _data_uri("webp", _reduced(path)) for name, path in photographs.items()}
    return [{"name": name, "label": _label(name), "uri": uri} for name, uri in uris.items()]


def _data_uri(kind: str, data: bytes) -> str:
    return f"data:image/{kind};base64," + base64.b64encode(data).decode("ascii")


def _reduced(path: Path) -> bytes:
    image, small = Image.open(path), io.BytesIO()
    image.thumbnail((SMALL, SMALL), Image.Resampling.LANCZOS)
    image.save(small, "webp", quality=75, method=6)
    return small.getvalue()


def _label(name: str) -> str:
    return name.removeprefix("photo-").removeprefix("clothes-").replace("-", " ").capitalize()


@cache
def clothes() -> dict[str, Image.Image]:
    """Some of the test images that the bundled fashion-vae was measured on, 28 x 28 grey, out of its own statistics;
    none where these cannot be read."""
    folder = bundled().get("fashion-vae")
    with contextlib.suppress(InputError):
        found = statistics.read([folder / "model.safetensors"]) if folder else None
        if found:
            sheet, side = Image.open(io.BytesIO(found.sheet)).convert("L"), found.side
            corners = {name: (i % statistics.COLUMNS, i // statistics.COLUMNS) for name, i in CLOTHES.items()}
            return {
                name: sheet.crop((x * side, y * side, (x + 1) * side, (y + 1) * side))
                for name, (x, y) in corners.items()
            }
    return {}


def _digits() -> list[Path]:
    return sorted(EXAMPLES.glob("*.png"))


def _photographs() -> list[Path]:
    return sorted(EXAMPLES.glob("*.webp"))


def read_picture(value: object, side: int = 1024) -> Image.Image:
    """The image that the page's or an HTTP client's value means. Raises InputError if there is none or it is bad.

    value: {kind: "example", name} | {kind: "file", file} | {kind: "inline" | "sample", uri} from the page, or Gradio's
    FileData, a dict with `path`, from a client. side: what the image is needed at; a larger JPEG is read faster.
    """
    if not isinstance(value, dict):
        raise InputError("A picture is needed; choose, drop or paste one.")
    if "path" in value:
        return _uploaded(value, side)
    if value.get("kind") == "file" and isinstance(value.get("file"), dict):
        return _uploaded(value["file"], side)
    if value.get("kind") == "example":
        if value.get("name") in list(clothes()):
            return clothes()[value["name"]].copy()
        for path in (*_digits(), *_photographs()):
            if value.get("name") == path.stem:
                return images.open_image(path)
    if isinstance(value.get("uri"), str):
        return _inline(value["uri"])
    raise InputError("A picture is needed; choose, drop or paste one.")


def linked_example(name: str) -> dict:
    """The value of the component "image_input" for an example that a link names. Raises InputError for none."""
    names = [each["name"] for each in examples()]
    if name not in names:
        raise InputError(f"The link's image, {name[:40]}, is none of {', '.join(names)}.")
    return {"kind": "example", "name": name}


def _uploaded(file: dict, side: int) -> Image.Image:
    """A file that was uploaded to this server. Any other path is refused: clients write what they like there."""
    path = Path(str(file.get("path"))).resolve()
    inside = path.is_relative_to(Path(get_upload_folder()).resolve())
    if inside and not path.is_file():
        raise InputError("The picture is not kept on the server any more; choose it again.")
    if not inside:
        raise InputError("The picture must be uploaded first; a path on the server is not accepted.")
    return images.open_image(path, side, transparency=True)


def _inline(uri: str) -> Image.Image:
    head, _, body = uri.partition(",")
    if head != "data:image/png;base64" or len(body) > MAX_INLINE:
        raise InputError("A picture inside the request must be a PNG of up to 6 MB.")
    try:
        return images.open_image(base64.b64decode(body, validate=True), transparency=True)
    except binascii.Error:
        raise InputError("The picture inside the request is damaged.") from None


def link(image: Image.Image, name: str) -> str:
    """Where a page finds this image as a PNG: inside the address itself if it is small, else in a file that is kept
    for KEPT seconds, in a folder whose name cannot be guessed. name: of the file that a visitor downloads."""
    data = images.png_bytes(image)
    if len(data) <= INLINE:
        return "data:image/png;base64," + base64.b64encode(data).decode("ascii")
    place = Path(get_upload_folder()) / "vae-studio"
    place.mkdir(parents=True, exist_ok=True)
    for old in place.iterdir():
        with contextlib.suppress(OSError):  # another thread was quicker
            if time.time() - old.stat().st_mtime > KEPT:
                shutil.rmtree(old)
    folder = place / secrets.token_hex(16)
    folder.mkdir()
    path = folder / (re.sub(r"[^\w.-]+", "-", name)[:80].strip("-.") + ".png")
    path.write_bytes(data)
    return f"gradio_api/file={path}"


def sprite(pixels: Tensor) -> dict:
    """(n, C, H, W) uint8 side by side without gaps as one PNG: {sprite, n, columns, width, height} for the page."""
    n, _, height, width = pixels.shape
    columns = max(1, min(n, 16_384 // width, math.ceil(math.sqrt(n * height / width))))
    sheet = images.grid(pixels, columns=columns, gap=0)
    return {"sprite": images.data_uri(sheet), "n": n, "columns": columns, "width": width, "height": height}
