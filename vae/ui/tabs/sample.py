"""The Sample tab: images from nothing but noise, of a variational auto-encoder and of a plain one side by side."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import gradio as gr

from vae.errors import InputError
from vae.inference import draw_seed
from vae.latents.priors import MOST_STEPS, PriorNotFitted
from vae.ui import not_generative, prior_texts
from vae.ui.address import Linked, link_decimal, link_number
from vae.ui.components import (
    fold,
    lead,
    note,
    number,
    read_seed,
    seed_control,
    show_errors_of_steps,
    whole,
    widget,
)
from vae.ui.formulas import formula
from vae.ui.serving.jobs import Drawn
from vae.ui.serving.models import ModelServer, Work
from vae.ui.uploads import sprite

COUNT = 25
MOST = 256  # on the page; HTTP takes more
STEPS = 8  # of a diffusion prior, until its own are known
MOMENT = 1.0  # seconds in which Gradio sets what it has just drawn to its first value once more
LARGE, FEW, FEW_MOST = 256, 4, 16  # images from that many pixels on: so many at first, and at most

LEAD = (
    "No picture goes in here: the decoder gets random numbers and draws what they would mean. A variational "
    'auto-encoder was trained so that <button data-prior="normal">plain noise</button> makes sense to it. A plain one '
    "was not, and draws shards. A prior learned afterwards repairs that: it leads the same noise to where the latents "
    "of real pictures lie."
)
WHY = (
    "<p>Training pulls the cloud of every picture towards the standard normal distribution. So a draw from that "
    "distribution, the prior, should land where a picture could have been, and the decoder should know what to do.</p>"
    + formula('x = decoder(τ ε) , " with " ε ∼ N(0, I)')
    + "<p>The temperature τ widens or narrows the draw: near 0 all samples become the same average picture; above 1 "
    "they come from further out than anything the decoder has seen.</p>"
    "<p>A fitted prior is a map f in front of the decoder. After training it was fitted to the latents of the training "
    "pictures, so that f(ε) is distributed as they are.</p>"
    + formula('x = decoder(f(τ ε)) , " with " ε ∼ N(0, I)')
    + "<p>The same seed gives the same ε on both sides and for every prior. In a mixture, τ scales each of the "
    "Gaussians. Each of these lies among the latents of one class, so that a mixture can also draw one class alone.</p>"
)


@dataclass(frozen=True)
class Parts:
    view: gr.HTML
    refresh: dict
    linked: Linked


def build(server: ModelServer, picker: gr.HTML) -> Parts:
    lead("Sample", LEAD)
    beside = server.catalog.first() and server.catalog.counterpart(None)  # the layout before the first result
    with gr.Row(elem_classes=["vs-split"]):
        with gr.Column(elem_classes=["vs-controls"]):
            with gr.Column(elem_classes=["vs-card"]):
                draw = gr.Button("Draw new samples", variant="primary")
                error_note = note(of_result=True)
                prior = widget("prior_choice", events=["choose"], priors=prior_texts.options())
                count = gr.Slider(1, MOST, COUNT, step=1, label="How many")
                temperature = gr.Slider(
                    0.0,
                    2.0,
                    1.0,
                    step=0.05,
                    label="Temperature",
                    info="How far from the centre to draw; 1 is the prior itself",
                )
                seed = seed_control()
                steps = gr.Slider(
                    1,
                    MOST_STEPS,
                    STEPS,
                    step=1,
                    label="Steps",
                    info="From noise to a latent: more take longer and change little",
                    visible=False,
                )
            looked = not_generative.controls()
            with gr.Column(elem_classes=["vs-card"]):
                fold("The maths behind this", WHY)
        with gr.Column(elem_classes=["vs-result"]):
            with gr.Column(elem_classes=["vs-card"]):
                choice = widget("sample_choice", events=["choose"])
                view = widget(
                    "sample_grids", events=["send"], halves=2 if beside else 1, prior_names=prior_texts.names()
                )
            with gr.Column(elem_classes=["vs-card", "vs-notice"]):
                notice = not_generative.Parts(widget("not_generative"), *looked)
    usual = gr.State(None)  # the steps that the prior takes unless told otherwise, where it takes any
    requested = gr.State(None)  # how many samples the visitor wanted before a model that paints large images was chosen

    def bearable(model, n: int, before: int | None) -> tuple[int, dict]:
        """How many samples to draw, and what that changes on the page. The slider keeps its range, since a call may be
        on its way that was made with the one before."""
        large = not_generative.concerns(server, model) and server.catalog.facts(model)["image_size"] >= LARGE
        if large and n > FEW_MOST:
            few = FEW if before is None else FEW_MOST
            return few, {count: few, requested: n if before is None else before}
        if not large and before is not None:
            return before, {count: before, requested: None}
        return n, {}

    def drawn(
        model, n, number_, tau, taken, own_steps, known, before, of_class, insisted: bool, looks: tuple | None = None
    ) -> Iterator[dict]:
        """The samples of the model, then those of its counterpart, from the prior that the visitor wants; until one is
        wanted from plain noise, or of a model without a counterpart from its best. insisted: whether that is kept to
        where the model has none such. looks: the notice's image, and what it shows now, where it comes first."""
        n, changes = bearable(model, n, before)
        model = model or server.catalog.first()
        other = server.catalog.counterpart(model)
        known = known if isinstance(known, dict) else {}
        wanted = known.get("wanted") if known.get("wanted") in list(prior_texts.PRIORS) else None
        of_class = of_class if isinstance(of_class, dict) else {}
        label = None if of_class.get("label") is None else str(of_class["label"])
        insisted = insisted or (label is not None and bool(of_class.get("linked")))
        of_all = wanted or ("normal" if other else None)
        request = (n, number_, tau, of_all if label is None else None, True, not insisted)
        chosen_steps = None if own_steps in (None, taken) or wanted not in (None, "diffusion") else taken
        options = {"label": label, "steps": chosen_steps}
        calls = [partial(server.sample_call, model, *request, **options)]
        calls += [partial(server.sample_call, other, *request, beside=model, **options)] if other else []
        if looks and not_generative.concerns(server, model) and looks[1] != [model, looks[0]]:
            calls.append(partial(not_generative.asked, server, model, looks[0]))
        works = server.together(calls)
        looked = not_generative.look(server, notice, model, *looks, works[-1]) if looks else {}
        if looked:
            yield looked
        own, found = half(server, model, works[0])
        name = found.prior if found else wanted
        if found:
            prior_choice = {"chosen": name, "wanted": wanted, "has": list(found.priors), "refused": found.refused}
            if prior_choice != known:  # else let be, for the visitor may be choosing just now
                changes[prior] = prior_choice
            label = found.label
            learned = next((each for each in reversed(found.priors) if each != "normal"), None)
            shown = {"classes": list(found.classes), "label": label, "prior": name, "learned": learned}
            if shown != of_class:
                changes[choice] = shown
            if found.usual != own_steps and (found.usual or own_steps):
                changes[steps] = gr.Slider(visible=found.usual is not None, value=found.steps or STEPS)
                changes[usual] = found.usual
            chosen_steps = None if found.steps == found.usual else found.steps
            changes[draw] = gr.Button(words_of_draw(server.catalog.facts(model), name))
        value = {"model": model, "seed": number_, "temperature": tau, "prior": name, "label": label}
        value["steps"] = chosen_steps
        yield {view: value | {"halves": in_order(own, {"waiting": True} if other else None)}, **changes}
        if other:
            theirs, _ = half(server, other, works[1])
            # A tab that is opened for the first time may have missed the first answer.
            yield {view: value | {"halves": in_order(own, theirs)}, **changes}
        if looked.get(notice.notice):  # the same
            time.sleep(MOMENT)
            yield {notice.notice: looked[notice.notice], notice.column: looked[notice.column]}

    def checked(n, number_, tau, taken) -> tuple[int, int, float, int]:
        n, taken = whole("How many", n, 1, MOST), whole("The number of steps", taken, 1, MOST_STEPS)
        return n, read_seed(number_), number("The temperature", tau, 0, 2), taken

    @show_errors_of_steps(error_note)
    def show(model, n, number_, tau, taken, own, known, before, of_class, photograph, looked_at) -> Iterator[dict]:
        numbers = checked(n, number_, tau, taken)
        if not_generative.concerns(server, model):
            yield {view: {"waiting": True}}
        yield from drawn(model, *numbers, own, known, before, of_class, False, (photograph, looked_at))

    @show_errors_of_steps(error_note)
    def again(model, n, number_, tau, taken, own, known, before, of_class) -> Iterator[dict]:
        yield from drawn(model, *checked(n, number_, tau, taken), own, known, before, of_class, True)

    @show_errors_of_steps(error_note)
    def from_prior(model, n, number_, tau, taken, own, known, before, _) -> Iterator[dict]:
        yield from drawn(model, *checked(n, number_, tau, taken), own, known, before, None, True)

    @show_errors_of_steps(error_note)
    def anew(model, n, _, tau, taken, own, known, before, of_class) -> Iterator[dict]:
        numbers = checked(n, draw_seed(), tau, taken)
        for step in drawn(model, *numbers, own, known, before, of_class, True):
            yield step | {seed: numbers[1]}

    def seen(model, photograph, known) -> dict:
        (work,) = server.together([partial(not_generative.asked, server, model, photograph)])
        return not_generative.look(server, notice, model, photograph, known, work)

    inputs = [picker, count, seed, temperature, steps, usual, prior, requested, choice]
    outputs = [view, prior, count, draw, steps, usual, requested, choice, error_note]
    # Not by Gradio's sliders, whose own checks of a number that is typed end in a raw toast: `checked` says it.
    private = {"api_visibility": "private", "show_progress_on": view, "preprocess": False}
    refresh = {
        "fn": show,
        "inputs": [*inputs, *notice.inputs],
        "outputs": [*outputs, *notice.outputs],
        "trigger_mode": "always_last",
        "preprocess": False,
    }
    draw.click(anew, inputs, [*outputs, seed], **private)
    for control in (count, temperature, seed, steps):
        control.input(again, inputs, outputs, **private, trigger_mode="always_last")
    choice.choose(again, inputs, outputs, **private, trigger_mode="always_last")
    prior.choose(from_prior, inputs, outputs, **private, trigger_mode="always_last")
    notice.picture.change(seen, [picker, *notice.inputs], notice.outputs, **private)

    def set_to(query: dict[str, str], model: str | None) -> dict:
        news = {count: COUNT, temperature: 1.0, usual: None, choice: {"label": query.get("label"), "linked": True}}
        if "seed" in query:
            news[seed] = link_number(query, "seed")
        if "n" in query:
            news[count] = link_number(query, "n", 1, MOST)
        if "temperature" in query:
            news[temperature] = link_decimal(query, "temperature", 0, 2)
        if "steps" in query:
            news |= {steps: link_number(query, "steps", 1, MOST_STEPS), usual: 0}  # chosen, whatever is usual
        if "prior" in query:
            if query["prior"] not in prior_texts.PRIORS:
                raise InputError(
                    f"The link's prior, {query['prior'][:40]}, is none of {', '.join(prior_texts.PRIORS)}."
                )
            news[prior] = {"chosen": query["prior"], "wanted": query["prior"], "linked": True}
        return news

    return Parts(view, refresh, Linked([seed, count, temperature, steps, usual, prior, choice], set_to))


def in_order(own: dict, theirs: dict | None) -> list[dict]:
    """The halves as they stand on the page, the plain auto-encoder first whichever is the chosen one."""
    if theirs is None:
        return [own]
    return [theirs, own] if own["variational"] else [own, theirs]


def words_of_draw(facts: dict, prior: str) -> str:
    """What the button says: of a prior that draws what the model was trained on, where that has a name, what comes."""
    dogs = prior == "diffusion" and "dog" in (facts["trained_on"] or "").casefold()
    return "Draw dogs" if dogs else "Draw new samples"


def half(server: ModelServer, model: str, work: Work) -> tuple[dict, Drawn | None]:
    """One model's samples for the page, which the work draws, or the sentence that says why there are none from that
    prior."""
    facts = server.catalog.facts(model)
    head, begun = {"model": model, "variational": facts["variational"]}, time.perf_counter()
    try:
        found = work()
    except PriorNotFitted as error:
        run = model if server.catalog.kind(model) == "run" else None
        return head | {"missing": f"{error.fact} {prior_texts.remedy(error.prior, bool(run))}", "run": run}, None
    photos = not_generative.concerns(server, model)
    says = prior_texts.explain(found.prior, facts, photos)
    if found.prior == "normal" and photos and facts["image_size"] >= LARGE:
        says = ""  # the notice says it
    seconds = time.perf_counter() - begun  # as a visitor waits, with the opening of the model
    return head | sprite(found.pixels) | {"says": says, "prior": found.prior, "seconds": seconds}, found
