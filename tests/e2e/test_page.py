"""Through the page as a visitor goes: all four tabs in a real browser, with real digits and a real training."""

import re
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Page, expect
from tabs import filled, hard_to_read, tab, two_frames

DIGIT = Path(__file__).parents[2] / "vae" / "ui" / "static" / "examples" / "digit-7.png"
WEIGHT = 450_000  # bytes over the wire until the first result is there
FIRST = """
window.jumps = [];
new PerformanceObserver((list) => list.getEntries().forEach((entry) => window.jumps.push(entry.value)))
  .observe({ type: 'layout-shift', buffered: true });
const look = () => {
  if (document.querySelector('.vs-frame img.after')?.src) window.first = performance.now();
  else requestAnimationFrame(look);
};
requestAnimationFrame(look);
"""
# Bytes of what is asked for until a second after the first result: the other tabs' modules come later.
RECEIVED = """() => [...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')]
  .filter((each) => each.startTime < window.first + 1000).reduce((sum, each) => sum + each.transferSize, 0)"""


def rebuilt(page: Page) -> str:
    """The reconstruction's data URI, once there is one."""
    picture = page.locator(".vs-frame img.after")
    expect(picture).to_have_attribute("src", re.compile("^data:image/png"))
    return picture.get_attribute("src")


def figure(page: Page, word: str) -> str:
    return page.locator(".vs-stats > div", has_text=word).locator("dd").inner_text()


def test_the_first_page_is_light_and_shows_a_result_at_once(app, chromium):
    context = chromium.new_context(viewport={"width": 1440, "height": 900})
    page = context.new_page()
    page.add_init_script(FIRST)
    page.goto(app)
    rebuilt(page)
    page.wait_for_timeout(1500)
    assert 50_000 < page.evaluate(RECEIVED) < WEIGHT
    assert page.evaluate("window.jumps.reduce((a, b) => a + b, 0)") < 0.1
    assert figure(page, "Stored as") == "64 numbers 4 channels of 4 × 4"
    context.close()


def paper(folder: Path) -> Path:
    """A photograph of a digit on paper."""
    sheet, digit = Image.new("L", (320, 420), 235), Image.open(DIGIT).convert("L").resize((260, 260))
    sheet.paste(Image.new("L", digit.size, 40), (30, 70), digit)
    sheet.save(folder / "paper.png")
    return folder / "paper.png"


def test_any_picture_is_taken_kindly(visit, tmp_path):
    page = visit()
    rebuilt(page)
    page.locator(".vs-file").first.set_input_files(paper(tmp_path))
    remarks, left = page.locator(".vs-remarks"), page.locator(".vs-ends span").first
    expect(remarks).to_contain_text("looks like a digit on paper")
    expect(left).to_have_text("As the model sees it")
    assert figure(page, "For this model") == "usual"
    cleaned = rebuilt(page)
    remarks.get_by_role("button", name="Undo").click()
    expect(remarks).to_contain_text("as you gave it")
    expect(left).to_have_text("Original")
    assert figure(page, "For this model").startswith("very unusual") and rebuilt(page) != cleaned
    page.get_by_label("A random draw").check()  # whatever else is changed, it stays undone
    expect(page.locator(".vs-stats")).to_contain_text("seed")
    expect(remarks).to_contain_text("as you gave it")
    page.get_by_label("Most likely").check()
    remarks.get_by_role("button", name="Clean it up").click()
    expect(remarks.get_by_role("button", name="Undo")).to_be_visible()
    assert rebuilt(page) == cleaned
    expect(page.get_by_label("absolute difference")).to_be_visible()

    page.locator('.vs-example[data-name="photo-parrot"]').first.click()
    expect(remarks).to_contain_text("This model only knows digits.")
    remarks.get_by_role("button", name="Try it with dogs-vae-16").click()
    expect(remarks).to_be_empty()
    expect(page.locator("#vs-model")).to_have_value("dogs-vae-16")
    expect(page.locator(".vs-drop-name").first).to_have_text("Parrot")
    assert float(figure(page, "Pixel accuracy").removesuffix("dB")) > 25


def test_the_other_tabs_say_what_was_done_to_a_photographed_digit(visit, tmp_path):
    page = visit("?tab=interpolate")
    expect(page.locator(".vs-caption:visible")).to_contain_text("to seed 4")
    page.locator("#vs-end-B-file").set_input_files(paper(tmp_path))
    remarks = page.locator(".vs-remarks:visible")
    expect(remarks).to_contain_text("looks like a digit on paper")
    last = page.locator(".vs-strip .vs-cell canvas").last
    cleaned = last.evaluate("c => c.toDataURL()")
    remarks.get_by_role("button", name="Undo").click()
    expect(remarks).to_contain_text("as you gave it")
    assert last.evaluate("c => c.toDataURL()") != cleaned
    remarks.get_by_role("button", name="Clean it up").click()
    expect(remarks).to_contain_text("looks like a digit on paper")
    assert last.evaluate("c => c.toDataURL()") == cleaned

    tab(page, "Compare")
    page.locator(".vs-controls:visible .vs-file").set_input_files(paper(tmp_path))
    said = page.locator(".vs-pane .vs-caption:visible", has_text="looks like a digit on paper")
    expect(said).to_have_count(2)


def test_the_page_moves_before_the_visitor_does(visit):
    at = "parseFloat(document.querySelector('.vs-frame')?.style.getPropertyValue('--at'))"
    page = visit()
    page.wait_for_function(f"{at} > 60")
    page.wait_for_function(f"{at} < 40")
    page.get_by_label("Divider").press("End")
    assert page.evaluate(at) == 100, "the first touch ends it"
    calm = visit(reduced_motion="reduce")
    rebuilt(calm)
    calm.evaluate(f"""() => {{ window.moved = false; new MutationObserver(() => (window.moved ||= {at} !== 50)).observe(
      document.querySelector('.vs-frame'), {{ attributeFilter: ['style'] }}); }}""")
    calm.wait_for_timeout(1500)
    assert not calm.evaluate("window.moved") and calm.evaluate(at) == 50


def test_reconstruct_an_uploaded_digit(visit, tmp_path):
    page = visit()
    before = rebuilt(page)
    page.locator(".vs-file").first.set_input_files(DIGIT)
    expect(page.locator(".vs-drop-name")).to_have_text("digit-7.png")
    page.wait_for_function("old => document.querySelector('.vs-frame img.after').src !== old", arg=before)
    assert float(figure(page, "Pixel accuracy").removesuffix("dB")) > 5

    # the latent's maps can be read cell by cell, by keyboard too
    cell = page.locator(".vs-map canvas").first
    cell.focus()
    cell.press("ArrowRight")
    expect(page.locator(".vs-map figcaption").first).to_have_text(re.compile("row 1, column 1: "))

    # the divider is a slider for the keyboard too
    divider = page.get_by_label("Divider")
    divider.focus()
    divider.press("Home")
    assert page.locator(".vs-frame").evaluate("e => e.style.getPropertyValue('--at')") == "0%"

    # a draw from the posterior says its seed, and another one is another image
    page.get_by_label("A random draw").check()
    expect(page.locator(".vs-stats")).to_contain_text("seed")
    first, seed = rebuilt(page), figure(page, "Drawn with")
    page.get_by_role("button", name="Draw again").click()
    page.wait_for_function("old => document.querySelector('.vs-frame img.after').src !== old", arg=first)
    assert figure(page, "Drawn with") != seed

    # what is no image is refused beside the box, and the result stays
    (tmp_path / "words.png").write_text("no picture")
    page.locator(".vs-file").first.set_input_files(tmp_path / "words.png")
    expect(page.get_by_role("alert").filter(has_text="words.png is not a picture")).to_be_visible()
    rebuilt(page)


def test_sample_and_send_on(visit):
    page = visit()
    tab(page, "Sample")
    cells = page.get_by_role("group", name="Samples of mnist-vae", exact=True).get_by_role("button")
    expect(cells).to_have_count(25)
    width = cells.first.bounding_box()["width"]
    assert width / 32 == pytest.approx(round(width / 32), abs=0.02), "enlarged by a whole factor"

    def sheet() -> str:
        return cells.first.evaluate("e => getComputedStyle(e).backgroundImage")

    caption = page.locator(".vs-head .vs-caption:visible")
    first, says = sheet(), caption.inner_text()
    page.get_by_role("button", name="Draw new samples").click()
    expect(caption).not_to_have_text(says)
    page.wait_for_function(
        "old => document.querySelector('.vs-grid .vs-cell').style.backgroundImage !== old", arg=first
    )
    seed = re.search(r"seed (\d+)", caption.inner_text())[1]
    expect(page.get_by_label("Seed", exact=True).locator("visible=true")).to_have_value(seed)

    with page.expect_download() as saved:
        page.get_by_role("button", name="All as PNG").first.click()
    assert Image.open(saved.value.path()).size == (5 * 34 - 2, 5 * 34 - 2)
    assert seed in saved.value.suggested_filename

    cells.nth(5).click()
    page.get_by_role("button", name="Interpolate: A").click()
    expect(page.locator(".vs-end-says").first).to_have_text(f"sample 6 of seed {seed}")
    expect(page.locator(".vs-caption:visible")).to_contain_text(f"from sample 6 of seed {seed} to seed 4")

    tab(page, "Sample")
    cells.nth(6).click()
    page.get_by_role("button", name="Reconstruct", exact=True).click()
    expect(page.locator(".vs-drop-name")).to_have_text(f"sample 7 of seed {seed}")


def test_scrub_and_animate(visit):
    page = visit(width=1280, height=720)
    tab(page, "Interpolate")
    scrub = page.get_by_label("Position between A and B")
    expect(page.locator(".vs-strip .vs-cell").first).to_be_visible()
    requests = []
    page.on("request", lambda request: requests.append(request.url))

    def pixels() -> list:
        two_frames(page)
        return page.locator(".vs-morph canvas").evaluate("c => [...c.getContext('2d').getImageData(0, 0, 32, 32).data]")

    box = scrub.bounding_box()
    assert box["y"] + box["height"] < 720.5, "what one moves is on the screen with what it changes"
    page.mouse.move(box["x"] + 12, box["y"] + box["height"] / 2)
    page.mouse.down()
    frames = []
    for share in (0.2, 0.5, 0.8, 0.35):
        page.mouse.move(box["x"] + box["width"] * share, box["y"] + box["height"] / 2, steps=5)
        frames.append(pixels())
    page.mouse.up()
    at = int(scrub.input_value())
    assert abs(at / 31 - 0.35) < 0.04, "it ends where it is let go"
    page.wait_for_timeout(300)
    assert int(scrub.input_value()) == at and pixels() == frames[-1]
    assert frames[0] != frames[1] != frames[2]
    assert not [url for url in requests if "queue" in url], "scrubbing asks the server for nothing"

    scrub.press("End")
    expect(page.locator(".vs-where")).to_have_text("1.00")
    page.get_by_label("Straight line").check()
    expect(page.locator(".vs-caption:visible")).to_contain_text("lerp")
    with page.expect_download() as saved:
        page.get_by_role("button", name="Animation (GIF)").click()
    animation = Image.open(saved.value.path())
    assert animation.format == "GIF" and animation.width == 256 and animation.n_frames > 10

    page.locator("#vs-end-B-file").set_input_files(DIGIT)
    expect(page.locator(".vs-end-says").nth(1)).to_have_text("digit-7.png")
    expect(page.locator(".vs-caption:visible")).to_contain_text("to digit-7.png")


def test_the_text_can_be_read(visit):
    """Contrast of all visible text against what lies behind it: at least 4.5:1, light and dark."""
    for theme in ("light", "dark"):
        page = visit(f"?__theme={theme}")
        rebuilt(page)
        for name in ("Reconstruct", "Sample", "Interpolate", "Train"):
            filled(page, name)
            assert hard_to_read(page) == [], f"{name}, {theme}"


def test_the_example_suits_the_model_until_one_is_chosen(visit):
    page = visit()
    picture = page.locator(".vs-controls:visible .vs-drop-name")
    model = page.get_by_label("Model", exact=True)
    expect(picture).to_have_text("Digit 8")
    model.select_option("dogs-vae")
    expect(picture).to_have_text("Parrot")
    expect(page.locator(".vs-stats > div", has_text="Stored as")).to_contain_text(
        "4 channels of 32 × 32", timeout=60_000
    )
    model.select_option("mnist-vae")
    expect(picture).to_have_text("Digit 8")
    page.locator(".vs-controls:visible").get_by_title("Digit 3").click()
    model.select_option("dogs-vae")
    expect(page.locator(".vs-stats > div", has_text="Stored as")).to_contain_text("4 channels of 4 × 4", timeout=60_000)
    expect(picture).to_have_text("Digit 3")


def test_a_linked_example_stays(visit):
    page = visit("?tab=reconstruct&model=dogs-vae&image=digit-3")
    picture = page.locator(".vs-controls:visible .vs-drop-name")
    expect(picture).to_have_text("Digit 3")
    expect(page.locator(".vs-stats > div", has_text="Stored as")).to_contain_text("4 channels of 4 × 4", timeout=60_000)
    page.get_by_label("Model", exact=True).select_option("mnist-vae")
    expect(page.locator(".vs-stats > div", has_text="Stored as")).to_contain_text("64 numbers")
    expect(picture).to_have_text("Digit 3")
