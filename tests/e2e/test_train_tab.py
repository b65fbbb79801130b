"""The Train tab as visitors use it: a real training, watched, compared, gone back through, kept in order."""

import base64
import csv
import io
import re
import zipfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import expect
from tabs import tab, two_frames
from waiting import until

LONG = "1000"  # epochs: more than a fast machine makes before the run is stopped
IMAGES = "see_previews"  # in a request for them


def test_train_watch_reload_stop_and_use(visit):
    page = visit()
    tab(page, "Train")
    page.get_by_label("Epochs", exact=True).fill(LONG)
    page.get_by_role("button", name="Start training").click()
    chip = page.locator(".vs-chip:visible")
    expect(chip).to_have_text("running", timeout=40_000)
    run = page.get_by_label("Run", exact=True).input_value()

    def loss() -> float:
        return float(page.locator(".vs-reading b").first.inner_text().replace("–", "nan"))

    page.wait_for_function("() => parseFloat(document.querySelector('.vs-reading b').textContent) > 0")
    first = loss()
    page.wait_for_function(
        "high => parseFloat(document.querySelector('.vs-reading b').textContent) < high",
        arg=first * 0.8,
        timeout=60_000,
    )
    expect(page.locator("[data-vs='training'] > .vs-caption")).to_contain_text("images a second")
    samples = page.get_by_role("img", name="Samples from noise")
    expect(samples).to_be_visible()
    assert samples.bounding_box()["y"] < page.locator(".vs-chart").first.bounding_box()["y"], "above the curves"
    expect(page.get_by_role("button", name="Map it")).to_be_hidden()

    # while it runs its latest weights are in the picker
    expect(page.locator(f"#vs-model option[value='{run}']")).to_have_text(re.compile(rf"^{run} \(live"))

    # a second visitor sees the same training, and cannot start another
    other = visit()
    tab(other, "Train")
    expect(other.locator(".vs-chip:visible")).to_have_text("running")
    other.get_by_role("button", name="Start training").click()
    expect(other.get_by_role("alert").filter(has_text="already running")).to_be_visible()

    # a reload attaches again, with the whole curve at once
    page.reload()
    tab(page, "Train")
    expect(chip).to_have_text("running")
    page.wait_for_function("() => parseFloat(document.querySelector('.vs-reading b').textContent) > 0")
    assert loss() < first
    chart = page.locator(".vs-chart canvas").first
    expect(chart).to_have_attribute("aria-label", re.compile("^Total loss, train: from "))

    page.get_by_role("button", name="Stop").click()
    expect(chip).to_have_text("stopped")
    page.get_by_role("button", name="Map it").click()
    expect(page.get_by_role("tab", name="Latent space")).to_have_attribute("aria-selected", "true")
    expect(page.locator(".vs-space h3")).to_contain_text(run)
    tab(page, "Train")
    page.get_by_role("button", name="Sample from this model").click()
    expect(page.get_by_label("Model", exact=True)).to_have_value(run)
    expect(page.get_by_role("group", name=f"Samples of {run}", exact=True).get_by_role("button")).to_have_count(25)
    expect(other.locator(f"#vs-model option[value='{run}']")).to_have_text(run)


def test_compare_zoom_go_back_and_tidy_up(visit):
    """After the training above: curves of two runs, what can be done with them, and the list of runs."""
    page = visit()
    tab(page, "Train")
    row = page.locator(".vs-run-row").first
    run = row.get_attribute("data-run")
    chart = page.locator(".vs-chart canvas").first
    expect(chart).to_have_attribute("aria-label", re.compile("^Total loss, train: from "))

    # zoom by drag, by keyboard, and back
    chart.scroll_into_view_if_needed()
    box = chart.bounding_box()
    page.mouse.move(box["x"] + 150, box["y"] + 90)
    page.mouse.down()
    page.mouse.move(box["x"] + 400, box["y"] + 90, steps=3)
    page.mouse.up()
    expect(chart).to_have_attribute("aria-label", re.compile("zoomed to epochs"))
    with page.expect_response(lambda answer: "watch_run" in (answer.request.post_data or "")):
        pass  # new points are asked for
    two_frames(page)
    expect(chart).to_have_attribute("aria-label", re.compile("zoomed to epochs"))
    page.get_by_role("button", name="Whole run").click()
    expect(chart).not_to_have_attribute("aria-label", re.compile("zoomed"))
    chart.focus()
    chart.press("ArrowLeft")
    chart.press("+")
    expect(chart).to_have_attribute("aria-label", re.compile("zoomed to epochs"))
    chart.press("Escape")

    # smoothing keeps the raw line behind; a second run joins, with the colours told in the legend
    page.get_by_label("Smoothing").fill("0.9")
    page.get_by_label("Compare mnist-ae").check()
    expect(page.locator(".vs-reading").first).to_contain_text("mnist-ae train")
    expect(page.locator(".vs-reading").first).to_contain_text(f"{run} train")
    with page.expect_download() as saved:
        page.get_by_role("button", name="CSV").click()
    lines = list(csv.DictReader(io.StringIO(Path(saved.value.path()).read_text())))
    assert {line["run"] for line in lines} == {run, "mnist-ae"} and float(lines[0]["loss"]) > 0
    with page.expect_download() as saved:
        page.get_by_role("button", name="PNG", exact=True).click()
    picture = Image.open(saved.value.path())
    assert picture.width == 1920 and len(picture.convert("RGB").getcolors(10**6)) > 20

    # the replay: another moment, another image
    moment = page.get_by_label("Moment of the training")
    sheet = page.get_by_role("img", name="Originals and reconstructions")
    expect(sheet).to_have_attribute("aria-label", re.compile("after epoch"))

    def pixels() -> str:
        return sheet.evaluate("c => c.toDataURL()")

    last = pixels()
    moment.press("Home")
    expect(sheet).to_have_attribute("aria-label", re.compile("before training"))
    until(lambda: pixels() != last, lambda: page.wait_for_timeout(50))
    moment.press("End")
    until(lambda: pixels() == last, lambda: page.wait_for_timeout(50))

    # renamed, not deleted without asking, continued, deleted
    row.get_by_role("button", name="Change").click()
    page.get_by_label("Name", exact=True).fill("../up")
    page.get_by_role("button", name="Rename").click()
    expect(row.get_by_role("alert")).to_contain_text("letters, digits")
    page.get_by_label("Name", exact=True).fill("my first")
    page.get_by_role("button", name="Rename").click()
    expect(row.locator(".vs-run-name")).to_have_text("my first")
    page.get_by_role("button", name="Continue", exact=True).first.click()
    expect(row.locator(".vs-state")).to_have_text("running")
    page.get_by_role("button", name="Stop").click()
    expect(row.locator(".vs-state")).to_have_text("stopped")
    row.get_by_role("button", name="Change").click()
    row.get_by_role("button", name="Delete…").click()
    row.get_by_role("button", name="Keep").click()
    row.get_by_role("button", name="Delete…").click()
    row.get_by_role("button", name="Delete", exact=True).click()
    expect(page.locator("[data-run='my first']")).to_have_count(0)


def test_a_diffusion_prior_is_watched_stopped_and_drawn_from(visit):
    page = visit()
    tab(page, "Train")
    rows = page.locator(".vs-run-row")
    expect(rows.first).to_be_visible()
    before = rows.count()
    page.get_by_label("Epochs", exact=True).fill("2")
    page.get_by_role("button", name="Start training").click()
    expect(rows).to_have_count(before + 1)
    expect(rows.first.locator(".vs-state")).to_have_text("finished", timeout=60_000)
    run = rows.first.get_attribute("data-run")
    page.get_by_role("button", name="Train a diffusion prior").click()
    prior = page.get_by_role("region", name="Diffusion prior")
    expect(prior.get_by_role("img", name="What it draws by now after update")).to_be_visible(timeout=90_000)
    expect(prior).to_contain_text(re.compile(r"update [\d,]+ of 2,000"))

    # it goes on without the page, which finds it again; another visitor of a phone's size sees how far it is, too
    page.reload()
    tab(page, "Train")
    expect(prior.get_by_role("button", name="Stop")).to_be_enabled()
    phone = visit(f"?tab=train&run={run}", width=390, height=844)
    far = phone.get_by_role("region", name="Diffusion prior").get_by_text(re.compile(r"update [\d,]+ of 2,000"))
    expect(far).to_be_visible()
    prior.get_by_role("button", name="Stop").click()
    expect(prior).to_contain_text("Stopped on request.")
    expect(prior.get_by_role("button", name="Continue")).to_be_enabled()
    prior.get_by_role("button", name="Draw from it").click()
    expect(page.get_by_role("group", name=f"Samples of {run}", exact=True).get_by_role("button")).to_have_count(25)
    expect(page.get_by_label("Model", exact=True)).to_have_value(run)
    expect(page).to_have_url(re.compile("prior=diffusion"))


def test_an_archive_is_seen_before_it_is_trained_on(visit, tmp_path):
    page = visit()
    tab(page, "Train")
    look = page.locator(".vs-look-part")
    expect(look).to_contain_text("1,437 pictures to learn from")
    expect(look.get_by_role("listitem")).to_have_count(11)

    with zipfile.ZipFile(tmp_path / "shades.zip", "w") as file:
        for i in range(40):
            Image.new("L", (20, 20), 6 * i).save(buffer := io.BytesIO(), "PNG")
            file.writestr(f"{'dark' if i < 20 else 'light'}/{i}.png", buffer.getvalue())
        file.writestr("dark/broken.png", b"no picture")
    page.locator("#vs-archive").set_input_files(tmp_path / "shades.zip")
    expect(look).to_contain_text("1 image could not be read and was left out: ")
    expect(look.get_by_role("listitem")).to_have_text(["2 classes", "dark", "light"])

    page.get_by_label("Epochs", exact=True).fill("2")
    page.get_by_role("button", name="Start training").click()
    state = page.locator(".vs-run-row").first.locator(".vs-state")
    expect(state).to_have_text("finished", timeout=120_000)
    expect(page.locator("[data-vs='training'] > .vs-caption")).to_contain_text("1 picture could not be read")

    (tmp_path / "empty.zip").write_bytes(b"no archive")
    page.locator("#vs-archive").set_input_files(tmp_path / "empty.zip")
    expect(page.get_by_role("alert").filter(has_text="empty.zip is damaged")).to_be_visible()


def test_colour_images_get_a_colour_model_and_any_size(visit, tmp_path):
    page = visit()
    tab(page, "Train")
    outlook, look = page.locator("[data-vs='training_outlook']"), page.locator(".vs-look-part")
    expect(outlook).to_contain_text(re.compile(r"About 0\.1 GB of memory and .+ on this machine's"))
    with zipfile.ZipFile(tmp_path / "reds.zip", "w") as file:
        for i in range(20):
            Image.new("RGB", (40, 40), (9 * i, 0, 90)).save(buffer := io.BytesIO(), "PNG")
            file.writestr(f"{i}.png", buffer.getvalue())
    page.locator("#vs-archive").set_input_files(tmp_path / "reds.zip")
    expect(look).to_contain_text("this model would see them in grey")
    look.get_by_role("button", name="Take sd-small").click()
    expect(look).to_contain_text("16 pictures to learn from and 4 held back to test, 64 × 64 pixels, in colour")
    expect(look.get_by_role("button", name="Take sd-small")).to_be_hidden()
    expect(page.get_by_label("Learning rate")).to_have_value("0.0015")

    size = page.get_by_label("Image size")
    size.fill("20")
    expect(outlook.get_by_role("alert")).to_contain_text("size 20 is not a multiple of 8")
    size.fill("16")
    expect(look).to_contain_text("16 × 16 pixels")
    expect(outlook.get_by_role("alert")).to_be_hidden()

    page.get_by_label("Start from").click()
    page.locator("li[role=option][aria-label=dogs-vae]").click()
    expect(page.get_by_label("Learning rate")).to_have_value("0.00015")
    expect(size).to_have_value("16")
    page.get_by_label("Epochs", exact=True).fill("1")
    page.get_by_role("button", name="Start training").click()
    row = page.locator(".vs-run-row").first
    expect(row).to_have_attribute("data-run", re.compile("^sd-small-"))
    expect(row.locator(".vs-state")).to_have_text("finished", timeout=120_000)
    page.get_by_role("button", name="Sample from this model").click()
    expect(page.get_by_role("list", name="The model's facts")).to_contain_text("trained on reds.zip")
    cell = page.get_by_role("group", name=re.compile("^Samples of sd-small-")).get_by_role("button").first
    sprite = cell.evaluate("(e) => e.style.backgroundImage.slice(5, -2)")
    drawn = Image.open(io.BytesIO(base64.b64decode(sprite.partition(",")[2])))
    assert drawn.size == (5 * 16, 5 * 16), "25 samples of the size it was trained at"


def test_a_stranger_watches_but_cannot_stop(visit):
    """Through a proxy nobody is the host: the run belongs to the browser that started it."""
    through = {"extra_http_headers": {"X-Forwarded-For": "192.0.2.7"}}
    page, other = visit(**through), visit(**through)
    for visitor in (page, other):
        tab(visitor, "Train")
    page.get_by_label("Epochs", exact=True).fill(LONG)
    page.get_by_role("button", name="Start training").click()
    expect(page.locator(".vs-chip:visible")).to_have_text("running", timeout=40_000)
    expect(other.locator(".vs-chip:visible")).to_have_text("running")
    expect(other.get_by_role("button", name="Stop")).to_be_disabled()

    # what watching costs: from one fetching of images to the next, 5 KB a second for the whole page, at most
    wire, fetches, received = other.context.new_cdp_session(other), [], []
    wire.send("Network.enable")
    wire.on(
        "Network.requestWillBeSent", lambda sent: IMAGES in str(sent["request"]) and fetches.append(sent["timestamp"])
    )
    wire.on("Network.loadingFinished", lambda event: received.append((event["timestamp"], event["encodedDataLength"])))
    until(lambda: len(fetches) > 1, lambda: other.wait_for_timeout(100))
    start, end = fetches[:2]
    total = sum(size for at, size in received if start <= at < end)
    assert 0 < total / (end - start) < 5000, received

    other.locator(".vs-run-row").first.get_by_role("button", name="Change").click()
    expect(other.locator(".vs-panel")).to_contain_text("Only whoever started this run")
    page.reload()
    tab(page, "Train")
    page.get_by_role("button", name="Stop").click()
    expect(other.locator(".vs-chip:visible")).to_have_text("stopped", timeout=20_000)


def test_start_is_in_reach_and_what_forms_is_seen(visit):
    page = visit("?tab=train")
    start, epochs = page.get_by_role("button", name="Start training"), page.get_by_label("Epochs", exact=True)
    expect(page.locator(".vs-chip:visible")).to_be_visible()
    box = start.bounding_box()
    assert box["y"] + box["height"] <= 900.5, "with nothing scrolled"
    for text, says in (("0", "from 1 to 100000, not 0."), ("", "from 1 to 100000; it is empty.")):
        epochs.fill(text)
        said = page.locator(".vs-controls:visible").get_by_role("alert").locator("visible=true").filter(has_text=says)
        expect(said).to_have_count(1)
        start.click()
        page.wait_for_timeout(300)
        expect(said).to_have_count(1)
        below = said.bounding_box()
        assert below["y"] + below["height"] <= start.bounding_box()["y"] + 0.5 <= 900, "beside the button, in sight"
    epochs.fill("1")
    expect(page.locator(".vs-controls:visible").get_by_role("alert").locator("visible=true")).to_have_count(0)
    page.mouse.wheel(0, 2000)
    page.wait_for_function("scrollY > 300")
    start.click()
    expect(page.locator(".vs-chip:visible")).to_have_text(re.compile("running|finished"))
    result = "document.querySelector('.vs-result:has([data-vs=training])')"
    page.wait_for_function(f"{result}.getBoundingClientRect().top > -1")
    samples = page.get_by_role("img", name="Samples from noise").bounding_box()
    assert samples["y"] + samples["height"] < 900, "digits form on the screen"
    expect(page.locator(".vs-chip:visible")).to_have_text("finished")
