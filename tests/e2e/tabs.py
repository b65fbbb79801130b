"""The page's tabs in the browser tests, and when what they show has come to rest."""

from pathlib import Path

from playwright.sync_api import Page

CONTRAST = (Path(__file__).parent / "contrast.js").read_text()
FIRST = {  # of what each tab shows, what comes last
    "Reconstruct": ".vs-frame .after[src]",
    "Sample": ".vs-grid .vs-cell",
    "Interpolate": ".vs-strip .vs-cell",
    "Latent space": ".vs-painted[src]",
    "Compare": ".vs-pane .vs-rows dd",
    "Train": ".vs-run-row",
}
# No transition is under way, and the page has been as long and as full as it is for a while.
AT_REST = """() => {
  const now = performance.now();
  const seen = `${document.documentElement.scrollHeight} ${document.querySelectorAll('*').length}`;
  const moving = document.getAnimations().some(
    (each) => each.playState === 'running' && each.timeline === document.timeline &&
      each.effect.getComputedTiming().endTime !== Infinity);
  if (moving || window.full_ !== seen) [window.full_, window.full_since_] = [seen, now];
  return now - window.full_since_ > 300;
}"""

# Calls of one of our functions on the server: how many were sent, are on their way, and were at most.
CALLS = """(name) => {
  const calls = (window.calls_ = { sent: 0, now: 0, most: 0 });
  const own = window.fetch;
  window.fetch = async (input, init) => {
    const counts = String(init?.body).includes(name);
    calls.sent += counts;
    calls.now += counts;
    calls.most = Math.max(calls.most, calls.now);
    try {
      return await own(input, init);
    } finally {
      calls.now -= counts;
    }
  };
}"""


def tab(page: Page, name: str) -> None:
    """Opens the tab of that name."""
    page.get_by_role("tab", name="Reconstruct", exact=True).wait_for()
    page.get_by_role("tab", name=name, exact=True).click()


def at_rest(page: Page) -> None:
    page.evaluate("window.full_ = null")
    page.wait_for_function(AT_REST)


def filled(page: Page, name: str) -> None:
    """Opens the tab of that name and waits until what it shows first is there, and at rest."""
    tab(page, name)
    page.locator(f"{FIRST[name]} >> visible=true").first.wait_for()
    at_rest(page)


def hard_to_read(page: Page) -> list[str]:
    """Visible texts whose contrast is under 4.5:1, once no colour changes any more."""
    at_rest(page)
    return page.evaluate(CONTRAST)


def count_calls(page: Page, name: str) -> None:
    """From now on window.calls_ counts the calls of that function of the server's."""
    page.evaluate(CALLS, name)


def two_frames(page: Page) -> None:
    """What was asked to be painted with the next frame is painted."""
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
