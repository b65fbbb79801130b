"""The whole page: header, tabs, and what happens between them."""

import asyncio
import importlib.util
import inspect
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import gradio as gr
from gradio.components.api_component import Api
from gradio.utils import colab_check, get_upload_folder, is_hosted_notebook
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware

from vae import limits
from vae.checkpoints.find_model import bundled
from vae.errors import InputError
from vae.plugins import import_plugin
from vae.ui import address, api, picker, scripts
from vae.ui.page_head import PageHead, page_head, preview_route
from vae.ui.serving.access import Audience
from vae.ui.serving.catalog import Catalog
from vae.ui.serving.fair_queue import FairQueue
from vae.ui.serving.latent_maps import LatentMaps
from vae.ui.serving.lean_state import LeanSessions, Sweeper
from vae.ui.serving.models import Backend, ModelServer
from vae.ui.serving.popular_models import on_disk
from vae.ui.serving.request_shares import RequestShares
from vae.ui.serving.requests import RequestCheck
from vae.ui.serving.shares import Shares
from vae.ui.serving.sketches import Sketches
from vae.ui.serving.tasks import Tasks
from vae.ui.settings import TOOLS, TRAINING_TOOLS, Settings
from vae.ui.tabs import compare, interpolate, latent_space, reconstruct, sample, train
from vae.ui.theme import theme
from vae.ui.training.training_job import TrainingJob

TITLE = "VAE Studio"
SENTENCE = "Variational auto-encoders (VAEs) shrink a picture to a few numbers and redraw it. Try it live."
MARK = (
    '<svg viewBox="0 0 28 24" width="28" height="24" fill="currentColor" aria-hidden="true">'
    '<path d="M0 2v20l11-6.4V8.4zM28 2v20l-11-6.4V8.4z"/><rect x="12.6" y="9" width="2.8" height="6" rx="1"/></svg>'
)
BRAND = (
    f'<div class="vs-brand"><div class="vs-title"><h1>{MARK}{TITLE}</h1>'
    '<button type="button" class="vs-button" data-tour>Try this</button>'
    '<button type="button" class="vs-button" data-size aria-label="Large type" title="Large type, to present with" '
    f'aria-pressed="false"><small>A</small>A</button></div><p>{SENTENCE}</p></div>'
)
CACHE_HOURS = 1
SWEEPS = 10.0  # seconds from one to the next


class Studio(gr.Blocks):
    """The app. `launch()` without arguments launches it as it is meant to be; any argument may be given otherwise."""

    audience: Audience
    shares: Shares

    def launch(self, *arguments, **options):
        before, said = self.audience, inspect.signature(super().launch).bind_partial(*arguments, **options).arguments
        share = said.get("share")
        if share is None:  # Gradio opens a tunnel by itself where the page could not be seen otherwise
            share = before.shared or colab_check() or is_hosted_notebook()
        before.settle(said.get("server_name") or before.server_name, bool(share), share_url=lambda: self.share_url)
        limits.public_process(before.public)
        limits.share_pools()
        options = {**launch_options(self.shares), **options}
        options["app_kwargs"] = {"lifespan": self._starting, **options["app_kwargs"]}
        return super().launch(*arguments, **options)

    def validate_inputs(self, block_fn, inputs: list) -> None:
        """Of an endpoint that is called by place, the inputs left out at the end have their defaults: whoever calls it
        so goes on as before when it takes one more."""
        inputs += [block.value for block in block_fn.inputs[len(inputs) :] if isinstance(block, Api)]
        super().validate_inputs(block_fn, inputs)

    def offered_tools(self) -> tuple[str, ...]:
        """The endpoints that agents are offered over MCP."""
        chosen = self.audience.settings and self.audience.settings.mcp
        if chosen is None:
            return tuple(tool for tool in TOOLS if not self.audience.public or tool not in TRAINING_TOOLS)
        return chosen

    @asynccontextmanager
    async def _starting(self, app) -> AsyncIterator[None]:
        """While the server runs. Gradio offers agents every endpoint; what is not meant for them is taken out here."""
        if self.mcp_server_obj is not None:
            tools, offered = self.mcp_server_obj.tool_to_endpoint, self.offered_tools()
            for tool in [tool for tool, name in tools.items() if name.lstrip("/") not in offered]:
                del tools[tool]
        app.state_holder = LeanSessions()
        app.state_holder.set_blocks(self)
        sweeping = asyncio.create_task(self._sweep())
        yield
        sweeping.cancel()

    async def _sweep(self) -> None:
        sweeper = Sweeper(self._queue, Path(get_upload_folder()), CACHE_HOURS * 3600)
        while True:
            await asyncio.sleep(SWEEPS)
            sweeper.sweep()
            await asyncio.to_thread(sweeper.sweep_files)
            await asyncio.to_thread(limits.give_back)


def launch_options(shares: Shares) -> dict:
    """Gradio's launch() options of this app."""
    return {
        "theme": theme(),
        "ssr_mode": False,
        "run_history": False,
        "show_error": True,
        "mcp_server": importlib.util.find_spec("mcp") is not None,
        "max_file_size": "64mb",
        "state_session_capacity": 1000,
        # Gradio compresses its scripts but not the page itself, which holds the layout and our components.
        "app_kwargs": {
            "middleware": [
                Middleware(RequestCheck, audience=shares.audience),
                Middleware(RequestShares, owner=shares),
                Middleware(GZipMiddleware, compresslevel=6),
                Middleware(PageHead, text=page_head(), title=TITLE, sentence=SENTENCE),
            ],
            "routes": [scripts.route(), preview_route()],
        },
        "footer_links": ["api", "gradio", "settings"],
    }


def create_app(settings: Settings | None = None, server_name: str | None = None) -> gr.Blocks:
    """The page and its endpoints, with their own engine and training slot; not launched.

    settings: as the environment has them if left out. server_name: what it will listen on, if that is known and not
    the environment's: the page says nothing of folders where strangers will see it. Raises InputError for a setting
    that cannot be, for a plugin that cannot be imported and a model to open first that cannot be read.
    """
    settings = settings or Settings.from_environment()
    if server_name:
        settings = replace(settings, server_name=server_name)
    for name in settings.plugins:
        import_plugin(name)
    audience = Audience(settings)
    catalog = Catalog(settings.runs_dir, settings.model, audience)
    server, tasks = ModelServer(catalog, _backend(settings, catalog)), Tasks()
    latent_maps = LatentMaps(server)
    sketches = Sketches(server, latent_maps)
    shares = Shares(audience)
    training_job = TrainingJob(
        settings.runs_dir, settings.training, settings.max_train_minutes, audience, settings.max_run_bytes, shares
    )
    age = CACHE_HOURS * 3600
    with Studio(title=TITLE, analytics_enabled=False, delete_cache=(age, age), fill_width=True) as demo:
        demo.audience, demo.shares = audience, shares
        with gr.Row(elem_classes=["vs-header"]):
            gr.HTML(BRAND, apply_default_css=False, container=False)
            copy_button = address.copy_button()
            model = picker.build(catalog, server)
        link_note = address.link_note()
        with gr.Tabs(overflow_behavior="wrap") as tabs:  # phone.css has them in one line that scrolls
            with gr.Tab("Reconstruct", id="reconstruct") as reconstruct_tab:
                rebuilt = reconstruct.build(server, model, tasks, sketches)
            with gr.Tab("Sample", id="sample") as sample_tab:
                drawn = sample.build(server, model)
            with gr.Tab("Interpolate", id="interpolate") as interpolate_tab:
                between = interpolate.build(server, model, tasks, sketches)
            with gr.Tab("Latent space", id="latent") as latent_tab:
                space = latent_space.build(latent_maps, model)
            with gr.Tab("Compare", id="compare"):
                compared = compare.build(server, tasks)
            with gr.Tab("Train", id="train"):
                trained = train.build(catalog, training_job)
        refreshed = {
            "reconstruct": (reconstruct_tab, rebuilt.refresh),
            "sample": (sample_tab, drawn.refresh),
            "interpolate": (interpolate_tab, between.refresh),
            "latent": (latent_tab, space.refresh),
        }
        linked = {
            "reconstruct": rebuilt.linked,
            "sample": drawn.linked,
            "interpolate": between.linked,
            "latent": space.linked,
            "compare": compared,
            "train": trained.linked,
        }
        _keep_fresh(demo, catalog, model, tabs, refreshed, (copy_button, link_note), linked)
        _send_on(drawn, rebuilt, between, tabs)
        _send_point(space, model, between, tabs)
        api.build(server, catalog, training_job)
    demo.queue()
    demo._queue = FairQueue(demo, shares, concurrency_limit=4)
    return demo


def _backend(settings: Settings, catalog: Catalog) -> Backend | None:
    """Where models compute; None is here."""
    if settings.zero_gpu:
        from vae.ui.serving.zero_gpu import ZeroGpuModels

        names = [*bundled(), *([catalog.wanted] if catalog.wanted else []), *on_disk()]
        return ZeroGpuModels(list(dict.fromkeys(str(catalog.source(name)) for name in names)))
    if settings.ray:
        from vae.ui.serving.remote import RemoteModels

        return RemoteModels()
    return None


def _keep_fresh(
    demo: gr.Blocks,
    catalog: Catalog,
    model: gr.HTML,
    all_tabs: gr.Tabs,
    tabs: dict[str, tuple[gr.Tab, dict]],
    address_parts: tuple[gr.HTML, gr.HTML],
    linked: dict[str, address.Linked],
) -> None:
    """A tab that is opened shows a result of the chosen model: made when first seen, and again when the model changes
    or, being trained, has new weights. The page itself dims a result of another model until the new one comes.

    Which weights each tab shows is the visitor's own state; so is which tab is open. A link sets both.
    """
    first = next(iter(tabs))
    open_tab, all_shown = gr.State(first), {name: gr.State(None) for name in tabs}
    went = address.build(catalog, address_parts, model, all_tabs, open_tab, all_shown, linked)

    def weights(chosen: str | None) -> str | None:
        """What tells the model's weights from others; a name that cannot be read tells itself."""
        try:
            return str(catalog.source(chosen))
        except InputError:
            return chosen

    for name, (tab, refresh) in tabs.items():
        shown = all_shown[name]

        def update(seen: str | None, opened: str, chosen: str | None, *rest, name=name, refresh=refresh, shown=shown):
            now = weights(chosen)
            if opened != name or seen == now:
                yield {shown: seen}
                return
            news = refresh["fn"](*rest)
            for step in [news] if isinstance(news, dict) else news:
                yield {shown: now, **step}

        def opened(seen: str | None, *rest, name=name, update=update) -> Iterator[dict]:
            yield from update(seen, name, *rest)

        def loaded(seen: str | None, *rest, shown=shown, opened=opened) -> Iterator[dict]:
            if address.opened_by_link():
                yield {shown: seen}  # the page says at once what the link asks for
            else:
                yield from opened(seen, *rest)

        inputs, outputs = [model, *refresh["inputs"]], [shown, *refresh["outputs"]]
        options = {"api_visibility": "private", "show_progress_on": refresh["outputs"][0]}
        options["preprocess"] = refresh.get("preprocess", True)
        newest = options | {"trigger_mode": refresh["trigger_mode"]}
        # By itself and at once: the slow result of a tab already left must not say that it is still open.
        tab.select(lambda name=name: name, None, open_tab, queue=False, api_visibility="private")
        tab.select(opened, [shown, *inputs], outputs, **newest)
        model.change(update, [shown, open_tab, *inputs], outputs, **newest)
        # One at a time, or weights that come faster than results would end each of them before it is there.
        model.grown(update, [shown, open_tab, *inputs], outputs, **options, trigger_mode="once")
        went.then(update, [shown, open_tab, *inputs], outputs, **newest)
        if name == first:
            demo.load(loaded, [shown, *inputs], outputs, **options)


def _send_on(drawn: sample.Parts, rebuilt: reconstruct.Parts, between: interpolate.Parts, tabs: gr.Tabs) -> None:
    """A chosen sample becomes the image to reconstruct, or an end of the interpolation."""

    def send(value: dict, event: gr.EventData) -> dict:
        news = event._data if isinstance(event._data, dict) else {}
        to, index, uri = news.get("to"), news.get("index"), news.get("uri")
        if not isinstance(value, dict) or not isinstance(index, int) or not isinstance(uri, str):
            return {}
        label = f"sample {index + 1} of seed {value.get('seed')}"
        if to == "reconstruct":
            picture = {"kind": "inline", "uri": uri, "label": label}
            return {rebuilt.picture: picture, tabs: gr.Tabs(selected="reconstruct")}
        facts = {key: value.get(key) for key in ("seed", "temperature", "prior", "steps")}
        facts |= {"model": news.get("model"), "of": value.get("label")}
        end = {"kind": "sample", "index": index, "uri": uri, "label": label, **facts}
        side = between.a if to == "a" else between.b
        return {side: end, tabs: gr.Tabs(selected="interpolate")}

    drawn.view.send(
        send, drawn.view, [rebuilt.picture, between.a, between.b, tabs], api_visibility="private", queue=False
    )


def _send_point(space: latent_space.Parts, model: gr.HTML, between: interpolate.Parts, tabs: gr.Tabs) -> None:
    """A chosen point of a latent space becomes an end of the interpolation, in the model whose space it is."""

    def send(event: gr.EventData) -> dict:
        news = event._data if isinstance(event._data, dict) else {}
        point = {key: news.get(key) for key in ("model", "z", "uri", "label")}
        if not all(isinstance(part, str) for part in point.values()):
            return {}
        side = between.a if news.get("to") == "a" else between.b
        return {model: point["model"], side: {"kind": "point"} | point, tabs: gr.Tabs(selected="interpolate")}

    space.view.send(send, None, [model, between.a, between.b, tabs], api_visibility="private", queue=False)
