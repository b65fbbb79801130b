"""The tour, the glossary at its words, and large type."""

import re

import pytest
from playwright.sync_api import expect
from tabs import tab

STEPS = ("Squeeze", "Draw", "Walk", "Map", "Learn")


def test_the_tour_goes_through_the_page_and_its_steps_can_be_linked(visit):
    page = visit("?tour=2")
    idea = page.locator(".vs-tour h2")
    expect(idea).to_have_text("Draw")
    expect(page.get_by_role("tab", name="Sample")).to_have_attribute("aria-selected", "true")
    expect(page.locator(".vs-head > .vs-caption:visible").first).to_contain_text("prior: plain noise, seed 3")
    page.get_by_role("button", name="Next").click()
    expect(idea).to_have_text("Walk")
    expect(idea).to_be_focused()
    expect(page).to_have_url(re.compile(r"\?tour=3$"))
    expect(page.locator(".vs-caption:visible", has_text="from seed 3 to seed 4")).to_be_visible()
    page.go_back()
    expect(idea).to_have_text("Draw")
    expect(page).to_have_title("Sample, mnist-vae")
    page.get_by_role("button", name="Skip the tour").click()
    expect(idea).to_have_count(0)
    expect(page.get_by_role("button", name="Try this")).to_be_focused()
    expect(page).to_have_url(re.compile(r"\?tab=sample&[^?]*seed=3$"))

    page.get_by_role("button", name="Try this").click()
    for step in STEPS:
        expect(idea).to_have_text(step)
        page.get_by_role("button", name=re.compile("^(Next|Done)$")).click()
    expect(idea).to_have_count(0)
    expect(page.get_by_role("tab", name="Train")).to_have_attribute("aria-selected", "true")


def test_a_step_that_there_is_not_is_said(visit):
    page = visit("?tour=9")
    expect(page.get_by_role("alert").filter(has_text="step of the tour, 9, is none from 1 to 5")).to_be_visible()
    expect(page.locator(".vs-tour")).to_have_count(0)


def test_a_word_says_what_it_means(visit):
    page = visit()
    meaning = page.locator(".vs-meaning")
    word = page.get_by_role("button", name="SSIM", exact=True).locator("visible=true")
    word.focus()
    page.keyboard.press("Enter")
    expect(meaning).to_contain_text("1 means the same picture")
    expect(word).to_have_attribute("aria-expanded", "true")
    box = meaning.bounding_box()
    assert box["x"] > -0.5 and box["x"] + box["width"] < 1440.5
    page.keyboard.press("Escape")
    expect(meaning).to_be_hidden()
    expect(word).to_be_focused()
    tab(page, "Train")
    for name in ("KL", "β"):
        page.locator(".vs-lead:visible").get_by_role("button", name=name, exact=True).click()
        expect(meaning).to_be_visible()


def test_large_type_is_kept_and_can_be_linked(visit):
    page = visit()
    size = "parseFloat(getComputedStyle(document.querySelector('.vs-lead')).fontSize)"
    button = page.get_by_role("button", name="Large type")
    expect(button).to_have_attribute("aria-pressed", "false")
    usual = page.evaluate(size)
    button.click()
    expect(button).to_have_attribute("aria-pressed", "true")
    assert page.evaluate(size) == pytest.approx(usual * 1.3)
    page.wait_for_timeout(1500)  # a request under way that a reload ends is an error in the console
    page.reload()
    expect(button).to_have_attribute("aria-pressed", "true")
    assert (
        page.evaluate(size) == pytest.approx(usual * 1.3)
        and page.evaluate("document.documentElement.scrollWidth") <= 1440
    )
    button.click()
    assert page.evaluate(size) == usual and page.evaluate("localStorage.getItem('vs-size')") == "usual"
    linked = visit("?size=large")
    expect(linked.get_by_role("button", name="Large type")).to_have_attribute("aria-pressed", "true")
