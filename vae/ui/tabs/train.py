"""The Train tab: start a training on any data, watch and compare runs, and keep them in order."""

import json
from collections.abc import Callable
from dataclasses import dataclass

import gradio as gr

from vae.errors import InputError
from vae.training.config import TrainConfig
from vae.training.presets import PRESETS, preset
from vae.training.recipes import FIRST
from vae.training.setting import settings_of
from vae.training.trained_model import with_its_network
from vae.ui.address import Linked
from vae.ui.components import error_text, fold, lead, note, raising_gradio_errors, show_errors, term, widget
from vae.ui.formulas import formula
from vae.ui.serving.catalog import HUB, Catalog
from vae.ui.training import outlook
from vae.ui.training.after_run import AfterRun
from vae.ui.training.controls import channels, control, meant, shown
from vae.ui.training.metric_rows import EPOCH_FIELDS
from vae.ui.training.training_data import Previews, checked, choices
from vae.ui.training.training_job import TrainingJob
from vae.ui.training.watch import PREVIEW_FIELDS, Watcher

CUSTOM = "digits"  # what needs no network is chosen first
SETTINGS = {name: known for name, known in settings_of(TrainConfig).items() if known.public}
SHOWN = ("epochs", "learning_rate", "beta")  # the others are folded away, but for those of the images
NEW = ("new weights", "")  # what a training starts from if nothing is chosen

LEAD = (
    "Watch a model learn. Two goals compete: to redraw every picture exactly (reconstruction), and to keep the latents "
    f"close to plain noise ({term('KL')}), so that noise can be decoded later. {term('β')} is the weight of the second."
)
WHY = (
    "<p>How likely the model finds a picture cannot be computed, but a lower bound can (the ELBO), and training raises "
    "it. Its two terms are the two lower curves.</p>"
    + formula("log p(x) ≥ E_q [log p(x|z)] − KL(q ‖ N(0, I))")
    + formula("loss = reconstruction + β · KL")
    + formula("KL = frac{1}{2} ∑_j (μ_j^2 + σ_j^2 − 1 − log σ_j^2)")
    + "<p>With β = 0 nothing keeps the latents together: a plain auto-encoder. A larger β gives smoother samples and "
    "blurrier reconstructions.</p>"
)


@dataclass(frozen=True)
class Parts:
    view: gr.HTML
    linked: Linked


def build(catalog: Catalog, training_job: TrainingJob) -> Parts:
    watcher = Watcher(catalog)
    lead("Train", LEAD)
    with gr.Row(elem_classes=["vs-split"]):
        with gr.Column(elem_classes=["vs-controls"]):
            controls = _controls(training_job, catalog) if training_job.allowed else _no_controls()
            with gr.Column(elem_classes=["vs-card"]):
                fold("The maths behind this", WHY)
        with gr.Column(elem_classes=["vs-result"]), gr.Column(elem_classes=["vs-card"]):
            functions = [
                raising_gradio_errors(f) for f in (watcher.watch_run, watcher.see_previews, watcher.curves_csv)
            ]
            functions.append(changer(catalog, training_job))
            view = widget(
                "training",
                functions=functions,
                training=training_job.allowed,
                max_epochs=SETTINGS["epochs"].high,
                row_fields=EPOCH_FIELDS,  # a step's row has the first of them
                preview_fields=PREVIEW_FIELDS,
            )
    if controls:
        _wire(controls, view, training_job, catalog)

    def set_to(query: dict[str, str], model: str | None) -> dict:
        name = query.get("run")
        if name and name not in {run.name for run in catalog.histories()}:
            raise InputError(f"The link's run, {name[:80]}, is not here, or no longer among the newest.")
        return {view: {"run": name, "linked": True}} if name else {}

    return Parts(view, Linked([view], set_to))


@dataclass(frozen=True)
class Controls:
    recipe: gr.Dropdown
    data: gr.Dropdown
    archive: gr.HTML
    settings: dict[str, gr.components.Component]  # TrainConfig's fields
    start: gr.Button
    token: gr.Textbox
    error_note: gr.HTML


def _no_controls() -> None:
    with gr.Column(elem_classes=["vs-card"]):
        _caption("Training is switched off on this server, but its runs can be watched.")


def _controls(training_job: TrainingJob, catalog: Catalog) -> Controls:
    first, settings, audience = PRESETS[FIRST], {}, catalog.audience
    functions = watchers(catalog, Previews(audience))
    asked = {"data": CUSTOM, "preset": FIRST, "settings": {}}
    with gr.Column(elem_classes=["vs-card"]):
        recipe = gr.Dropdown(list(PRESETS), value=FIRST, label="Model size")
        settings["init"] = gr.Dropdown(
            beginnings(catalog),
            value="",
            label=SETTINGS["init"].label,
            allow_custom_value=True,
            info="New weights, or a model to go on with: its network then, the other settings from here",
        )
        data = gr.Dropdown(
            choices(),
            value=CUSTOM,
            label="Data",
            allow_custom_value=True,
            info="A name or a Hub id (owner/name)" + ("" if audience.public else ", or a folder on this machine"),
        )
        archive = widget("training_data", events=["send"], functions=functions[:1], **asked)
        with gr.Row(elem_classes=["vs-row"]):
            settings["size"] = control(SETTINGS["size"], first.size)
            settings["in_channels"] = channels()
        with gr.Row(elem_classes=["vs-row"]):
            for name in SHOWN:
                settings[name] = control(SETTINGS[name], getattr(first, name))
        with gr.Accordion("Advanced", open=False, elem_classes=["vs-advanced"]):
            for name, known in SETTINGS.items():
                if name != "data" and name not in settings:
                    settings[name] = control(known, getattr(first, name))
        limit = training_job.max_minutes
        if limit is not None:
            _caption(f"On this server, training ends after {limit:g} minutes; the model keeps what it has learned.")
        with gr.Column(elem_classes=["vs-start"]):  # always on the screen
            widget("training_outlook", functions=functions[1:], **asked)
            error_note = note(until="data")
            start = gr.Button("Start training", variant="primary")
    return Controls(recipe, data, archive, settings, start, gr.Textbox(visible=False), error_note)


def _caption(text: str) -> None:
    gr.HTML(f'<p class="vs-caption">{text}</p>', apply_default_css=False)


def _wire(controls: Controls, view: gr.HTML, training_job: TrainingJob, catalog: Catalog) -> None:
    names, audience = list(controls.settings), catalog.audience
    of_presets = [name for name in names if name not in ("init", "freeze")]  # which stay as they were chosen

    def values(chosen: TrainConfig) -> list:
        return [shown(SETTINGS[name], getattr(chosen, name)) for name in of_presets]

    def defaults(name: str, init: str) -> list:
        chosen = preset(name, init=init or None)
        data = CUSTOM if FIRST in name and chosen.data not in choices() else chosen.data
        return [data, *values(chosen)]

    def suiting(name: str, init: str) -> list:
        """The recipe for going on with that model, and what it says otherwise than the one before."""
        try:
            source = catalog.beginning(init)
            chosen = preset(None if source else name, init=source)
        except InputError:  # which is said beside the button
            return [gr.skip()] * (1 + len(of_presets))
        before, new = preset(name), values(chosen)
        differs = [each == "learning_rate" or getattr(before, each) != getattr(chosen, each) for each in of_presets]
        return [chosen.preset, *(value if other else gr.skip() for value, other in zip(new, differs, strict=True))]

    def take_suggested(event: gr.EventData) -> list:
        news = event._data if isinstance(event._data, dict) else {}
        chosen = preset(str(news.get("preset") or FIRST))
        return [chosen.preset, *values(chosen)]

    begun = gr.State(None)  # what the visitor started last: (config, run)

    @show_errors(controls.error_note)
    def begin(last, name, data, archive, token, *settings) -> dict:
        file = archive.get("file") if isinstance(archive, dict) else None
        source = file.get("path") if isinstance(file, dict) else data
        asked = given(catalog, dict(zip(names, settings, strict=True)))
        config = training(name, source, not audience.may_open_paths(), **asked)
        busy = training_job.current()
        if last and busy and last == (config, busy.name):  # pressed twice: it is running already
            return {view: {"run": busy.name}}
        run = training_job.start(config, audience.visitor(token)).name
        return {view: {"run": run}, begun: (config, run)}

    private = {"api_visibility": "private", "show_progress": "hidden"}
    inputs, preset_values = [controls.recipe, controls.data], [controls.settings[name] for name in of_presets]
    start_from = controls.settings["init"]
    controls.recipe.input(defaults, [controls.recipe, start_from], [controls.data, *preset_values], **private)
    start_from.input(suiting, [controls.recipe, start_from], [controls.recipe, *preset_values], **private)
    controls.archive.send(take_suggested, None, [controls.recipe, *preset_values], **private)
    start_from.focus(lambda: gr.Dropdown(choices=beginnings(catalog)), None, start_from, queue=False, **private)
    asked = [*inputs, *controls.settings.values()]
    tell = TELL_DATA % json.dumps(names)
    gr.on([control.change for control in asked], None, asked, None, js=tell, api_visibility="private")
    controls.start.click(
        begin,
        [begun, *inputs, controls.archive, controls.token, *controls.settings.values()],
        [view, begun, controls.error_note],
        js=WITH_TOKEN,
        **private,
    )


TELL_DATA = (
    "(preset, data, ...values) => {"
    " const settings = Object.fromEntries(%s.map((name, i) => [name, values[i]]));"
    " vaeStudio.then((page) => page.tell('data', { preset, data, settings }));"
    " return []; }"
)
WITH_TOKEN = (
    "async (begun, preset, data, archive, token, ...rest) => "
    "[begun, preset, data, archive, (await vaeStudio).visitorToken(), ...rest]"
)


def beginnings(catalog: Catalog) -> list[tuple[str, str]]:
    """What a training may start from: (what it is called, the control's value). Older runs are typed."""
    return [NEW, *((model["name"], model["name"]) for model in catalog.listed() if model["kind"] != "live")]


def given(catalog: Catalog, values: dict) -> dict:
    """The settings that the page's controls say, as `training` takes them. InputError for a model that there is not,
    and for a number that was deleted: to `training` it would be one left out, which has a default."""
    found = {}
    for name, value in values.items():
        if name in SETTINGS and name != "data":
            found[name] = meant(SETTINGS[name], value)
            if found[name] is None and not SETTINGS[name].optional:
                raise InputError(f"{name} must be {SETTINGS[name].accepted}; it is empty.")
    return found | {"init": catalog.beginning(found.get("init"))}


def watchers(catalog: Catalog, previews: Previews) -> list[Callable[[object], dict]]:
    """For the scripts: how the data {preset, data, settings} look to the model, and what a training with them takes."""
    public = lambda: not catalog.audience.may_open_paths()  # noqa: E731

    def wanted(asked: object) -> TrainConfig:
        """The config, with its network where that is on this machine."""
        asked = asked if isinstance(asked, dict) else {}
        settings = asked["settings"] if isinstance(asked.get("settings"), dict) else {}
        config = training(asked.get("preset"), asked.get("data"), public(), **given(catalog, settings))
        here = config.init is None or not config.init.startswith(HUB)
        return with_its_network(config) if here else config

    def look_at_data(asked: object) -> dict:
        try:
            checked(str(asked.get("data") or "") if isinstance(asked, dict) else "", public())
        except InputError as error:
            return {"error": str(error)}
        try:
            config = wanted(asked)
        except InputError as error:  # what is amiss is not the data, and is said beside the button
            return {"error": str(error), "settings": True}
        try:
            found = previews.look(config.data, config)
            return found | {"suggest": outlook.suggestion(config, found["channels"])}
        except Exception as error:
            return {"error": error_text(error, "look_at_data")}

    def foresee(asked: object) -> dict:
        try:
            config = wanted(asked)
            if config.init and config.init.startswith(HUB):
                return {"says": "What it takes is known when the model has been fetched."}
            outlook.check(config, catalog.audience)
            try:
                images = previews.look(config.data, config)["images"]
            except InputError:  # which is said beside the data
                return {"says": ""}
            return {"says": outlook.says(config, images)}
        except Exception as error:
            return {"error": error_text(error, "foresee")}

    return [look_at_data, foresee]


def changer(catalog: Catalog, training_job: TrainingJob):
    """The function with which the page's script stops, continues, renames, deletes and measures runs."""
    after_run = AfterRun(catalog.audience)

    def change_run(asked: object) -> dict:
        """asked: {run, token, do: "stop" | "continue" | "rename" | "delete" | "map" | "fit" | "prior" | "stop prior",
        epochs or name} -> {run} or {error}."""
        asked = asked if isinstance(asked, dict) else {}
        try:
            run, who = catalog.run(asked.get("run")), catalog.audience.visitor(asked.get("token"))
            match asked.get("do"):
                case "stop":
                    training_job.stop(run, who)
                case "continue":
                    training_job.resume(run, SETTINGS["epochs"].check(asked.get("epochs")), who)
                case "rename":
                    run = training_job.rename(run, str(asked.get("name") or ""), who)
                case "delete":
                    training_job.delete(run, who)
                    return {"run": None}
                case "map" if training_job.allowed:
                    after_run.map(run, who)
                case "fit" if training_job.allowed:
                    after_run.fit(run, who)
                case "prior":
                    training_job.fit_prior(run, who)
                case "stop prior":
                    training_job.stop_prior(run, who)
                case _:
                    raise InputError("A run can be stopped, continued, renamed, deleted, mapped or fitted to.")
            return {"run": run.name}
        except Exception as error:
            return {"error": error_text(error, "change_run")}

    return change_run


def training(name: object, data: object, public: bool, **settings) -> TrainConfig:
    """The TrainConfig for what a visitor or client asked; what is None or left out is as in the preset.

    public: whether a stranger asks, to whom no path is open. Raises InputError for a value that is not accepted, an
    unknown preset, or data they may not train on.
    """
    name = str(name) if name else None
    data = checked(str(data) if data not in (None, "") else preset(name, init=settings.get("init")).data, public)
    return preset(name, data=data, **settings)
