"""The Latent space tab: every image is a point; what lies between the points."""

from dataclasses import dataclass

import gradio as gr

from vae.checkpoints.find_model import beta_runs
from vae.errors import InputError
from vae.ui.address import Linked
from vae.ui.components import fold, lead, note, raising_gradio_errors, show_errors, widget
from vae.ui.formulas import formula
from vae.ui.serving.beta_runs import BetaRuns
from vae.ui.serving.latent_maps import LatentMaps

MAPS = {
    "lda": "Separate the classes (LDA)",
    "pca": "Widest spread (PCA)",
    "dims": "Two latent dimensions",
}
SAYS = {
    "lda": "The view in which the classes lie furthest apart: linear discriminant analysis, which knows the labels.",
    "pca": "The view in which the points spread out most: principal components, which know nothing of the labels.",
    "dims": "Two of the latent's own numbers, as the encoder gives them; all the others stay as they are.",
}

LEAD = (
    "To the model, each picture is one point in a space, flattened here to two dimensions; the decoder draws what any "
    "place on it means. The plain auto-encoder leaves islands with empty land between them, the variational one fills "
    "its space."
)
BETA = (
    "The same network, trained three times on the same digits. Only one number of the training is different: β, how "
    "strongly every picture's cloud is pulled towards the circle that noise comes from. Move it."
)
WHY = (
    "<p>A map is a flat view z ↦ y of the encoder's means. The base point (the large dot, at first the mean of all "
    "latents) is moved to where the pointer is, the way latents change with y on average; everything else about it "
    "stays the same.</p>"
    + formula("y = {(z − c)} W")
    + formula("z = z_0 + {(y − y_0)} L")
    + "<p>z₀ is the base point and y₀ its place; L is the regression of z on y over the pictures, and L W = I. So what "
    "is decoded at a place need not look like its nearest neighbour on the map, which may lie far behind or in front "
    "of it.</p>"
    "<p>The KL divergence of one dimension measures how much that dimension says about a picture: nothing where the "
    "posterior is the prior itself.</p>"
    + formula("KL_j = frac{1}{2} (μ_j^2 + σ_j^2 − 1 − log σ_j^2)")
    + "<p>A dimension is active if the variance of its mean over the data is above 0.01 (Burda, Grosse and "
    "Salakhutdinov, 2016).</p>"
)


@dataclass(frozen=True)
class Parts:
    view: gr.HTML
    refresh: dict
    linked: Linked


def build(latent_maps: LatentMaps, picker: gr.HTML) -> Parts:
    lead("Latent space", LEAD)
    functions = [
        raising_gradio_errors(f)
        for f in (
            latent_maps.latent_space_opened,
            latent_maps.latent_space_map,
            latent_maps.latent_space_sheet,
            latent_maps.latent_space_look,
        )
    ]
    # One column, so that a map has room for what it decodes beside it.
    with gr.Column(elem_classes=["vs-split"]):
        with gr.Column(elem_classes=["vs-controls", "vs-around"]):  # one above, one below; on a phone both in the sheet
            with gr.Column(elem_classes=["vs-card", "vs-map-choice"]):
                error_note = note(of_result=True)
                maps = [(title, name) for name, title in MAPS.items()]
                choice = gr.Radio(maps, value="lda", label="Map", info=SAYS["lda"])
            with gr.Column(elem_classes=["vs-card", "vs-maths"]):
                fold("The maths behind this", WHY)
        with gr.Column(elem_classes=["vs-result"]), gr.Column(elem_classes=["vs-card"]):
            view = widget("latent_space", events=["send"], functions=functions)
    if beta_runs():
        with gr.Column(elem_classes=["vs-card", "vs-beta"]):
            gr.HTML(f"<h3>What β does</h3><p>{BETA}</p>", apply_default_css=False, container=False)
            widget("beta_runs", functions=[raising_gradio_errors(BetaRuns(latent_maps.server).beta_runs)])

    @show_errors(error_note)
    def show(model: str | None, chosen: str | None) -> dict:
        found = latent_maps.opened(model)
        names = [name for name in MAPS if any(name in space["maps"] for space in found["spaces"])]
        offered = [(MAPS[name], name) for name in names]
        if chosen in names:  # it is left alone, for the visitor may be choosing just now
            return {view: found | {"model": model, "map": chosen}, choice: gr.Radio(offered)}
        first = next(iter(names), None)
        return {view: found | {"model": model, "map": first}, choice: gr.Radio(offered, value=first)}

    # Gradio would refuse, with a message of its own, the first map that a tab is drawn with where this model has none.
    unchecked = {"preprocess": False, "trigger_mode": "always_last"}
    private = {"api_visibility": "private", "show_progress": "hidden"}
    choice.change(None, choice, None, js=TELL_MAP, **private)
    choice.change(lambda name: gr.Radio(info=SAYS.get(name, "")), choice, choice, queue=False, **private, **unchecked)
    outputs = [view, choice, error_note]

    def set_to(query: dict[str, str], model: str | None) -> dict:
        if query.get("map", next(iter(MAPS))) not in MAPS:
            raise InputError(f"The link's map, {query['map'][:40]}, is none of {', '.join(MAPS)}.")
        return {choice: query["map"]} if "map" in query else {}

    refresh = {"fn": show, "inputs": [picker, choice], "outputs": outputs, **unchecked}
    return Parts(view, refresh, Linked([choice], set_to))


TELL_MAP = "(map) => { vaeStudio.then((page) => page.tell('latent-map', map)); return []; }"
