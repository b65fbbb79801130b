"""The Interpolate tab: the way from one latent to another."""

from dataclasses import dataclass

import gradio as gr

from vae.errors import InputError
from vae.inference import MAX_SAMPLES, MAX_SEED
from vae.ui.components import fold, lead, note, number, spoken, whole, widget
from vae.ui.drawing import Draw, End
from vae.ui.engine import Engine
from vae.ui.formulas import formula
from vae.ui.pictures import read_picture, sprite
from vae.ui.saving import SHOWN, linked

STEPS, MOST = 32, 96
ROUND, STRAIGHT = "Around the sphere (slerp)", "Straight line (lerp)"
MODES = {ROUND: "slerp", STRAIGHT: "lerp"}

LEAD = (
    "Two points in the latent space, and all that lies between them. In a good latent space every step is a picture of "
    "its own, and one thing turns into another; in a bad one the two ends merely fade into each other."
)
WHY = (
    "<p>The straight line mixes the two latents. Halfway between two draws from N(0, I) it passes nearer the centre "
    "than almost any draw ever comes, where the decoder has seen little.</p>"
    + formula("z_t = (1 − t) a + t b")
    + "<p>Going around the sphere keeps the typical distance from the centre (θ is the angle between a and b; the "
    "length changes evenly from one to the other).</p>"
    + formula("z_t ∝ frac{{sin((1 − t)θ)}}{{sin θ}} frac{a}{{‖a‖}} + frac{{sin(tθ)}}{{sin θ}} frac{b}{{‖b‖}}")
)


@dataclass(frozen=True)
class Parts:
    a: gr.HTML
    b: gr.HTML
    refresh: dict


def build(engine: Engine, picker: gr.HTML) -> Parts:
    lead(LEAD)
    with gr.Row(elem_classes=["vs-split"]):
        with gr.Column(elem_classes=["vs-controls"]):
            with gr.Column(elem_classes=["vs-card"]):
                a = widget("end", value={"kind": "seed", "seed": 3}, side="A")
                b = widget("end", value={"kind": "seed", "seed": 4}, side="B")
                mistake = note()
                mode = gr.Radio(list(MODES), value=ROUND, label="Path")
                steps = gr.Slider(2, MOST, STEPS, step=1, label="Frames")
            with gr.Column(elem_classes=["vs-card"]):
                fold("What is computed", WHY)
        with gr.Column(elem_classes=["vs-result"]), gr.Column(elem_classes=["vs-card"]):
            view = widget("morph", events=["animate"])
            saver = widget("saver")

    def frames(model, end_a, end_b, n, path):
        n = whole("Frames", n, 2, MOST)
        if path not in MODES:
            raise InputError(f"The path is {ROUND} or {STRAIGHT}.")
        ends = [read_end(end_a, model), read_end(end_b, model)]
        return engine.interpolate(model, ends, n, MODES[path], small=True)

    @spoken(mistake)
    def show(model, end_a, end_b, n, path) -> dict:
        found = frames(model, end_a, end_b, n, path)
        facts = {"mode": MODES[path], "a_label": label(end_a), "b_label": label(end_b), "seconds": found.seconds}
        return {view: sprite(found.pixels) | facts}

    @spoken(mistake)
    def animate(model, end_a, end_b, n, path) -> dict:
        found = frames(model, end_a, end_b, n, path)
        uri, ending = linked(found.pixels, "path", "gif", SHOWN)
        name = "".join(c if c.isalnum() else "-" for c in f"{label(end_a)} to {label(end_b)}") + ending
        return {saver: {"uri": uri, "name": name}}

    inputs = [picker, a, b, steps, mode]
    private = {"api_visibility": "private", "show_progress_on": view}
    refresh = {"fn": show, "inputs": inputs, "outputs": [view, mistake]}
    for control in (a, b):
        control.change(**refresh, **private, trigger_mode="always_last")
    steps.input(**refresh, **private, trigger_mode="always_last")
    mode.input(**refresh, **private)
    view.animate(animate, inputs, [saver, mistake], **private)
    return Parts(a, b, refresh)


def read_end(value: object, model: str | None) -> End:
    """One end as the engine takes it. A sample is drawn again from its seed, so that its latent is exact; where the
    model has since been changed, its picture is encoded instead."""
    if not isinstance(value, dict):
        raise InputError("Each end is a seed, a sample or a picture.")
    if value.get("kind") == "seed":
        return Draw(whole("The seed", value.get("seed"), 0, MAX_SEED))
    if value.get("kind") == "sample" and value.get("model") == model:
        return Draw(
            whole("The seed", value.get("seed"), 0, MAX_SEED),
            whole("The sample", value.get("index"), 0, MAX_SAMPLES - 1),
            number("The temperature", value.get("temperature"), 0, 10),
            str(value.get("prior")),
        )
    return read_picture(value)


def label(value: dict) -> str:
    if value.get("kind") == "seed":
        return f"seed {value.get('seed')}"
    name = value.get("label") or (value.get("file") or {}).get("orig_name") or "picture"
    return str(name)[:60]
