"""A diffusion prior's training as a folder: watched, stopped, gone on with, and gone once the prior is stored."""

import shutil
import threading

import pytest
import torch
from bars import saved
from PIL import Image

import vae
from vae.checkpoints.find_model import weight_files
from vae.data.sets import load_data
from vae.latents import priors
from vae.latents.priors import diffusion_training
from vae.training import stopping
from vae.training.prior_run import PriorRun, fit

UPDATES = 7


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    folder = saved(tmp_path_factory.mktemp("prior-run") / "first")
    model = vae.load(folder, device="cpu")
    last = model.encoder[-1]
    last.weight.data[2:], last.bias.data[2:] = 0.0, -8.0  # the log-variances: as of a model that has learned something
    return vae.save(model, tmp_path_factory.mktemp("prior-run") / "model")


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """A network of next to no size, which looks for a stop wherever it can, and is looked at after each update."""
    for name, small in {"NARROW": 32, "BATCH_SIZE": 16, "TESTS": 2, "TIMES": 1, "LOOK_EVERY": -1.0}.items():
        monkeypatch.setattr(diffusion_training, name, small)
    monkeypatch.setattr(stopping, "POLL", -1.0)
    monkeypatch.setattr("vae.latents.priors.fitting.PARTS", 1)


@pytest.fixture
def parts(original, tmp_path):
    """A model of its own, images, and the model's weight files."""
    folder = shutil.copytree(original, tmp_path / "model")
    model = vae.load(folder, device="cpu")
    config = model.config
    return model, load_data("digits", "test", config.sample_size, 1, config.border), weight_files(folder)


def stopping_at(folder, update):
    """Asks the training in the folder to stop, from its own progress."""

    def report(what, done, total):
        if what == "diffusion" and done == update:
            PriorRun(folder).request_stop()

    return report


def drawn(folder):
    return vae.sample(vae.load(folder, device="cpu"), 2, prior="diffusion")


def test_stopped_it_draws_already_and_gone_on_with_it_is_as_if_it_had_not(parts, tmp_path):
    model, data, weights = parts
    whole = shutil.copytree(weights[0].parent, tmp_path / "whole")
    assert fit(model, data, weight_files(whole), updates=UPDATES).found == 0
    assert not PriorRun(whole).exists() and not (whole / diffusion_training.FILE).exists()

    folder = weights[0].parent
    stopper = fit(model, data, weights, updates=UPDATES, on_progress=stopping_at(folder, 5))
    assert stopping.REASONS[stopper.found] == "Stopped on request."
    state = PriorRun(folder).state()
    assert (state["state"], state["step"], state["steps"]) == ("stopped", 5, UPDATES)
    (look,) = PriorRun(folder).previews()
    assert look["kind"] == "prior" and look["step"] == 4 and Image.open(look["path"]).width > 100
    facts = vae.load(folder, device="cpu").fitted_priors["diffusion"].facts
    assert facts["unfinished"] == 5 and torch.isfinite(drawn(folder)).all()
    assert "diffusion" not in model.fitted_priors, "the caller's model is as it was"

    seen = []
    fit(model, data, weights, updates=UPDATES, on_progress=lambda what, done, _: seen.append((what, done)))
    assert ("diffusion", 6) in seen and ("diffusion", 5) not in seen
    assert not PriorRun(folder).exists() and torch.equal(drawn(folder), drawn(whole))
    assert "unfinished" not in vae.load(folder, device="cpu").fitted_priors["diffusion"].facts


def test_stopped_it_takes_no_finished_priors_place_and_keeps_the_others(parts):
    model, data, weights = parts
    priors.add(weights, priors.fit_priors(model, data, ["gaussian", "diffusion"], updates=1))
    before = drawn(weights[0].parent)
    fit(model, data, weights, seed=1, updates=UPDATES, on_progress=stopping_at(weights[0].parent, 3))
    assert torch.equal(drawn(weights[0].parent), before)
    fit(model, data, weights, seed=1, updates=UPDATES)
    assert not torch.equal(drawn(weights[0].parent), before)
    assert vae.load(weights[0].parent, device="cpu").priors == ["normal", "gaussian", "diffusion"]


def test_a_failure_is_in_its_state_and_two_do_not_train_at_once(parts, monkeypatch):
    model, data, weights = parts
    folder = weights[0].parent
    went, go = threading.Event(), threading.Event()

    def wait(what, done, total):
        went.set()
        assert go.wait(60)

    other = threading.Thread(target=fit, args=(model, data, weights, 0, 1), kwargs={"on_progress": wait})
    other.start()
    assert went.wait(60)
    assert PriorRun(folder).active()
    with pytest.raises(vae.InputError, match="already being trained by another process"):
        fit(model, data, weights, updates=1)
    go.set()
    other.join(60)
    monkeypatch.setattr(priors.fitting, "encode_all", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        fit(model, data, weights, updates=1)
    assert PriorRun(folder).state()["reason"] == "The training failed: ZeroDivisionError."
