"""The latent editor under the reconstruction, in a real browser."""

import re

import numpy as np
from playwright.sync_api import Page, expect

DATA = re.compile("^data:image/png")


def opened(page: Page):
    """The editor, its module fetched and the picture's latent decoded."""
    expect(page.locator(".vs-frame img.after")).to_have_attribute("src", DATA)
    page.get_by_text("Edit the latent").click()
    image = page.locator(".vs-edit-view img")
    expect(image).to_have_attribute("src", DATA)
    return image


def becomes_another(page: Page, image, act) -> str:
    before = image.get_attribute("src")
    act()
    expect(image).not_to_have_attribute("src", before)
    expect(page.locator(".vs-edit")).not_to_have_attribute("aria-busy", "true")
    return image.get_attribute("src")


def test_channels_are_edited_and_the_latent_goes_down_and_up_again(visit, tmp_path):
    fetched = []
    page = visit("?model=mnist-vae")
    page.on("request", lambda request: fetched.append(request.url))
    expect(page.locator(".vs-frame img.after")).to_have_attribute("src", DATA)
    assert not any("latent_editor.js" in url for url in fetched)
    image = opened(page)
    assert any("latent_editor.js" in url for url in fetched)
    first = image.get_attribute("src")
    assert first == page.locator(".vs-frame img.after").get_attribute("src")  # the mean decodes to what stands above
    rows = page.locator(".vs-edit-row")
    expect(rows).to_have_count(4)
    becomes_another(page, image, page.get_by_label("Channel 3: set to zero, or back").click)  # the one that is used
    swapped = becomes_another(
        page, image, lambda: page.get_by_label("Channel 1 is taken from").select_option("channel 3")
    )
    expect(page.get_by_label("Channel 3 is taken from")).to_have_value("0")  # a swap goes both ways
    with page.expect_download() as download:
        page.get_by_role("button", name=".npy").click()
    kept = tmp_path / "edited.npy"
    download.value.save_as(kept)
    z = np.load(kept, allow_pickle=False)
    assert z.shape == (1, 4, 4, 4) and not z[0, 2].any() and z[0, 0].any()
    becomes_another(page, image, page.get_by_role("button", name="Undo all edits").click)
    assert image.get_attribute("src") == first
    file = page.locator("input[accept='.safetensors,.npy']")
    assert becomes_another(page, image, lambda: file.set_input_files(kept)) == swapped
    np.save(kept, np.zeros((1, 3, 4, 4), np.float32))
    file.set_input_files(kept)
    expect(page.locator(".vs-edit-view .vs-error")).to_contain_text("has 4 channels")
