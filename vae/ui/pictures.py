"""What visitors send as a picture, to PIL; and many pictures packed into one for the page."""

import base64
import binascii
import math
from pathlib import Path

from gradio.utils import get_upload_folder
from PIL import Image
from torch import Tensor

from vae import images
from vae.errors import InputError

EXAMPLES = Path(__file__).parent / "static" / "examples"
MAX_INLINE = 8 * 2**20  # characters


def examples() -> list[dict]:
    """The example pictures for the page: {name, label, uri}; the digits, then the photographs."""
    found = []
    for path in _example_files():
        kind = path.suffix.removeprefix(".")
        uri = f"data:image/{kind};base64," + base64.b64encode(path.read_bytes()).decode("ascii")
        label = path.stem.removeprefix("photo-").replace("-", " ").capitalize()
        found.append({"name": path.stem, "label": label, "uri": uri})
    return found


def _example_files() -> list[Path]:
    return [*sorted(EXAMPLES.glob("*.png")), *sorted(EXAMPLES.glob("*.webp"))]


def read_picture(value: object) -> Image.Image:
    """The picture that the page's or an HTTP client's value means. Raises InputError if there is none or it is bad.

    value: {kind: "example", name} | {kind: "file", file} | {kind: "inline" | "sample", uri} from the page, or Gradio's
    FileData, a dict with `path`, from a client.
    """
    if not isinstance(value, dict):
        raise InputError("A picture is needed; choose, drop or paste one.")
    if "path" in value:
        return _uploaded(value)
    if value.get("kind") == "file" and isinstance(value.get("file"), dict):
        return _uploaded(value["file"])
    if value.get("kind") == "example":
        for path in _example_files():
            if value.get("name") == path.stem:
                return images.open_image(path)
    if isinstance(value.get("uri"), str):
        return _inline(value["uri"])
    raise InputError("A picture is needed; choose, drop or paste one.")


def _uploaded(file: dict) -> Image.Image:
    """A file that was uploaded to this server. Any other path is refused: clients write what they like there."""
    path = Path(str(file.get("path"))).resolve()
    if not path.is_relative_to(Path(get_upload_folder()).resolve()) or not path.is_file():
        raise InputError("The picture must be uploaded first; a path on the server is not accepted.")
    return images.open_image(path, size_hint=1024)


def _inline(uri: str) -> Image.Image:
    head, _, body = uri.partition(",")
    if head != "data:image/png;base64" or len(body) > MAX_INLINE:
        raise InputError("A picture inside the request must be a PNG of up to 6 MB.")
    try:
        return images.open_image(base64.b64decode(body, validate=True))
    except binascii.Error:
        raise InputError("The picture inside the request is damaged.") from None


def sprite(pixels: Tensor) -> dict:
    """(n, C, H, W) uint8 side by side without gaps as one PNG: {sprite, n, columns, width, height} for the page."""
    n, _, height, width = pixels.shape
    columns = max(1, min(n, 16_384 // width, math.ceil(math.sqrt(n * height / width))))
    sheet = images.grid(pixels, columns=columns, gap=0)
    return {"sprite": images.data_uri(sheet), "n": n, "columns": columns, "width": width, "height": height}
