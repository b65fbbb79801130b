"""The Interpolate tab: what lies between latents, as a path from one to another, a grid between four, or a loop."""

import re
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import gradio as gr

from vae.errors import InputError
from vae.inference import Endpoint
from vae.ui import not_generative
from vae.ui.address import Linked
from vae.ui.components import fold, lead, note, raising_gradio_errors, show_errors_of_steps, visitor, whole, widget
from vae.ui.downloads import FORMATS, SIZES, linked
from vae.ui.endpoints import label, read_endpoint, read_link, write_link
from vae.ui.formulas import formula
from vae.ui.serving.jobs import ENDPOINTS, Drawn
from vae.ui.serving.models import ModelServer
from vae.ui.serving.sketches import Sketches
from vae.ui.serving.tasks import Done, Report, Tasks
from vae.ui.uploads import sprite

PATH, GRID, LOOP = "A path (A to B)", "A grid", "A loop"
MAKES = {PATH: "path", GRID: "grid", LOOP: "loop"}
ROUND, STRAIGHT = "Around the sphere (slerp)", "Straight line (lerp)"
THROUGH = "Through the learned prior"  # offered where the model has one
MODES = {THROUGH: "prior", ROUND: "slerp", STRAIGHT: "lerp"}
SIDES = "ABCDEF"
LARGE = 256  # pixels a side, from which on images take long
FEW = {"path": 8, "grid": 4, "loop": 4}  # of what takes long, the number of steps at first
LIMITS = {"path": (2, 96, 32), "grid": (3, 12, 7), "loop": (2, 32, 16)}  # of the number of steps, and the first one

LEAD = (
    "Choose two or more pictures and see what lies between them in the latent space. In a good latent space every "
    "step is a picture in its own right, and one thing turns into another; in a bad one the two merely fade into each "
    "other."
)
WHY = (
    "<p>The straight line blends the two latents. Halfway between two draws from N(0, I) it passes closer to the "
    "centre than almost any draw ever comes, where the decoder has seen little.</p>"
    + formula("z_t = (1 − t) a + t b")
    + "<p>Going around the sphere keeps the usual distance from the centre (θ is the angle between a and b; the length "
    "changes evenly from one to the other).</p>"
    + formula("z_t ∝ frac{{sin((1 − t)θ)}}{{sin θ}} frac{a}{{‖a‖}} + frac{{sin(tθ)}}{{sin θ}} frac{b}{{‖b‖}}")
    + "<p>A learned prior is a map f from noise to the latents of pictures. Going through it means finding the noise "
    "that it maps to a and to b, going around the sphere between those two, and mapping each step, so that no step "
    "leaves the region where pictures lie. Latents drawn from a seed are then drawn through the map, too.</p>"
    + formula('z_t = f(slerp(u, v, t)) , " with " f(u) = a , " " f(v) = b')
    + "<p>A diffusion prior cannot be gone back through, from a picture to its noise. But of what it draws itself, "
    "from seeds, u and v are known.</p>"
)


@dataclass(frozen=True)
class Parts:
    a: gr.HTML
    b: gr.HTML
    refresh: dict
    linked: Linked


@dataclass(frozen=True)
class Request:
    """What a visitor wants to see. mode: None for the best that the model has. clean_photo: whether photographed digits
    are cleaned up."""

    model: str | None
    kind: str
    mode: str | None
    steps: int
    ends: tuple[Endpoint, ...]
    labels: tuple[str, ...]
    links: tuple[str | None, ...]  # of the ends, as the address has them
    clean_photo: bool


def build(server: ModelServer, picker: gr.HTML, tasks: Tasks, sketches: Sketches) -> Parts:
    first = [THROUGH, *MODES] if server.catalog.first() and server.fitted(None) else [ROUND, STRAIGHT]
    lead("Interpolate", LEAD)
    with gr.Row(elem_classes=["vs-split"]):
        with gr.Column(elem_classes=["vs-controls"]):
            with gr.Column(elem_classes=["vs-card"]):
                make = gr.Radio(list(MAKES), value=PATH, label="Show")
                stops = gr.Slider(*ENDPOINTS["loop"], 3, step=1, label="Stops", visible=False)
                ends, places = [], []
                for i, side in enumerate(SIDES):
                    with gr.Column(visible=i < 2, elem_classes=["vs-place"]) as place:
                        value = {"kind": "seed", "seed": i + 3}
                        ends.append(widget("interpolation_end", value, functions=sketches.functions, side=side))
                    places.append(place)
                error_note = note(of_result=True)
                path = gr.Radio(list(dict.fromkeys(first)), label="Route")
                counts = {
                    "path": count("path", "Frames"),
                    "grid": count("grid", "Images along each side", visible=False),
                    "loop": count("loop", "Frames from each stop to the next", visible=False),
                }
            with gr.Column(elem_classes=["vs-card"]):
                fold("The maths behind this", WHY)
        with gr.Column(elem_classes=["vs-result"]), gr.Column(elem_classes=["vs-card"]):
            busy = widget("progress", functions=[raising_gradio_errors(tasks.stop)])
            view = widget("interpolation", events=["keep", "undo"], sizes=SIZES)
            file_note = note()
            saver = widget("file_saver")
    # How many steps of each kind there were before there was what takes long; None where the visitor then chose others.
    requested = gr.State({})
    as_given = gr.State(None)  # the ends whose clean-up the visitor has undone
    offered = gr.State(None)  # whether the path through the prior is, and why not where priors were refused

    def bearable(model, made, chosen, numbers: tuple, before: dict, insisted: bool) -> tuple[tuple, dict]:
        """The numbers of steps, and what changes about them on the page: few of what takes long, until the visitor
        insists on more."""
        kind, now = MAKES.get(made, "path"), dict(zip(counts, numbers, strict=True))
        large = not_generative.concerns(server, model) and server.catalog.facts(model)["image_size"] >= LARGE
        long = large or (chosen in (None, THROUGH) and "diffusion" in server.fitted(model))
        news, after = {}, before
        if not long:
            news, after = {kind: number for kind, number in before.items() if number is not None}, {}
        elif insisted:
            after = before | {kind: None}
        elif before.get(kind, 0) is not None and isinstance(now[kind], int) and now[kind] > FEW[kind]:
            news, after = {kind: FEW[kind]}, {kind: now[kind]} | before
        changes = {counts[kind]: number for kind, number in news.items()}
        return tuple((now | news).values()), changes | ({requested: after} if after != before else {})

    def leave(progress: object) -> None:
        tasks.stop(progress.get("ticket") if isinstance(progress, dict) else None)

    def laid(made: str, most: int) -> dict:
        """Which controls there are for what is to be made."""
        kind = MAKES.get(made, "path")
        n = most if kind == "loop" else ENDPOINTS[kind][1]
        visible = {place: gr.Column(visible=i < n) for i, place in enumerate(places)}
        return (
            visible
            | {stops: gr.Slider(visible=kind == "loop")}
            | {slider: gr.Slider(visible=name == kind) for name, slider in counts.items()}
        )

    def found_on(
        insisted: bool, before: object, wanted: dict, undone, model, made, chosen, most, n, side, pace, *rest
    ) -> Iterator[dict]:
        numbers, changes = bearable(model, made, chosen, (n, side, pace), wanted, insisted)
        request = read(model, made, chosen, most, *numbers, *rest, undone=undone)
        begun = time.perf_counter()
        for step in worked(tasks, partial(travel, server, request)):
            if not isinstance(step, Done):
                yield {busy: step} | changes
                continue
            found: Drawn = step.result
            value = view_value(request, found) | {"seconds": time.perf_counter() - begun}
            news = {busy: None, view: value, offered: [found.passable, found.refused]} | changes
            change = path_of(request, found, before)
            yield news | ({path: gr.Radio(**change)} if change else {})

    @show_errors_of_steps(error_note)
    def show(*values) -> Iterator[dict]:
        yield from found_on(False, *values)

    @show_errors_of_steps(error_note)
    def show_as_many(*values) -> Iterator[dict]:
        yield from found_on(True, *values)

    @show_errors_of_steps(file_note)
    def keep(event: gr.EventData, undone, *values) -> Iterator[dict]:
        request, asked = read(*values, undone=undone), event._data if isinstance(event._data, dict) else {}
        form, size = asked.get("format"), asked.get("size")
        name, caption = str(asked.get("name")), str(asked.get("caption") or "")[:200]
        if form not in list(FORMATS) or size not in list(SIZES):
            raise InputError(f"A file is one of {', '.join(FORMATS)}, of {', '.join(map(str, SIZES))} pixels.")
        for step in worked(tasks, partial(file, server, request, form, size, name, caption)):
            yield {busy: None, saver: step.result} if isinstance(step, Done) else {busy: step}

    @show_errors_of_steps(error_note)
    def undo(before: object, wanted: dict, undone, *values) -> Iterator[dict]:
        """Takes the images at the ends as they were given, or once more cleaned up."""
        chosen = list(values[-len(ends) :])
        undone = None if undone == chosen else chosen
        for step in show(before, wanted, undone, *values):
            yield step | {as_given: undone}

    inputs = [as_given, picker, make, path, stops, *counts.values(), *ends]
    # Not by Gradio's sliders, whose own checks of a number that is typed end in a raw toast: `read` says it.
    private = {"api_visibility": "private", "show_progress_on": view, "preprocess": False}
    outputs = [view, busy, path, *counts.values(), offered, requested, error_note]
    # The last wish is the last to be answered; it ends the work that is shown to be done, so that it need not wait.
    refresh = {"fn": show, "inputs": [offered, requested, *inputs], "outputs": outputs}
    refresh |= {"trigger_mode": "always_last", "preprocess": False}
    layout = [*places, stops, *counts.values()]
    for control in (make, stops):
        control.input(laid, [make, stops], layout, api_visibility="private", queue=False, show_progress="hidden")
    numbers = [slider.input for slider in counts.values()]
    reasons = [*(control.input for control in (make, path, stops)), *(end.change for end in ends)]
    gr.on(
        [*reasons, *numbers, picker.change],
        leave,
        busy,
        None,
        api_visibility="private",
        queue=False,
        show_progress="hidden",
    )
    gr.on(reasons, **(refresh | private))
    gr.on(numbers, **(refresh | {"fn": show_as_many} | private))
    view.keep(keep, inputs, [saver, busy, file_note], **private)
    view.undo(undo, refresh["inputs"], [*outputs, as_given], **private)

    def set_to(query: dict[str, str], model: str | None) -> dict:
        sides = ((end, query[side]) for side, end in zip("ab", ends[:2], strict=True) if side in query)
        return {end: read_link(text, model) for end, text in sides}

    return Parts(ends[0], ends[1], refresh, Linked(ends[:2], set_to))


def count(kind: str, label_: str, **options) -> gr.Slider:
    low, high, first = LIMITS[kind]
    return gr.Slider(low, high, first, step=1, label=label_, **options)


def owner() -> str | None:
    """Whose work it is: of a visitor the newest only."""
    return f"{visitor()}/interpolate" if visitor() else None


def worked(tasks: Tasks, work) -> Iterator[dict | Done]:
    """What the component "progress" shows meanwhile, then Done; nothing more once it is stopped."""
    ticket = secrets.token_hex(8)
    yield {"ticket": ticket, "what": "", "share": None}  # at once, so that it can be stopped
    for step in tasks.watch(ticket, work, owner()):
        yield step if isinstance(step, Done) else {"ticket": ticket, "what": step.what, "share": step.share}


def read(model, made, path, stops, steps, side, pace, *ends, undone: object = None) -> Request:
    """The controls' values. undone: ends that are taken as they were given. Raises InputError for nonsense."""
    clean_photo = undone != list(ends)
    if made not in list(MAKES):
        raise InputError(f"Show takes one of: {'; '.join(MAKES)}.")
    if path is not None and path not in list(MODES):
        raise InputError(f"The route is one of: {'; '.join(MODES)}.")
    kind = MAKES[made]
    n = whole("The number of stops", stops, *ENDPOINTS["loop"]) if kind == "loop" else ENDPOINTS[kind][1]
    number = {"path": ("Frames", steps), "grid": ("The number along each side", side), "loop": ("Frames", pace)}[kind]
    ends = ends[:n]
    return Request(
        model,
        kind,
        MODES.get(path),
        whole(*number, *LIMITS[kind][:2]),
        tuple(read_endpoint(end, model) for end in ends),
        tuple(label(end) for end in ends),
        tuple(write_link(end, model) for end in ends),
        clean_photo,
    )


def travel(server: ModelServer, request: Request, report: Report) -> Drawn:
    """The images wished for; along another path where the model, chosen since, has no prior to go through."""
    route = (request.ends, request.steps, request.mode, request.kind)
    return server.interpolate(
        request.model, *route, small=True, instead=True, report=report, clean_photo=request.clean_photo
    )


def path_of(request: Request, found: Drawn, before: object) -> dict:
    """What must change about the choice of paths; nothing that need not, for the visitor may be choosing just now."""
    change = {}
    if before != [found.passable, found.refused]:
        change = {"choices": list(MODES) if found.passable else [ROUND, STRAIGHT], "info": found.refused}
    if found.mode != request.mode:
        change["value"] = next(name for name, mode in MODES.items() if mode == found.mode)
    return change


def view_value(request: Request, found: Drawn) -> dict:
    """The value of the component "interpolation"."""
    way = f"through the {found.prior} prior" if found.prior else found.mode
    facts = {
        "model": request.model,
        "kind": request.kind,
        "steps": request.steps,
        "labels": request.labels,
        "links": request.links,
        "way": way,
        "cleaned": found.cleaned,
        "undone": not request.clean_photo,
    }
    return sprite(found.pixels) | facts


def file(server: ModelServer, request: Request, form: str, size: int, name: str, caption: str, report: Report) -> dict:
    """The value of the component "file_saver"."""
    found = travel(server, request, report)
    report(f"Writing the {form.upper()}", None)
    uri, ending = linked(found.pixels, request.kind, form, size, caption)
    return {"uri": uri, "name": re.sub(r"[^\w.]+", "-", name).strip("-.")[:100] + ending}
