"""Comparing models, opening others and drawing from one that can't generate on its own, in a real browser."""

import re

import pytest
import torch
from PIL import Image
from playwright.sync_api import Page, expect
from tabs import hard_to_read, tab, two_frames

import vae
from vae import images
from vae.models import build
from vae.models.autoencoder_kl import KLConfig
from vae.models.tiny import TinyConfig
from vae.ui.serving.popular_models import popular_models

TINY = {
    "encoder_block_out_channels": (8, 8, 8),
    "decoder_block_out_channels": (8, 8, 8),
    "num_encoder_blocks": (1, 1, 1),
    "num_decoder_blocks": (1, 1, 1),
}
NARROW = {"block_out_channels": (8, 8, 16), "layers_per_block": 1, "norm_num_groups": 4}
COLOURS = "c => new Set(new Uint32Array(c.getContext('2d').getImageData(0, 0, c.width, c.height).data.buffer)).size"


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Two small models with random weights that share a latent space; they take colour images of any size."""
    torch.manual_seed(0)
    place = tmp_path_factory.mktemp("models")
    tiny = vae.save(build(TinyConfig(**TINY, latent_space="sd")).eval(), place / "some-tiny")
    large = vae.save(build(KLConfig(**NARROW, latent_space="sd", scaling_factor=0.2)).eval(), place / "some-kl")
    return str(tiny), str(large)


def open_model(page: Page, text: str) -> None:
    page.get_by_role("button", name="Open…").click()
    page.get_by_label("Open another model").fill(text)
    page.get_by_label("Open another model").press("Enter")


def is_open(page: Page, text: str) -> None:
    expect(page.get_by_label("Model", exact=True)).to_have_value(text)
    expect(page.locator(".vs-open")).to_be_hidden()


def compared(page: Page, panes: int) -> None:
    """Waits until all panes show what they were asked for."""
    expect(page.locator(".vs-pane")).to_have_count(panes)
    expect(page.locator(".vs-rows", has_text=re.compile(r"Pixel accuracy\s*PSNR\s*\d"))).to_have_count(
        panes, timeout=60_000
    )
    expect(page.locator(".vs-cover:visible, .vs-pane.stale")).to_have_count(0, timeout=60_000)


def seen(page: Page, pane: int) -> str:
    """What a pane's canvas shows, once the frame that was asked for is painted."""
    two_frames(page)
    return page.locator(".vs-pane canvas").nth(pane).evaluate("c => c.toDataURL()")


def test_the_first_opening_compares_two_models_and_all_panes_move_as_one(visit):
    page = visit()
    tab(page, "Compare")
    compared(page, 2)
    assert page.locator(".vs-pane-head select").evaluate_all("all => new Set(all.map((s) => s.value)).size") == 2
    assert "1.00" in page.locator(".vs-rows").first.inner_text(), "64 numbers of 16 bits for 32 x 32 pixels"
    pane, meter = page.locator(".vs-pane canvas").first, page.locator(".vs-meter")
    assert pane.evaluate(COLOURS) > 4

    def both_change(act) -> None:
        before = [seen(page, 0), seen(page, 1)]
        act()
        page.wait_for_function(
            "before => before.every((was, i) => document.querySelectorAll('.vs-pane canvas')[i].toDataURL() !== was)",
            arg=before,
        )

    fitted, box = meter.inner_text(), pane.bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.4, box["y"] + box["height"] * 0.4)
    both_change(lambda: page.mouse.wheel(0, -300))
    expect(meter).not_to_have_text(fitted)
    page.mouse.down()
    both_change(lambda: page.mouse.move(box["x"] + box["width"] * 0.2, box["y"] + box["height"] * 0.2, steps=4))
    page.mouse.up()
    page.mouse.move(5, 5)
    pane.focus()
    both_change(lambda: pane.press("ArrowLeft"))
    both_change(lambda: pane.press("+"))
    both_change(lambda: page.get_by_role("button", name="Zoom out").click())
    both_change(lambda: page.get_by_role("button", name="Fit").click())
    expect(meter).to_have_text(fitted)

    both_change(lambda: page.get_by_role("radio", name="Original").check(force=True))
    assert seen(page, 0) == seen(page, 1), "both models see the same picture"
    both_change(lambda: page.get_by_role("radio", name="Difference").check(force=True))
    both_change(lambda: page.get_by_label("Amplify the difference").press("End"))
    expect(page.locator(".vs-gain output")).to_have_text("×10")

    with page.expect_download() as saved:
        page.get_by_role("button", name="Download as PNG").first.click()
    assert Image.open(saved.value.path()).size == (32, 32) and saved.value.suggested_filename.endswith(
        "-digit-2-difference-x10.png"
    )
    with page.expect_download() as saved:
        page.get_by_role("button", name="Side by side").click()
    assert Image.open(saved.value.path()).width > 2 * 300


def test_models_are_opened_paired_and_taken_away(visit, folders):
    tiny, large = folders
    page = visit()
    tab(page, "Compare")
    compared(page, 2)
    expect(page.locator(".vs-pairing:visible")).to_have_count(0)
    open_model(page, tiny)
    is_open(page, tiny)
    compared(page, 2)
    open_model(page, large)
    is_open(page, large)
    page.locator(".vs-pane-head select").nth(1).select_option("mnist-ae")  # else the one most like the first
    page.locator(".vs-compare-split").get_by_title("Caps").click()
    expect(page.locator(".vs-rows").first).to_contain_text("256 × 256")
    compared(page, 2)
    expect(page.get_by_text("their figures can't be compared")).to_be_visible()

    page.get_by_role("button", name="Add a model").click()
    page.locator(".vs-pane-head select").nth(2).select_option(tiny)
    compared(page, 3)
    alone = page.locator(".vs-rows").first.text_content()
    second = page.get_by_label("Decoded by")
    expect(second.first).to_be_visible()
    assert second.first.locator("option").all_inner_texts()[0] == "itself"
    second.first.select_option(tiny)
    page.wait_for_function("alone => document.querySelector('.vs-rows').textContent !== alone", arg=alone)
    compared(page, 3)
    page.get_by_role("button", name="Remove this model").locator("visible=true").first.click()
    expect(page.locator(".vs-pane")).to_have_count(2)


def test_what_cannot_be_opened_is_said_beside_the_picker(visit, tmp_path):
    page = visit()
    chosen = page.get_by_label("Model", exact=True).input_value()
    page.get_by_role("button", name="Open…").click()
    expect(page.locator(".vs-known li")).to_have_count(len(popular_models()))
    expect(page.locator(".vs-known li", has_text="TAESDXL")).to_contain_text("MIT, 9.8 MB")
    line = page.get_by_label("Open another model")
    for text, says in (("nonsense", "There is no model"), (str(tmp_path), "holds no auto-encoder")):
        line.fill(text)
        line.press("Enter")
        expect(page.locator(".vs-open [role=alert]")).to_contain_text(says)
    page.keyboard.press("Escape")
    expect(page.locator(".vs-open")).to_be_hidden()
    assert page.get_by_label("Model", exact=True).input_value() == chosen


def test_sample_says_what_is_no_generator(visit, folders):
    page = visit()
    tab(page, "Sample")
    pairs = page.get_by_role("group", name="Samples of mnist-vae", exact=True).get_by_role("button")
    expect(pairs).to_have_count(25)
    expect(page.get_by_text("This model can't generate on its own")).to_have_count(0)
    open_model(page, folders[0])
    is_open(page, folders[0])
    expect(page.get_by_role("heading", name="This model can't generate on its own")).to_be_visible(timeout=60_000)
    expect(page.locator(".vs-trio img")).to_have_count(3)
    cells = page.get_by_role("group", name=re.compile("^Samples of")).get_by_role("button")
    expect(cells).to_have_count(4, timeout=60_000)
    before = page.locator(".vs-trio img").first.get_attribute("src")
    page.locator(".vs-controls:visible").get_by_title("Digit 3").click()
    expect(page.locator(".vs-trio img").first).not_to_have_attribute("src", before)

    page.get_by_label("Model", exact=True).select_option("mnist-vae")
    expect(pairs).to_have_count(25, timeout=60_000)
    expect(page.get_by_text("This model can't generate on its own")).to_have_count(0)


def test_the_page_says_when_a_picture_is_computed_in_tiles(visit, folders):
    page = visit()
    page.locator(".vs-frame img.after[src]").wait_for()
    open_model(page, folders[1])
    is_open(page, folders[1])
    page.locator(".vs-controls:visible").get_by_title("Parrot").click()
    took = page.locator(".vs-stats > div", has_text="Compute time")
    expect(page.locator(".vs-stats > div", has_text="Stored as")).to_contain_text(
        "4 channels of 64 × 64", timeout=60_000
    )
    expect(took).not_to_contain_text("tiles")
    page.get_by_role("button", name="Advanced").click()
    tiles = page.get_by_label("Tiles")
    tiles.click()
    page.get_by_role("option", name="512").click()
    page.wait_for_timeout(500)
    expect(took).not_to_contain_text("tiles")
    page.locator(".vs-controls:visible .vs-file").set_input_files(
        {"name": "wide.png", "mimeType": "image/png", "buffer": png(640, 320)}
    )
    expect(took).to_contain_text("in tiles of 512 px", timeout=60_000)


def png(width: int, height: int) -> bytes:
    return images.png_bytes(Image.effect_noise((width, height), 60).convert("RGB"))


def test_on_a_phone_nothing_is_cut_off(visit):
    page = visit(width=390, height=844)
    page.get_by_role("tab", name="Reconstruct", exact=True).wait_for()
    tab(page, "Compare")
    compared(page, 2)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    boxes = [page.locator(".vs-pane canvas").nth(i).bounding_box() for i in range(2)]
    assert boxes[0]["y"] == pytest.approx(boxes[1]["y"], abs=0.5) and boxes[0]["width"] > 140
    page.get_by_role("button", name="Open…").click()
    box = page.locator(".vs-open").bounding_box()
    assert box["x"] > -0.5 and box["x"] + box["width"] < 390.5


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_text_can_be_read(visit, folders, theme):
    page = visit(f"?__theme={theme}")
    tab(page, "Compare")
    compared(page, 2)
    assert hard_to_read(page) == []
    page.get_by_role("button", name="Open…").click()
    expect(page.locator(".vs-known li")).to_have_count(len(popular_models()))
    assert hard_to_read(page) == []
    page.keyboard.press("Escape")
    open_model(page, folders[0])
    is_open(page, folders[0])
    tab(page, "Sample")
    expect(page.locator(".vs-trio img")).to_have_count(3, timeout=60_000)
    expect(page.locator('[data-vs="sample_grids"]:not(.stale) .vs-cell')).to_have_count(4, timeout=60_000)
    assert hard_to_read(page) == []


def test_the_picture_suits_the_models_until_one_is_chosen(visit):
    page = visit("?tab=compare&model=dogs-vae-16")
    name = page.locator(".vs-drop-name:visible")
    expect(name).to_have_text("Parrot")
    page.get_by_label("Model", exact=True).select_option("mnist-vae")
    expect(name).to_have_text("Digit 2")
    expect(page.locator(".vs-pane-head > select").first).to_have_value("mnist-vae")
    tab(page, "Reconstruct")
    page.get_by_label("Model", exact=True).select_option("fashion-vae")
    expect(name).to_have_text("Shirt")  # clothing for a model of clothes
    expect(page.locator(".vs-stats > div", has_text="For this model")).to_contain_text("usual")
    assert "unusual" not in page.locator(".vs-stats > div", has_text="For this model").inner_text()
    expect(page).to_have_url(re.compile("image=clothes-shirt$"))
    tab(page, "Compare")  # what the address says of the other tab is no choice here
    expect(name).to_have_text("Shirt")
