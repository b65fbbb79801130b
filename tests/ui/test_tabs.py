"""What the tabs make of values from the page, and of models of every kind."""

import threading
import time

import pytest
import torch
from PIL import Image, ImageDraw

pytest.importorskip("gradio")

import vae
from vae import images
from vae.errors import InputError
from vae.inference import Draw
from vae.models import ConvConfig, build
from vae.models.autoencoder_kl import KLConfig
from vae.ui.advice import advice
from vae.ui.downloads import animation
from vae.ui.endpoints import read_endpoint
from vae.ui.serving.catalog import Catalog
from vae.ui.serving.loaded_models import KEPT
from vae.ui.serving.models import ModelServer
from vae.ui.tabs import reconstruct
from vae.ui.uploads import read_picture, sprite


@pytest.fixture
def server(tmp_path):
    return ModelServer(Catalog(tmp_path / "runs"))


def saved(folder, **changes) -> str:
    return str(vae.save(build(ConvConfig(**{"features": (1, 4, 6, 4), **changes})).eval(), folder))


def test_the_engine_keeps_the_last_two_models(server, tmp_path):
    names = [saved(tmp_path / f"m{i}") for i in range(3)]
    for name in names:
        server.sample(name, 1, 0, 1.0, "normal")
    assert KEPT == 2 and list(server.backend._models) == names[1:]
    server.sample(names[1], 1, 0, 1.0, "normal")
    assert list(server.backend._models) == [names[2], names[1]]


def test_many_visitors_at_once_load_a_model_once(server, tmp_path, monkeypatch):
    name, loads = saved(tmp_path / "m"), []

    def load(source, **options):
        loads.append(source)
        time.sleep(0.1)
        return vae.load(source, **options)

    monkeypatch.setattr("vae.ui.serving.loaded_models.load", load)
    results = []
    threads = [
        threading.Thread(target=lambda: results.append(server.sample(name, 2, 5, 1.0, "normal").pixels))
        for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(loads) == 1 and len(results) == 6 and all(torch.equal(results[0], r) for r in results)


def test_a_sample_on_its_way_to_interpolate_keeps_its_latent(server, tmp_path):
    name = saved(tmp_path / "m")
    drawn = server.sample(name, 9, 3, 0.8, "normal").pixels
    value = {"kind": "sample", "model": name, "seed": 3, "index": 6, "temperature": 0.8, "prior": "normal"}
    end = read_endpoint(value, name)
    frames = server.interpolate(name, [end, Draw(1)], 4, "slerp").pixels
    assert torch.equal(frames[0], drawn[6])
    uri = images.data_uri(images.to_image(drawn[6]))
    assert isinstance(read_endpoint(value | {"uri": uri}, "another model"), Image.Image)


@pytest.mark.parametrize(
    "value",
    [
        None,
        "text",
        {},
        {"kind": "seed"},
        {"kind": "seed", "seed": -1},
        {"kind": "seed", "seed": "1"},
        {"kind": "file", "file": {"path": "/etc/hostname"}},
        {"kind": "inline", "uri": "data:image/png;base64,****"},
        {"kind": "inline", "uri": "http://example.org/a.png"},
        {"kind": "example", "name": "../../theme"},
        {"path": "/etc/hostname", "meta": {"_type": "gradio.FileData"}},
    ],
)
def test_nonsense_from_the_page_is_refused(value):
    with pytest.raises(InputError):
        read_endpoint(value, "m")


def test_a_picture_sent_on_inside_the_request_is_lossless():
    image = images.to_image(torch.linspace(-1, 1, 1024).view(1, 32, 32))
    assert read_picture({"kind": "inline", "uri": images.data_uri(image)}).tobytes() == image.tobytes()


def test_a_plain_auto_encoder_has_no_sigma_to_show(server, tmp_path):
    picture = Image.new("L", (28, 28), 90)
    plain = reconstruct.view_value(server.reconstruct(saved(tmp_path / "ae", variational=False), picture))
    assert plain["sigma"] is None and "never uncertain" in plain["sigma_says"]
    shown = reconstruct.view_value(server.reconstruct(saved(tmp_path / "vae"), picture, True, 4))
    assert len(shown["sigma"]) == len(shown["mean"]) == 4 and shown["seed"] == 4
    assert shown["mean_limit"] >= max(abs(v) for channel in shown["mean"] for row in channel for v in row)


def test_a_photograph_on_a_model_of_digits_or_clothes_is_told_which_model_to_try(server):
    photo, catalog = read_picture({"kind": "example", "name": "photo-parrot"}), server.catalog

    def advised(model, image=photo):
        return advice(catalog, model, image, server.reconstruct(model, image))

    assert advised("mnist-vae") == {"says": "This model only knows digits.", "model": "dogs-vae-16"}
    assert advised("fashion-vae")["says"] == "This model only knows clothes."
    grey, digit = photo.convert("L"), read_picture({"kind": "example", "name": "digit-4"})
    assert advised("mnist-vae", grey) == advised("mnist-vae")
    assert advised("fashion-vae", grey.convert("RGB")) == advised("fashion-vae")
    assert advised("dogs-vae") is None and advised("dogs-vae", grey) is None
    assert advised("mnist-vae", digit) is None and advised("fashion-vae", digit) is None
    pen = Image.new("RGB", (300, 300), (235, 215, 170))  # in warm light
    ImageDraw.Draw(pen).line([(90, 60), (210, 70), (130, 240)], fill=(40, 50, 130), width=16)
    assert advised("mnist-vae", pen) is None


def test_a_sprite_holds_every_picture_where_the_page_looks_for_it():
    pixels = torch.arange(7, dtype=torch.uint8).mul(30).view(7, 1, 1, 1).expand(7, 3, 4, 4)
    value = sprite(pixels)
    sheet = read_picture({"kind": "inline", "uri": value["sprite"]})
    for i in range(7):
        x, y = i % value["columns"] * value["width"], i // value["columns"] * value["height"]
        assert sheet.getpixel((x, y)) == sheet.getpixel((x + 3, y + 3)) == (30 * i,) * 3


def test_an_animation_goes_there_and_back_enlarged(tmp_path):
    pixels = torch.arange(5, dtype=torch.uint8).mul(50).view(5, 1, 1, 1).expand(5, 1, 16, 16)
    with Image.open(animation(pixels, tmp_path)) as gif:
        assert gif.size == (256, 256) and gif.n_frames == 8
        assert [gif.seek(i) or gif.convert("L").getpixel((0, 0)) for i in range(8)] == [
            0,
            50,
            100,
            150,
            200,
            150,
            100,
            50,
        ]


def test_images_of_other_channels_are_not_drawn(server, tmp_path):
    config = KLConfig(block_out_channels=(8, 16), norm_num_groups=4, sample_size=32, in_channels=5, out_channels=5)
    name = str(vae.save(build(config).eval(), tmp_path / "five"))
    with pytest.raises(InputError, match="images of 5 channels"):
        server.sample(name, 1, 0, 1.0, "normal")


def test_without_any_model_the_page_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr("vae.ui.serving.catalog.bundled", dict)
    with pytest.raises(InputError, match="no model yet"):
        ModelServer(Catalog(tmp_path)).sample(None, 1, 0, 1.0, "normal")


@pytest.mark.parametrize(("setting", "shown"), [("on", True), ("off", False)])
def test_training_switched_off_leaves_only_the_watching(tmp_path, monkeypatch, setting, shown):
    from vae.ui.app import create_app

    monkeypatch.setenv("VAE_RUNS_DIR", str(tmp_path))
    monkeypatch.setenv("VAE_TRAINING", setting)
    monkeypatch.setenv("VAE_MAX_TRAIN_MINUTES", "2.5")
    page = repr([block.get_config() for block in create_app().blocks.values()])
    assert ("Start training" in page) is ("ends after 2.5 minutes" in page) is shown
    assert ("switched off on this server" in page) is not shown
    assert 'data-vs="training"' in page
