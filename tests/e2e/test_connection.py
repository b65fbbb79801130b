"""A server that is killed in the middle of a call and started again: the page waits for it and goes on where it was.
And one that refuses: the page says what it said."""

import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("gradio")
playwright = pytest.importorskip("playwright.sync_api")

from conftest import REPO  # noqa: E402
from forked import forking  # noqa: E402
from slow_app import serve  # noqa: E402
from waiting import free_port, until  # noqa: E402


class Restarted:
    """An app that can be killed and started again at the same address."""

    def __init__(self, folder: Path):
        self.folder, self.port, self.processes = folder, free_port(), forking()
        self.address = f"http://127.0.0.1:{self.port}/"
        self.start()

    def start(self) -> None:
        self.process = self.processes.Process(target=serve, args=(self.folder, self.port))
        self.process.start()

    def kill(self) -> None:
        self.process.kill()
        self.process.join(60)


@pytest.fixture
def restarted(tmp_path):
    app = Restarted(tmp_path)
    yield app
    app.kill()


def visited(page, address: str) -> None:
    patience = time.monotonic() + 120
    while True:
        try:
            page.goto(address)
            return
        except playwright.Error:  # it is not there yet
            assert time.monotonic() < patience
            page.wait_for_timeout(300)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows cannot fork")
def test_a_restart_in_the_middle_of_a_call(restarted, chromium):
    context = chromium.new_context(viewport={"width": 1280, "height": 900})
    page, expect = context.new_page(), playwright.expect
    visited(page, restarted.address)
    shown = page.locator("[data-vs=reconstruction] img").last
    expect(shown).to_be_visible()
    first = shown.get_attribute("src")
    page.evaluate("window.still = 'the same page'")

    sentence = "You may upload 512 MB an hour to this server, of which 0 MB are left; you can go on in 7 minutes."
    page.route("**/gradio_api/upload*", lambda route: route.fulfill(status=429, body=sentence))
    page.locator("[data-vs=image_input] input[type=file]").first.set_input_files(REPO / "vae/ui/static/page.png")
    expect(page.locator("[data-vs=image_input] .vs-error").first).to_have_text(sentence)

    (restarted.folder / "hold").touch()
    page.locator(".vs-example[data-name=digit-7]").first.click()
    until((restarted.folder / "begun").exists, pause=lambda: page.wait_for_timeout(20))
    restarted.kill()
    bar = page.locator(".vs-connection")
    expect(bar).to_contain_text("Reconnecting")
    (restarted.folder / "hold").unlink()
    restarted.start()
    expect(shown).not_to_have_attribute("src", first, timeout=60_000)
    expect(bar).to_be_hidden()

    # Killed while nothing is asked for: the next wish waits.
    seven = shown.get_attribute("src")
    restarted.kill()
    page.locator(".vs-example[data-name=digit-4]").first.click()
    expect(bar).to_contain_text("Reconnecting")
    restarted.start()
    expect(shown).not_to_have_attribute("src", seven, timeout=60_000)
    assert page.evaluate("window.still") == "the same page"
    assert page.locator("[data-vs=image_input] .vs-drop-name").first.inner_text() == "Digit 4"
    context.close()


def test_leaving_while_answers_are_under_way_is_no_error(app, chromium):
    page = chromium.new_context().new_page()
    errors = []
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    for leave in (lambda: page.goto(app + "?tab=sample"), page.reload, lambda: page.goto("about:blank")):
        with page.expect_request(lambda request: "queue/data" in request.url):
            page.goto(app + "?tab=interpolate&model=dogs-vae-16")
        leave()
        page.wait_for_timeout(300)
    page.context.close()
    assert not [said for said in errors if not said.startswith("Failed to load resource")]  # which is the browser's own
