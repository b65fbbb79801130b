"""Going on from a model, as a whole or with one part frozen."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny_runs import dots, tiny, tiny_kl, untimed

import vae.training.loop
from vae.checkpoints.store import export, load, save
from vae.data.sets import load_data
from vae.errors import InputError
from vae.evaluation.evaluate import evaluate
from vae.images import to_float
from vae.latents.priors import fit_priors
from vae.models import TinyConfig, build, config_from_dict
from vae.training.loop import fit
from vae.training.runs import Run


@pytest.fixture(autouse=True)
def one_thread(thread_count):
    thread_count(1)


@pytest.fixture(scope="module")
def begun(tmp_path_factory):
    """A trained convolutional VAE (it has batch norm) with a prior and facts of its latents, saved."""
    folder = tmp_path_factory.mktemp("models")
    model = load(fit(tiny(epochs=4, beta=1e-4, learning_rate=2e-2), folder / "run", device="cpu").folder, device="cpu")
    facts = {"latent_space": "ours", "scaling_factor": 3.25, "shift_factor": 0.5, "trained_on": "digits"}
    model.config = replace(model.config, **facts)
    model.fitted_priors = fit_priors(model, load_data("digits", "train", 8, 1), ["gaussian"])
    return save(model, folder / "begun")


def parts(model) -> dict[str, dict[str, torch.Tensor]]:
    state = model.state_dict()
    return {half: {k: v for k, v in state.items() if k.startswith(half)} for half in ("encoder", "decoder")}


def same(a: dict, b: dict) -> bool:
    return all(torch.equal(tensor, b[name]) for name, tensor in a.items())


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_it_begins_where_the_model_was(begun, tmp_path, precision):
    config = tiny(init=str(begun), model=tiny_kl().model, epochs=1, precision=precision)
    run = fit(config, tmp_path / "run", device="cpu")
    start = run.metrics()[0]
    measured = evaluate(load(begun, device="cpu"), load_data("digits", "test", 8, 1))
    assert start["kind"] == "start" and start["step"] == 0
    assert start["val_psnr"] == pytest.approx(measured["psnr"], abs=1e-3)
    last = [line for line in run.metrics() if line["kind"] == "epoch"][-1]
    assert last["val_psnr"] > start["val_psnr"]
    assert run.config()["model"] == json.loads((begun / "config.json").read_text())


@pytest.mark.parametrize(("frozen", "moved"), [("encoder", "decoder"), ("decoder", "encoder")])
def test_a_frozen_part_keeps_every_bit(begun, tmp_path, frozen, moved):
    config = tiny(init=str(begun), freeze=frozen, epochs=1, ema_images=300)
    trained = parts(load(fit(config, tmp_path / "run", device="cpu").folder, device="cpu"))
    before = parts(load(begun, device="cpu"))
    assert any("running_mean" in name for name in before[frozen])
    assert same(before[frozen], trained[frozen])
    assert not any(torch.equal(t, trained[moved][k]) for k, t in before[moved].items() if "running_mean" in k)
    assert not any(torch.equal(t, trained[moved][k]) for k, t in before[moved].items() if k.endswith("weight"))


@pytest.mark.parametrize("ema_images", [0, 300])
def test_with_its_encoder_frozen_what_is_known_of_the_latents_stays(begun, tmp_path, monkeypatch, ema_images):
    config = tiny(init=str(begun), freeze="encoder", epochs=1, ema_images=ema_images, data=str(dots(tmp_path / "dots")))
    model = load(fit(replace(config, batch_size=6), tmp_path / "run", device="cpu").folder, device="cpu")
    before = load(begun, device="cpu")
    assert replace(model.config, trained_on=None) == replace(before.config, trained_on=None)
    assert model.config.trained_on == "digits, its decoder then on dots"
    assert model.priors == ["normal", "gaussian"]
    again = fit(replace(config, init=str(tmp_path / "run")), tmp_path / "again", device="cpu")
    assert load(again.folder, device="cpu").config.trained_on == model.config.trained_on


@torch.no_grad()
def latents_of(model, name: str, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance of the posteriors of all training images, (channels, numbers)."""
    posterior = model.encode(to_float(load_data(name, "train", size, 1).images))
    return tuple(t.transpose(0, 1).flatten(1).double().numpy() for t in (posterior.mean, posterior.var))


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_with_its_encoder_moving_it_is_measured_again_over_all_training_images(begun, tmp_path, precision):
    for freeze in ("decoder", None):
        config = tiny(init=str(begun), freeze=freeze, epochs=1, precision=precision)
        model = load(fit(config, tmp_path / f"{freeze}", device="cpu").folder, device="cpu")
        mean, variance = latents_of(model, "digits", 8)
        assert model.config.scaling_factor == pytest.approx((mean.var() + variance.mean()) ** -0.5, rel=1e-4)
        assert model.config.shift_factor == pytest.approx(mean.mean(), abs=1e-4)  # it had one
        assert model.config.latent_space is None
        assert model.config.trained_on == "digits" and model.priors == ["normal"]


def test_a_run_goes_on_when_the_model_it_began_with_is_gone(begun, tmp_path, monkeypatch):
    monkeypatch.chdir(shutil.copytree(begun.parent, tmp_path / "copy"))
    config = tiny(init=begun.name, epochs=1)
    fit(config, tmp_path / "run", device="cpu")
    shutil.rmtree(begun.name)
    whole = str(tmp_path / "copy" / begun.name)
    for asked in (replace(config, epochs=2), replace(config, init=whole, epochs=3)):
        assert fit(asked, tmp_path / "run", resume=True, device="cpu").state()["epoch"] == asked.epochs
    with pytest.raises(InputError, match=r"has init .*begun, not other"):
        fit(replace(config, init="other", epochs=4), tmp_path / "run", resume=True, device="cpu")


def test_channel_statistics_are_measured_again_where_the_model_has_them(tmp_path):
    config = config_from_dict(tiny_kl().model)
    model = build(replace(config, latents_mean=(5.0, 5.0), latents_std=(9.0, 9.0), scaling_factor=0.5))
    save(model, tmp_path / "model")
    run = fit(tiny_kl(init=str(tmp_path / "model"), epochs=1), tmp_path / "run", device="cpu")
    found = load(run.folder, device="cpu").config
    assert found.scaling_factor == 0.5
    mean, variance = latents_of(load(run.folder, device="cpu"), "digits", 8)
    assert found.latents_mean == pytest.approx(mean.mean(1), abs=1e-4)
    assert found.latents_std == pytest.approx((mean.var(1) + variance.mean(1)) ** 0.5, rel=1e-4)


def test_stopped_and_resumed_equals_uninterrupted(begun, tmp_path, monkeypatch):
    own = shutil.copytree(begun, tmp_path / "own")
    config = tiny(init=str(own), freeze="encoder", epochs=1, ema_images=300)
    whole = fit(config, tmp_path / "whole", device="cpu")
    update = vae.training.loop.Trainer.update

    def updating(self):
        update(self)
        if self.step + 1 == 4:
            self.writer.request_stop()

    with monkeypatch.context() as patch:
        patch.setattr(vae.training.loop.Trainer, "update", updating)
        fit(config, tmp_path / "run", device="cpu")
    shutil.rmtree(own)  # a run does not need the model again once it has begun
    resumed = fit(config, tmp_path / "run", resume=True, device="cpu")
    assert untimed(resumed) == untimed(whole)
    ours, theirs = (load(run.folder, device="cpu") for run in (whole, resumed))
    assert same(ours.state_dict(), theirs.state_dict())
    assert ours.config == theirs.config and ours.priors == theirs.priors == ["normal", "gaussian"]


def test_what_was_fine_tuned_opens_in_diffusers(tmp_path):
    diffusers = pytest.importorskip("diffusers")
    source = save(build(tiny_kl().model).eval(), tmp_path / "source")
    run = fit(tiny_kl(init=str(source), freeze="encoder", epochs=1), tmp_path / "run", device="cpu")
    model = load(run.folder, device="cpu")
    theirs = diffusers.AutoencoderKL.from_pretrained(export(model, tmp_path / "theirs"))
    x = torch.rand(2, 1, 8, 8) * 2 - 1
    with torch.no_grad():
        assert torch.allclose(theirs.encode(x).latent_dist.mean, model.encode(x).mean, atol=1e-5)
        z = model.encode(x).mean
        assert torch.allclose(theirs.decode(z).sample, model.decode(z), atol=1e-5)


def test_a_taesd_pair_is_fine_tuned_and_written_as_one(tmp_path):
    config = TinyConfig(
        sample_size=8,
        in_channels=1,
        out_channels=1,
        encoder_block_out_channels=(8, 8),
        decoder_block_out_channels=(8, 8),
        num_encoder_blocks=(1, 1),
        num_decoder_blocks=(1, 1),
        latent_space="flux2",
        mid_block_pool=True,
    )
    source = export(build(config), tmp_path / "source", "taesd")
    run = fit(tiny(init=str(source), freeze="encoder", epochs=1), tmp_path / "run", device="cpu")
    model = load(run.folder, device="cpu")
    folder = export(model, tmp_path / "pair", "taesd")
    assert sorted(path.name for path in folder.iterdir()) == ["taef2_decoder.safetensors", "taef2_encoder.safetensors"]
    again = load(folder, device="cpu")
    assert same(model.state_dict(), again.state_dict()) and again.config == model.config
    assert same(parts(load(source, device="cpu"))["encoder"], parts(again)["encoder"])
    with pytest.raises(InputError, match="tiny auto-encoders of TAESD's family"):
        export(build(tiny().model), tmp_path / "none", "taesd")
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"init": "nothing-such"}, "There is no model 'nothing-such'"),
        ({"init": "dogs-vae"}, "dogs-vae takes colour images .* those of digits are grey images"),
        ({"freeze": "decoder", "adversarial": 0.5}, "cannot be used with a frozen decoder"),
        ({"equivariance": 0.5, "compile": "on"}, "many sizes, which cannot be compiled"),
        ({"freeze": "middle"}, "freeze must be one of encoder, decoder"),
    ],
)
def test_what_cannot_be_is_one_sentence(tmp_path, changes, sentence):
    with pytest.raises(InputError, match=sentence):
        fit(tiny(**changes), tmp_path / "run", device="cpu")
    assert not Run(tmp_path / "run").begun()


def test_colour_images_are_not_taken_for_grey_ones(begun, tmp_path):
    data = dots(tmp_path / "colours", colour=True)
    with pytest.raises(InputError, match=r"takes grey images, and those of colours are colour images"):
        fit(tiny(init=str(begun), data=str(data), batch_size=4), tmp_path / "run", device="cpu")
