"""The Reconstruct tab: an image in, what the model makes of it out."""

import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import gradio as gr
from torch import Tensor

from vae.inference import MAX_SEED, Reconstruction, draw_seed
from vae.ui.components import fold, lead, note, raising_gradio_errors, show_errors_of_steps, visitor, whole, widget
from vae.ui.formulas import formula
from vae.ui.not_generative import FAMILIES
from vae.ui.serving.models import ModelServer
from vae.ui.serving.tasks import Done, Tasks
from vae.ui.uploads import link, read_picture

FIRST = {"kind": "example", "name": "digit-2"}
MEAN, SAMPLE = "Most likely (the mean)", "A random draw (a posterior sample)"
MAX_MAPS = 32
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


def build(server: ModelServer, picker: gr.HTML, tasks: Tasks) -> Parts:
    lead(LEAD)
    with gr.Row(elem_classes=["vs-split"]):
        with gr.Column(elem_classes=["vs-controls"]):
            with gr.Column(elem_classes=["vs-card"]):
                picture = widget("image_input", value=FIRST, photographs=FAMILIES)
                error_note = note()
                choice = gr.Radio([MEAN, SAMPLE], value=MEAN, label="Decode")
                with gr.Row(elem_classes=["vs-row"], visible=False) as seeds:
                    seed = gr.Number(0, label="Seed", precision=0, minimum=0, min_width=90)
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
            view = widget("reconstruction")

    def rebuilt(model, value, sample: bool, seed_: int, longest, tiling) -> Iterator[dict]:
        longest = longest if longest in SIDES else 1024
        image = read_picture(value, longest)
        work = partial(server.reconstruct, model, image, sample, seed_, longest, TILES.get(tiling))
        ticket = secrets.token_hex(8)
        for step in tasks.watch(ticket, work, f"{visitor()}/reconstruct" if visitor() else None):
            if isinstance(step, Done):
                yield {busy: None, view: view_value(step.result)}
            else:
                yield {busy: {"ticket": ticket, "what": step.what, "share": step.share}}

    @show_errors_of_steps(error_note)
    def show(model: str | None, value: dict, chosen: str, number: float, longest, tiling) -> Iterator[dict]:
        seed_ = whole("The seed", number or 0, 0, MAX_SEED)
        yield from rebuilt(model, value, chosen == SAMPLE, seed_, longest, tiling)

    @show_errors_of_steps(error_note)
    def redraw(model: str | None, value: dict, longest, tiling) -> Iterator[dict]:
        number = draw_seed()
        for step in rebuilt(model, value, True, number, longest, tiling):
            yield step | {seed: number}

    private = {"api_visibility": "private", "show_progress_on": view}
    # A new wish ends the work for the last one, so none waits for it.
    always = private | {"trigger_mode": "multiple"}
    refresh = {"fn": show, "inputs": [picker, picture, choice, seed, side, tiles], "outputs": [view, busy, error_note]}
    picture.change(**refresh, **always)
    choice.input(lambda chosen: gr.Row(visible=chosen == SAMPLE), choice, seeds, api_visibility="private", queue=False)
    for control in (choice, seed, side, tiles):
        control.input(**refresh, **always)
    again.click(redraw, [picker, picture, side, tiles], [view, busy, seed, error_note], **private)
    return Parts(picture, refresh)


def figures(found: Reconstruction) -> dict:
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
    }


def view_value(found: Reconstruction) -> dict:
    """The value of the component "reconstruction"."""
    posterior = found.posterior
    mean, mean_limit = _maps(posterior.mean)
    value = figures(found) | {
        "original": link(found.original, "original"),
        "image": link(found.image, "reconstruction" if found.seed is None else f"reconstruction-seed-{found.seed}"),
        "mean": mean,
        "mean_limit": mean_limit,
        "mean_says": "Each square is one of the numbers that the picture became: all that the decoder gets.",
        "sigma": None,
        "sigma_says": "A plain auto-encoder is never uncertain: it turns each picture into one point, and learns "
        "nothing about the space between the points. That is what the variational one adds.",
    }
    if not posterior.is_point:
        sigma, limit = _maps(posterior.std)
        idle = (posterior.std > 0.9).float().mean().item()
        here = f"{idle:.0%} of the numbers are close to 1 and say next to nothing"
        value |= {
            "sigma": sigma,
            "sigma_limit": max(1.0, limit),
            "sigma_says": "0 means certain; 1 means it says nothing about the picture: the prior's own σ is 1. "
            f"Here {here if idle >= 0.005 else 'no number is close to 1'}.",
        }
    return value


def _maps(values: Tensor) -> tuple[list, float]:
    """Rows of numbers for each channel of a (1, C, h, w) tensor, thinned to 64 x 64, and the largest magnitude."""
    values = values[0, :MAX_MAPS]
    step = max(1, -(-max(values.shape[1:]) // 64))
    values = values[:, ::step, ::step]
    rows = [[[float(f"{v:.3g}") for v in row] for row in channel] for channel in values.tolist()]
    return rows, float(f"{max(values.abs().max().item(), 1e-6):.3g}")
