"""What the page shows is what it says: after switches of model, after errors, after a link and after Back."""

import re
from pathlib import Path

import node
import pytest
from playwright.sync_api import Page, expect
from tabs import at_rest, filled, tab

AXE = node.FOLDER / "node_modules" / "axe-core" / "axe.min.js"
NAMES = ("Reconstruct", "Sample", "Interpolate", "Latent space", "Compare", "Train")
SHIFTS = """window.shifts = 0; new PerformanceObserver((list) => list.getEntries().forEach((entry) => {
  if (!entry.hadRecentInput) window.shifts += entry.value;
})).observe({ type: 'layout-shift', buffered: true })"""
SEEN = {  # what tells one result from another, on each tab
    "Reconstruct": "() => document.querySelector('.vs-frame .after')?.src",
    # The plain auto-encoder's grid stays where only the other model is another.
    "Sample": "() => document.querySelector('.vs-grid .vs-cell') && ![...document.querySelectorAll('.vs-grid')].some("
    "(e) => e.checkVisibility() && !e.querySelector('.vs-cell')) && [document.getElementById('vs-model').value, ..."
    "[...document.querySelectorAll('.vs-grid')].map((e) => e.querySelector('.vs-cell')?.style.backgroundImage)].join()",
    "Interpolate": "() => document.querySelector('.vs-morph canvas[aria-label]')?.toDataURL()",
    "Latent space": "() => [...document.querySelectorAll('.vs-space h3')].map((e) => e.textContent).join()",
}
STALE = "[...document.querySelectorAll('.stale:is([data-vs], .vs-half)')].some((e) => e.offsetParent)"
# A file dropped on the page's title: what the veil says meanwhile.
DROP = """([name, type]) => {
  const data = new DataTransfer();
  const uri = JSON.parse(document.getElementById('vs-examples').textContent)[3].uri;
  const bytes = Uint8Array.from(atob(uri.split(',')[1]), (c) => c.charCodeAt(0));
  data.items.add(new File([bytes], name, { type }));
  const send = (event) => document.querySelector('.vs-brand').dispatchEvent(
    new DragEvent(event, { dataTransfer: data, bubbles: true, cancelable: true }));
  send('dragover');
  const says = document.querySelector('.vs-veil:not([hidden])').textContent;
  send('drop');
  return [says, document.querySelector('.vs-veil').hidden];
}"""
SMALL = """(least) => [...document.querySelectorAll('.gradio-container :is(button, a[href], select, summary)')]
  .filter((e) => e.checkVisibility() && !e.disabled && e.getClientRects().length && !e.closest('[aria-hidden=true]'))
  .filter((e) => !e.closest('.vs-grid, .vs-strip, .vs-examples')) // images, as large as there is room
  .map((e) => [e.textContent.trim() || e.ariaLabel, e.getBoundingClientRect()])
  .filter(([, box]) => box.width > 2 && Math.min(box.width, box.height) < least - 0.5)
  .map(([text, box]) => `${text}: ${box.width} x ${box.height}`)"""


def model(page: Page):
    return page.get_by_label("Model", exact=True)


def settled(page: Page, name: str, before: str | None = None) -> str:
    """What the tab shows, once that is of the chosen model and not `before`."""
    page.wait_for_function(
        f"(before) => {{ const seen = ({SEEN[name]})(); return seen && seen !== before && !{STALE}; }}",
        arg=before,
    )
    return page.evaluate(SEEN[name])


def test_every_tab_follows_the_model_and_nothing_jumps(visit):
    page = visit()
    page.evaluate(SHIFTS)
    settled(page, "Reconstruct")
    at_rest(page)
    assert page.evaluate("window.shifts") < 0.02, "on load"
    for name in SEEN:
        tab(page, name)
        seen = [settled(page, name)]
        at_rest(page)
        page.evaluate("window.shifts = 0")
        for other in ("mnist-vae-large", "fashion-vae", "mnist-vae"):
            model(page).select_option(other)
            assert page.evaluate(f"(old) => {STALE} || ({SEEN[name]})() !== old", seen[-1])
            seen.append(settled(page, name, seen[-1]))
        assert seen[3] == seen[0] and len(set(seen)) >= 3, name
        assert page.evaluate("window.shifts") < 0.02, name
    # two in a row: the last one counts
    tab(page, "Interpolate")
    first = settled(page, "Interpolate")
    model(page).select_option("fashion-vae")
    model(page).select_option("mnist-vae")
    page.wait_for_timeout(1000)  # in which the first one's answer might come
    assert settled(page, "Interpolate") == first


def test_no_room_is_kept_for_classes_that_a_model_has_not(visit):
    page = visit("?tab=sample&model=mnist-vae-large&n=4&prior=flow")
    page.evaluate(SHIFTS)
    seen = settled(page, "Sample")
    classes = page.get_by_role("group", name="Draw one class alone")
    for other, has in (("dogs-vae", False), ("mnist-ae", True)):
        at_rest(page)
        page.evaluate("window.shifts = 0")
        model(page).select_option(other)
        seen = settled(page, "Sample", seen)
        expect(classes).to_be_visible(visible=has)
        assert page.evaluate("window.shifts") < 0.02, other


def test_errors_dim_what_was_there_before(visit):
    page = visit()
    first = settled(page, "Reconstruct")
    opacity = "getComputedStyle(document.querySelector('.vs-compare')).opacity"
    page.locator(".vs-file").first.set_input_files({"name": "words.png", "mimeType": "image/png", "buffer": b"no"})
    expect(page.get_by_role("alert").filter(has_text="words.png is not a picture")).to_be_visible()
    page.wait_for_function(f"{opacity} < 0.5")
    assert page.locator(".vs-thumb").first.evaluate("e => e.naturalWidth") == 1, "no broken thumbnail"
    page.get_by_title("Digit 3").first.click()
    settled(page, "Reconstruct", first)
    page.wait_for_function(f"{opacity} == 1")

    page.get_by_label("A random draw").check()
    expect(page.locator(".vs-stats > div", has_text="Drawn with")).to_be_visible()
    seed = page.get_by_label("Seed", exact=True).locator("visible=true")
    expect(page.locator(".vs-stats > div", has_text="Drawn with")).to_contain_text("0")
    for text, says in (("-5", "must be a whole number from 0"), ("", "type a whole number")):
        seed.fill(text)
        expect(page.get_by_role("alert").filter(has_text=says)).to_be_visible()
        page.wait_for_function(f"{opacity} < 0.5")
    assert page.locator(".toast-wrap .toast-body").count() == 0
    seed.fill("7")
    expect(page.locator(".vs-stats > div", has_text="Drawn with")).to_contain_text("7")


def test_a_file_dropped_or_pasted_anywhere_opens_in_the_tab(visit):
    page = visit()
    settled(page, "Reconstruct")
    tab(page, "Interpolate")
    settled(page, "Interpolate")
    assert page.evaluate(DROP, ["mine.png", "image/png"]) == ["Drop it anywhere: it becomes end A", True]
    expect(page.locator(".vs-end-says").first).to_have_text("mine.png")
    tab(page, "Latent space")
    settled(page, "Latent space")
    assert page.evaluate(DROP, ["other.png", "image/png"]) == ["Drop it anywhere: it opens in Reconstruct", True]
    expect(page.get_by_role("tab", name="Reconstruct")).to_have_attribute("aria-selected", "true")
    expect(page.locator(".vs-drop-name:visible")).to_have_text("other.png")
    page.evaluate("""() => {
      const data = new DataTransfer();
      data.items.add(new File([new Uint8Array([1, 2])], 'pasted.png', { type: 'image/png' }));
      const options = { clipboardData: data, bubbles: true, cancelable: true };
      document.body.dispatchEvent(new ClipboardEvent('paste', options));
    }""")
    expect(page.locator(".vs-drop-name:visible")).to_have_text("pasted.png")


# What is dropped on the page besides one image: files of these names, or text of a type.
THROW = """([event, files, texts]) => {
  const data = new DataTransfer();
  const uri = JSON.parse(document.getElementById('vs-examples').textContent)[3].uri;
  const bytes = Uint8Array.from(atob(uri.split(',')[1]), (c) => c.charCodeAt(0));
  for (const name of files) data.items.add(new File([bytes], name, { type: 'image/png' }));
  for (const [type, text] of texts) data.setData(type, text);
  const options = { bubbles: true, cancelable: true };
  const made = event === 'paste' ? new ClipboardEvent(event, { ...options, clipboardData: data })
    : new DragEvent(event, { ...options, dataTransfer: data });
  const refused = document.querySelector('.vs-brand').dispatchEvent(made);
  return [document.querySelector('.vs-veil:not([hidden])')?.textContent ?? null, !refused];
}"""


def test_a_tab_that_a_link_opened_takes_files_too(visit):
    page = visit("?tab=sample")
    settled(page, "Sample")
    assert page.evaluate(THROW, ["dragover", ["a.png"], []]) == ["Drop it anywhere: it opens in Reconstruct", True]
    assert page.evaluate(THROW, ["drop", ["a.png"], []])[1], "the browser does not open it in place of the page"
    expect(page.locator(".vs-drop-name:visible")).to_have_text("a.png")


def test_several_files_go_to_several_boxes_and_a_link_is_no_picture(visit):
    page = visit("?tab=interpolate")
    settled(page, "Interpolate")
    says = "Drop them anywhere: it becomes end A, it becomes end B"
    assert page.evaluate(THROW, ["dragover", ["a.png", "b.png"], []]) == [says, True]
    page.evaluate(THROW, ["drop", ["a.png", "b.png"], []])
    expect(page.locator(".vs-caption:visible")).to_contain_text("from a.png to b.png")
    link = [["text/uri-list", "https://example.com/cat.png"], ["text/plain", "https://example.com/cat.png"]]
    for event in ("dragover", "drop", "paste"):
        said, kept = page.evaluate(THROW, [event, [], link])
        assert "save the picture, and drop or paste its file" in said and kept, event
    assert page.evaluate(THROW, ["drop", [], [["text/plain", "hello"]]]) == [None, False], "text is left to the browser"


def test_back_and_reload_bring_an_image_of_ones_own_back(visit):
    page = visit()
    settled(page, "Reconstruct")
    name, first = page.locator(".vs-drop-name:visible"), page.url
    page.locator('.vs-example[data-name="digit-3"]').first.click()
    expect(page).to_have_url(re.compile("image=digit-3$"))
    seen = page.evaluate(SEEN["Reconstruct"])
    page.evaluate(THROW, ["drop", ["mine.png"], []])
    expect(page).to_have_url(re.compile("tab=reconstruct&model=mnist-vae$"))
    page.get_by_title("Digit 7").first.click()
    expect(page).to_have_url(re.compile("image=digit-7$"))
    page.go_back()
    expect(name).to_have_text("mine.png")
    settled(page, "Reconstruct")
    page.wait_for_timeout(1000)  # a request under way that a reload ends is an error in the console
    page.reload()
    expect(name).to_have_text("mine.png")
    mine = settled(page, "Reconstruct")
    page.go_back()
    expect(name).to_have_text("Digit 3")
    page.wait_for_function("seen => document.querySelector('.vs-frame .after').src === seen", arg=seen)
    page.go_back()
    expect(page).to_have_url(first)
    expect(name).to_have_text("Digit 8")
    page.go_forward()
    page.go_forward()
    expect(name).to_have_text("mine.png")
    page.wait_for_function("seen => document.querySelector('.vs-frame .after').src === seen", arg=mine)


def test_numbers_that_cannot_be_are_refused_in_one_sentence(visit):
    page = visit("?tab=sample&n=9")  # what a link sets, Gradio makes anew
    caption = page.locator(".vs-head > .vs-caption:visible")
    expect(caption).to_contain_text("9 samples")
    seen = settled(page, "Sample")
    seed = page.get_by_label("Seed", exact=True).locator("visible=true")
    many = page.get_by_role("spinbutton", name="How many").or_(page.get_by_label("number input for How many")).first
    says = page.locator(".vs-controls:visible").get_by_role("alert")
    for box, text, word in (
        (seed, "-5", "The seed must be a whole number from 0"),
        (seed, "3.7", "not 3.7"),
        (seed, "", "There is no seed"),
        (many, "", "How many must be a whole number from 1 to 256."),
        (many, "1000", "from 1 to 256, not 1000."),
    ):
        usual = box.input_value()
        box.fill(text)
        expect(says.filter(has_text=word)).to_be_visible()
        page.wait_for_function("getComputedStyle(document.querySelector('.vs-halves')).opacity < 0.5")
        box.fill(usual)
        expect(says.locator("visible=true")).to_have_count(0)
    assert page.locator(".toast-wrap .toast-body").count() == 0
    expect(caption).to_contain_text("9 samples")
    page.wait_for_function(f"(seen) => ({SEEN['Sample']})() === seen", arg=seen)
    for link, word in (
        ("?tab=sample&temperature=hot", "The link's temperature, hot, is no number from 0 to 2."),
        ("?tab=compare&image=cat", "The link's image, cat, is none of digit-0"),
    ):
        page = visit(link)
        expect(page.get_by_role("alert").filter(has_text=word)).to_be_visible()


def test_a_link_opens_what_it_says_and_back_goes_back(visit):
    page = visit("?tab=sample&model=fashion-vae&prior=gaussian&seed=7")
    caption = page.locator(".vs-head > .vs-caption:visible")
    expect(caption).to_contain_text("prior: single Gaussian, seed 7")
    expect(model(page)).to_have_value("fashion-vae")
    expect(page).to_have_title("Sample, fashion-vae")
    linked = settled(page, "Sample")
    page.wait_for_timeout(600)
    page.get_by_role("button", name="Draw new samples").click()
    expect(page).not_to_have_url(re.compile("seed=7$"))
    settled(page, "Sample", linked)
    expect(page).to_have_url(re.compile(r"\?tab=sample&model=fashion-vae&prior=gaussian&seed=\d+$"))
    seed = page.url.rpartition("=")[2]

    tab(page, "Interpolate")
    expect(page).to_have_url(re.compile(r"\?tab=interpolate&model=fashion-vae&a=3&b=4$"))
    page.locator("#vs-end-B-seed").fill("11")
    page.locator("#vs-end-B-seed").press("Enter")
    expect(page).to_have_url(re.compile("a=3&b=11$"))
    page.reload()
    expect(page.locator(".vs-caption:visible")).to_contain_text("from seed 3 to seed 11")
    page.go_back()
    expect(page.locator(".vs-caption:visible")).to_contain_text("from seed 3 to seed 4")
    page.go_back()
    expect(caption).to_contain_text(f"seed {seed},")
    expect(page).to_have_title("Sample, fashion-vae")
    page.go_back()
    expect(caption).to_contain_text("seed 7,")

    # the tabs by arrow keys
    page.get_by_role("tab", name="Sample").focus()
    page.keyboard.press("ArrowLeft")
    expect(page.get_by_role("tab", name="Reconstruct")).to_be_focused()
    page.keyboard.press("End")
    expect(page).to_have_title(re.compile("^Train, "))


def test_a_link_holds_the_models_compared_and_the_map(visit):
    page = visit("?tab=compare&model=fashion-vae&image=digit-3&with=mnist-ae,dogs-vae")
    panes = page.locator(".vs-pane-head > select")
    expect(panes).to_have_count(3)
    assert [pane.input_value() for pane in panes.all()] == ["fashion-vae", "mnist-ae", "dogs-vae"]
    expect(page.locator(".vs-drop-name:visible")).to_have_text("Digit 3")
    page.get_by_role("button", name="Remove this model").last.click()
    expect(page).to_have_url(re.compile("image=digit-3&with=mnist-ae$"))
    tab(page, "Latent space")
    expect(page).to_have_url(re.compile(r"tab=latent&model=fashion-vae&map=lda$"))
    page.get_by_label("Widest spread (PCA)").check()
    expect(page).to_have_url(re.compile(r"tab=latent&model=fashion-vae&map=pca$"))
    page.go_back()
    expect(page.get_by_label("Separate the classes (LDA)")).to_be_checked()
    page.go_back()
    expect(panes).to_have_count(2)
    page.go_back()
    expect(panes).to_have_count(3)

    page = visit("?tab=latent&model=mnist-vae&map=pca")
    expect(page.get_by_label("Widest spread (PCA)")).to_be_checked()
    expect(page.locator(".vs-map-note").first).not_to_have_text("")
    says = page.get_by_role("alert").filter(has_text="The link's model to compare with, lost, is not here")
    page.goto(page.url.split("?")[0] + "?tab=compare&with=lost")
    expect(says).to_be_visible()


def test_a_link_whose_model_or_run_is_gone_says_so(visit):
    page = visit("?tab=train&model=lost&run=gone-001")
    says = page.get_by_role("alert").filter(has_text="The link's model, lost, is not here")
    expect(says).to_contain_text("The link's run, gone-001, is not here, or no longer among the newest.")
    expect(page.get_by_role("tab", name="Train")).to_have_attribute("aria-selected", "true")
    tab(page, "Sample")
    settled(page, "Sample")
    expect(says).to_be_hidden()


def test_in_a_frame_the_link_can_be_copied(visit, app):
    page = visit()
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    expect(page.get_by_role("button", name="Copy link")).to_have_count(0)
    frame = '<iframe src="/?tab=sample&model=fashion-vae&seed=5" style="width: 1300px; height: 800px"></iframe>'
    page.route("**/framed", lambda route: route.fulfill(body=frame, content_type="text/html"))
    page.goto(app + "framed")
    inside = page.frame_locator("iframe")
    expect(inside.locator(".vs-grid .vs-cell:visible")).to_have_count(25)
    inside.get_by_role("button", name="Copy link").click()
    expect(inside.get_by_role("button", name="Copied")).to_be_visible()
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied.startswith(app + "?tab=sample&model=fashion-vae&") and copied.endswith("seed=5")


@pytest.mark.parametrize(
    ("width", "height", "theme", "least"), [(1440, 844, "light", 24), (390, 844, "dark", 44), (844, 390, "light", 44)]
)
def test_no_serious_barrier_on_any_tab_and_targets_are_large_enough(visit, width, height, theme, least):
    if not AXE.is_file():
        if not node.find():
            pytest.skip("no Node or npm here: python tests/browser.py installs them")
        node.install_packages()
    page = visit(f"?__theme={theme}", width=width, height=height)
    settled(page, "Reconstruct")
    page.evaluate(Path(AXE).read_text("utf-8"))
    for name in NAMES:
        filled(page, name)
        found = page.evaluate(
            "axe.run().then((found) => found.violations.map((v) => [v.impact, v.id, v.nodes[0].html]))"
        )
        assert [
            each for each in found if each[0] in ("serious", "critical") or each[1] in ("heading-order", "region")
        ] == [], name
        assert page.evaluate(SMALL, least) == [], name
