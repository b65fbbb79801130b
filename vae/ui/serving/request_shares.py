"""Middleware: what one visitor may have open here and send here at a time, before anything is read of it."""

import asyncio
from collections import Counter
from urllib.parse import parse_qsl, urlencode

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException
from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from vae.errors import InputError
from vae.ui.serving import shares
from vae.ui.serving.shares import Shares

API = "/gradio_api/"
LARGEST = 64_000_000  # bytes of one request that is no upload
STALLED = 30.0  # seconds without a byte of a body, after which it is given up
FILE = 64_000  # bytes that even the smallest file counts as
AT_ONCE = ("component_server", "run", "api")  # what is computed without the queue
MARK = b"filename"  # in a multipart body once for each file


class Refusal(Exception):
    """The answer is this sentence."""

    def __init__(self, sentence: str, status: int = 429):
        self.sentence, self.status = sentence, status


class RequestShares:
    """Middleware: counts what each visitor has open and sends; JSON with a sentence as `detail`, or for an upload the
    sentence alone, where it is more than their share."""

    def __init__(self, app: ASGIApp, owner: Shares):
        self.app, self.owner = app, owner
        self.open: Counter[str] = Counter()  # requests being answered, of each address that has any
        self.bytes: Counter[str] = Counter()  # of their bodies
        self._turns: dict[str, asyncio.Semaphore] = {}  # of those with a script's call being answered

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        address = self.owner.audience.address(HTTPConnection(scope))
        kind = scope["path"].rpartition(API)[2].strip("/").partition("/")[0]
        try:
            if kind == "upload_progress":  # Gradio would remember each name that is asked for
                raise Refusal("How far an upload is, is not told here.", 404)
            if kind == "component_server" and "multipart" in (Headers(scope=scope).get("content-type") or ""):
                raise Refusal("Files are uploaded by themselves.", 415)  # it would all be read into memory
            if kind == "upload":
                scope = scope | {"query_string": _without(scope["query_string"], "upload_id")}
            if kind == "mcp" and address is not None:
                scope = _as_from(scope, address)
            await self._let_in(scope, receive, send, address, kind)
        except Refusal as refusal:
            plain = kind == "upload"  # so that it reads as what Gradio says of an upload
            answer = PlainTextResponse(refusal.sentence) if plain else JSONResponse({"detail": refusal.sentence})
            answer.status_code = refusal.status
            await answer(scope, receive, send)

    async def _let_in(self, scope: Scope, receive: Receive, send: Send, address: str | None, kind: str) -> None:
        if address is None:
            await self.app(scope, self._checked(scope, receive, None, kind).receive, send)
            return
        most = shares.REQUESTS * self.owner.visitors(address)
        if self.open[address] >= most:
            raise Refusal(
                f"You have {most} requests open here, as many as one visitor may; close a page or wait for an answer."
            )
        body = self._checked(scope, receive, address, kind)
        self.open[address] += 1
        try:
            if kind in AT_ONCE:
                scripts = shares.SCRIPTS * self.owner.visitors(address)
                async with self._turns.setdefault(address, asyncio.Semaphore(scripts)):
                    await self.app(scope, body.receive, send)
            else:
                await self.app(scope, body.receive, send)
        finally:
            self.open[address] -= 1
            self.bytes[address] -= body.size
            if not self.open[address]:
                del self.open[address], self.bytes[address]
                self._turns.pop(address, None)

    def _checked(self, scope: Scope, receive: Receive, address: str | None, kind: str) -> "Body":
        body = Body(self, receive, address, kind == "upload", ended=scope["method"] in ("GET", "HEAD"))
        length = Headers(scope=scope).get("content-length") or ""
        refusal = body.refusal(int(length)) if length.isdecimal() and len(length) < 20 else None
        if refusal:
            raise refusal
        return body


class Body:
    """The body of a request while it comes in. What breaks off, stalls or is too much ends its reading."""

    def __init__(self, requests: RequestShares, receive: Receive, address: str | None, upload: bool, ended: bool):
        """ended: whether none is to come; what is received then says only whether the client is still there."""
        self.requests, self.address, self.upload = requests, address, upload
        self.size = 0
        self._receive, self._ended, self._tail = receive, ended, b""

    def refusal(self, more: int) -> Refusal | None:
        """Why so many bytes more are not taken in."""
        if not self.upload and self.size + more > LARGEST:
            return Refusal(f"Up to {LARGEST / 1e6:.0f} MB are accepted in one call.", 413)
        if self.address is None:
            return None
        owner = self.requests.owner
        if self.requests.bytes[self.address] + more > shares.AT_ONCE * owner.visitors(self.address):
            return Refusal(
                f"You are sending more than {shares.AT_ONCE / 1e6:.0f} MB at once; try again when the rest is here."
            )
        try:
            if self.upload:
                owner.check_upload(self.address, more)
        except InputError as error:
            return Refusal(str(error))
        return None

    async def receive(self) -> Message:
        if self._ended:
            return await self._receive()
        try:
            message = await asyncio.wait_for(self._receive(), STALLED)
        except asyncio.TimeoutError:
            raise self._end(Refusal(f"Nothing came for {STALLED:.0f} seconds.", 408)) from None
        if message["type"] != "http.request":
            self._ended = True
            if self.upload:  # Gradio then removes what has come
                raise MultiPartException("The upload broke off.")
            return message
        self._ended = not message.get("more_body")
        data = message.get("body", b"")
        refusal = self.refusal(len(data))
        if refusal:
            raise self._end(refusal)
        self.size += len(data)
        if self.address is not None:
            self.requests.bytes[self.address] += len(data)
            if self.upload:
                text, self._tail = self._tail + data, data[1 - len(MARK) :]
                self.requests.owner.uploaded(self.address, len(data) + FILE * text.count(MARK))
        return message

    def _end(self, refusal: Refusal) -> Exception:
        self._ended = True
        if self.upload:
            return MultiPartException(refusal.sentence)
        return HTTPException(refusal.status, refusal.sentence)


def _without(query: bytes, name: str) -> bytes:
    pairs = parse_qsl(query.decode("latin-1"), keep_blank_values=True)
    return urlencode([pair for pair in pairs if pair[0] != name]).encode("latin-1")


def _as_from(scope: Scope, address: str) -> Scope:
    """For what Gradio passes on to itself, with these headers, for an agent."""
    scope = scope | {"headers": list(scope["headers"])}
    MutableHeaders(scope=scope)["x-forwarded-for"] = address.partition("/")[0]
    return scope
