"""What the page's head says of its modules, and how they are served."""

import io
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

pytest.importorskip("gradio")

import httpx
from PIL import Image
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import HTMLResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from vae.ui import scripts
from vae.ui.app import SENTENCE, TITLE, create_app
from vae.ui.page_head import PageHead, page_head
from vae.ui.settings import Settings

UI = Path(scripts.__file__).parent


def client(**pages: str) -> TestClient:
    """An app that answers with these pages, and with our modules."""
    routes = [Route(f"/{name}", lambda request, text=text: HTMLResponse(text)) for name, text in pages.items()]
    head = Middleware(PageHead, text="<ours>", title="A title", sentence="A sentence.")
    return TestClient(Starlette(routes=[*routes, scripts.route()], middleware=[head]))


def test_only_gradios_page_gets_our_head():
    page = "<head><script>window.gradio_config = {};</script></head><body></head></body>"
    visitor = client(page=page, other="<head></head>")
    before, ours, after = visitor.get("/page").text.partition("<ours>")
    assert ours and page.startswith(before.partition("<meta")[0]) and after == "</head><body></head></body>"
    assert visitor.get("/other").text == "<head></head>"
    answers = [visitor.get("/page", headers={"accept-encoding": kind}) for kind in ("gzip, br", "gzip")]
    assert [answer.headers.get("content-encoding") for answer in answers] == ["br", None]  # gzip is the app's
    assert answers[0].text == answers[1].text and answers[0].headers["vary"] == "Accept-Encoding"


def test_a_module_is_kept_for_good_at_an_address_of_its_version():
    visitor = client()
    folder = f"/{scripts.FOLDER}/{scripts.version()}"
    for name in scripts.modules():
        answer = visitor.get(f"{folder}/{name}.js")
        assert answer.content == scripts.modules()[name]
        assert answer.headers["content-type"].startswith("text/javascript")
        assert "immutable" in answer.headers["cache-control"]
    answer = visitor.get(f"{folder}/bench.css")
    assert answer.headers["content-type"].startswith("text/css") and "immutable" in answer.headers["cache-control"]
    assert re.search(r"font-size: [\d.]+rem", answer.text) and "px; line-height: 20px" not in answer.text
    for missing in (
        f"/{scripts.FOLDER}/0/page.js",
        f"{folder}/studio.css",
        f"{folder}/none.js",
        f"{folder}/..%2Ftheme.js",
    ):
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
    folded = set(re.findall(r'widget\(\s*"(\w+)"[^\n]*fold=', python))  # those that are fetched when they are opened
    assert len(names) == 21 and names <= set(scripts.modules())
    assert folded == {"latent_editor"} and all(re.search(rf"\b{name}\b", page) for name in names - folded)


def meta(page: str) -> list[tuple[str, str]]:
    found = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag, attributes):
            named = dict(attributes)
            if tag == "meta" and (named.get("property") or named.get("name", "")).startswith(("og:", "twitter:")):
                found.append((named.get("property") or named["name"], named["content"]))

    Reader().feed(page)
    return found


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    demo = create_app(Settings(None, tmp_path_factory.mktemp("runs"), training=False, max_train_minutes=None))
    yield demo.launch(prevent_thread_lock=True, quiet=True, server_name="127.0.0.1")[1].rstrip("/")
    demo.close(verbose=False)


@pytest.mark.parametrize("proxied", [False, True])
def test_a_shared_link_shows_this_app_and_an_image_that_is_there(address, proxied):
    headers = {"x-forwarded-host": "studio.example.org", "x-forwarded-proto": "https"} if proxied else {}
    root = "https://studio.example.org" if proxied else address
    with httpx.Client(base_url=address, headers=headers) as visitor:
        tags = meta(visitor.get('/?tab=sample&seed="><b>').text)
        said = dict(tags)
        assert len(said) == len(tags), "each is said once"
        assert said["og:title"] == TITLE and said["og:description"] == SENTENCE
        assert said["og:url"].startswith(f"{root}/?tab=sample&seed=") and said["og:image"].startswith(f"{root}/")
        answer = visitor.get(said["og:image"].removeprefix(root))
        size = Image.open(io.BytesIO(answer.content)).size
        assert size == (int(said["og:image:width"]), int(said["og:image:height"])) and len(answer.content) < 60_000
        assert not any("radio" in value for value in said.values())
