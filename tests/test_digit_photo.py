"""Digits on paper, as photographed, are shown to models of digits as MNIST has its digits; all else stays as it is."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter

import vae
from vae import images
from vae.digit_photo import clean_digit
from vae.inference import interpolate, latent_of

EXAMPLES = Path(__file__).parents[1] / "vae" / "ui" / "static" / "examples"
DIGITS = [Image.open(path).convert("L") for path in sorted(EXAMPLES.glob("digit-*.png"))]


def paper(digit, place=(0, 100), side=600, light=(0.82, 1.0), tint=(1.0, 1.0, 1.0), noise=0.0):
    """A digit in dark ink on a page of 600x800, in light that changes from left to right; grey, or of that tint."""
    ink = digit.resize((side, side), Image.Resampling.BICUBIC).filter(ImageFilter.GaussianBlur(side / 200))
    page = np.full((800, 600), 242.0)
    page[place[1] : place[1] + side, place[0] : place[0] + side] -= 0.85 * np.asarray(ink, float)
    page *= np.linspace(*light, 600)
    page += noise * np.random.default_rng(0).normal(size=page.shape)
    tinted = page if set(tint) == {1.0} else page[..., None] * tint
    return Image.fromarray(tinted.clip(0, 255).astype(np.uint8))


def psnr(model, photos, **options):
    return np.mean([vae.reconstruct(model, photo, **options).psnr for photo in photos])


@pytest.fixture(scope="module")
def model():
    return vae.load("mnist-vae", device="cpu")


def test_a_photographed_digit_comes_out_as_well_as_the_digit_itself(model):
    photos, own = [paper(digit) for digit in DIGITS], psnr(model, DIGITS)
    assert own > 20 and psnr(model, photos) > own - 2
    assert psnr(model, photos, clean_photo=False) < 8
    shady = [paper(digit, (70, 400), 260, (0.45, 1.0), (1.0, 0.92, 0.75), noise=4) for digit in DIGITS]
    assert psnr(model, shady) > own - 2


def test_it_is_as_large_as_mnists_and_its_mass_in_the_middle():
    for digit in DIGITS:
        pixels = np.asarray(clean_digit(paper(digit, (300, 20), 200), 28).image, float)
        rows, columns = np.nonzero(pixels.max(1) > 60)[0], np.nonzero(pixels.max(0) > 60)[0]
        assert 19 <= max(np.ptp(rows), np.ptp(columns)) + 1 <= 21
        centre = [(pixels.sum(axis) * np.arange(28)).sum() / pixels.sum() for axis in (0, 1)]
        assert np.allclose(centre, 13.5, atol=0.6) and pixels.max() == 255 and np.median(pixels) == 0


def test_for_scikit_learns_digits_it_fills_the_image():
    for digit in DIGITS:
        pixels = np.asarray(clean_digit(paper(digit), 32, 1.0).image)
        spans = [np.ptp(np.nonzero(pixels.max(axis) > 60)[0]) + 1 for axis in (0, 1)]
        assert max(spans) >= 31


def test_the_box_is_where_the_digit_is():
    left, top, right, bottom = clean_digit(paper(DIGITS[0], (300, 20), 280), 28).box
    assert right - left == pytest.approx(bottom - top) and 200 < right - left < 330
    assert (left + right) / 2 == pytest.approx(440, abs=15) and (top + bottom) / 2 == pytest.approx(160, abs=15)


def test_a_thin_pen_is_drawn_as_thick_as_mnists_digits():
    page = Image.new("L", (900, 900), 235)
    ImageDraw.Draw(page).line([(300, 250), (650, 260), (450, 760)], fill=60, width=6)
    assert 35 < np.asarray(clean_digit(page, 28).image, float).sum() / 255 < 120


def test_dust_and_what_leads_out_of_the_image_are_left_out():
    clean, dirty = paper(DIGITS[1], (100, 200), 400), paper(DIGITS[1], (100, 200), 400)
    draw = ImageDraw.Draw(dirty)
    draw.rectangle((0, 780, 600, 800), fill=60)
    draw.ellipse((40, 60, 48, 68), fill=30)
    wanted, found = (np.asarray(clean_digit(page, 28).image, float) for page in (clean, dirty))
    assert np.abs(wanted - found).mean() < 3


def test_a_table_may_lie_around_the_paper():
    page = paper(DIGITS[1], (150, 250), 300)
    table = Image.new("L", (750, 960), 70)
    table.paste(page, (75, 80))
    found, wanted = clean_digit(table, 28), clean_digit(page, 28)
    assert found.box == pytest.approx(
        [edge + shift for edge, shift in zip(wanted.box, (75, 80) * 2, strict=True)], abs=4
    )
    assert np.abs(np.asarray(found.image, float) - np.asarray(wanted.image, float)).mean() < 6


def test_transparent_drawings_and_small_ones_are_taken_too():
    drawing = Image.new("RGBA", (280, 280))
    drawing.putalpha(DIGITS[2].resize((280, 280)))
    assert clean_digit(drawing, 28) and clean_digit(Image.eval(DIGITS[2], lambda value: 255 - value), 28)


def other_images():
    garment = np.zeros((28, 28))
    garment[6:] = 210
    garment[8:24, 12:16] = 120
    noise = np.random.default_rng(0).integers(0, 255, (200, 200))
    texture = 180 + 40 * np.sin(np.arange(200) / 3)[None] * np.ones((200, 1))
    made = [garment, noise, texture, np.full((200, 300), 240)]
    return (
        DIGITS
        + [Image.open(path) for path in EXAMPLES.glob("*.webp")]
        + [Image.fromarray(pixels.astype(np.uint8)) for pixels in made]
    )


def test_other_images_stay_as_they_are(model):
    for image in other_images():
        found = vae.reconstruct(model, image)
        assert found.cleaned is None
        assert found.original.tobytes() == images.fit(images.flatten(image), 32, 1, border=2).tobytes()


def test_only_models_of_digits_clean_and_say_it(model):
    photo = paper(DIGITS[0])
    assert "inverted" in vae.reconstruct(model, photo).cleaned
    assert vae.reconstruct(model, photo, clean_photo=False).cleaned is None
    assert vae.reconstruct(vae.load("fashion-vae", device="cpu"), photo).cleaned is None


def test_an_interpolations_end_is_the_same_latent(model):
    photo = paper(DIGITS[0])
    assert latent_of(model, photo).equal(vae.reconstruct(model, photo).latent[0])


def test_an_interpolation_says_what_was_done_to_its_ends(model):
    photo = paper(DIGITS[0])
    cleaned, given = (interpolate(model, [3, photo], 2, clean_photo=clean) for clean in (True, False))
    assert cleaned.cleaned == vae.reconstruct(model, photo).cleaned and given.cleaned is None
    assert cleaned.pixels[0].equal(given.pixels[0]) and not cleaned.pixels[1].equal(given.pixels[1])
    assert interpolate(model, [3, DIGITS[0]], 2).cleaned is None
