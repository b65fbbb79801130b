"""A running app, as `python app.py` starts it, and a browser to visit it with."""

import os
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

pytest.importorskip("gradio")
playwright = pytest.importorskip("playwright.sync_api")

import browser  # noqa: E402
from waiting import end, free_port  # noqa: E402

REPO = Path(__file__).resolve().parents[2]
playwright.expect.set_options(timeout=30_000)  # a busy machine is no failure


@pytest.fixture(scope="session")
def app(tmp_path_factory):
    """The app's address. Its runs are in a folder of their own; its models are the bundled ones."""
    folder, port = tmp_path_factory.mktemp("e2e"), free_port()
    environment = {
        **os.environ,
        "GRADIO_SERVER_PORT": str(port),
        "GRADIO_SERVER_NAME": "127.0.0.1",
        "GRADIO_ANALYTICS_ENABLED": "False",
        "VAE_RUNS_DIR": str(folder / "runs"),
    }
    environment.pop("VAE_TRAINING", None)
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen([sys.executable, "app.py"], cwd=REPO, env=environment, stdout=log, stderr=log)
    address = f"http://127.0.0.1:{port}/"
    try:
        patience = time.monotonic() + 180
        while True:
            try:
                urllib.request.urlopen(address, timeout=5).close()
                break
            except OSError:
                if server.poll() is not None or time.monotonic() > patience:
                    pytest.fail("the app did not start:\n" + (folder / "log").read_text()[-3000:])
                time.sleep(0.3)
        yield address
    finally:
        end(server)


@pytest.fixture(scope="session")
def chromium():
    with playwright.sync_playwright() as tool:
        server = tool.chromium.launch(executable_path=browser.find(), args=browser.ARGUMENTS)
        yield server
        server.close()


ENDED = ("AbortError", "Connection errored out", "Failed to fetch", "network error")  # what Gradio then says


@pytest.fixture
def visit(app, chromium):
    """Opens the page in a fresh browser profile. At the end the console must have been free of errors, but for those of
    requests that a reload or another address ended."""
    contexts, errors = [], []

    def left(page, frame) -> None:
        if frame is page.main_frame:
            errors[:] = [said for said in errors if not any(sign in said for sign in ENDED)]

    def open_page(query: str = "", width: int = 1440, height: int = 900, **options):
        context = chromium.new_context(viewport={"width": width, "height": height}, **options)
        context.set_default_timeout(40_000)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda m: errors.append(f"{m.text} ({m.location})") if m.type == "error" else None)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(app + query)
        page.on("framenavigated", lambda frame: left(page, frame))
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not errors
