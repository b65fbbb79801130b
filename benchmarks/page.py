"""What a visitor waits for: the page in headless Chromium, with the app in a process of its own.

    python benchmarks/page.py --visits 5

As JSON, of `visits` visits with an empty cache each, after one that warms the server up:

    first_page_kb       over the wire, from the address to the first result and a second after it; the median
    first_result_seconds   from the address to the first reconstruction on the screen; the median, and each visit's
    shift_at_load       the sum of the layout shifts until then (web.dev/cls); the median and the largest
    hover_to_picture_ms from a move of the pointer over a latent map to what is decoded there; median and 95% of `moves`
    scrub_frames_per_second   images drawn a second while the slider of an interpolation is moved in each frame

The browser, the server and this script share the machine: run it on an idle one.
"""

import argparse
import json
import statistics
import sys
from contextlib import suppress
from pathlib import Path

from playwright.sync_api import Browser, Page, TimeoutError, sync_playwright
from served import serving

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
import browser

SIZE = {"width": 1440, "height": 900}
SETTLED = 1000  # ms after the first result, before the modules of the other tabs are fetched
PAUSE = 120  # ms between a picture and the next move, so that no answer is under way when the next one is asked for
PATIENCE = 2000  # ms for a picture
WATCH = """
window.shifts = 0;
new PerformanceObserver((list) => list.getEntries().forEach((entry) => { window.shifts += entry.value; }))
  .observe({ type: "layout-shift", buffered: true });
const look = () => {
  const image = document.querySelector(".vs-frame img.after");
  if (image?.src && image.complete && image.naturalWidth) window.first = performance.now();
  else requestAnimationFrame(look);
};
requestAnimationFrame(look);
"""
HOVER = """
const image = document.querySelector(".vs-painted");
let moved = 0;
window.waits = [];
document.querySelector(".vs-scatter").addEventListener("pointermove", () => { moved = performance.now(); }, true);
new MutationObserver(() => {
  if (moved) window.waits.push(performance.now() - moved);
  moved = 0;
}).observe(image, { attributeFilter: ["src"] });
"""
SCRUB = """(seconds) => new Promise((done) => {
  const range = document.querySelector(".vs-scrub-row .vs-scrub");
  const canvas = document.querySelector(".vs-morph canvas");
  const begun = performance.now();
  let drawn = 0, moved = 0, said = "";
  const frame = (now) => {
    const most = Number(range.max);
    range.value = String(moved++ % (most + 1)); // another image each time the browser draws
    range.dispatchEvent(new Event("input"));
    const says = canvas.getAttribute("aria-label");
    drawn += says !== said ? 1 : 0;
    said = says;
    if (now - begun < 1000 * seconds) requestAnimationFrame(frame);
    else done({ drawn: drawn / seconds });
  };
  requestAnimationFrame(frame);
})"""


def visit(chromium: Browser, address: str) -> tuple[float, float, float]:
    """Kilobytes, seconds to the first result and layout shift of one visit."""
    context = chromium.new_context(viewport=SIZE)
    page, received = context.new_page(), []
    session = context.new_cdp_session(page)
    session.send("Network.enable")
    session.on("Network.loadingFinished", lambda event: received.append(event["encodedDataLength"]))
    page.add_init_script(WATCH)
    page.goto(address)
    page.wait_for_function("window.first")
    page.evaluate("(ms) => new Promise((done) => setTimeout(done, ms))", SETTLED)  # by the page's clock, as they are
    found = sum(received) / 1000, page.evaluate("window.first") / 1000, page.evaluate("window.shifts")
    context.close()
    return found


def hover(page: Page, address: str, moves: int) -> list[float]:
    """Milliseconds from each move over a latent map to its picture."""
    page.goto(address + "?tab=latent")
    page.locator(".vs-painted[src]").first.wait_for()
    chart = page.locator(".vs-scatter").first
    chart.press("Escape")  # ends the tour
    box = chart.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.wait_for_timeout(1000)
    page.evaluate(HOVER)
    for step in range(moves):
        across, along = 0.2 + 0.6 * (step * 0.618 % 1), 0.2 + 0.6 * (step * 0.755 % 1)
        seen = page.evaluate("window.waits.length")
        page.mouse.move(box["x"] + across * box["width"], box["y"] + along * box["height"])
        with suppress(TimeoutError):  # where another place looks the same
            page.wait_for_function("(seen) => window.waits.length > seen", arg=seen, timeout=PATIENCE)
        page.wait_for_timeout(PAUSE)
    return page.evaluate("window.waits")


def scrub(page: Page, address: str, seconds: float) -> float:
    page.goto(address + "?tab=interpolate")
    page.locator(".vs-strip .vs-cell").first.wait_for()
    page.wait_for_timeout(1000)
    return page.evaluate(SCRUB, seconds)["drawn"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--visits", type=int, default=5)
    parser.add_argument("--moves", type=int, default=60, help="over the latent map")
    parser.add_argument("--seconds", type=float, default=5.0, help="of moving the slider")
    parser.add_argument("--quick", action="store_true", help="test the machinery; the figures mean nothing")
    parser.add_argument("--json", action="store_true", help="as everywhere; this script prints nothing else")
    asked = parser.parse_args()
    if asked.quick:
        asked.visits, asked.moves, asked.seconds = 1, 8, 0.5
    with serving() as app, sync_playwright() as tool:
        address = f"http://127.0.0.1:{app.port}/"
        chromium = tool.chromium.launch(executable_path=browser.find(), args=browser.ARGUMENTS)
        if not asked.quick:
            visit(chromium, address)
        weights, seconds, shifts = zip(*(visit(chromium, address) for _ in range(asked.visits)), strict=True)
        page = chromium.new_page(viewport=SIZE)
        waits, frames = sorted(hover(page, address, asked.moves)), scrub(page, address, asked.seconds)
        chromium.close()
    report = {
        "first_page_kb": round(statistics.median(weights), 1),
        "first_result_seconds": round(statistics.median(seconds), 3),
        "first_result_seconds_each": [round(each, 3) for each in seconds],
        "shift_at_load": round(statistics.median(shifts), 4),
        "shift_at_load_most": round(max(shifts), 4),
        "hover_to_picture_ms": round(statistics.median(waits), 1),
        "hover_to_picture_ms_95": round(waits[int(0.95 * (len(waits) - 1))], 1),
        "hover_pictures": len(waits),
        "scrub_frames_per_second": round(frames, 1),
    }
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
