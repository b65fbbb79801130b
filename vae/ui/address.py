"""What the page's address says: `?tab=sample&model=fashion-vae&prior=normal&seed=7` opens just that.

static/address.js keeps the address at what one sees, and calls here when a link is opened or the visitor goes back.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import parse_qsl

import gradio as gr
from gradio.context import LocalContext

from vae.errors import InputError
from vae.inference import MAX_SEED
from vae.ui import tour
from vae.ui.components import note, widget
from vae.ui.serving.catalog import Catalog

TABS = ("reconstruct", "sample", "interpolate", "latent", "compare", "train")
KEYS = (
    "tab",
    "model",
    "image",
    "prior",
    "seed",
    "label",
    "n",
    "temperature",
    "steps",
    "a",
    "b",
    "map",
    "with",
    "run",
    "tour",
)  # static/address.js knows them too
DIGITS = 19  # of the largest seed
LONGEST = 8000  # characters of an address that are read


@dataclass(frozen=True)
class Linked:
    """What of a tab is in the address. set_to(query, model) gives {component: value}, of `outputs`, and raises
    InputError for what is not there. model: the one that the tab then shows."""

    outputs: list
    set_to: Callable[[dict[str, str], str | None], dict]


def copy_button() -> gr.HTML:
    """The component that knows the address; where a frame hides it, a button that copies it."""
    return widget("address", events=["go"])


def link_note() -> gr.HTML:
    """Where is said that a link leads nowhere, until the visitor has moved on."""
    return note(until="moved")


def parse(text: object) -> dict[str, str]:
    """The state in an address's query; empty for none."""
    return dict(parse_qsl(str(text).removeprefix("?")[:LONGEST]))


def opened_by_link() -> bool:
    """Whether the address of the page whose event is being answered asks for anything."""
    request = LocalContext.request.get(None)
    return request is not None and any(key in request.query_params for key in KEYS)


def link_number(query: dict[str, str], name: str, low: int = 0, high: int = MAX_SEED) -> int:
    """A whole number in an address's query. Raises InputError for what is none in [low, high]."""
    text = query[name]
    if not text.isdecimal() or len(text) > DIGITS or not low <= int(text) <= high:
        raise InputError(f"The link's {name}, {text[:40]}, is no whole number from {low} to {high}.")
    return int(text)


def link_decimal(query: dict[str, str], name: str, low: float, high: float) -> float:
    """A number in an address's query. Raises InputError for what is none in [low, high]."""
    try:
        value = float(query[name])
    except ValueError:
        value = math.nan
    if not low <= value <= high:
        raise InputError(f"The link's {name}, {query[name][:40]}, is no number from {low:g} to {high:g}.")
    return value


def build(
    catalog: Catalog,
    parts: tuple[gr.HTML, gr.HTML],
    model: gr.HTML,
    tabs: gr.Tabs,
    open_tab: gr.State,
    shown: dict[str, gr.State],
    linked: dict[str, Linked],
) -> gr.events.Dependency:
    """Wires parts, the two above. open_tab and shown: as app.py keeps them; linked: by the name of the tab. Returns the
    event after which the open tab is to be drawn anew."""
    address, said = parts

    def go(now: str | None, event: gr.EventData) -> dict:
        asked = event._data if isinstance(event._data, dict) else {}
        at = {"query": str(asked.get("query"))[:5000]}  # by which the page knows a late answer
        query, news, wrong = parse(asked.get("query")), {address: at}, []
        try:
            query = tour.opened(query)
        except InputError as error:
            wrong.append(str(error))
        tab, wanted = query.get("tab", TABS[0]), query.get("model") or catalog.first()
        if tab not in TABS:
            wrong.append(f"The link leads to a tab that there is not, {tab[:40]}.")
            tab = TABS[0]
        if wanted and catalog.named(wanted):
            news[model] = now = wanted
        else:
            try:
                news[address] = at | {"open": catalog.outside(str(wanted))}  # by the page, which shows how far it is
            except InputError:
                wrong.append(f"The link's model, {str(wanted)[:80]}, is not here, or not any more.")
        if tab in linked:
            try:
                news |= linked[tab].set_to(query, now)
            except InputError as error:
                wrong.append(str(error))
        if tab in shown:
            news[shown[tab]] = None  # it may show the same model from another seed
        return news | {tabs: gr.Tabs(selected=tab), open_tab: tab, said: " ".join(wrong)}

    components = [part for each in linked.values() for part in each.outputs]
    outputs = [address, model, tabs, open_tab, said, *shown.values(), *dict.fromkeys(components)]
    options = {"api_visibility": "private", "show_progress": "hidden", "queue": False}
    # Each as it comes: of two Backs in a row, the one that had to wait would be sent with the data of the other.
    return address.go(go, model, outputs, trigger_mode="multiple", **options)
