"""The page's own components, and how functions answer the page and HTTP clients: one sentence where input is bad."""

import inspect
import json
import logging
from collections.abc import Callable, Iterable, Iterator
from functools import wraps

import gradio as gr
from gradio.components.api_component import Api
from gradio.context import LocalContext

from vae.errors import InputError
from vae.inference import MAX_SEED

log = logging.getLogger(__name__)
SORRY = "Something went wrong on the server, not with your input; the server's log has the details."


def widget(
    name: str, value: object = None, events: Iterable[str] = (), functions: Iterable[Callable] = (), **options
) -> gr.HTML:
    """A component of ours: the module static/NAME.js draws it from its JSON value and its `options`.

    events: names it triggers, to be listened to in Python. functions: Python functions its script may call. The options
    are part of the script: given as gr.HTML's own props they would be wiped by the first update that skips them.
    """
    quoted = " ".join(f"'{event}'" for event in events)  # Gradio looks for an event's name in quotes
    return gr.HTML(
        value=value,
        html_template=f'<div data-vs="{name}"></div>',
        js_on_load=f"const options = {json.dumps(options)}; /* {quoted} */\n"
        "const context = { element, props, trigger, server, upload, watch, options };\n"
        f"vaeStudio.then((page) => page.mount('{name}', context));",
        server_functions=list(functions),
        apply_default_css=False,
        container=False,
    )


def note(of_result: bool = False, until: str | None = None) -> gr.HTML:
    """Where a sentence about what went wrong appears; empty it takes no room.

    of_result: whether the tab's result is then one of before, and is dimmed. until: the news between the page's
    modules at which it goes by itself.
    """
    return widget("error_note", value="", of_result=of_result, until=until)


def seed_control() -> gr.Number:
    """Where a seed is shown and typed; `read_seed` reads it. It has no limits of Gradio's, which would round what is
    no whole number, and say the rest in a raw toast."""
    return gr.Number(0, label="Seed", step=1, min_width=90)


def read_seed(value: object) -> int:
    """The seed in a control. Raises InputError for none."""
    if value is None:
        raise InputError("There is no seed: type a whole number, 0 or larger.")
    return whole("The seed", value, 0, MAX_SEED)


def visitor() -> str:
    """The session of the page whose event is being answered; empty for an HTTP client without one."""
    request = LocalContext.request.get(None)
    return getattr(request, "session_hash", None) or ""


def lead(tab: str, text: str) -> gr.HTML:
    """The one or two sentences that say what one is looking at, under the tab's name for those who hear the page."""
    heading = f'<h2 class="vs-heard">{tab}</h2>'
    return gr.HTML(f'{heading}<p class="vs-lead">{text}</p>', apply_default_css=False, container=False)


def term(word: str) -> str:
    """A word that static/glossary.js explains, for a text of the page."""
    return f'<button type="button" class="vs-term" data-term="{word}">{word}</button>'


def fold(title: str, body: str) -> gr.HTML:
    """Formulas and why, folded away. MathML: browsers set it themselves."""
    return gr.HTML(
        f'<details class="vs-fold"><summary>{title}</summary><div>{body}</div></details>',
        apply_default_css=False,
        container=False,
    )


def show_errors(where: gr.HTML) -> Callable:
    """Decorates a page event that returns {component: value}: bad input becomes the sentence in the note `where`.

    What is shown elsewhere stays as it is. `where` must be among the event's outputs.
    """

    def decorate(function: Callable[..., dict]) -> Callable[..., dict]:
        @wraps(function)
        def answer(*arguments):
            try:
                return {where: "", **function(*arguments)}
            except Exception as error:
                return {where: error_text(error, function.__name__)}

        return answer

    return decorate


def show_errors_of_steps(where: gr.HTML) -> Callable:
    """As `show_errors`, for a page event that yields such dicts one after another."""

    def decorate(function: Callable[..., Iterator[dict]]) -> Callable[..., Iterator[dict]]:
        @wraps(function)
        def answer(*arguments):
            try:
                for step in function(*arguments):
                    yield {where: "", **step}
            except Exception as error:
                yield {where: error_text(error, function.__name__)}

        return answer

    return decorate


def error_text(error: Exception, what: str) -> str:
    """The sentence that the page shows for an error while doing `what`; one that is not the visitor's is logged."""
    if isinstance(error, InputError):
        return str(error)
    log.error("%s failed", what, exc_info=error)
    return SORRY


def raising_gradio_errors(function: Callable) -> Callable:
    """Decorates a function that a script or an HTTP client calls: bad input raises a gr.Error of one sentence."""

    @wraps(function)
    def answer(*arguments, **named):
        try:
            return function(*arguments, **named)
        except InputError as error:
            raise gr.Error(str(error), print_exception=False) from None
        except gr.Error:
            raise
        except Exception:
            log.exception("%s failed", function.__name__)
            raise gr.Error(SORRY, print_exception=False) from None

    return answer


def telling_errors(function: Callable) -> Callable:
    """Decorates a function that a script calls: in place of what it would return, {"error": one sentence}."""

    @wraps(function)
    def answer(*arguments):
        try:
            return function(*arguments)
        except Exception as error:
            return {"error": error_text(error, function.__name__)}

    return answer


def _file(title: str) -> dict:
    """What clients know a file by."""
    meta = {"type": "object", "default": {"_type": "gradio.FileData"}}
    return {"title": title, "type": "object", "properties": {"path": {"type": "string"}, "meta": meta}}


_SCHEMAS = {
    "picture": _file("ImageData"),
    "int": {"type": "integer"},
    "int or auto": {"anyOf": [{"type": "integer"}, {"type": "string"}]},
    "float": {"type": "number"},
    "bool": {"type": "boolean"},
    "str": {"type": "string"},
    "file": _file("FileData"),
    "json": {"type": "object", "additionalProperties": {}},
    "list": {"type": "array", "items": {"type": "object", "additionalProperties": {}}},
}


def endpoint(function: Callable, kinds: dict[str, str], returns: dict[str, str], **options) -> None:
    """Offer `function` over HTTP and MCP under its own name, apart from the page's events.

    kinds: for each parameter, what it takes; returns: for each result, what it is (keys of _SCHEMAS). Defaults are the
    function's own. Built on the Api component that gr.api uses, since gr.api knows no files.
    """
    parameters = inspect.signature(function).parameters
    defaults = {name: None if p.default is p.empty else p.default for name, p in parameters.items()}
    gr.on(
        [],
        raising_gradio_errors(function),
        [Api(defaults[name], _SCHEMAS[kind], _title(name)) for name, kind in kinds.items()],
        [Api(None, _SCHEMAS[kind], _title(name)) for name, kind in returns.items()],
        api_name=function.__name__,
        preprocess=False,
        postprocess=False,
        **options,
    )


def _title(name: str) -> str:
    """A label in words; a bare "image" or "status" would be looked up in Gradio's translations."""
    return name.replace("_", " ").capitalize()


def whole(name: str, value: object, low: int, high: int) -> int:
    """`value` as an int in [low, high] (JSON clients may write 5.0), or InputError."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise InputError(f"{name} must be a whole number from {low} to {high}{_not(value)}.")
    return value


def number(name: str, value: object, low: float, high: float) -> float:
    """`value` as a float in [low, high], or InputError."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise InputError(f"{name} must be a number from {low:g} to {high:g}{_not(value)}.")
    return float(value)


def _not(value: object) -> str:
    return "" if value is None else f", not {str(value)[:40]}"  # None is what an empty control holds
