"""The Sample tab: pictures from nothing but noise."""

from collections.abc import Iterator
from dataclasses import dataclass

import gradio as gr

from vae.errors import InputError
from vae.inference import MAX_SEED, draw_seed
from vae.ui import noprior
from vae.ui.components import fold, lead, note, number, spoken, spoken_steps, whole, widget
from vae.ui.engine import Engine
from vae.ui.formulas import formula
from vae.ui.pictures import sprite

COUNT = 64
MOST = 256  # on the page; HTTP takes more
LARGE, FEW, FEW_MOST = 256, 4, 16  # pictures from that many pixels on: so many at first, and at most

LEAD = (
    "No picture goes in here. The decoder is handed pure noise, and paints what those numbers would mean. "
    "A variational auto-encoder was trained so that noise makes sense; a plain one was not, and it shows."
)
WHY = (
    "<p>Training pulls the cloud of every picture towards the standard normal distribution. So a draw from that "
    "distribution, the prior, should land where some picture could have been, and the decoder know what to do.</p>"
    + formula('x = decoder(τ ε) , " with " ε ∼ N(0, I)')
    + "<p>The temperature τ widens or narrows the draw: near 0 all samples become the one most average picture; "
    "above 1 they come from further out than anything the decoder has seen.</p>"
)


@dataclass(frozen=True)
class Parts:
    view: gr.HTML
    refresh: dict


def build(engine: Engine, picker: gr.HTML) -> Parts:
    lead(LEAD)
    with gr.Row(elem_classes=["vs-split"]):
        with gr.Column(elem_classes=["vs-controls"]):
            with gr.Column(elem_classes=["vs-card"]):
                draw = gr.Button("Draw new samples", variant="primary")
                mistake = note()
                count = gr.Slider(1, MOST, COUNT, step=1, label="How many")
                temperature = gr.Slider(
                    0.0, 2.0, 1.0, step=0.05, label="Temperature", info="How far out to draw: 1 is the prior itself"
                )
                prior = gr.Radio(["normal"], value="normal", label="Prior", visible=False)
                with gr.Row(elem_classes=["vs-row"]):
                    seed = gr.Number(0, label="Seed", precision=0, minimum=0, min_width=90)
                    keep = gr.Checkbox(False, label="Keep this seed", container=False, min_width=120)
            looked = noprior.controls()
            with gr.Column(elem_classes=["vs-card"]):
                fold("What is computed", WHY)
        with gr.Column(elem_classes=["vs-result"]):
            with gr.Column(elem_classes=["vs-card", "vs-notice"]):
                notice = noprior.Parts(widget("noprior"), *looked)
            with gr.Column(elem_classes=["vs-card"]):
                view = widget("samples", events=["send"])
    wished = gr.State(None)  # how many samples the visitor wanted before a model that paints large pictures was chosen

    def bearable(model, n: int, before: int | None) -> tuple[int, dict]:
        """How many samples to draw, and what that changes on the page."""
        large = noprior.concerns(engine, model) and engine.catalog.facts(model)["image_size"] >= LARGE
        if large and n > FEW_MOST:
            return FEW, {count: gr.Slider(maximum=FEW_MOST, value=FEW), wished: n}
        if not large and before is not None:
            return before, {count: gr.Slider(maximum=MOST, value=before), wished: None}
        return n, {}

    def drawn(model, n, number_, tau, name, before) -> dict:
        n, changes = bearable(model, n, before)
        try:
            found = engine.sample(model, n, number_, tau, name, small=True)
        except InputError:
            if name == "normal":
                raise
            name = "normal"  # the model chosen meanwhile has no such prior, or the error comes again
            found = engine.sample(model, n, number_, tau, name, small=True)
        facts = {"seed": number_, "temperature": tau, "prior": name, "model": model, "seconds": found.seconds}
        choices = gr.Radio(choices=list(found.priors), value=name, visible=len(found.priors) > 1)
        return {view: sprite(found.pixels) | facts, prior: choices, **changes}

    def checked(n, number_, tau) -> tuple[int, int, float]:
        n = whole("How many", n, 1, MOST)
        return n, whole("The seed", number_ or 0, 0, MAX_SEED), number("The temperature", tau, 0, 2)

    @spoken_steps(mistake)
    def show(model, n, number_, tau, name, before, photograph, known) -> Iterator[dict]:
        n, number_, tau = checked(n, number_, tau)
        if noprior.concerns(engine, model):
            yield {view: {"waiting": True}}
        yield noprior.look(engine, notice, model, photograph, known)
        yield drawn(model, n, number_, tau, name, before)

    @spoken(mistake)
    def anew(model, n, number_, tau, name, before, kept) -> dict:
        n, number_, tau = checked(n, number_, tau)
        number_ = number_ if kept else draw_seed()
        return drawn(model, n, number_, tau, name, before) | {seed: number_}

    def seen(model, photograph, known) -> dict:
        return noprior.look(engine, notice, model, photograph, known)

    inputs, outputs = [picker, count, seed, temperature, prior, wished], [view, prior, count, wished, mistake]
    private = {"api_visibility": "private", "show_progress_on": view}
    refresh = {"fn": show, "inputs": [*inputs, *notice.inputs], "outputs": [*outputs, *notice.outputs]}
    draw.click(anew, [*inputs, keep], [*outputs, seed], **private)
    for control in (count, temperature, seed):
        control.input(**refresh, **private, trigger_mode="always_last")
    prior.input(**refresh, **private)
    notice.picture.change(seen, [picker, *notice.inputs], notice.outputs, **private)
    return Parts(view, refresh)
