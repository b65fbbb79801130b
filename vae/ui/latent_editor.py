"""The latent of the image in Reconstruct, down and up as a file, and edited channel by channel, beside what it decodes
to. The page keeps the latent and sends it with each wish: the server remembers nothing of it."""

import base64
import math
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import gradio as gr
from gradio.utils import get_upload_folder
from torch import Tensor

from vae import images
from vae.errors import InputError
from vae.latents.editing import ChannelEdit, edit_channels
from vae.latents.latent_file import FORMATS, read_latent, write_latent
from vae.ui.components import error_text, raising_gradio_errors, whole, widget
from vae.ui.latent_points import LONGEST, read_point, write_point
from vae.ui.serving.models import ModelServer
from vae.ui.serving.tasks import Done, Report, Tasks
from vae.ui.uploads import link

NUMBERS = LONGEST * 3 // 16  # of a latent that travels with a request
PIXELS = 2048**2  # of an image that an edited latent decodes to
MAX_SEED = 2**31 - 1


TITLE = "Edit the latent: change its channels, and see what each of them does"


def build(server: ModelServer, tasks: Tasks, shown: Callable[..., Callable], inputs: list) -> None:
    """inputs: what the tab's result is made of, the chosen model first. shown: (*their values) -> work(report=None),
    which reconstructs what the tab shows."""
    view = widget("latent_editor", events=["run"], functions=[raising_gradio_errors(tasks.stop)], fold=TITLE)

    def run(event: gr.EventData, model: str | None, *rest) -> Iterator[dict]:
        yield from answers(server, tasks, event._data, model, lambda report: shown(model, *rest)(report=report))

    # One wish of a page is on its way at a time.
    view.run(run, inputs, view, api_visibility="private", show_progress="hidden", trigger_mode="multiple")


def answers(
    server: ModelServer, tasks: Tasks, asked: object, model: str | None, encode: Callable[[Report], object]
) -> Iterator[dict]:
    """What the page is told about one wish: {ticket, what, share} while it is computed, then {ticket, and a result or
    an error in one sentence}.

    asked: {ticket, model, what}, and with it, by `what`: "take", nothing; "open", `file`, which was uploaded; "decode",
    `z`, `shape`, `size`, `edits` and `seed`; "keep", the same and a `format`. See the types of latent_editor.js.
    """
    asked = asked if isinstance(asked, dict) else {}
    ticket = {"ticket": str(asked.get("ticket"))[:80]}
    try:
        if asked.get("model") != model:
            raise InputError("The model has changed since; try again.")
        for step in tasks.watch(ticket["ticket"], partial(_WISHES[_wish(asked)], server, model, asked, encode)):
            if isinstance(step, Done):
                yield ticket | {"result": step.result}
                return
            yield ticket | {"what": step.what, "share": step.share}
        yield ticket | {"error": "Stopped."}
    except Exception as error:
        yield ticket | {"error": error_text(error, "editing a latent")}


def _wish(asked: dict) -> str:
    wish = asked.get("what")
    if not isinstance(wish, str) or wish not in _WISHES:
        raise InputError(f"What is wanted of a latent is one of {', '.join(_WISHES)}.")
    return wish


def _take(server: ModelServer, model: str, asked: dict, encode, report: Report) -> dict:
    found = encode(report)
    return _shown(found.latent[0], found.original.height, found.original.width, "the latent of the picture")


def _open(server: ModelServer, model: str, asked: dict, encode, report: Report) -> dict:
    facts, file = server.catalog.facts(model), asked.get("file")
    path = Path(str(file.get("path") if isinstance(file, dict) else None)).resolve()
    if not path.is_relative_to(Path(get_upload_folder()).resolve()) or not path.is_file():
        raise InputError("The latent must be uploaded first; a path on the server is not accepted.")
    limit = 32 * NUMBERS
    if path.stat().st_size > limit:
        raise InputError(f"A latent's file may have up to {limit / 1e6:.0f} MB here.")
    z = read_latent(path, facts["latent_shape"][0])
    factor = _checked(facts, list(z.shape))
    return _shown(z, z.shape[1] * factor, z.shape[2] * factor, path.name)


def _decode(server: ModelServer, model: str, asked: dict, encode, report: Report) -> dict:
    z, height, width = _edited(server.catalog.facts(model), asked)
    pixels = server.decode_one(model, z, height, width, report)
    return {"image": link(images.to_image(pixels), "edited-latent"), "height": height, "width": width}


def _keep(server: ModelServer, model: str, asked: dict, encode, report: Report) -> dict:
    facts = server.catalog.facts(model)
    z, _, _ = _edited(facts, asked)
    suffix = asked.get("format")
    if suffix not in FORMATS:
        raise InputError(f"A latent is written as {' or '.join(FORMATS)}.")
    factors = {name: facts[name] for name in ("scaling_factor", "shift_factor", "latent_space")}
    data = write_latent(z, suffix, {"model": model, "scaled": False, **factors})
    return {"file": "data:application/octet-stream;base64," + base64.b64encode(data).decode("ascii")}


_WISHES = {"take": _take, "open": _open, "decode": _decode, "keep": _keep}


def _shown(z: Tensor, height: int, width: int, name: str) -> dict:
    """A latent as the page keeps it."""
    if z.numel() > NUMBERS:
        raise InputError(f"A latent of up to {NUMBERS:,} numbers can be edited here, not of {z.numel():,}.")
    return {"z": write_point(z), "shape": list(z.shape), "size": [height, width], "name": name}


def _edited(facts: dict, asked: dict) -> tuple[Tensor, int, int]:
    """The latent that the page sent, with its edits, and the height and width of its image."""
    z, shape = read_point(asked.get("z")), asked.get("shape")
    if not isinstance(shape, list) or len(shape) != 3 or not all(type(side) is int and side > 0 for side in shape):
        raise InputError("A latent has a number of channels, a height and a width.")
    if math.prod(shape) != z.numel():
        raise InputError("The latent in the request is damaged.")
    factor, size = _checked(facts, shape), asked.get("size")
    size = size if isinstance(size, list) and len(size) == 2 else [None, None]
    height, width = (whole("A side", side, 1, of * factor) for side, of in zip(size, shape[1:], strict=True))
    edits, seed = asked.get("edits"), whole("The seed", asked.get("seed", 0), 0, MAX_SEED)
    if not isinstance(edits, list) or not all(isinstance(edit, dict) for edit in edits):
        raise InputError("A latent's edits are a list, one for each channel.")
    edits = [ChannelEdit(edit.get("source"), edit.get("scale", 1.0), edit.get("noise", 0.0)) for edit in edits]
    return edit_channels(z.view(1, *shape), edits, seed)[0], height, width


def _checked(facts: dict, shape: list[int]) -> int:
    """How many pixels of its image's side one of the latent's is. Raises InputError for a latent that the model does
    not take."""
    channels, height, _ = facts["latent_shape"]
    factor = facts["image_size"] // height
    if shape[0] != channels or (facts["fixed_size"] and shape != facts["latent_shape"]):
        wanted = " x ".join(map(str, facts["latent_shape"]))
        raise InputError(f"Latents of this model have {wanted} numbers, not {' x '.join(map(str, shape))}.")
    if shape[1] * shape[2] * factor**2 > PIXELS:
        raise InputError(f"A latent of an image of up to {PIXELS:,} pixels can be decoded here.")
    return factor
