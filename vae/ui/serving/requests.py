"""Which requests are answered at all, before anything of the app sees them; and what browsers may do with the page."""

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from vae.ui.serving.access import Audience, same_site

READING = ("GET", "HEAD", "OPTIONS")


class RequestCheck:
    """Middleware: refuses requests under a name that is not this server's, and what other sites' pages would send."""

    def __init__(self, app: ASGIApp, audience: Audience):
        self.app, self.audience = app, audience
        self.policy = policy(bool(audience.settings and audience.settings.space))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        refusal = self._refusal(scope)
        if refusal is not None:
            await refusal(scope, receive, send)
            return

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                if headers.get("content-type", "").startswith("text/html"):
                    headers.setdefault("Content-Security-Policy", self.policy)
                headers.setdefault("X-Content-Type-Options", "nosniff")
                headers.setdefault("Referrer-Policy", "same-origin")
            await send(message)

        await self.app(scope, receive, answer)

    def _refusal(self, scope: Scope) -> PlainTextResponse | None:
        headers = Headers(scope=scope)
        host, origin = headers.get("host"), headers.get("origin")
        if not self.audience.knows(host):
            shown = (host or "")[:80]
            return PlainTextResponse(
                f"This server is not known as {shown!r}; whoever runs it can name it in VAE_SERVER_NAMES.", 421
            )
        reads = scope.get("method", "GET") in READING and scope["type"] == "http"
        if reads:
            return None
        upload = scope["path"].rstrip("/").endswith("/upload")
        foreign = headers.get("sec-fetch-site") == "cross-site"
        if not self.audience.public and origin and not same_site(origin, headers.get("x-forwarded-host", host)):
            foreign = upload = True
        return PlainTextResponse("Pages of other sites cannot send this.", 403) if foreign and upload else None


def policy(space: bool) -> str:
    """What the page may load, and whose frames it may stand in. space: whether on Spaces, whose pages it stands in."""
    hub = " https://huggingface.co https://*.huggingface.co https://*.hf.space" if space else ""
    resizer = " https://cdnjs.cloudflare.com" if space else ""  # the script with which Gradio fits the frame there
    rules = {
        "default-src": "'self'",
        # Gradio's page begins with scripts that stand in it, and makes our components' from text.
        "script-src": "'self' 'unsafe-inline' 'unsafe-eval' blob:" + resizer,
        "worker-src": "'self' blob:",
        "style-src": "'self' 'unsafe-inline'",
        "img-src": "'self' data: blob:",
        "media-src": "'self' data: blob:",
        "font-src": "'self' data:",
        "connect-src": "'self' data: blob:" + hub,
        "object-src": "'none'",
        "base-uri": "'self'",
        "form-action": "'self'",
        "frame-ancestors": "'self'" + hub,
    }
    return "; ".join(f"{name} {sources}" for name, sources in rules.items())
