"""On a phone: six tabs in reach, the result on top, the main action at the thumb, the settings in a sheet."""

import re

import pytest
from playwright.sync_api import Page, expect
from tabs import at_rest, filled, tab

PHONE = {"width": 390, "height": 844, "has_touch": True, "is_mobile": True}
MAIN = {  # what is done most on each tab
    "Reconstruct": ["Choose a picture", "Draw"],
    "Sample": ["Draw new samples"],
    "Interpolate": ["Play"],
    "Latent space": ["Pause"],
    "Compare": ["Choose a picture", "Draw"],
    "Train": ["Start training"],
}
SETTINGS = ".vs-controls:visible"
SHIFTS = """window.shifts = 0; new PerformanceObserver((list) => list.getEntries().forEach((entry) => {
  if (!entry.sources.every(({ node }) => node?.closest?.('.loading'))) window.shifts += entry.value; // Gradio's own
})).observe({ type: 'layout-shift', buffered: true })"""


def bar(page: Page):
    return page.get_by_role("group", name="At hand")


@pytest.mark.parametrize(("width", "theme"), [(390, "light"), (320, "dark")])
def test_all_is_within_three_screens_and_the_main_action_in_reach(visit, width, theme):
    page = visit(f"?tab=train&__theme={theme}", **PHONE | {"width": width})
    page.evaluate(SHIFTS)
    expect(page.locator(".vs-run-row").first).to_be_visible()
    at_rest(page)
    assert page.evaluate("window.shifts") < 0.02, "on opening Train"
    page = visit(f"?__theme={theme}", **PHONE | {"width": width})
    expect(page.locator(".vs-frame img.after")).to_have_attribute("src", re.compile("^data:image/png"))
    for name, says in MAIN.items():
        filled(page, name)
        at = page.get_by_role("tab", name=name, exact=True).bounding_box()
        expect(page.locator(SETTINGS)).to_have_count(0)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, name
        assert page.evaluate("document.documentElement.scrollHeight") <= 3 * PHONE["height"], name
        assert at["x"] > -0.5 and at["x"] + at["width"] < width + 0.5, name
        for each in says:
            box = bar(page).get_by_role("button", name=each, exact=True).bounding_box()
            assert min(box["height"], box["width"]) > 43.5 and box["y"] + box["height"] < PHONE["height"] + 0.5, name
            assert box["x"] > -0.5 and box["x"] + box["width"] < width + 0.5, name


@pytest.mark.parametrize("width", [390, 320])
def test_no_model_makes_a_tab_longer_than_three_screens(visit, width):
    page = visit("?tab=latent&model=fashion-vae", **PHONE | {"width": width})
    expect(page.locator(".vs-legend-list")).to_contain_text("ankle boot")
    assert page.evaluate("document.documentElement.scrollHeight") <= 3 * PHONE["height"]
    page.get_by_label("Model", exact=True).select_option("dogs-vae-16")
    tab(page, "Reconstruct")
    maps = page.locator(".vs-map-row:not(.large)").first
    expect(maps.locator("figure")).to_have_count(16)
    assert page.evaluate("document.documentElement.scrollHeight") <= 3 * PHONE["height"]
    assert page.evaluate("document.documentElement.scrollWidth") <= width, "the maps are swiped within their row"
    assert maps.evaluate("e => e.scrollWidth > e.clientWidth")


def test_a_tablet_has_the_main_action_in_reach_and_no_empty_room(visit):
    page = visit(width=820, height=1180, has_touch=True)
    expect(page.locator(".vs-frame img.after")).to_have_attribute("src", re.compile("^data:image/png"))
    for name, says in MAIN.items():
        tab(page, name)
        for each in says:
            box = bar(page).get_by_role("button", name=each, exact=True).bounding_box()
            assert box["height"] > 43.5 and box["y"] + box["height"] < 1180.5, name
        first = page.get_by_role("tab", name="Reconstruct", exact=True).bounding_box()
        assert first["x"] > 6, "not at the window's very edge"
    tab(page, "Sample")
    expect(page.locator(".vs-grid .vs-cell").first).to_be_visible()
    card, last = page.locator(".vs-result:visible .vs-card").first, page.locator(".vs-picked:visible")
    below = [box["y"] + box["height"] for box in (card.bounding_box(), last.bounding_box())]
    assert below[0] - below[1] < 60, "the card ends where the samples do"


def test_the_map_and_the_maths_share_the_sheet(visit):
    page = visit("?tab=latent", **PHONE)
    expect(page.locator(".vs-space").first).to_be_visible()
    bar(page).get_by_role("button", name="Settings").click()
    expect(page.locator(SETTINGS)).to_have_count(1)
    choice, maths = page.locator(".vs-map-choice:visible"), page.locator(".vs-maths:visible")
    page.wait_for_timeout(300)
    above, below = choice.bounding_box(), maths.bounding_box()
    assert above["y"] + above["height"] <= below["y"] + 0.5, "neither covers the other"
    page.get_by_label("Widest spread (PCA)").check()
    expect(page).to_have_url(re.compile("map=pca$"))


def test_the_bar_does_what_the_tab_does_and_the_sheet_leaves_the_picture_in_sight(visit):
    page = visit(**PHONE)
    after = page.locator(".vs-frame img.after")
    expect(after).to_have_attribute("src", re.compile("^data:image/png"))
    page.mouse.wheel(0, 900)
    settings = bar(page).get_by_role("button", name="Settings")
    settings.click()
    expect(page.locator(SETTINGS)).to_be_focused()
    at_rest(page)
    stage, sheet = page.locator(".vs-stage:visible").bounding_box(), page.locator(SETTINGS).bounding_box()
    tabs = page.locator(".tab-wrapper").bounding_box()
    assert (
        abs(tabs["y"]) < 0.5 and tabs["height"] <= stage["y"] + 0.5 and stage["y"] + stage["height"] * 0.9 < sheet["y"]
    )
    before = after.get_attribute("src")
    page.get_by_title("Digit 7").first.click()
    page.wait_for_function("old => document.querySelector('.vs-frame img.after').src !== old", arg=before)
    page.keyboard.press("Escape")
    expect(page.locator(SETTINGS)).to_have_count(0)
    expect(settings).to_be_focused()

    with page.expect_file_chooser() as chooser:
        bar(page).get_by_role("button", name="Choose a picture").click()
    chooser.value.set_files({"name": "words.png", "mimeType": "image/png", "buffer": b"no"})
    expect(page.locator(SETTINGS)).to_contain_text("words.png is not a picture")  # it opens by itself to say so

    bar(page).get_by_role("button", name="Close").click()
    bar(page).get_by_role("button", name="Draw").click()
    pad = page.get_by_role("application", name="The picture")
    expect(pad).to_be_focused()
    box, below = pad.bounding_box(), page.locator(".vs-bar").bounding_box()
    assert 200 <= box["width"] == pytest.approx(box["height"], abs=0.5)
    assert box["y"] + box["height"] <= below["y"] + 0.5
    page.keyboard.press("Space")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Space")
    expect(page.locator(".vs-drop-name:visible")).to_have_text("Your drawing")

    tab(page, "Interpolate")
    expect(page.locator(SETTINGS)).to_have_count(0)
    expect(page.locator(".vs-strip .vs-cell").first).to_be_visible()
    bar(page).get_by_role("button", name="Play").click()
    bar(page).get_by_role("button", name="Pause").click()
    expect(page.locator(".vs-play-path")).to_have_attribute("aria-label", "Play")
