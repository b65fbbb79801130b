"""The page's JavaScript modules: served as they are written, and what the page's head says of them.

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
KEEP = "public, max-age=31536000, immutable"  # a year


@cache
def modules() -> dict[str, bytes]:
    """The modules by name, without the ending."""
    return {path.stem: path.read_bytes() for path in sorted(STATIC.glob("*.js"))}


@cache
def version() -> str:
    """Of all modules together: they import each other."""
    digest = hashlib.sha256()
    for name, text in modules().items():
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
    return Route(f"/{FOLDER}/{{version}}/{{name}}.js", serve)


async def serve(request: Request) -> Response:
    """A module of the version that the page asks for, if that is the one there is."""
    text = modules().get(request.path_params["name"])
    if text is None or request.path_params["version"] != version():
        return PlainTextResponse("There is no such module; reload the page.", status_code=404)
    return Response(text, media_type="text/javascript", headers={"Cache-Control": KEEP})
