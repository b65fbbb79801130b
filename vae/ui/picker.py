"""The header's model picker: one for all tabs, kept up to date without a reload."""

from vae.ui.catalog import Catalog, version
from vae.ui.components import quiet, widget

SHOWN = ("name", "kind", "parameters", "latent_shape", "trained_on", "epoch")


def build(catalog: Catalog):
    """The picker. Its value is the chosen model's name."""

    def listed() -> dict:
        models = [{key: model.get(key) for key in SHOWN} for model in catalog.models()]
        return {"models": models, "version": version(models)}

    def model_list(known: dict) -> dict:
        """The models, if they are no longer what the page knows. Called by every open page every two seconds."""
        news = listed()
        same = isinstance(known, dict) and known.get("version") == news["version"]
        return {"version": news["version"]} if same else news

    first = listed()
    return widget(
        "picker",
        value=catalog.first(),
        functions=[quiet(model_list)],
        elem_classes=["vs-picker-box"],
        models=first["models"],
        version=first["version"],
    )
