"""The page's JavaScript modules: served as they are written, and what the page's head says of them; and the styles that
are fetched with a module rather than with the page.

Their address holds a hash of their content. So a browser keeps them for good, and never runs old ones after an update.
Addresses are relative, since the app may stand behind a proxy under a prefix.
"""

import hashlib
import re
from functools import cache
from pathlib import Path

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

STATIC = Path(__file__).parent / "static"
FOLDER = "vae-studio"
ENTRY = "page"
_IMPORT = re.compile(r'^(?:import|export|\}) .*?from "\./(\w+)\.js";$', re.MULTILINE)  # as the formatter writes it
LATER = ("bench",)  # styles, each fetched by the module of its name
_TYPE = re.compile(r"\b(font-size|line-height): ([\d.]+)px")
KEEP = "public, max-age=31536000, immutable"  # a year


@cache
def modules() -> dict[str, bytes]:
    """The modules by name, without the ending."""
    return {path.stem: path.read_bytes() for path in sorted(STATIC.glob("*.js"))}


@cache
def later_styles() -> dict[str, bytes]:
    """Those styles by name, without the ending."""
    return {name: in_rem((STATIC / f"{name}.css").read_text("utf-8")).encode() for name in LATER}


def in_rem(style: str) -> str:
    """The style with the size of its type, which is written in pixels, in what the browser's own size gives: large type
    is one number then."""
    return _TYPE.sub(lambda found: f"{found[1]}: {float(found[2]) / 16:.6g}rem", style)


@cache
def version() -> str:
    """Of all of them together: modules import each other."""
    digest = hashlib.sha256()
    for name, text in (*modules().items(), *later_styles().items()):
        digest.update(f"{name} {len(text)}\n".encode() + text)
    return digest.hexdigest()[:12]


def first_modules() -> list[str]:
    """What page.js imports, and what that imports in turn; the other tabs' modules come later."""
    found = [ENTRY]
    for name in found:
        imports = _IMPORT.findall(modules()[name].decode())
        found += [imported for imported in dict.fromkeys(imports) if imported not in found]
    return found


def head() -> str:
    """For the page's head. Modules that are needed at once are fetched together rather than one import after another.

    Components may be mounted before that is done, so `vaeStudio` is a promise: of what page.js exports.
    """
    folder = f"./{FOLDER}/{version()}"
    links = "".join(f'<link rel="modulepreload" href="{folder}/{name}.js">' for name in first_modules())
    return f'{links}<script>window.vaeStudio = import("{folder}/{ENTRY}.js");</script>'


def route() -> Route:
    return Route(f"/{FOLDER}/{{version}}/{{name}}.{{ending}}", serve)


async def serve(request: Request) -> Response:
    """A module or a style of the version that the page asks for, if that is the one there is."""
    asked = request.path_params
    files, kind = {"js": (modules(), "text/javascript"), "css": (later_styles(), "text/css")}.get(
        asked["ending"], ({}, "")
    )
    text = files.get(asked["name"])
    if text is None or asked["version"] != version():
        return PlainTextResponse("There is no such module; reload the page.", status_code=404)
    return Response(text, media_type=kind, headers={"Cache-Control": KEEP})
