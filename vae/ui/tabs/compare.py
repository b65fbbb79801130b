"""The Compare tab: one image through two to six models, side by side; a whole folder; and what the models bear."""

from collections.abc import Iterator
from functools import partial

import gradio as gr

from vae.errors import InputError
from vae.inference import Reconstruction
from vae.ui import stress_view
from vae.ui.address import Linked
from vae.ui.components import error_text, fold, lead, raising_gradio_errors, telling_errors, widget
from vae.ui.folder_measure import FolderMeasure
from vae.ui.folder_sets import FolderSets
from vae.ui.formulas import formula
from vae.ui.not_generative import FAMILIES
from vae.ui.serving.jobs import Call
from vae.ui.serving.models import ModelServer
from vae.ui.serving.tasks import Done, Tasks
from vae.ui.uploads import link, linked_example, read_picture

FIRST = {"kind": "example", "name": "digit-2"}
MOST = 6  # models side by side
AT_ONCE = 2  # folders and stress tests of all visitors, which take long

LEAD = (
    "One picture, several models. Zoom in on a detail and all of them follow: what one model has lost there, another "
    "may have kept, and the figures show at what cost."
)
WHY = (
    "<p>Each model takes the picture in its own way (some only in grey, some only at one size), encodes it, and "
    "decodes the mean. All figures compare the result with the picture as that model took it.</p>"
    + formula('PSNR = 10 log_10 frac{{255^2}}{{"mean of " {(x − hat{x})}^2}} "dB"')
    + "<p>SSIM compares brightness, contrast and structure in small windows; 1 means the same picture.</p>"
    "<p>Bits per pixel is the size of the latent with each of its numbers stored in 16 bits (float16), "
    "or of a codebook each pixel's index in log2 of its entries; an "
    "uncompressed colour picture has 24.</p>"
    + formula('"bits per pixel" = frac{{16 · C · h · w}}{{H · W}}')
    + "<p>The difference is |x − x̂| in each colour, multiplied by the factor you choose: black means that nothing "
    "was lost.</p><p>Models that share a latent space can decode what another one encoded.</p>"
)


def build(server: ModelServer, tasks: Tasks) -> Linked:
    sets = FolderSets(server.catalog.audience)
    measuring = FolderMeasure(server, tasks, sets)
    lead("Compare", LEAD)
    with gr.Row(elem_classes=["vs-split", "vs-compare-split"]):
        with gr.Column(elem_classes=["vs-controls"]):
            with gr.Column(elem_classes=["vs-card"]):
                picture = widget(
                    "image_input",
                    value=FIRST,
                    tab="compare",
                    topic="compare-picture",
                    shows="compare-show",
                    photographs=FAMILIES,
                )
            with gr.Column(elem_classes=["vs-card"]):
                fold("The maths behind this", WHY)
        with gr.Column(elem_classes=["vs-result"]), gr.Column(elem_classes=["vs-card"]):
            view = widget("comparison", events=["run"], functions=[raising_gradio_errors(tasks.stop)], most=MOST)

    def run(event: gr.EventData) -> Iterator[dict]:
        yield from answers(server, tasks, event._data)

    scripts = [telling_errors(script) for script in (tasks.stop, sets.names, sets.picture, sets.thumbnails)]
    bench = widget("bench", events=["work"], functions=scripts)

    # Each asks for what it lacks, so that none is dropped; the page has one on its way at a time.
    view.run(run, None, view, api_visibility="private", show_progress="hidden", trigger_mode="multiple")

    def work(event: gr.EventData) -> Iterator[dict]:
        asked = event._data if isinstance(event._data, dict) else {}
        folder = asked.get("kind") == "folder"
        yield from measuring.answers(asked) if folder else stress_view.answers(server, tasks, asked)

    told = {"api_visibility": "private", "show_progress": "hidden", "trigger_mode": "multiple"}
    bench.work(work, None, bench, **told, concurrency_limit=AT_ONCE)

    def set_to(query: dict[str, str], model: str | None) -> dict:
        news = {}
        if "image" in query:
            news[picture] = linked_example(query["image"])
        others = query.get("with", "").split(",")[: MOST - 1]
        for name in filter(None, others):
            if server.catalog.named(name) is None:
                raise InputError(f"The link's model to compare with, {name[:80]}, is not here, or not any more.")
        return news | ({view: {"with": others}} if others[0] else {})

    return Linked([picture, view], set_to)


def answers(server: ModelServer, tasks: Tasks, asked: object) -> Iterator[dict]:
    """What the page is told while the panes that it asks for are computed, one after another.

    asked: {ticket, image, panes: [{key, encoder, decoder}]}. Each answer has the ticket; those about a pane have its
    key, and `what` is done and the `share` of it, or its `result`, or an `error` in one sentence. The last is `done`.
    """
    asked = asked if isinstance(asked, dict) else {}
    ticket, panes = str(asked.get("ticket"))[:80], asked.get("panes")
    panes = [pane for pane in panes if isinstance(pane, dict)][:MOST] if isinstance(panes, list) else []
    works = server.together([partial(comparison, server, asked.get("picture"), pane) for pane in panes])
    for pane, work in zip(panes, works, strict=True):
        pane_is, result = {"ticket": ticket, "key": pane.get("key")}, None
        try:
            for step in tasks.watch(ticket, work):
                if isinstance(step, Done):
                    yield pane_is | {"result": (result := pane_value(step.result, pane))}
                else:
                    yield pane_is | {"what": step.what, "share": step.share}
            if result is None:
                break  # stopped
        except Exception as error:
            yield pane_is | {"error": error_text(error, "comparing")}
    yield {"ticket": ticket, "done": True}


def comparison(server: ModelServer, picture: object, pane: dict) -> Call:
    """What a pane asks for. Raises InputError for what it cannot."""
    encoder, decoder = pane.get("encoder"), pane.get("decoder") or pane.get("encoder")
    if not isinstance(encoder, str) or not isinstance(decoder, str):
        raise InputError("Choose a model.")
    return server.compare_call(encoder, decoder, read_picture(picture))


def pane_value(found: Reconstruction, pane: dict) -> dict:
    """One pane for the page."""
    name = "-".join(dict.fromkeys(str(pane[part]).split("/")[-1] for part in ("encoder", "decoder") if pane.get(part)))
    return {
        "original": link(found.original, f"{name}-original"),
        "image": link(found.image, f"{name}-reconstruction"),
        "width": found.original.width,
        "height": found.original.height,
        "box": [round(edge, 4) for edge in found.box],
        "grey": found.original.mode in ("L", "LA"),
        "cleaned": found.cleaned,
        "psnr": round(found.psnr, 3),
        "ssim": round(found.ssim, 5),
        "latent_shape": list(found.latent_shape),
        "bits_per_pixel": round(found.bits_per_pixel, 4),
        "seconds": round(found.seconds, 4),
        "tile": found.tile,
    }
