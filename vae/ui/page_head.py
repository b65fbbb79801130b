"""What the page's head holds besides Gradio's part: style, modules, example images.

launch(head=) would add it only after Gradio's own scripts have run, a second too late for a page that comes at once.
"""

import json

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from vae.ui import scripts
from vae.ui.address import TABS
from vae.ui.theme import variables
from vae.ui.uploads import examples

STYLES = ("studio", "picker", "train", "compare", "priors", "latent", "touch")
PAGE = b"window.gradio_config"  # is in Gradio's page and in nothing else it answers
END = b"</head>"
# The tab of a link is open from the beginning, not only once the first has been seen.
OPEN_TAB = (
    "{const tab = new URLSearchParams(location.search).get('tab');"
    "const tabs = window.gradio_config?.components?.find((c) => c.type === 'tabs');"
    f"if (tabs && {json.dumps(TABS)}.includes(tab)) tabs.props.selected = tab;}}"
)


def page_head() -> str:
    """The style is not given to launch(css=) either, which puts Gradio's own selectors before each of ours."""
    style = variables() + "\n".join((scripts.STATIC / f"{name}.css").read_text(encoding="utf-8") for name in STYLES)
    data = json.dumps(examples()).replace("<", "\\u003c")
    return (
        f"{scripts.head()}<style>{style}</style><script>{OPEN_TAB}</script>"
        f'<script type="application/json" id="vs-examples">{data}</script>'
    )


class PageHead:
    """Middleware that writes `text` at the end of the page's head."""

    def __init__(self, app: ASGIApp, text: str):
        self.app = app
        self.text = text.encode()

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
                if PAGE in body:
                    body = body.replace(END, self.text + END, 1)
                MutableHeaders(raw=start["headers"])["content-length"] = str(len(body))
                await send(start)
                await send({"type": "http.response.body", "body": body})

        await self.app(scope, receive, insert)


def _is_html(start: Message) -> bool:
    return MutableHeaders(raw=start["headers"]).get("content-type", "").startswith("text/html")
