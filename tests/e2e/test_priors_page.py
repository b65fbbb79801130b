"""Fitted priors in a real browser: samples side by side, ways through a prior, grids, loops, and their files."""

import re

import pytest
from PIL import Image
from playwright.sync_api import Page, expect
from test_page import DIGIT, tab

SHEETS = "() => [...document.querySelectorAll('.vs-half .vs-cell:first-child')].map((c) => c.style.backgroundImage)"

# Pauses, in the moment in which the first third is played.
PAUSED_EARLY = """() => {
  if (Number(document.querySelector('.vs-scrub').value) >= 20) return false;
  document.querySelector('.vs-play-path').click();
  return true;
}"""


def grids(page: Page) -> list[str]:
    """The two models' samples, as images, once both are there."""
    page.wait_for_function(f"({SHEETS})().length === 2 && !document.querySelector('.vs-half.stale')")
    return page.evaluate(SHEETS)


def choose(page: Page, prior: str) -> list[str]:
    before = grids(page)
    page.get_by_label(prior).check()
    page.wait_for_function(f"old => ({SHEETS})().every((sheet, i) => sheet !== old[i])", arg=before)
    return grids(page)


def canvas(page: Page) -> dict:
    return page.locator(".vs-morph canvas").evaluate("c => ({ width: c.width, height: c.height, uri: c.toDataURL() })")


def caption(page: Page):
    return page.locator(".vs-caption:visible")


def test_the_two_kinds_of_auto_encoder_side_by_side(visit):
    page = visit()
    tab(page, "Sample")
    first = grids(page)
    names = page.locator(".vs-half h3:visible")
    expect(names).to_have_text(["Plain auto-encodermnist-ae", "Variational auto-encodermnist-vae"])
    expect(page.locator(".vs-half .vs-cell")).to_have_count(50)
    boxes = [page.locator(".vs-half").nth(i).bounding_box() for i in (0, 1)]
    assert boxes[0]["y"] == pytest.approx(boxes[1]["y"], abs=0.5) and boxes[0]["x"] + boxes[0]["width"] < boxes[1]["x"]

    # it opens on plain noise; another prior is another pair of grids, of the same seed; going back brings the same ones
    expect(page.get_by_label("Plain noise")).to_be_checked()
    says = page.locator(".vs-half-says").all_inner_texts()
    cloud = choose(page, "Single Gaussian")
    assert len({*first, *cloud}) == 4 and page.locator(".vs-half-says").all_inner_texts() != says
    expect(page.locator(".vs-head > .vs-caption:visible")).to_contain_text("prior: single Gaussian, seed 0")
    page.get_by_role("button", name="plain noise").click()  # in the sentence above
    expect(page.get_by_label("Plain noise")).to_be_checked()
    page.wait_for_function(f"old => ({SHEETS})().every((sheet, i) => sheet !== old[i])", arg=cloud)
    assert grids(page) == first

    # the prior is kept when new samples are drawn, and when the model is changed: the two kinds stay in their places
    page.get_by_role("button", name="Draw new samples").click()
    page.wait_for_function(f"old => ({SHEETS})().every((sheet, i) => sheet !== old[i])", arg=first)
    expect(page.get_by_label("Plain noise")).to_be_checked()
    drawn = grids(page)
    page.locator("#vs-model").select_option("mnist-ae")
    expect(names).to_have_text(["Plain auto-encodermnist-ae", "Variational auto-encodermnist-vae"])
    assert grids(page)[0] == drawn[0]


def changed(page: Page, before: list[str]) -> list[str]:
    page.wait_for_function(f"old => ({SHEETS})().every((sheet, i) => sheet !== old[i])", arg=before)
    return grids(page)


def test_one_switch_repairs_the_noise_and_one_class_is_drawn_alone(visit):
    page = visit()
    tab(page, "Sample")
    noise = grids(page)
    switch = page.get_by_role("switch", name="Repair with a learned prior")
    expect(switch).to_have_attribute("aria-checked", "false")
    switch.click()
    repaired = changed(page, noise)
    expect(switch).to_have_attribute("aria-checked", "true")
    expect(page.get_by_label("Learned prior (flow)")).to_be_checked()
    expect(page.locator(".vs-before")).to_have_count(0)  # what faded is gone

    classes = page.get_by_role("group", name="Draw one class alone").get_by_role("button")
    expect(classes).to_have_text(["All classes", *map(str, range(10))])
    page.get_by_role("button", name="7", exact=True).click()
    sevens = changed(page, repaired)
    expect(page.locator(".vs-head > .vs-caption:visible")).to_contain_text("of 7, prior: gaussian mixture")
    page.wait_for_url("**label=7**")
    page.get_by_label("Sample 3 of 25 of mnist-vae").click()
    page.get_by_role("button", name="Interpolate: A").click()  # where it is drawn again, of that class
    expect(caption(page)).to_contain_text("from sample 3 of seed 0")
    expect(page.locator(".vs-error:visible")).to_have_count(0)
    tab(page, "Sample")

    # all classes are drawn as before; another prior, and another model, are of all classes
    page.get_by_role("button", name="All classes").click()
    assert changed(page, sevens) == repaired
    page.get_by_role("button", name="7", exact=True).click()
    changed(page, repaired)
    switch.click()
    assert changed(page, sevens) == noise
    page.get_by_role("button", name="7", exact=True).click()
    changed(page, noise)
    page.locator("#vs-model").select_option("fashion-vae")
    expect(classes.nth(1)).to_have_text("T-shirt")
    expect(page.get_by_role("button", name="All classes")).to_have_attribute("aria-pressed", "true")


def test_a_link_leads_to_one_class(visit):
    page = visit("?tab=sample&model=mnist-vae-large&label=3&seed=5")
    expect(page.get_by_role("button", name="3", exact=True)).to_have_attribute("aria-pressed", "true")
    expect(page.locator(".vs-head > .vs-caption:visible")).to_contain_text("of 3, prior: gaussian mixture, seed 5")


def test_dogs_are_drawn_in_steps_and_the_way_between_two_is_of_dogs(visit):
    page = visit("?tab=sample&model=dogs-vae-16&seed=4&n=4")
    expect(page.get_by_role("button", name="Draw dogs")).to_be_visible()
    said = page.locator(".vs-head > .vs-caption:visible")
    expect(said).to_contain_text("prior: diffusion prior, seed 4")
    expect(page.get_by_role("group", name="Draw one class alone")).to_be_hidden()  # no empty room is kept for it
    steps = page.get_by_label("number input for Steps")
    expect(steps).to_have_value("8")
    own = page.evaluate(SHEETS)
    steps.fill("2")
    page.keyboard.press("Enter")
    expect(said).to_contain_text("2 steps")
    page.wait_for_url("**steps=2**")
    assert page.evaluate(SHEETS) != own
    page.get_by_label("Sample 2 of 4").click()
    page.get_by_role("button", name="Interpolate: A").click()
    expect(caption(page)).to_contain_text("8 frames from sample 2 of seed 4 to seed 4")
    expect(caption(page)).to_contain_text("through the diffusion prior")
    page.wait_for_url("**a=sample%3A1%3A4%3Adiffusion-2%3A1**")
    frames = page.get_by_label("number input for Frames")
    expect(frames).to_have_value("8")
    frames.fill("9")
    page.keyboard.press("Enter")
    expect(caption(page)).to_contain_text("9 frames")  # who wants more gets more
    page.get_by_label("A loop").check()
    expect(caption(page)).to_contain_text("12 frames")
    page.get_by_label("Straight line").check()
    expect(caption(page)).to_contain_text("48 frames")
    # another prior, and another model, have no steps to choose
    tab(page, "Sample")
    page.get_by_label("Plain noise").check()
    expect(page.get_by_role("button", name="Draw new samples")).to_be_visible()
    expect(steps).to_be_hidden()
    page = visit("?tab=sample&model=dogs-vae-16&n=4&steps=3")
    expect(page.locator(".vs-head > .vs-caption:visible")).to_contain_text("3 steps")
    expect(page.get_by_label("number input for Steps")).to_have_value("3")


def test_samples_of_either_model_are_sent_on(visit):
    page = visit()
    tab(page, "Sample")
    grids(page)
    page.get_by_label("Sample 3 of 25 of mnist-ae").click()
    expect(page.locator(".vs-picked-name")).to_have_text("Sample 3 of mnist-ae")
    page.get_by_label("Sample 4 of 25 of mnist-vae").click()
    expect(page.locator(".vs-picked-name")).to_have_text("Sample 4 of mnist-vae")
    expect(page.locator('.vs-half .vs-cell[aria-pressed="true"]')).to_have_count(1)
    page.get_by_role("button", name="Interpolate: A").click()
    expect(caption(page)).to_contain_text("from sample 4 of seed 0 to seed 4")
    tab(page, "Sample")
    page.get_by_label("Sample 3 of 25 of mnist-ae").click()
    page.get_by_role("button", name="Interpolate: B").click()
    expect(caption(page)).to_contain_text("to sample 3 of seed 0")


def test_a_phone_shows_them_below_each_other(visit):
    page = visit(width=390, height=844, device_scale_factor=2)
    tab(page, "Sample")
    grids(page)
    upper, lower = (page.locator(".vs-half").nth(i).bounding_box() for i in (0, 1))
    assert upper["y"] + upper["height"] < lower["y"] and upper["x"] == pytest.approx(lower["x"], abs=0.5)
    for kind in ("A grid", "A loop"):
        tab(page, "Interpolate")
        page.get_by_role("button", name="Settings", exact=True).click()
        page.get_by_label(kind).check()
        expect(caption(page)).to_contain_text("seed 5")
        page.keyboard.press("Escape")
        assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_ways_through_the_prior_and_beside_it(visit):
    page = visit()
    tab(page, "Interpolate")
    expect(page.get_by_label("Through the learned prior")).to_be_checked()
    expect(caption(page)).to_contain_text("through the flow prior")
    through = canvas(page)
    page.get_by_label("Around the sphere").check()
    expect(caption(page)).to_contain_text("slerp")
    assert canvas(page)["uri"] != through["uri"]
    page.locator("#vs-model").select_option("mnist-ae")
    expect(page.get_by_label("Around the sphere")).to_be_checked()

    # who chooses faster than the server answers keeps the last choice
    page.get_by_label("A grid").check()
    page.get_by_label("Straight line").check()
    page.get_by_label("Through the learned prior").check()
    expect(caption(page)).to_contain_text("7 × 7")
    expect(caption(page)).to_contain_text("through the flow prior")
    expect(page.get_by_label("Through the learned prior")).to_be_checked()


def test_quick_choices_of_priors_end_with_the_last(visit):
    page = visit()
    tab(page, "Sample")
    first = grids(page)
    page.get_by_label("Plain noise").focus()
    for _ in range(3):
        page.keyboard.press("ArrowDown")
    expect(page.get_by_label("Learned prior (flow)")).to_be_checked()
    expect(page.locator(".vs-head > .vs-caption:visible")).to_contain_text("prior: learned prior (flow)")
    page.wait_for_function(f"old => ({SHEETS})().every((sheet, i) => sheet !== old[i])", arg=first)
    page.wait_for_timeout(500)
    expect(page.get_by_label("Learned prior (flow)")).to_be_checked()


def test_a_grid_between_four(visit):
    page = visit()
    tab(page, "Interpolate")
    expect(caption(page)).to_contain_text("32 frames")
    expect(page.locator(".vs-end:visible")).to_have_count(2)
    page.get_by_label("A grid").check()
    expect(caption(page)).to_contain_text("7 × 7 pictures between seed 3, seed 4, seed 5, seed 6")
    expect(page.locator(".vs-end:visible")).to_have_count(4)
    assert (canvas(page)["width"], canvas(page)["height"]) == (224, 224)
    factor = page.locator(".vs-morph canvas").bounding_box()["width"] / 224
    assert factor == pytest.approx(max(1, round(factor)), abs=0.002), "enlarged by a whole factor"
    before = canvas(page)["uri"]
    page.locator("#vs-end-D-file").set_input_files(DIGIT)
    expect(caption(page)).to_contain_text("seed 5, digit-7.png")
    assert canvas(page)["uri"] != before
    page.locator("#vs-keep-size").select_option("1080")
    with page.expect_download() as saved:
        page.get_by_role("button", name="Sheet (PNG)").click()
    assert Image.open(saved.value.path()).size == (1080, 1080), "to post"
    page.get_by_label("A path").check()
    expect(page.get_by_label("Position between A and B")).to_be_visible()
    expect(page.locator(".vs-end:visible")).to_have_count(2)


def test_a_loop_is_played_in_a_circle(visit):
    page = visit()
    tab(page, "Interpolate")
    expect(caption(page)).to_contain_text("32 frames")
    page.get_by_label("A loop").check()
    expect(caption(page)).to_contain_text("48 frames through seed 3, seed 4, seed 5 and back")
    page.get_by_label("number input for Stops").fill("4")
    page.keyboard.press("Enter")
    expect(caption(page)).to_contain_text("64 frames through seed 3, seed 4, seed 5, seed 6 and back")
    expect(page.locator(".vs-end:visible")).to_have_count(4)
    scrub = page.get_by_label("Position on the loop")
    scrub.press("End")
    expect(page.locator(".vs-where")).to_have_text("D–A 0.94")
    page.get_by_role("button", name="Play").click()
    page.wait_for_function(PAUSED_EARLY)  # it goes on from the beginning, and not back from the end
    expect(page.locator(".vs-where")).to_have_text(re.compile("^[AB]–[BC] "))


@pytest.mark.parametrize("size", [256, 1080])
def test_files_of_the_size_wanted(visit, size):
    page = visit()
    tab(page, "Interpolate")
    expect(caption(page)).to_contain_text("32 frames")
    page.get_by_label("number input for Frames").fill("5")
    page.keyboard.press("Enter")
    expect(caption(page)).to_contain_text("5 frames")
    page.locator("#vs-keep-size").select_option(str(size))
    side = size // 32 * 32

    def kept(name: str):
        with page.expect_download() as saved:
            page.get_by_role("button", name=name).click()
        assert re.fullmatch(r"mnist-vae-seed3-to-seed4\.(gif|mp4|png)", saved.value.suggested_filename)
        return saved.value.path()

    gif = Image.open(kept("Animation (GIF)"))
    whole = 1080 if size == 1080 else side  # to post, with a caption
    assert gif.format == "GIF" and gif.size == (whole, whole)
    strip = (1080, 1080) if size == 1080 else (5 * (side + 2) - 2, side)
    assert Image.open(kept("Strip (PNG)")).size == strip
    # Chromium itself is asked whether it plays the video.
    data = kept("Video (MP4)").read_bytes()
    video = page.evaluate(
        """async (bytes) => {
            const video = document.createElement("video");
            video.src = URL.createObjectURL(new Blob([new Uint8Array(bytes)], { type: "video/mp4" }));
            return await new Promise((done) => {
                video.onloadeddata = () => done([video.videoWidth, video.videoHeight, video.duration]);
                video.onerror = () => done(video.error.message);
            });
        }""",
        list(data),
    )
    assert video == [whole, whole, pytest.approx(8 / 16, abs=0.02)]


def test_on_a_phone_a_file_can_be_shared(visit):
    phone = {"width": 390, "height": 844, "has_touch": True, "is_mobile": True}
    page = visit("?tab=sample&model=fashion-vae&seed=3&prior=normal", **phone)
    page.evaluate(
        """() => {
            navigator.canShare = ({ files }) => files.length === 1;
            navigator.share = async ({ files: [file] }) => { window.shared = [file.name, file.type, file.size]; };
        }"""
    )
    page.get_by_role("button", name="All, to post").first.click()
    page.get_by_role("button", name="Share").click()
    expect(page.get_by_role("group", name="The file is ready")).to_have_count(0)
    name, kind, size = page.evaluate("window.shared")
    assert (name, kind) == ("fashion-vae-normal-seed3-1080.png", "image/png") and size > 1000
    # a plain download link is offered the same way, and can be saved all the same
    page = visit(**phone)
    expect(page.get_by_role("link", name="Reconstruction")).to_be_attached()
    page.evaluate("() => { navigator.canShare = () => true; navigator.share = () => Promise.reject(new Error()); }")
    page.get_by_role("link", name="Reconstruction").dispatch_event("click")  # it may lie under the pinned image
    page.get_by_role("button", name="Share").click()
    with page.expect_download() as saved:
        page.get_by_role("button", name="Save", exact=True).click()
    assert saved.value.suggested_filename.endswith("-reconstruction.png")
