"""What a run has at its end beside the weights, without being asked for."""

from dataclasses import replace

import pytest
import torch
from tiny_runs import tiny

import vae
from vae.checkpoints.find_model import weight_files
from vae.latents import priors, statistics
from vae.models import ConvConfig, config_to_dict
from vae.training import finishing


@pytest.fixture
def config():
    plain = config_to_dict(ConvConfig(features=(1, 4, 4, 2), sample_size=8, variational=False))
    return tiny(epochs=1, model=plain, map_and_priors=True)


def test_a_small_models_run_ends_with_its_map_and_priors(tmp_path, config):
    run = vae.fit(config, tmp_path / "run", device="cpu")
    model = vae.load(run.folder)
    assert model.priors == ["normal", *priors.QUICK] and model.refused_priors is None
    assert model.fitted_priors["mixture"].facts["images"] == run.state()["train_images"]
    assert vae.sample(model, 2, label=7).shape == (2, 1, 8, 8)
    found = statistics.read(weight_files(run.folder))
    assert found.split == "val" and found.images == run.state()["val_images"] and "pca" in found.projections
    # gone on with, it has those of its new weights
    again = vae.fit(replace(config, epochs=2), run.folder, resume=True, device="cpu")
    assert again.state()["state"] == "finished" and vae.load(run.folder).priors == model.priors


def test_it_ends_at_once_when_asked_to_and_keeps_what_it_has(tmp_path, config, monkeypatch):
    fit = priors.fit_priors

    def asked_to_stop_meanwhile(*arguments, **options):
        run.request_stop()
        return fit(*arguments, **options)

    run = vae.Run(tmp_path / "run")
    monkeypatch.setattr("vae.latents.priors.fit_priors", asked_to_stop_meanwhile)
    assert vae.fit(config, run.folder, device="cpu").state()["state"] == "finished"
    assert vae.load(run.folder).priors == ["normal"] and statistics.read(weight_files(run.folder)) is not None


def test_what_cannot_be_fitted_is_a_remark(tmp_path, config, monkeypatch):
    monkeypatch.setattr(
        "vae.latents.priors.fitting.fit_standardizer", lambda *_: (_ for _ in ()).throw(OSError("full"))
    )
    state = vae.fit(config, tmp_path / "run", device="cpu").state()
    assert state["state"] == "finished" and "could not be made at the end: full" in state["remarks"][-1]


def test_large_models_and_sets_are_left_alone(tmp_path, config, monkeypatch):
    monkeypatch.setattr(finishing, "PARAMETERS", 10)
    run = vae.fit(config, tmp_path / "run", device="cpu")
    assert vae.load(run.folder).priors == ["normal"] and statistics.read(weight_files(run.folder)) is None


def test_of_many_images_some_are_looked_at(monkeypatch):
    monkeypatch.setattr(finishing, "IMAGES", 10)
    data = vae.load_data("digits", "train", 8, 1)
    part = finishing._spread(data)
    chosen = torch.arange(10) * len(data) // 10
    assert torch.equal(part.images, data.images[chosen]) and torch.equal(part.labels, data.labels[chosen])
