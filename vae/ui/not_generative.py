"""Sample, for auto-encoders that are no generators: says so and why, and shows what their latents are like instead."""

from dataclasses import dataclass

import gradio as gr

from vae.errors import InputError
from vae.ui.components import note, widget
from vae.ui.serving.jobs import Call
from vae.ui.serving.latent_spread import Spread
from vae.ui.serving.models import ModelServer, Work
from vae.ui.uploads import link, read_picture

FIRST = {"kind": "example", "name": "photo-parrot"}
FAMILIES = ("kl", "tiny", "wan", "vq", "dc", "hunyuan")  # of auto-encoders made for diffusion models
UNSURE = 0.02  # posteriors narrower than this, on average, were hardly pulled towards N(0, I)


@dataclass(frozen=True)
class Parts:
    """notice: below the samples, empty where there is nothing to say. column: the controls, with the image whose
    latent is looked at. known: which model and image the notice shows, the visitor's own state."""

    notice: gr.HTML
    column: gr.Column
    picture: gr.HTML
    error_note: gr.HTML
    known: gr.State

    @property
    def inputs(self) -> list:
        return [self.picture, self.known]

    @property
    def outputs(self) -> list:
        return [self.notice, self.column, self.error_note, self.known]


def controls() -> tuple[gr.Column, gr.HTML, gr.HTML, gr.State]:
    """The column with the image and its note, hidden until a model asks for it, and the state."""
    with gr.Column(visible=False, elem_classes=["vs-card"]) as column:
        picture = widget("image_input", value=FIRST)
        error_note = note()
    return column, picture, error_note, gr.State(None)


def concerns(server: ModelServer, model: str | None) -> bool:
    """Whether the model may be one of those; its latents tell in the end. InputError if it cannot be read."""
    return server.catalog.facts(model)["family"] in FAMILIES


def asked(server: ModelServer, model: str | None, value: object) -> Call:
    """What `look` asks for. Raises InputError for a bad image."""
    return server.spread_call(model, read_picture(value, 256), seed=0)


def look(server: ModelServer, parts: Parts, model: str | None, value: object, known: object, work: Work) -> dict:
    """What the notice and its controls become for this model and image. work: that answers what is `asked`."""
    if not concerns(server, model):
        return {parts.notice: None, parts.column: gr.Column(visible=False), parts.error_note: "", parts.known: None}
    if known == [model, value]:
        return {}
    try:
        found = work()
    except InputError as error:
        return {parts.error_note: str(error)}
    explained = explanation(found, server.catalog.facts(model)["variational"])
    column = gr.Column(visible=explained is not None)
    return {parts.notice: explained, parts.column: column, parts.error_note: "", parts.known: [model, value]}


def explanation(found: Spread, variational: bool) -> dict | None:
    """The notice for the page; None for a model whose posteriors were pulled towards N(0, I) after all."""
    if variational and found.sigma > UNSURE:
        return None
    return {
        "original": link(found.original, "original"),
        "repainted": link(found.reconstruction, "reconstruction"),
        "noise": link(found.noise, "noise"),
        "width": found.original.width,
        "std": round(found.std, 4),
        "sigma": found.sigma if variational else None,
        "alike": round(found.correlation, 4),
    }
