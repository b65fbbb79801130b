import json
from dataclasses import replace
from types import SimpleNamespace

import pytest

from vae.errors import InputError
from vae.models import build
from vae.training.config import TrainConfig
from vae.training.presets import PRESETS, preset


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_is_named_after_itself_and_survives_a_config_file(name):
    config = PRESETS[name]
    assert config.preset == name
    again = TrainConfig.from_dict(json.loads(json.dumps(config.to_dict())))
    assert again.to_dict() | {"model": None} == config.to_dict() | {"model": None}
    assert json.dumps(again.to_dict()) == json.dumps(config.to_dict())


@pytest.mark.parametrize(("name", "count"), [("mnist-vae", 53_037), ("mnist-ae", 51_357)])
def test_the_seeds_networks(name, count):
    assert build(PRESETS[name].model).parameter_count == count


def test_changes_are_taken_and_none_changes_nothing():
    changed = preset("mnist-vae", epochs=7, beta=None)
    assert changed.epochs == 7 and changed.beta == PRESETS["mnist-vae"].beta
    with pytest.raises(InputError, match="no preset 'x'; there are mnist-vae"):
        preset("x")


def test_a_gpu_takes_larger_batches_unless_told_how_large(monkeypatch):
    monkeypatch.setattr("vae.device.pick_device", lambda name: SimpleNamespace(type=name))
    small = PRESETS["sd-small"]
    assert preset("sd-small", "cpu") == preset("sd-small") == small
    wide = preset("sd-small", "cuda", beta=0.5)
    assert (wide.batch_size, wide.learning_rate, wide.beta) == (4 * small.batch_size, 2 * small.learning_rate, 0.5)
    assert preset("sd-small", "cuda", batch_size=8) == small and preset("mnist-vae", "cuda") == PRESETS["mnist-vae"]


@pytest.mark.parametrize(
    ("init", "name"),
    [("mnist-vae", "mnist-vae"), ("dogs-vae", "sd-small"), ("someone/sd-vae", "sd-small"), (None, "mnist-vae")],
)
def test_going_on_from_a_model_takes_the_recipe_that_suits_it_and_small_steps(init, name):
    chosen = preset(None, init=init)
    assert (chosen.preset, chosen.init) == (name, init)
    usual = PRESETS[name].learning_rate
    assert chosen.learning_rate == float(f"{usual / 10 if init else usual:.6g}")
    assert preset(name, init=init, learning_rate=3e-4).learning_rate == 3e-4


def test_a_config_made_in_python_is_as_usual_where_it_says_nothing():
    assert TrainConfig() == PRESETS["mnist-vae"] and TrainConfig(preset="sd-small") == PRESETS["sd-small"]
    assert TrainConfig(init="dogs-vae", epochs=3, beta=None) == preset(None, init="dogs-vae", epochs=3)
    mine = TrainConfig(preset="mine", model=PRESETS["sd-small"].model)
    assert mine == replace(PRESETS["mnist-vae"], preset="mine", model=mine.model)
    with pytest.raises(InputError, match="no preset 'mine'; there are mnist-vae"):
        TrainConfig(preset="mine")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("epochs", bad) for bad in (0, -3, 1.5, True, "3", 10**9)),
        *(("batch_size", bad) for bad in (0, 10**6)),
        *(("learning_rate", bad) for bad in (0.0, -1e-3, 1e9, float("nan"), float("inf"), "x")),
        *(("beta", bad) for bad in (-1.0, float("nan"), 10**400, True)),
        *(("flip", bad) for bad in (1, "no")),
        ("data", 3),
        *(("test_size", bad) for bad in (0.0, 1.0)),
        *(("seed", -1), ("seed", 2**63), ("accumulate", 0), ("clip", -1.0), ("ema_images", -1)),
        *(
            ("schedule", "x"),
            ("reconstruction", "x"),
            ("precision", "fp8"),
            ("compile", "yes"),
            ("model", {"_class_name": "x"}),
        ),
    ],
)
def test_settings_out_of_range_are_refused(name, value):
    with pytest.raises(InputError):
        preset("mnist-vae", **{name: value})


def test_an_unknown_field_is_refused():
    with pytest.raises(InputError, match="no field 'batchsize'"):
        TrainConfig.from_dict({"batchsize": 3})
