"""How unusual an image is for a model: the bundled models on digits and clothes, which their statistics show."""

from dataclasses import replace
from io import BytesIO
from pathlib import Path

import pytest
import torch
from bars import TINY, bars, saved
from PIL import Image
from sklearn.metrics import roc_auc_score

import vae
from vae import images
from vae.checkpoints.find_model import weight_files
from vae.evaluation.unusual import how_unusual, if_measured
from vae.latents import statistics
from vae.models import build

EXAMPLES = Path(__file__).parents[2] / "vae" / "ui" / "static" / "examples"


def thumbnails(name, n):
    """The first n images that the statistics of a bundled model show, 28 pixels a side, of its test set."""
    found = statistics.of(vae.load(name, device="cpu"))
    sheet = Image.open(BytesIO(found.sheet)).convert("L")
    corners = [(i % 60 * 28, i // 60 * 28) for i in range(n)]
    return [sheet.crop((x, y, x + 28, y + 28)) for x, y in corners]


@pytest.mark.parametrize("name", ["mnist-vae", "mnist-vae-large", "mnist-ae"])
def test_digits_are_told_from_clothes(name):
    model = vae.load(name, device="cpu")
    own, others = ([how_unusual(model, image) for image in thumbnails(of, 60)] for of in (name, "fashion-vae"))
    labels = [0] * len(own) + [1] * len(others)
    assert roc_auc_score(labels, [-found.share for found in own + others]) > 0.95
    assert sum(found.word == "usual" for found in own) > 0.85 * len(own)
    assert sum(found.word == "very unusual" for found in others) > 0.7 * len(others)


def test_photographs_are_usual_for_a_model_of_photographs_alone():
    photo = Image.open(EXAMPLES / "photo-parrot.webp")
    assert how_unusual(vae.load("dogs-vae-16", device="cpu"), photo).word == "usual"
    assert how_unusual(vae.load("mnist-vae", device="cpu"), photo).word == "very unusual"


def test_an_image_with_next_to_nothing_in_it_is_told_by_its_kl():
    model = vae.load("mnist-vae", device="cpu")
    blank = how_unusual(model, Image.new("L", (28, 28)))
    assert blank.psnr > blank.usual_psnr and blank.kl != blank.usual_kl and blank.word == "very unusual"


def test_half_of_the_test_images_fare_worse_than_the_median_one(tmp_path):
    data = bars(80)
    folder = vae.save(build(replace(TINY, variational=False)).eval(), tmp_path / "model")
    statistics.write(weight_files(folder), statistics.measure(vae.load(folder), data))
    model = vae.load(folder)
    found = [how_unusual(model, images.to_image(pixels)) for pixels in data.images]
    assert torch.tensor([f.share for f in found]).mean().item() == pytest.approx(0.5, abs=0.1)
    assert all(f.kl == 0 and f.usual_psnr == found[0].usual_psnr for f in found)


def test_a_model_that_was_not_measured_says_how_to(tmp_path):
    model = vae.load(saved(tmp_path / "model"))
    with pytest.raises(vae.InputError, match="python -m vae statistics"):
        how_unusual(model, Image.new("L", (20, 20)))
    assert if_measured(model, Image.new("L", (20, 20))) is None


def test_a_photographed_digit_is_judged_as_the_model_sees_it():
    model, page = vae.load("mnist-vae", device="cpu"), Image.new("L", (320, 400), 235)
    digit = Image.open(EXAMPLES / "digit-3.png").convert("L").resize((280, 280))
    page.paste(Image.new("L", digit.size, 30), (20, 60), digit)
    assert how_unusual(model, page).word == "usual" and how_unusual(model, page, False).word == "very unusual"
