"""Drawing what goes in, in a real browser: with the mouse, a finger and the keyboard."""

import re

import pytest
from playwright.sync_api import Locator, Page, expect
from tabs import count_calls, hard_to_read, tab

SEVEN = [(0.28, 0.25), (0.7, 0.25), (0.45, 0.82)]
BLANK = "(c) => new Set(new Uint32Array(c.getContext('2d').getImageData(0, 0, c.width, c.height).data.buffer)).size"


def opened(page: Page, k: int = 0) -> Locator:
    """Opens the k-th pad in sight, and waits for the map beside it."""
    page.get_by_role("button", name="Draw", exact=True).locator("visible=true").nth(k).click()
    pad = page.locator(".vs-pad:visible")
    expect(pad).to_be_focused()
    page.wait_for_function(f"() => ({BLANK})([...document.querySelectorAll('.vs-small-map')].at(-1)) > 20")
    pad.scroll_into_view_if_needed()
    return pad


def places(pad: Locator, shares: list) -> list[tuple[float, float]]:
    box = pad.bounding_box()
    return [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in shares]


def draws(page: Page, pad: Locator, shares: list) -> None:
    """One stroke with the mouse."""
    first, *rest = places(pad, shares)
    page.mouse.move(*first)
    page.mouse.down()
    for place in rest:
        page.mouse.move(*place, steps=12)
    page.mouse.up()


def result(page: Page) -> str:
    return page.locator(".vs-frame img.after").get_attribute("src")


def changes(page: Page, act) -> str:
    """Does something and waits for another reconstruction of the whole tab."""
    before = result(page)
    act()
    page.wait_for_function("old => document.querySelector('.vs-frame img.after').src !== old", arg=before)
    expect(page.locator(".vs-maps")).not_to_have_class(re.compile("old"))
    return result(page)


def test_each_stroke_is_redrawn_at_once_and_becomes_the_picture(visit):
    page = visit()
    expect(page.locator(".vs-frame img.after")).to_have_attribute("src", re.compile("^data:image/png"))
    pad = opened(page)
    count_calls(page, "sketch_look")
    first, *rest = places(pad, SEVEN)
    before = result(page)
    page.mouse.move(*first)
    page.mouse.down()
    for place in rest:
        page.mouse.move(*place, steps=12)
    page.wait_for_function("old => document.querySelector('.vs-frame img.after').src !== old", arg=before)
    assert page.locator(".vs-drop-name").first.inner_text() == "Digit 8", "the stroke is not done yet"
    page.mouse.up()
    expect(page.locator(".vs-drop-name").first).to_have_text("Your drawing")
    expect(page.locator(".vs-maps")).not_to_have_class(re.compile("old"))
    expect(page.locator(".vs-pad-beside figcaption").last).to_contain_text("nearest: a 7")
    calls = page.evaluate("window.calls_")
    assert calls["sent"] > 1 and calls["most"] == 1, "several while one draws, one at a time"
    seven = result(page)
    expect(page.locator(".vs-pad-beside img")).to_have_attribute("src", seven)

    crossed = changes(page, lambda: draws(page, pad, [(0.4, 0.55), (0.7, 0.55)]))
    assert crossed != seven
    assert changes(page, lambda: page.get_by_role("button", name="Undo").click()) == seven
    changes(page, lambda: page.get_by_role("button", name="Clear").click())
    assert pad.evaluate(BLANK) == 1
    page.get_by_role("button", name="Digit 4").first.click()
    expect(pad).to_be_hidden()
    page.get_by_role("button", name="Draw", exact=True).first.click()
    expect(pad).to_be_visible()


def test_the_keyboard_draws_too(visit):
    page = visit()
    expect(page.locator(".vs-frame img.after")).to_have_attribute("src", re.compile("^data:image/png"))
    pad = opened(page)
    pad.press("Shift+ArrowUp")
    expect(page.locator(".vs-voice")).to_have_text("Brush at 50% from the left, 36% from the top.")

    def stroke() -> None:
        pad.press(" ")
        for _ in range(3):
            pad.press("Shift+ArrowDown")
        pad.press(" ")

    drawn = changes(page, stroke)
    expect(page.locator(".vs-drop-name").first).to_have_text("Your drawing")
    expect(page.locator(".vs-voice")).to_have_text(re.compile("Reconstructed: "))
    blank = changes(page, lambda: pad.press("Control+z"))
    assert blank != drawn
    pad.press(" ")
    expect(page.locator(".vs-voice")).to_have_text("The brush is down.")
    pad.press("Escape")
    expect(page.locator(".vs-voice")).to_have_text(re.compile("The brush is up|Reconstructed"))


def test_a_colour_model_is_given_colours(visit):
    page = visit("?model=dogs-vae-16")
    expect(page.get_by_label("Model", exact=True)).to_have_value("dogs-vae-16")
    pad = opened(page)
    page.get_by_label("Red", exact=True).check()
    draws(page, pad, [(0.2, 0.2), (0.8, 0.8)])
    stored = page.locator(".vs-stats > div", has_text="Stored as").locator("dd")
    expect(stored).to_contain_text("1,024 numbers")  # of a drawing as large as the model's images
    middle = "c => [...c.getContext('2d').getImageData(c.width / 2, c.height / 2, 1, 1).data]"
    assert pad.evaluate(middle) == [200, 64, 47, 255]
    page.get_by_label("Model", exact=True).select_option("mnist-vae")
    expect(page.get_by_label("Red", exact=True)).to_be_hidden()
    page.wait_for_function(f"() => ({middle})(document.querySelector('.vs-pad'))[1] === 255")
    expect(stored).to_contain_text("64 numbers")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_finger_draws_an_end_on_a_phone(visit, theme):
    page = visit(f"?__theme={theme}", width=390, height=844, device_scale_factor=2, has_touch=True)
    tab(page, "Interpolate")
    expect(page.locator(".vs-end-says").nth(1)).to_have_text("a random latent")
    expect(page.locator(".vs-caption:visible").filter(has_text="seed 3 to seed 4")).to_be_attached()
    page.get_by_role("button", name="Settings", exact=True).locator("visible=true").first.click()
    pad = opened(page, 1)
    top = page.evaluate("scrollY")
    session = page.context.new_cdp_session(page)
    for kind, share in zip(["touchStart", "touchMove", "touchMove"], SEVEN, strict=True):
        (x, y), *_ = places(pad, [share])
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [{"x": x, "y": y}]})
    session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    expect(page.locator(".vs-end-says").nth(1)).to_have_text("your drawing")
    expect(page.locator(".vs-caption:visible").filter(has_text="seed 3 to your drawing")).to_be_attached()
    assert page.evaluate("scrollY") == top and page.evaluate("document.documentElement.scrollWidth") <= 390
    for target in page.locator(".vs-pad-box button:visible").all():
        box = target.bounding_box()
        assert min(box["width"], box["height"]) > 43.5
    assert hard_to_read(page) == []
