"""Below the panes of Compare, in a real browser: a folder measured, and what the models bear."""

import csv
import re
import zipfile

import numpy as np
from PIL import Image
from playwright.sync_api import Page, expect
from tabs import hard_to_read, tab


def compare(visit, theme: str = "light") -> Page:
    page = visit(f"?tab=compare&model=mnist-vae-large&__theme={theme}")
    expect(page.locator(".vs-pane")).to_have_count(2)
    expect(page.locator(".vs-rows", has_text=re.compile(r"PSNR\s*\d"))).to_have_count(2, timeout=60_000)
    return page


def part(page: Page, name: str, button: str):
    """Opens a fold and waits until its module is there."""
    fold = page.locator("details.vs-bench", has_text=name)
    fold.locator("summary").click()
    expect(fold.get_by_role("button", name=button, exact=True)).to_be_enabled()
    return fold


def test_a_folder_is_measured_sorted_looked_into_and_saved(visit, tmp_path):
    with zipfile.ZipFile(tmp_path / "mine.zip", "w") as archive:
        for i in range(5):
            pixels = np.zeros((28, 28), np.uint8)
            pixels[6:22, 8 + i : 12 + i] = 255
            Image.fromarray(pixels).save(tmp_path / f"{i}.png")
            archive.write(tmp_path / f"{i}.png", f"{i}.png")
    page = compare(visit)
    assert not page.evaluate(
        "performance.getEntriesByType('resource').some((r) => /folder_measure|stress/.test(r.name))"
    )
    fold = part(page, "Measure a whole folder", "Measure")
    fold.locator("input[type=file]").set_input_files(tmp_path / "mine.zip")
    expect(fold.locator(".vs-drop-name")).to_have_text("mine.zip ")
    fold.get_by_role("button", name="Measure", exact=True).click()
    rows = fold.locator(".vs-table tbody tr")
    expect(rows).to_have_count(2, timeout=60_000)
    expect(fold.get_by_role("button", name="Measure", exact=True)).to_be_enabled(timeout=60_000)
    expect(rows.first).to_contain_text("5 images, 32 × 32")

    def column(key: str) -> list[float]:
        at = fold.locator(f".vs-table th[data-key={key}]").evaluate("th => th.cellIndex")
        return [float(rows.nth(i).locator("th, td").nth(at).inner_text()) for i in range(2)]

    fold.locator("th[data-key=psnr] button").click()
    assert column("psnr") == sorted(column("psnr"), reverse=True)
    fold.locator("th[data-key=psnr] button").click()
    assert column("psnr") == sorted(column("psnr"))
    expect(fold.locator("th[data-key=psnr]")).to_have_attribute("aria-sort", "ascending")

    with page.expect_download() as saved:
        fold.get_by_role("button", name="CSV, a row an image").click()
    with saved.value.path().open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == 10 and {line["image"] for line in lines} == {f"{i}.png" for i in range(5)}
    with page.expect_download() as saved:
        fold.get_by_role("button", name="PNG", exact=True).click()
    assert Image.open(saved.value.path()).width > 600

    images = fold.locator(".vs-bench-images button")
    expect(images).to_have_count(5)
    figures = [float(images.nth(i).locator("b").inner_text()) for i in range(5)]
    assert figures == sorted(figures), "the worst first"
    images.first.click()
    name = images.first.locator("span").inner_text()
    expect(page.get_by_alt_text(f"The chosen picture: {name}")).to_be_visible()
    expect(page.locator(".vs-pane.stale")).to_have_count(0, timeout=60_000)
    first = fold.get_by_label("Of the model").locator("option").first.inner_text()
    pane = page.locator(".vs-pane").nth("AB".index(first[0]))
    expect(pane.locator(".vs-rows")).to_contain_text(re.compile(rf"PSNR\)?\s*{figures[0]:.3g}"))

    fold.get_by_label("Folder or data set").fill("/nowhere/at all")
    fold.get_by_role("button", name="Measure", exact=True).click()
    expect(fold.locator(".vs-table .failed").first).to_contain_text("There is no folder or file")
    assert hard_to_read(page) == []


def test_round_trips_begin_with_the_panes_accuracy_and_formats_are_told(visit):
    page = compare(visit, theme="dark")
    shown = [page.locator(".vs-rows").nth(i).locator("dd").first.inner_text().split()[0] for i in range(2)]
    fold = part(page, "Stress test", "Test")
    fold.get_by_label("Round trips", exact=True).fill("4")
    fold.get_by_role("button", name="Test", exact=True).click()
    strips = fold.locator(".vs-strip")
    expect(strips).to_have_count(2, timeout=60_000)
    for i in range(2):
        expect(strips.nth(i).locator("img")).to_have_count(4)
        expect(strips.nth(i).locator("figure").first).to_contain_text(f"{shown[i]} dB")
    assert fold.get_by_role("img", name="Drift.").is_visible()
    expect(fold.get_by_role("button", name="Test", exact=True)).to_be_enabled()
    fold.get_by_label("Test", exact=True).select_option("precision")
    fold.get_by_role("button", name="Test", exact=True).click()
    expect(strips.first.locator("li")).to_have_count(3, timeout=60_000)
    expect(strips.first).to_contain_text("float16 ends at 65,504")
    assert hard_to_read(page) == []


def test_the_folds_fit_a_phone(visit):
    page = visit("?tab=compare&model=mnist-vae-large", width=390, height=844)
    tab(page, "Compare")
    for name, button in (("Measure a whole folder", "Measure"), ("Stress test", "Test")):
        part(page, name, button)
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
