"""The Train tab: start a training, watch any run, stop it."""

from dataclasses import dataclass
from pathlib import Path

import gradio as gr

from vae.data import data_names
from vae.errors import InputError
from vae.presets import PRESETS, TrainConfig, preset
from vae.ui.catalog import Catalog, on_spaces
from vae.ui.components import fold, lead, note, number, quiet, spoken, whole, widget
from vae.ui.formulas import formula
from vae.ui.slot import Slot, training_allowed
from vae.ui.watch import Watcher

FIRST = "mnist-vae"
CUSTOM = "digits"  # what needs no network is chosen first

LEAD = (
    "Watch a model learn. Two wishes pull against each other: to paint every picture back exactly (reconstruction), "
    "and to keep the latents close to plain noise (KL), so that noise can be decoded later. β weighs the second."
)
WHY = (
    "<p>How probable the model finds a picture cannot be computed, but a bound from below can (the ELBO); training "
    "raises it. Its two terms are the two curves.</p>"
    + formula("log p(x) ≥ E_q [log p(x|z)] − KL(q ‖ N(0, I))")
    + formula("loss = reconstruction + β · KL")
    + formula("KL = frac{1}{2} ∑_j (μ_j^2 + σ_j^2 − 1 − log σ_j^2)")
    + "<p>With β = 0 nothing keeps the latents together: a plain auto-encoder. A larger β gives smoother samples and "
    "blurrier reconstructions.</p>"
)


@dataclass(frozen=True)
class Parts:
    view: gr.HTML


def build(catalog: Catalog, slot: Slot) -> Parts:
    allowed, first = training_allowed(), PRESETS[FIRST]
    watcher = Watcher(catalog)
    lead(LEAD)
    with gr.Row(elem_classes=["vs-split"]):
        with gr.Column(elem_classes=["vs-controls"]):
            with gr.Column(elem_classes=["vs-card"]):
                if not allowed:
                    gr.HTML(
                        '<p class="vs-caption">Training is switched off on this server; its runs can be watched.</p>',
                        apply_default_css=False,
                    )
                recipe = gr.Dropdown(list(PRESETS), value=FIRST, label="Preset", interactive=allowed)
                data = gr.Dropdown(
                    choices(),
                    value=CUSTOM,
                    label="Data",
                    allow_custom_value=not on_spaces(),
                    info=None if on_spaces() else "A name, or a folder of pictures on this machine",
                    interactive=allowed,
                )
                with gr.Row(elem_classes=["vs-row"]):
                    epochs = gr.Number(
                        first.epochs, label="Epochs", precision=0, minimum=1, min_width=80, interactive=allowed
                    )
                    rate = gr.Number(
                        first.learning_rate, label="Learning rate", step=0.0001, min_width=110, interactive=allowed
                    )
                    beta = gr.Number(first.beta, label="β", step=0.1, min_width=70, interactive=allowed)
                with gr.Accordion("Advanced", open=False, elem_classes=["vs-advanced"]):
                    with gr.Row(elem_classes=["vs-row"]):
                        batch = gr.Number(first.batch_size, label="Batch size", precision=0, minimum=1, min_width=80)
                        seed = gr.Number(first.seed, label="Seed", precision=0, minimum=0, min_width=80)
                    kind = gr.Dropdown(
                        ["sum", "mean", "l1", "sigma"],
                        value=first.reconstruction,
                        label="Reconstruction term",
                        info="Squares summed or averaged over pixels, absolute differences, or a fitted σ",
                    )
                with gr.Row(elem_classes=["vs-row"]):
                    start = gr.Button("Start training", variant="primary", interactive=allowed, min_width=140)
                    stop = gr.Button("Stop", interactive=False, min_width=80)
                mistake = note()
            with gr.Column(elem_classes=["vs-card"]):
                fold("What is computed", WHY)
        with gr.Column(elem_classes=["vs-result"]), gr.Column(elem_classes=["vs-card"]):
            view = widget("train", events=["state"], functions=[quiet(watcher.watch_run)])
    shown = gr.State(None)  # the run this visitor watches

    def defaults(name: str) -> dict:
        chosen = preset(name)
        there = choices()
        return {
            data: CUSTOM if chosen.data not in there and FIRST in name else chosen.data,
            epochs: chosen.epochs,
            rate: chosen.learning_rate,
            beta: chosen.beta,
            batch: chosen.batch_size,
            seed: chosen.seed,
            kind: chosen.reconstruction,
        }

    @spoken(mistake)
    def begin(name, source, n, step, weight, size, number_, term) -> dict:
        config = training(
            name,
            source,
            epochs=n,
            learning_rate=step,
            beta=weight,
            batch_size=size,
            seed=number_,
            reconstruction=term,
        )
        return {view: {"run": slot.start(config).name}}

    @spoken(mistake)
    def end(run: str | None) -> dict:
        if run is not None:
            slot.stop(catalog.run(run))
        return {}

    def state_of(event: gr.EventData):
        news = event._data if isinstance(event._data, dict) else {}
        return news.get("run"), gr.Button(interactive=bool(news.get("live")) and allowed)

    private = {"api_visibility": "private", "show_progress": "hidden"}
    recipe.input(defaults, recipe, [data, epochs, rate, beta, batch, seed, kind], **private)
    start.click(begin, [recipe, data, epochs, rate, beta, batch, seed, kind], [view, mistake], **private)
    stop.click(end, shown, [mistake], **private)
    view.state(state_of, None, [shown, stop], **private, queue=False)
    return Parts(view)


def choices() -> list[str]:
    """The data sets to choose from: those that are here, then those that would be downloaded."""
    here = data_names()
    return here + [name for name in ("mnist", "fashion", "cifar10") if name not in here]


def training(name: object, data: object = None, **changes) -> TrainConfig:
    """The TrainConfig for what a visitor or client asked; what is None or left out is as in the preset.

    Raises InputError for a value of the wrong kind or out of range, an unknown preset, or, on Spaces, data that are
    not listed.
    """
    base = preset(str(name or FIRST))
    data = str(data).strip() if data not in (None, "") else base.data
    if on_spaces() and data not in choices():
        raise InputError(f"There are no data {data[:80]!r} here; there are {', '.join(choices())}.")
    limits = {"epochs": (1, 100_000), "batch_size": (1, 65_536), "seed": (0, 2**63 - 1)}
    ranges = {"learning_rate": (1e-9, 10.0), "beta": (0.0, 1e6)}
    for key, value in changes.items():
        if value is None:
            continue
        title = key.replace("_", " ").capitalize()
        if key in limits:
            changes[key] = whole(title, value, *limits[key])
        elif key in ranges:
            changes[key] = number(title, value, *ranges[key])
    if Path(data).expanduser().is_absolute() and not Path(data).expanduser().exists():
        raise InputError(f"There is no folder or archive {data[:200]!r}.")
    return preset(base.preset, data=data, **changes)
