"""What the page's head says of its modules, and how they are served."""

import re
from pathlib import Path

import pytest

pytest.importorskip("gradio")

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import HTMLResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from vae.ui import scripts
from vae.ui.page_head import PageHead, page_head

UI = Path(scripts.__file__).parent


def client(**pages: str) -> TestClient:
    """An app that answers with these pages, and with our modules."""
    routes = [Route(f"/{name}", lambda request, text=text: HTMLResponse(text)) for name, text in pages.items()]
    return TestClient(Starlette(routes=[*routes, scripts.route()], middleware=[Middleware(PageHead, text="<ours>")]))


def test_only_gradios_page_gets_our_head():
    page = "<head><script>window.gradio_config = {};</script></head><body></head></body>"
    visitor = client(page=page, other="<head></head>")
    assert visitor.get("/page").text == page.replace("</head>", "<ours></head>", 1)
    assert visitor.get("/other").text == "<head></head>"


def test_a_module_is_kept_for_good_at_an_address_of_its_version():
    visitor = client()
    folder = f"/{scripts.FOLDER}/{scripts.version()}"
    for name in scripts.modules():
        answer = visitor.get(f"{folder}/{name}.js")
        assert answer.content == scripts.modules()[name]
        assert answer.headers["content-type"].startswith("text/javascript")
        assert "immutable" in answer.headers["cache-control"]
    for missing in (f"/{scripts.FOLDER}/0/page.js", f"{folder}/none.js", f"{folder}/..%2Ftheme.js"):
        answer = visitor.get(missing)
        assert answer.status_code == 404 and "cache-control" not in answer.headers


def test_the_head_names_what_is_needed_at_once_by_relative_addresses():
    head = page_head()
    assert head.count("modulepreload") == len(scripts.first_modules()) < len(scripts.modules())
    addresses = re.findall(r'(?:href=|import\()"([^"]+)"', head)
    assert addresses and all(address.startswith(f"./{scripts.FOLDER}/") for address in addresses)
    # what the browser would fetch one after another, had it not been told of it
    for name in scripts.first_modules():
        for line in scripts.modules()[name].decode().splitlines():
            found = re.search(r'^[^/* ].* from "\./(\w+)\.js"', line)
            assert not found or found[1] in scripts.first_modules()


def test_every_component_has_a_module_that_the_page_knows():
    python = "\n".join(path.read_text("utf-8") for path in UI.rglob("*.py"))
    names = set(re.findall(r'widget\(\s*"(\w+)"', python))
    page = scripts.modules()["page"].decode()
    assert len(names) == 16 and names <= set(scripts.modules())
    assert all(re.search(rf"\b{name}\b", page) for name in names)
