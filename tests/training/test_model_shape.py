"""Any size and shape: what the settings make of a preset's network, and that it trains."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_runs import dots, tiny, tiny_kl, untimed

import vae
from vae.checkpoints.store import load, save
from vae.errors import InputError
from vae.models import TinyConfig, build, config_from_dict, config_to_dict
from vae.training.config import TrainConfig
from vae.training.loop import fit
from vae.training.presets import preset


@pytest.fixture(autouse=True)
def one_thread(thread_count):
    thread_count(1)


@pytest.mark.parametrize(
    ("name", "settings", "image", "latent"),
    [
        ("mnist-vae", {"size": 64, "in_channels": 3}, (3, 64), (4, 8, 8)),
        ("mnist-vae", {"widths": "8,16", "latent_channels": 7}, (1, 32), (7, 8, 8)),
        ("mnist-vae", {"downscale": 16}, (1, 32), (4, 2, 2)),
        ("sd-small", {"size": 96, "in_channels": 1, "latent_channels": 8}, (1, 96), (8, 12, 12)),
        ("sd-small", {"widths": (16, 24, 40), "layers": 2}, (3, 64), (4, 16, 16)),
        ("sd-small", {"downscale": 1}, (3, 64), (4, 64, 64)),
        ("sd-notebook", {"downscale": 16, "size": 64}, (3, 64), (4, 4, 4)),
        ("sd", {"size": 256}, (3, 256), (4, 32, 32)),
    ],
)
def test_the_network_is_as_it_was_asked_for(name, settings, image, latent):
    config = preset(name, **settings)
    with torch.device("meta"):
        model = build(config.model)
    assert (model.in_channels, model.config.sample_size) == image and model.latent_shape() == latent
    assert getattr(model.config, "out_channels", image[0]) == image[0]
    assert replace(config) == config == TrainConfig.from_dict(config.to_dict())


def test_widths_and_layers_are_the_networks():
    config = config_from_dict(preset("sd-small", widths="16,24,40", layers=2).model)
    assert config.block_out_channels == (16, 24, 40) and config.norm_num_groups == 8
    assert config.encoder_depths == (2, 2, 2) and config.decoder_depths == (3, 3, 3)
    assert config_from_dict(preset("sd-small", widths="9,15").model).norm_num_groups == 1
    assert config_from_dict(preset("mnist-vae", widths="8,16").model).features == (1, 8, 16, 4)


def test_mnists_border_is_for_its_own_size_alone():
    borders = [preset("mnist-vae", size=size).model["border"] for size in (None, 32, 64)]
    assert borders == [2, 2, 0]
    assert preset("mnist-vae", size=64, widths="8,16").model["border"] == 0


@pytest.mark.parametrize(
    ("name", "settings", "sentence"),
    [
        ("sd", {"size": 100}, "size 100 is not a multiple of 8, .*; give 96 or 104"),
        ("mnist-vae", {"size": 4}, "size 4 is not a multiple of 8, .*; give 8"),
        ("sd-notebook", {"downscale": 16}, "size 56 is not a multiple of 16"),
        ("mnist-vae", {"layers": 2}, "layers is for the sd presets"),
        ("sd", {"widths": "32,x"}, "widths must be .* such as 32,64,128, not '32,x'"),
        ("sd", {"widths": "0"}, "widths must be"),
        ("sd", {"widths": "32,64", "downscale": 8}, "widths 32,64 reduce an image by 2, not by 8"),
        ("sd", {"downscale": 6}, "downscale must be a power of 2"),
        ("mnist-vae", {"downscale": 1}, "downscale must be 2 or more"),
        ("sd", {"in_channels": 5}, "in_channels must be a whole number from 1 to 4"),
        ("sd", {"crop": "left"}, "crop must be one of center, random"),
    ],
)
def test_what_no_network_can_be_is_refused_in_one_sentence(name, settings, sentence):
    with pytest.raises(InputError, match=sentence) as caught:
        preset(name, **settings)
    assert "\n" not in str(caught.value)


def test_a_tiny_auto_encoder_changes_its_channels_and_nothing_else():
    model = config_to_dict(TinyConfig(sample_size=64))
    assert config_from_dict(tiny(model=model, in_channels=1, latent_channels=8).model).out_channels == 1
    with pytest.raises(InputError, match="no widths to set"):
        tiny(model=model, widths="8,8")


def test_a_model_goes_on_at_another_size_and_with_its_own_network(tmp_path):
    source = save(build(tiny_kl().model).eval(), tmp_path / "source")
    run = fit(tiny(init=str(source), size=4, epochs=1), tmp_path / "run", device="cpu")
    assert load(run.folder, device="cpu").config.sample_size == 4
    for wrong, sentence in (({"widths": "8,8"}, "leave out widths"), ({"size": 9}, "size 9 is not a multiple of 2")):
        with pytest.raises(InputError, match=sentence):
            fit(tiny(init=str(source), **wrong), tmp_path / "other", device="cpu")
        assert not (tmp_path / "other").exists()


def transparent(folder, colour: bool):
    folder.mkdir()
    chance = np.random.default_rng(0)
    for i in range(30):
        pixels = chance.integers(0, 256, (9, 12, 4 if colour else 2), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{i}.png")
    return folder


@pytest.mark.parametrize("channels", [2, 4])
@pytest.mark.parametrize("config", [tiny, tiny_kl])
def test_transparency_is_carried_through(tmp_path, channels, config):
    data = transparent(tmp_path / "data", channels == 4)
    settings = config(data=str(data), in_channels=channels, epochs=1, batch_size=8)
    run = fit(settings, tmp_path / "run", device="cpu")
    assert Image.open(run.previews()[0]["path"]).mode == ("LA" if channels == 2 else "RGBA")
    model = load(run.folder, device="cpu")
    found = vae.reconstruct(model, data / "0.png")
    assert found.image.mode == found.original.mode == ("LA" if channels == 2 else "RGBA")
    assert vae.sample(model, 2, seed=0).shape == (2, channels, 8, 8)


def test_channels_that_the_data_do_not_have_are_refused(tmp_path):
    folder = dots(tmp_path / "dots", colour=True)
    with pytest.raises(InputError, match="dots are not transparent anywhere, so they have 3 channels, not 4"):
        fit(tiny(data=str(folder), in_channels=4), tmp_path / "run", device="cpu")


def test_random_crops_go_on_after_a_stop_as_if_there_had_been_none(tmp_path):
    config = tiny(data=str(transparent(tmp_path / "data", True)), crop="random", epochs=2, batch_size=8)
    whole = fit(config, tmp_path / "whole", device="cpu")
    seen = []

    def stop_once(progress):
        if progress["step"] == 2 and not seen:
            seen.append(progress)
            vae.Run(tmp_path / "run").request_stop()

    fit(config, tmp_path / "run", device="cpu", on_progress=stop_once)
    resumed = fit(config, tmp_path / "run", resume=True, device="cpu")
    assert untimed(resumed) == untimed(whole)
