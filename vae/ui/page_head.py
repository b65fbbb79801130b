"""What the page's head holds besides Gradio's part: style, modules, example images; what a shared link shows.

launch(head=) would add it only after Gradio's own scripts have run, a second too late for a page that comes at once.
"""

import html
import json
import re
from functools import partial

import brotli  # Gradio needs it too
from gradio.route_utils import get_root_url
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import FileResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from vae.ui import scripts, tour
from vae.ui.address import TABS
from vae.ui.theme import variables
from vae.ui.uploads import examples

STYLES = ("studio", "picker", "train", "compare", "priors", "latent", "draw", "touch", "teach", "phone")
PAGE = b"window.gradio_config"  # is in Gradio's page and in nothing else it answers
END = b"</head>"
GRADIOS = re.compile(rb'<meta\s+(?:property|name)="(?:og|twitter):[^>]*>')  # what a link to any Gradio app shows
PREVIEW = f"{scripts.FOLDER}/preview.png"
PREVIEW_SAYS = "VAE Studio: handwritten digits drawn by a variational auto-encoder, one turning into another"
# The tab of a link is open from the beginning, not only once the first has been seen.
OPEN_TAB = (
    "{const asked = new URLSearchParams(location.search);"
    f"const tab = asked.get('tab') ?? {json.dumps([step.opens['tab'] for step in tour.STEPS])}[asked.get('tour') - 1];"
    "const tabs = window.gradio_config?.components?.find((c) => c.type === 'tabs');"
    f"if (tabs && {json.dumps(TABS)}.includes(tab)) tabs.props.selected = tab;}}"
)
# Large type is there from the beginning, too; static/teach.js keeps the choice.
SIZE = (
    "{let size = new URLSearchParams(location.search).get('size');"
    "try { size ??= localStorage.getItem('vs-size'); } catch {}"
    "document.documentElement.classList.toggle('vs-large', size === 'large');}"
)


def page_head() -> str:
    """The style is not given to launch(css=) either, which puts Gradio's own selectors before each of ours."""
    styles = ((scripts.STATIC / f"{name}.css").read_text("utf-8") for name in STYLES)
    style = variables() + "\n".join(map(scripts.in_rem, styles))
    return (
        f"{scripts.head()}<style>{style}</style><script>{OPEN_TAB}{SIZE}</script>"
        f"{_data('vs-examples', examples())}{_data('vs-tour', tour.as_json())}"
    )


def _data(name: str, value: object) -> str:
    text = json.dumps(value, ensure_ascii=False).replace("<", "\\u003c")
    return f'<script type="application/json" id="{name}">{text}</script>'


def link_preview(title: str, sentence: str, root: str, query: str) -> str:
    """What services show of a link to the page, in their own words (Open Graph, Twitter Cards). root, query: of the
    page as it was asked for, whose absolute address they want."""
    named = {
        "og:type": "website",
        "og:site_name": title,
        "og:title": title,
        "og:description": sentence,
        "og:url": f"{root}/?{query}" if query else f"{root}/",
        "og:image": f"{root}/{PREVIEW}",
        "og:image:width": "1200",
        "og:image:height": "630",
        "og:image:alt": PREVIEW_SAYS,
    }
    tags = [f'<meta property="{name}" content="{html.escape(value)}">' for name, value in named.items()]
    says = html.escape(sentence)
    return f'<meta name="description" content="{says}"><meta name="twitter:card" content="summary_large_image">' + (
        "".join(tags)
    )


def preview_route() -> Route:
    keep = {"Cache-Control": "public, max-age=86400"}
    return Route(f"/{PREVIEW}", lambda request: FileResponse(scripts.STATIC / "preview.png", headers=keep))


class PageHead:
    """Middleware that writes `text` at the end of the page's head, and what a link to it shows in place of what Gradio
    says there."""

    def __init__(self, app: ASGIApp, text: str, title: str, sentence: str):
        self.app = app
        self.text = text.encode()
        self.preview = partial(link_preview, title, sentence)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "GET" or "/gradio_api/" in scope["path"]:
            await self.app(scope, receive, send)
            return
        start: Message | None = None
        body = b""

        async def insert(message: Message) -> None:
            nonlocal start, body
            if message["type"] == "http.response.start" and _is_html(message):
                start = message  # its length is not known yet
            elif start is None:
                await send(message)
            else:
                body += message.get("body", b"")
                if message.get("more_body"):
                    return
                headers = MutableHeaders(raw=start["headers"])
                if PAGE in body:
                    body = self._completed(body, Request(scope))
                    if "br" in Headers(scope=scope).get("accept-encoding", ""):  # an eighth less than gzip, as quickly
                        body = brotli.compress(body, quality=6)
                        headers["content-encoding"] = "br"
                        headers.add_vary_header("Accept-Encoding")
                headers["content-length"] = str(len(body))
                await send(start)
                await send({"type": "http.response.body", "body": body})

        await self.app(scope, receive, insert)

    def _completed(self, body: bytes, request: Request) -> bytes:
        head, end, rest = body.partition(END)
        root = get_root_url(request, request.url.path, root_path=None)
        preview = self.preview(root, request.url.query)
        return GRADIOS.sub(b"", head) + preview.encode() + self.text + end + rest


def _is_html(start: Message) -> bool:
    return MutableHeaders(raw=start["headers"]).get("content-type", "").startswith("text/html")
