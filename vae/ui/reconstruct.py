"""The Reconstruct tab: a picture in, what the model makes of it out."""

from dataclasses import dataclass

import gradio as gr
from torch import Tensor

from vae.images import data_uri
from vae.inference import MAX_SEED, Reconstruction, draw_seed
from vae.ui.components import fold, lead, note, spoken, whole, widget
from vae.ui.engine import Engine
from vae.ui.formulas import formula
from vae.ui.pictures import read_picture

FIRST = {"kind": "example", "name": "digit-2"}
MEAN, SAMPLE = "Its best guess (the mean)", "A random draw (a posterior sample)"
MAX_MAPS = 32

LEAD = (
    "The encoder squeezes a picture into a few numbers, and the decoder paints it again from those numbers alone. "
    "Move the divider: what differs is what the model did not find worth remembering."
)
WHY = (
    "<p>The encoder does not answer with one point but with a small cloud of them, the posterior: a mean and a "
    "standard deviation for every number of the latent.</p>"
    + formula("q(z|x) = N(μ(x), σ^2(x))")
    + "<p>To decode, one point is taken from it: the mean itself, or a draw. Written like this, with the chance "
    "kept in ε, gradients reach μ and σ (the reparameterization trick).</p>"
    + formula('z = μ + σ ⊙ ε , " with " ε ∼ N(0, I)')
    + formula("hat{x} = decoder(z)")
    + formula('PSNR = 10 log_10 frac{{peak^2}}{{"mean of " {(x − hat{x})}^2}}')
)


@dataclass(frozen=True)
class Parts:
    picture: gr.HTML
    refresh: dict  # what to call, with which inputs and outputs, when the tab must be drawn anew


def build(engine: Engine, picker: gr.HTML) -> Parts:
    lead(LEAD)
    with gr.Row(elem_classes=["vs-split"]):
        with gr.Column(elem_classes=["vs-controls"]):
            with gr.Column(elem_classes=["vs-card"]):
                picture = widget("picture", value=FIRST)
                mistake = note()
                choice = gr.Radio([MEAN, SAMPLE], value=MEAN, label="Decode")
                with gr.Row(elem_classes=["vs-row"], visible=False) as seeds:
                    seed = gr.Number(0, label="Seed", precision=0, minimum=0, min_width=90)
                    again = gr.Button("Draw again", min_width=110)
            with gr.Column(elem_classes=["vs-card"]):
                fold("What is computed", WHY)
        with gr.Column(elem_classes=["vs-result"]), gr.Column(elem_classes=["vs-card"]):
            view = widget("reconstruct")

    @spoken(mistake)
    def show(model: str | None, value: dict, chosen: str, number: float) -> dict:
        found = engine.reconstruct(
            model, read_picture(value), chosen == SAMPLE, whole("The seed", number or 0, 0, MAX_SEED)
        )
        return {view: shown(found)}

    @spoken(mistake)
    def redraw(model: str | None, value: dict) -> dict:
        number = draw_seed()
        return {view: shown(engine.reconstruct(model, read_picture(value), True, number)), seed: number}

    private = {"api_visibility": "private", "show_progress_on": view}
    refresh = {"fn": show, "inputs": [picker, picture, choice, seed], "outputs": [view, mistake]}
    picture.change(**refresh, **private)
    choice.input(lambda chosen: gr.Row(visible=chosen == SAMPLE), choice, seeds, api_visibility="private", queue=False)
    choice.input(**refresh, **private)
    seed.input(**refresh, **private, trigger_mode="always_last")
    again.click(redraw, [picker, picture], [view, seed, mistake], **private)
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
    }


def shown(found: Reconstruction) -> dict:
    """The value of the component "reconstruct"."""
    posterior = found.posterior
    mean, mean_limit = _maps(posterior.mean)
    value = figures(found) | {
        "original": data_uri(found.original),
        "image": data_uri(found.image),
        "mean": mean,
        "mean_limit": mean_limit,
        "mean_says": "Each square is one of the numbers the picture was turned into: the only thing the decoder gets.",
        "sigma": None,
        "sigma_says": "A plain auto-encoder is never unsure: it turns each picture into one point, and learns nothing "
        "about the space between the points. That is what the variational one adds.",
    }
    if not posterior.is_point:
        sigma, limit = _maps(posterior.std)
        idle = (posterior.std > 0.9).float().mean().item()
        value |= {
            "sigma": sigma,
            "sigma_limit": max(1.0, limit),
            "sigma_says": "0 is certain; 1 says nothing about this picture, since the prior's own σ is 1. "
            f"Here {idle:.0%} of the numbers are close to that and carry next to nothing.",
        }
    return value


def _maps(values: Tensor) -> tuple[list, float]:
    """Rows of numbers for each channel of a (1, C, h, w) tensor, thinned to 64 x 64, and the largest magnitude."""
    values = values[0, :MAX_MAPS]
    step = max(1, -(-max(values.shape[1:]) // 64))
    values = values[:, ::step, ::step]
    rows = [[[float(f"{v:.3g}") for v in row] for row in channel] for channel in values.tolist()]
    return rows, float(f"{max(values.abs().max().item(), 1e-6):.3g}")
