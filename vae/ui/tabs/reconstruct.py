"""The Reconstruct tab: an image in, what the model makes of it out."""

import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import gradio as gr
import torch
from torch import Tensor

from vae import images
from vae.inference import draw_seed
from vae.metrics import error_map
from vae.models.vq_model import codebook_use
from vae.ui import latent_editor
from vae.ui.address import Linked, link_number
from vae.ui.advice import advice
from vae.ui.components import (
    fold,
    lead,
    note,
    raising_gradio_errors,
    read_seed,
    seed_control,
    show_errors_of_steps,
    visitor,
    widget,
)
from vae.ui.endpoints import label
from vae.ui.formulas import formula
from vae.ui.not_generative import FAMILIES
from vae.ui.serving.jobs import Seen
from vae.ui.serving.models import ModelServer
from vae.ui.serving.sketches import Sketches
from vae.ui.serving.tasks import Done, Tasks
from vae.ui.uploads import link, linked_example, read_picture

FIRST = {"kind": "example", "name": "digit-8"}  # in which one sees what a small model leaves out
MEAN, SAMPLE = "Most likely (the mean)", "A random draw (a posterior sample)"
MAX_MAPS = 32
NARROW = 0.5  # standard deviations below this are shown on a scale of their own
SIDES = [512, 1024, 2048, 4096]  # the last one only where no strangers are
TILES = {"Automatic": None, "Never": 0, "256": 256, "512": 512, "1024": 1024}

LEAD = (
    "The encoder squeezes a picture into a few numbers, and the decoder redraws it from those numbers alone. Move the "
    "divider: wherever the two differ, the model did not store that detail."
)
WHY = (
    "<p>The encoder answers not with one point but with a small cloud, the posterior: a mean and a standard deviation "
    "for every number of the latent.</p>"
    + formula("q(z|x) = N(μ(x), σ^2(x))")
    + "<p>To decode, one point is taken from it: the mean itself, or a random draw. Written like this, with all the "
    "randomness in ε, gradients reach μ and σ (the reparameterization trick).</p>"
    + formula('z = μ + σ ⊙ ε , " with " ε ∼ N(0, I)')
    + formula("hat{x} = decoder(z)")
    + formula('PSNR = 10 log_10 frac{{peak^2}}{{"mean of " {(x − hat{x})}^2}}')
)


@dataclass(frozen=True)
class Parts:
    picture: gr.HTML
    refresh: dict  # what to call, with which inputs and outputs, when the tab must be drawn anew
    linked: Linked


def build(server: ModelServer, picker: gr.HTML, tasks: Tasks, sketches: Sketches) -> Parts:
    lead("Reconstruct", LEAD)
    with gr.Row(elem_classes=["vs-split"]):
        with gr.Column(elem_classes=["vs-controls"]):
            with gr.Column(elem_classes=["vs-card"]):
                picture = widget(
                    "image_input",
                    value=FIRST,
                    functions=sketches.functions,
                    tab="reconstruct",
                    photographs=FAMILIES,
                    sketch="sketch",
                )
                error_note = note(of_result=True)
                choice = gr.Radio([MEAN, SAMPLE], value=MEAN, label="Decode")
                with gr.Row(elem_classes=["vs-row"], visible=False) as seeds:
                    seed = seed_control()
                    again = gr.Button("Draw again", min_width=110)
                with gr.Accordion("Advanced", open=False, elem_classes=["vs-advanced"]):
                    side = gr.Dropdown(
                        SIDES[:-1] if server.catalog.audience.public else SIDES,
                        value=1024,
                        label="Longest side",
                        info="In pixels. A larger picture is scaled down, if the model takes any size",
                    )
                    tiles = gr.Dropdown(
                        list(TILES),
                        value=next(iter(TILES)),
                        label="Tiles",
                        info="In pixels. A large picture can be computed in overlapping tiles. That takes less "
                        "memory, but no tile sees the whole picture",
                    )
            with gr.Column(elem_classes=["vs-card"]):
                fold("The maths behind this", WHY)
        with gr.Column(elem_classes=["vs-result"]), gr.Column(elem_classes=["vs-card"]):
            busy = widget("progress", functions=[raising_gradio_errors(tasks.stop)])
            view = widget("reconstruction", events=["undo"])
            as_given = gr.State(None)  # the image whose clean-up the visitor has undone
            inputs = [picker, picture, choice, seed, side, tiles, as_given]
            latent_editor.build(server, tasks, partial(_chosen, server), inputs)

    def rebuilt(model, value, sample: bool, number, longest, tiling, undone) -> Iterator[dict]:
        owner = f"{visitor()}/reconstruct" if visitor() else None
        tasks.leave(owner)  # even if this is refused: what was wished before is not to be shown in its place
        seed_ = read_seed(number) if sample else 0
        work, clean = _work(server, model, value, sample, seed_, longest, tiling, undone), value != undone
        image = work.args[1]
        ticket = secrets.token_hex(8)
        for step in tasks.watch(ticket, work, owner):
            if isinstance(step, Done):
                example = value.get("name") if value.get("kind") == "example" else None
                of = {"model": model, "picture": label(value), "example": example}
                more = {"undone": not clean, "advice": advice(server.catalog, model, image, step.result)}
                entries = server.catalog.facts(model)["codebook_size"]
                yield {busy: None, view: view_value(step.result, entries) | of | more}
            else:
                yield {busy: {"ticket": ticket, "what": step.what, "share": step.share}}

    @show_errors_of_steps(error_note)
    def show(model: str | None, value: dict, chosen: str, number: float, longest, tiling, undone) -> Iterator[dict]:
        yield from rebuilt(model, value, chosen == SAMPLE, number, longest, tiling, undone)

    def undo(model: str | None, value: dict, *controls) -> Iterator[dict]:
        """Shows the image as it was given, or once more cleaned up."""
        *rest, undone = controls
        undone = None if undone == value else value
        for step in show(model, value, *rest, undone):
            yield step | {as_given: undone}

    @show_errors_of_steps(error_note)
    def redraw(model: str | None, value: dict, longest, tiling, undone) -> Iterator[dict]:
        number = draw_seed()
        for step in rebuilt(model, value, True, number, longest, tiling, undone):
            yield step | {seed: number}

    private = {"api_visibility": "private", "show_progress_on": view}
    refresh = {
        "fn": show,
        "inputs": inputs,
        "outputs": [view, busy, error_note],
        "trigger_mode": "multiple",  # a new wish ends the work for the last one, so none waits for it
    }
    picture.change(**refresh, **private)
    choice.input(lambda chosen: gr.Row(visible=chosen == SAMPLE), choice, seeds, api_visibility="private", queue=False)
    for control in (choice, seed, side, tiles):
        control.input(**refresh, **private)
    view.undo(undo, inputs, [view, busy, error_note, as_given], **private)
    again.click(redraw, [picker, picture, side, tiles, as_given], [view, busy, seed, error_note], **private)

    def set_to(query: dict[str, str], model: str | None) -> dict:
        drawn = "seed" in query
        news = {choice: SAMPLE if drawn else MEAN, seeds: gr.Row(visible=drawn)}
        if drawn:
            news[seed] = link_number(query, "seed")
        if "image" in query:
            news[picture] = linked_example(query["image"])
        return news

    return Parts(picture, refresh, Linked([picture, choice, seeds, seed], set_to))


def _work(server: ModelServer, model, value, sample: bool, seed: int, longest, tiling, undone) -> partial:
    """The reconstruction that the controls ask for, as work(report=None); its second argument is the image."""
    longest = longest if longest in SIDES else 1024
    chosen = model, read_picture(value, longest), sample, seed, longest, TILES.get(tiling)
    return partial(server.reconstruct, *chosen, clean_photo=value != undone)


def _chosen(server: ModelServer, model, value, chosen: str, number, longest, tiling, undone) -> partial:
    """The same, of the controls' own values."""
    drawn = chosen == SAMPLE
    return _work(server, model, value, drawn, read_seed(number) if drawn else 0, longest, tiling, undone)


def figures(found: Seen) -> dict:
    """The figures of a reconstruction, as the page and HTTP give them."""
    return {
        "psnr": round(found.psnr, 3),
        "ssim": round(found.ssim, 5),
        "latent_shape": list(found.latent_shape),
        "compression": round(found.compression, 3),
        "width": found.original.width,
        "height": found.original.height,
        "seconds": round(found.seconds, 4),
        "seed": found.seed,
        "tile": found.tile,
        "cleaned": found.cleaned,
        "unusual": found.unusual and found.unusual.summary(),
    }


def codebook_text(latent: torch.Tensor, size: int) -> str:
    """What the latent (1, C, h, w) of a model with a codebook of that size takes from it, in place of sigma and KL."""
    _, counts = latent[0].flatten(1).unique(dim=1, return_counts=True)
    perplexity = codebook_use(counts)["codebook_perplexity"]
    return (
        f"This model is never uncertain: it turns each place of the picture into one of the {size:,} entries of its "
        f"codebook. This picture uses {len(counts):,} of them, as unevenly as {perplexity:,.3g} used equally often "
        "(the perplexity)."
    )


def view_value(found: Seen, codebook_size: int | None = None) -> dict:
    """The value of the component "reconstruction"."""
    posterior = found.posterior
    mean, mean_limit = _maps(posterior.mean)
    pixels = (torch.from_numpy(images.to_array(image).copy())[None] for image in (found.original, found.image))
    error, error_limit = _maps(error_map(*pixels)[None, None], ".3f")
    value = figures(found) | {
        "original": link(found.original, "original"),
        "image": link(found.image, "reconstruction" if found.seed is None else f"reconstruction-seed-{found.seed}"),
        "error": error,
        "error_limit": max(0.5, error_limit),
        "mean": mean,
        "mean_limit": mean_limit,
        "mean_says": "Each square is one of the numbers that the picture became: all that the decoder gets.",
        "sigma": None,
        "sigma_says": "A plain auto-encoder is never uncertain: it turns each picture into one point, and learns "
        "nothing about the space between the points. That is what the variational one adds.",
    }
    if codebook_size:
        value["sigma_says"] = codebook_text(posterior.mean, codebook_size)
    if not posterior.is_point:
        sigma, limit = _maps(posterior.std)
        narrow = limit < NARROW
        idle = (posterior.std > 0.9).float().mean().item()
        if narrow:
            here = f"all are far below that, so the colours end at the largest, {limit:.2g}"
        elif idle >= 0.005:
            here = f"{idle:.0%} of the numbers are close to 1 and say next to nothing"
        else:
            here = "no number is close to 1"
        value |= {
            "sigma": sigma,
            "sigma_limit": limit if narrow else max(1.0, limit),
            "sigma_says": "0 means certain; 1 means it says nothing about the picture: the prior's own σ is 1. "
            f"Here {here}.",
        }
    return value


def _maps(values: Tensor, form: str = ".3g") -> tuple[list, float]:
    """Rows of numbers for each channel of a (1, C, h, w) tensor, thinned to 64 x 64, and the largest magnitude. form:
    how precise the numbers are."""
    values = values[0, :MAX_MAPS]
    step = max(1, -(-max(values.shape[1:]) // 64))
    values = values[:, ::step, ::step]
    rows = [[[float(f"{v:{form}}") or 0 for v in row] for row in channel] for channel in values.tolist()]
    return rows, float(f"{max(values.abs().max().item(), 1e-6):.3g}")
