"""The header's model picker: one for all tabs, kept up to date without a reload; opens models that are not listed."""

import threading
import time
from dataclasses import asdict

from vae.errors import InputError
from vae.ui.components import raising_gradio_errors, widget
from vae.ui.serving.catalog import Catalog, version
from vae.ui.serving.model_loader import ModelLoader, Opening
from vae.ui.serving.models import ModelServer
from vae.ui.serving.popular_models import popular_models

MOST = 8  # models that a page may name as those it shows
SHOWN = (
    "name",
    "kind",
    "family",
    "parameters",
    "in_channels",
    "image_size",
    "fixed_size",
    "latent_shape",
    "latent_space",
    "trained_on",
    "epoch",
)


def build(catalog: Catalog, server: ModelServer):
    """The picker. Its value is the chosen model's name. What a visitor opened is listed on their own page alone."""
    loader = ModelLoader(server, catalog)

    def listing() -> dict:
        models = [shown_facts(model) for model in catalog.listed()]
        return {"models": models, "version": version(models)}

    lock, kept = threading.Lock(), [0.0, {}]

    def recent() -> dict:
        """The list, looked up at most once a second however many pages ask."""
        with lock:
            if time.monotonic() - kept[0] > 1.0:
                kept[:] = time.monotonic(), listing()
            return kept[1]

    def model_list(known: dict) -> dict:
        """The models, if they are no longer what the page knows. Called by every open page every two seconds.

        known: {version, names}: models that the page shows, which are listed however many newer ones there are.
        """
        known, news = known if isinstance(known, dict) else {}, recent()
        names = known["names"][:MOST] if isinstance(known.get("names"), list) else []
        listed = {model["name"] for model in news["models"]}
        more = [catalog.named(name) for name in dict.fromkeys(names) if isinstance(name, str) and name not in listed]
        if any(more):
            models = news["models"] + [shown_facts(model) for model in more if model]
            news = {"models": models, "version": version(models)}
        return {"version": news["version"]} if known.get("version") == news["version"] else news

    def known_models(_: object = None) -> list[dict]:
        """The well-known models, asked for when the visitor wants to open one."""
        return popular_models()

    def open_model(text: str) -> dict:
        """Begin to open a model; {name, state, …} as in `opening`."""
        try:
            return opening_facts(loader.start(text))
        except InputError as error:
            return opening_facts(Opening("", "failed", error=str(error)))

    def opening(name: str) -> dict:
        """How far the opening of a model is, asked for a few times a second while there is one."""
        try:
            found = loader.find(name) if isinstance(name, str) else None
        except InputError as error:
            found = Opening(name[:200], "failed", error=str(error))
        lost = Opening(str(name)[:200], "failed", error="The server no longer knows of this opening; try again.")
        return opening_facts(found or lost)

    first = listing()
    return widget(
        "model_picker",
        value=catalog.first(),
        events=["grown"],
        functions=[raising_gradio_errors(function) for function in (model_list, known_models, open_model, opening)],
        models=first["models"],
        version=first["version"],
        public=catalog.audience.public,
    )


def shown_facts(model: dict) -> dict:
    """Of a model's facts those that the page shows."""
    return {key: model.get(key) for key in SHOWN}


def opening_facts(opening: Opening) -> dict:
    facts = opening.facts and shown_facts(opening.facts) | {"name": opening.name, "kind": "opened"}
    return asdict(opening) | {"facts": facts}
