"""What a drawing pad's script gets while somebody draws, and what it is refused."""

import base64

import numpy as np
import pytest
import torch
from bars import bars, saved
from PIL import Image, ImageDraw

pytest.importorskip("gradio")

import vae
from vae import images
from vae.checkpoints.find_model import weight_files
from vae.latents import statistics
from vae.ui.endpoints import label, read_endpoint, write_link
from vae.ui.serving import sketches
from vae.ui.serving.catalog import Catalog
from vae.ui.serving.latent_maps import LatentMaps
from vae.ui.serving.models import ModelServer
from vae.ui.serving.sketches import POINTS, WAITING, Sketches
from vae.ui.uploads import read_picture


@pytest.fixture
def pad(tmp_path):
    server = ModelServer(Catalog(tmp_path / "runs"))
    return Sketches(server, LatentMaps(server))


@pytest.fixture
def measured(tmp_path):
    return saved(tmp_path / "measured", bars())


def drawing(side: int = 140) -> str:
    """A seven in white on black, as the pad sends one."""
    image = Image.new("RGB", (side, side))
    corners = [(side * x, side * y) for x, y in ((0.28, 0.25), (0.7, 0.25), (0.45, 0.82))]
    ImageDraw.Draw(image).line(corners, fill="white", width=side // 12)
    return images.data_uri(image)


def shown(uri: str) -> Image.Image:
    return read_picture({"kind": "inline", "uri": uri})


def test_a_drawing_is_what_reconstruct_makes_of_it(pad):
    found = pad.sketch_look({"model": "mnist-vae", "uri": drawing()})
    whole = vae.reconstruct(vae.load("mnist-vae"), shown(drawing()))
    assert np.array_equal(shown(found["image"]), whole.image)
    assert np.array_equal(shown(found["original"]), whole.original)
    assert found["psnr"] == pytest.approx(whole.psnr, abs=1e-3) and (found["width"], found["height"]) == (32, 32)


def test_its_place_is_where_its_latent_lies_on_the_first_map(pad, measured):
    uri = drawing(16)
    found = pad.sketch_look({"model": measured, "uri": uri})
    latent = vae.reconstruct(vae.load(measured), shown(uri)).latent
    expected = statistics.read(weight_files(measured)).map("lda").project(latent)[0]
    assert found["place"] == pytest.approx(expected.tolist(), rel=1e-4)


def test_a_seven_drawn_lies_amid_the_sevens(pad):
    facts = pad.sketch_map({"model": "mnist-vae-large"})
    points = torch.from_numpy(np.frombuffer(base64.b64decode(facts["points"]), "<f4").copy()).view(-1, 2)
    assert facts["live"] and len(points) == len(facts["labels"]) <= POINTS
    look = pad.sketch_look({"model": "mnist-vae-large", "uri": drawing()})
    place = torch.tensor(look["place"])
    nearest = (points - place).norm(dim=1).argsort()[:15]
    assert sum(facts["classes"][facts["labels"][i]] == "7" for i in nearest) > 10
    assert look["nearest"] == "7"


def test_a_model_without_a_map_still_redraws(pad, tmp_path):
    name = saved(tmp_path / "fresh")
    assert pad.sketch_map({"model": name}) == {"live": True, "points": None, "labels": None, "classes": None}
    look = pad.sketch_look({"model": name, "uri": drawing()})
    assert look["place"] is look["nearest"] is None


def test_a_drawing_of_another_size_than_the_map_has_no_place(pad):
    assert pad.sketch_look({"model": "dogs-vae-16", "uri": drawing(64)})["place"] is not None
    assert pad.sketch_look({"model": "dogs-vae-16", "uri": drawing(48)})["place"] is None


def test_a_large_model_waits_until_a_stroke_is_done(pad, monkeypatch):
    monkeypatch.setattr(sketches, "LIVE", 50_000)
    assert pad.sketch_map({"model": "mnist-vae"})["live"] is False
    assert "does not redraw while" in pad.sketch_look({"model": "mnist-vae", "uri": drawing()})["error"]


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (None, "chosen by its name"),
        ({"model": 3}, "chosen by its name"),
        ({"model": "no such model"}, "no model"),
        ({"uri": None}, "data URI"),
        ({"uri": "data:image/png;base64," + "A" * 1_000_000}, "data URI"),
        ({"uri": "data:image/png;base64,****"}, "damaged"),
        ({"uri": "data:image/svg+xml,<svg/>"}, "must be a PNG"),
    ],
)
def test_nonsense_is_answered_with_a_sentence(pad, wrong, says):
    asked = {"model": "mnist-vae", "uri": drawing()}
    assert says in pad.sketch_look(wrong and asked | wrong)["error"]


def test_when_many_draw_at_once_some_are_told_to_wait(pad):
    for _ in range(WAITING):
        pad._room.acquire()
    assert "busy" in pad.sketch_look({"model": "mnist-vae", "uri": drawing()})["error"]
    pad._room.release()
    assert "image" in pad.sketch_look({"model": "mnist-vae", "uri": drawing()})


def test_a_drawing_is_an_end_of_an_interpolation_that_no_link_holds():
    value = {"kind": "inline", "uri": drawing(28), "label": "your drawing"}
    assert read_endpoint(value, "mnist-vae").size == (28, 28)
    assert label(value) == "your drawing" and write_link(value, "mnist-vae") is None
