"""The latent space as a visitor explores it in a real browser: maps, moves, sliders, and on to Interpolate."""

import math
import re

import pytest
from bars import bars, saved
from playwright.sync_api import Page, expect
from tabs import count_calls, hard_to_read, tab

WATCH = """(k) => {
  const image = document.querySelectorAll('.vs-painted')[k];
  window.frames_ = [];
  new MutationObserver(() => window.frames_.push(image.src)).observe(image, { attributeFilter: ['src'] });
}"""
# No picture is asked for, and none has come for some frames: those that came at once are shown one a frame.
RESTS = """(k) => {
  const src = document.querySelectorAll('.vs-painted')[k].src;
  window.still_ = window.calls_.now || window.last_ !== src ? 0 : window.still_ + 1;
  window.last_ = src;
  return window.still_ > 12;
}"""
SEEN = "c => new Set(new Uint32Array(c.getContext('2d').getImageData(0, 0, c.width, c.height).data.buffer)).size"


STILL = {"reduced_motion": "reduce"}  # without the tour


def explored(page: Page) -> None:
    """Opens the tab and waits until both maps, what is decoded at the mean and the images' sheet are there."""
    tab(page, "Latent space")
    count_calls(page, "space_look")
    expect(page.locator(".vs-space")).to_have_count(2)
    for k in range(2):
        expect(page.locator(".vs-painted").nth(k)).to_have_attribute("src", re.compile("^data:image/png"))
        page.wait_for_function(
            f"() => {{ const seen = {SEEN}; return seen(document.querySelectorAll('.vs-near')[{k}].firstChild) > 8; }}"
        )


def place(page: Page, k: int, x: float, y: float) -> tuple[float, float]:
    """A place of map k, given in shares of its sides, on the page."""
    box = page.locator(".vs-scatter").nth(k).bounding_box()
    return box["x"] + box["width"] * x, box["y"] + box["height"] * y


def goes(page: Page, k: int, x: float, y: float) -> None:
    page.mouse.move(*place(page, k, x, y), steps=3)


def painted(page: Page, k: int) -> str:
    return page.locator(".vs-painted").nth(k).get_attribute("src")


def rests(page: Page, k: int) -> None:
    page.evaluate("window.still_ = 0")
    page.wait_for_function(RESTS, arg=k)


def changes(page: Page, k: int, act) -> str:
    """Does something and waits until map k shows another decoding, and has come to rest."""
    rests(page, k)
    before = painted(page, k)
    act()
    page.wait_for_function("([k, old]) => document.querySelectorAll('.vs-painted')[k].src !== old", arg=[k, before])
    rests(page, k)
    return painted(page, k)


def said(page: Page, k: int) -> list[str]:
    """What stands under the decoded and under the nearest image."""
    return page.locator(".vs-here").nth(k).locator("figcaption span").all_inner_texts()


@pytest.mark.parametrize(("k", "title"), [(0, "Auto-encoder\nmnist-ae"), (1, "Variational auto-encoder\nmnist-vae")])
def test_a_map_decodes_what_the_pointer_is_on(visit, k, title):
    page = visit(**STILL)
    explored(page)
    assert page.locator(".vs-space h3").nth(k).inner_text() == title
    scatter = page.locator(".vs-scatter").nth(k)
    assert scatter.evaluate(SEEN) > 50, "dots of many colours"
    assert said(page, k)[0] == "the mean"
    mean, ground = painted(page, k), scatter.evaluate("c => c.toDataURL()")
    there = changes(page, k, lambda: goes(page, k, 0.7, 0.4))
    assert said(page, k)[0] == "this place" and re.fullmatch(r"an? \d", said(page, k)[1])
    assert scatter.evaluate("c => c.toDataURL()") != ground, "the place is marked"
    assert changes(page, k, lambda: goes(page, k, 0.3, 0.6)) != there
    lens = page.locator(".vs-lens").nth(k)
    assert lens.bounding_box()["width"] == pytest.approx(128, abs=0.5)
    expect(lens.locator("img")).to_have_attribute("src", painted(page, k))
    assert changes(page, k, lambda: page.mouse.move(5, 5)) == mean, "back at the base point"
    expect(lens).to_be_hidden()


def test_frames_come_fast_and_never_two_at_a_time(visit):
    page = visit(**STILL)
    explored(page)
    changes(page, 1, lambda: goes(page, 1, 0.5, 0.5))
    page.evaluate(WATCH, 1)
    page.evaluate("window.calls_.most = window.calls_.now")  # the two maps begin at once, each with a call
    box = page.locator(".vs-scatter").nth(1).bounding_box()
    for step in range(60):
        x, y = 0.5 + 0.3 * math.cos(step / 9), 0.5 + 0.3 * math.sin(step / 7)
        page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"])
        if step % 10 == 9:  # so that a slow server is not left behind
            page.wait_for_function("least => new Set(window.frames_).size >= least", arg=(step + 1) // 2)
    last = changes(page, 1, lambda: goes(page, 1, 0.2, 0.55))
    assert len(set(page.evaluate("window.frames_"))) > 30, "at least every other move has a picture of its own"
    assert page.evaluate("window.calls_.most") == 1
    assert changes(page, 1, lambda: goes(page, 1, 0.4, 0.4)) != last
    assert changes(page, 1, lambda: goes(page, 1, 0.2, 0.55)) == last, "it ends where the pointer rests"


def test_a_click_chooses_a_picture_or_a_place_and_sends_it_on(visit):
    page = visit(**STILL)
    explored(page)
    goes(page, 1, 0.5, 0.45)  # amid the points
    changes(page, 1, lambda: page.mouse.click(*place(page, 1, 0.5, 0.45)))
    expect(page.locator(".vs-here").nth(1).locator("figcaption span").first).to_have_text(
        re.compile(r"picture \d+ \(\d\)|a place")
    )
    page.mouse.move(5, 5)
    rests(page, 1)
    chosen, says = painted(page, 1), said(page, 1)[0]
    assert changes(page, 1, lambda: goes(page, 1, 0.8, 0.5)) != chosen
    assert changes(page, 1, lambda: page.mouse.move(5, 5)) == chosen
    page.get_by_role("button", name="Interpolate: B").nth(1).click()
    end = page.locator(".vs-end-says").nth(1)
    expect(end).to_have_text(f"{says} in mnist-vae")
    expect(page.locator(".vs-end .vs-thumb").nth(1)).to_have_attribute("src", chosen)
    expect(page.locator(".vs-caption:visible").filter(has_text=says)).to_be_visible()

    # from the other model's map it goes to that model
    tab(page, "Latent space")
    page.get_by_role("button", name="Interpolate: A").first.click()
    expect(page.locator(".vs-end-says").first).to_have_text("the mean in mnist-ae")
    expect(page.get_by_label("Model", exact=True)).to_have_value("mnist-ae")


def test_sliders_bars_and_other_maps(visit):
    page = visit(**STILL)
    explored(page)
    slider = page.get_by_label(re.compile("Latent dimension .* of mnist-vae")).first
    mean = painted(page, 1)
    turned = changes(page, 1, lambda: slider.press("End"))
    assert said(page, 1)[0] == "the mean, changed" and turned != mean
    value = float(slider.locator("xpath=following-sibling::output").inner_text().replace("−", "-"))
    assert 2 < value < 4, "three standard deviations"
    assert changes(page, 1, lambda: page.get_by_role("button", name="Back to the mean").nth(1).click()) == mean
    assert abs(float(slider.input_value())) < 0.2

    bars = page.locator(".vs-bars").nth(1)
    bars.focus()
    bars.press("ArrowRight")
    expect(page.locator(".vs-bar-says").nth(1)).to_have_text(re.compile(r"number \d+: KL .* nats, .* active"))
    expect(page.locator(".vs-bar-says").first).to_contain_text("of 64 numbers are active")

    def ground() -> str:
        return page.locator(".vs-scatter").first.evaluate("c => c.toDataURL()")

    by_class = ground()
    page.get_by_label("Widest spread").check()
    page.wait_for_function("old => document.querySelector('.vs-scatter').toDataURL() !== old", arg=by_class)
    wide = ground()
    page.get_by_label("Two latent dimensions").check()
    page.wait_for_function("old => document.querySelector('.vs-scatter').toDataURL() !== old", arg=wide)
    across = page.get_by_label("Latent dimension across, mnist-vae")
    across.fill("64")
    across.press("Enter")
    expect(page.get_by_role("alert").filter(has_text="whole number from 0 to 63")).to_be_visible()
    across.fill("3")
    across.press("Enter")
    expect(page.get_by_role("alert").filter(has_text="whole number from 0 to 63")).to_be_hidden()


def test_what_is_selected_becomes_a_direction(visit):
    page = visit(**STILL)
    explored(page)
    space = page.locator(".vs-space").nth(1)
    space.get_by_role("button", name="Select").click()
    goes(page, 1, 0.2, 0.6)

    def around() -> None:
        page.mouse.down()
        for x, y in [(0.35, 0.6), (0.35, 0.85), (0.2, 0.85), (0.2, 0.6)]:
            goes(page, 1, x, y)
        page.mouse.up()
        page.mouse.move(5, 5)

    mean = changes(page, 1, around)
    panel = space.locator(".vs-selection")
    n = int(re.match(r"(\d+) pictures selected: ", panel.locator("p").inner_text())[1])
    assert n > 20 and panel.get_by_role("button", name="Leave out").count() == min(n, 24)
    expect(space.locator(".vs-here figcaption span").first).to_have_text(f"the mean of {n} pictures")
    assert changes(page, 1, lambda: panel.get_by_role("button", name="Leave out").first.click()) != mean
    expect(panel.locator("p")).to_contain_text(f"{n - 1} pictures selected")

    panel.get_by_role("button", name="Keep as set A").click()
    changes(page, 1, lambda: page.get_by_role("button", name="Back to the mean").nth(1).click())
    slider = space.get_by_role("slider", name="More like set A than like all pictures, mnist-vae")
    there = changes(page, 1, lambda: slider.fill("1"))
    expect(space.locator(".vs-here figcaption span").first).to_have_text("the mean, more like set A")
    assert changes(page, 1, lambda: slider.fill("0")) != there
    assert changes(page, 1, lambda: space.get_by_role("button", name="Go to the mean of set A").click()) == there

    space.get_by_label("Than like these").select_option("set A")
    space.get_by_label("More like these").select_option("1")
    changes(page, 1, lambda: space.get_by_role("slider", name="More like 1 than like set A").fill("1"))
    expect(space.locator(".vs-here figcaption span").nth(1)).to_have_text("a 1")


def test_a_map_is_zoomed_and_moved(visit):
    page = visit(**STILL)
    explored(page)
    space, scatter = page.locator(".vs-space").nth(1), page.locator(".vs-scatter").nth(1)
    expect(space.get_by_role("button", name="All", exact=True)).to_be_disabled()
    goes(page, 1, 0.5, 0.5)
    page.keyboard.down("Control")
    page.mouse.wheel(0, -400)
    page.keyboard.up("Control")
    expect(space.get_by_role("button", name="All", exact=True)).to_be_enabled()
    near = scatter.evaluate("c => c.toDataURL()")
    page.mouse.down()
    goes(page, 1, 0.3, 0.4)
    page.mouse.up()
    page.wait_for_function("old => document.querySelectorAll('.vs-scatter')[1].toDataURL() !== old", arg=near)
    assert said(page, 1)[0] != "a place", "moving the map chooses nothing"
    space.get_by_role("button", name="All", exact=True).click()
    expect(space.get_by_role("button", name="Zoom out")).to_be_disabled()


def test_the_maps_tour_themselves_until_the_first_touch(visit):
    page = visit(width=1280, height=720)
    explored(page)
    seen = {painted(page, k) for k in (0, 1)}
    for k in (0, 1):
        expect(page.locator(".vs-lens").nth(k)).to_be_visible()
        frame = page.locator(".vs-scatter").nth(k).bounding_box()
        assert frame["y"] + frame["height"] < 720.5, "all of the map is on the screen"
        lens = page.locator(".vs-lens").nth(k).bounding_box()
        assert frame["y"] <= lens["y"] + 1 and lens["y"] + lens["height"] <= frame["y"] + frame["height"] + 1
        assert frame["x"] <= lens["x"] + 1 and lens["x"] + lens["width"] <= frame["x"] + frame["width"] + 1
        changes_at = "([k, old]) => !old.includes(document.querySelectorAll('.vs-painted')[k].src)"
        page.wait_for_function(changes_at, arg=[k, list(seen)])
    page.locator(".vs-scatter").first.press("Escape")
    page.locator(".vs-scatter").first.press("ArrowLeft")
    page.locator(".vs-scatter").first.press("Escape")
    for k in (0, 1):
        rests(page, k)
        expect(page.locator(".vs-here").nth(k).locator("figcaption span").first).to_have_text("the mean")


def test_the_keyboard_moves_chooses_and_leaves(visit):
    page = visit(**STILL)
    explored(page)
    scatter, mean = page.locator(".vs-scatter").nth(1), painted(page, 1)
    scatter.focus()
    changes(page, 1, lambda: [scatter.press("Shift+ArrowRight") for _ in range(3)])
    expect(page.locator(".vs-voice")).to_have_text(re.compile(r"Nearest: picture \d+ \(\d\)"))
    scatter.press("Escape")
    assert painted(page, 1) == mean
    scatter.press("Shift+ArrowUp")
    scatter.press("Enter")
    expect(page.locator(".vs-voice")).to_have_text(re.compile("Chosen: "))
    expect(page.locator(".vs-here").nth(1).locator("figcaption span").first).not_to_have_text("the mean")


def test_a_model_without_a_map_says_so_until_it_is_measured(visit, tmp_path):
    folder = saved(tmp_path / "fresh")
    page = visit(**STILL)
    page.get_by_role("button", name="Open…").click()
    page.get_by_label("Open another model").fill(folder)
    page.get_by_label("Open another model").press("Enter")
    expect(page.get_by_label("Model", exact=True)).to_have_value(folder)
    explored(page)  # the bundled models' maps meanwhile
    notice = page.locator(".vs-unmeasured")
    expect(notice.get_by_role("heading")).to_have_text("fresh has no map yet")
    expect(notice).to_contain_text("can measure it")
    saved(folder, bars(labels=0))
    expect(page.locator(".vs-space h3")).to_have_text(["Variational auto-encoderfresh"])
    expect(notice).to_be_hidden()
    expect(page.locator(".vs-painted")).to_have_attribute("src", re.compile("^data:image/png"))
    expect(page.locator(".vs-map-note")).to_contain_text("No map by class here")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_phone_has_the_maps_first_and_all_can_be_read(visit, theme):
    page = visit(f"?__theme={theme}", width=390, height=844, device_scale_factor=2, has_touch=True, **STILL)
    explored(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.locator(".vs-scatter").first.scroll_into_view_if_needed()
    touch, (x, y) = page.context.new_cdp_session(page), place(page, 0, 0.4, 0.5)
    for kind, dx in [("touchStart", 0), *(("touchMove", 4 * step) for step in range(6))]:
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [{"x": x + dx, "y": y}]})
    expect(page.locator(".vs-lens").first).to_be_visible()
    lens = page.locator(".vs-lens").first.bounding_box()
    assert lens["y"] >= 0 and lens["y"] + lens["height"] < y - 10, "above the finger, on the screen"
    touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    page.touchscreen.tap(*place(page, 0, 0.6, 0.4))
    expect(page.locator(".vs-here figcaption span").first).not_to_have_text("the mean")
    assert hard_to_read(page) == []


@pytest.mark.parametrize("width", [1440, 390])
def test_one_slider_shows_what_beta_does(visit, width):
    page = visit("?tab=latent", width=width, height=844)
    card = page.locator(".vs-beta")
    card.scroll_into_view_if_needed()
    slider = card.get_by_role("slider")
    expect(slider).to_have_attribute("aria-valuetext", "β = 1")
    originals = card.get_by_alt_text("Ten digits of the test set")

    def seen():
        images = [card.get_by_alt_text(alt) for alt in ("The same digits, redrawn", "25 images drawn from noise")]
        return [image.get_attribute("src") for image in images] + [card.locator(".vs-beta-says").text_content()]

    first, original = seen(), originals.get_attribute("src")
    slider.press("ArrowRight")
    expect(slider).to_have_attribute("aria-valuetext", "β = 8")
    expect(card).to_contain_text("posterior collapse")
    slider.press("Home")
    expect(slider).to_have_attribute("aria-valuetext", "β = 0")
    assert all(a != b for a, b in zip(seen(), first, strict=True)) and originals.get_attribute("src") == original
    # the map glides, and comes to rest
    canvas = card.locator("canvas")
    page.wait_for_function(
        """async (canvas) => {
            const before = canvas.toDataURL();
            await new Promise((done) => setTimeout(done, 150));
            return canvas.toDataURL() === before;
        }""",
        arg=canvas.element_handle(),
    )
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    bare = originals.evaluate("e => { e.removeAttribute('src'); return getComputedStyle(e).visibility; }")
    assert bare == "hidden", "no broken image stands there until it is fetched"


def test_a_link_to_a_model_without_classes_opens_without_an_error_of_gradio(visit):
    for _ in range(3):  # from the second time on the answer is there before Gradio has drawn the tab
        page = visit("?tab=latent&model=dogs-vae")
        expect(page.get_by_role("radio", name="Widest spread (PCA)")).to_be_checked(timeout=60_000)
        expect(page.get_by_text("The view in which the points spread out most")).to_be_visible()
        page.wait_for_timeout(2500)  # in which Gradio sets what it has drawn to its first value once more
        assert page.locator(".toast-wrap .toast-body").count() == 0
        expect(page.get_by_role("radio", name="Widest spread (PCA)")).to_be_checked()
