"""The adversarial term: when it is heard, what it weighs, that it resumes exactly and does not wreck a training."""

from contextlib import nullcontext

import pytest
import torch
from tiny_runs import tiny_kl, untimed

import vae.training.loop
from vae.checkpoints.store import load
from vae.errors import InputError
from vae.models import build
from vae.training.discriminator import Adversary, patch_discriminator
from vae.training.loop import fit


@pytest.fixture(autouse=True)
def one_thread(thread_count):
    thread_count(1)


def adversary(weight: float = 0.5, start: int = 10) -> tuple[Adversary, torch.nn.Module]:
    torch.manual_seed(0)
    model = build(tiny_kl().model)
    return Adversary(model, weight, start, 0, nullcontext), model


@pytest.mark.parametrize(("size", "patches"), [(8, 2), (32, 14), (64, 14), (256, 30)])
def test_a_logit_for_each_patch(size, patches):
    network = patch_discriminator(3, size)
    x = torch.rand(2, 3, size, size)
    assert network(x).shape == (2, 1, patches, patches)
    assert torch.allclose(network(x)[:1], network(x[:1]), atol=1e-5)  # of no other image


def test_it_is_heard_late_and_then_more_and_more():
    judge, _ = adversary(start=10)
    assert [judge.heard(step) for step in (0, 8, 9)] == [0, 0, 0]
    assert [judge.heard(step) for step in (10, 14, 19, 999)] == pytest.approx([0.1, 0.5, 1.0, 1.0])
    assert adversary(start=0)[0].heard(0) == 1.0


def test_it_learns_alone_before_it_is_heard():
    judge, _ = adversary(start=10)
    x, x_hat = torch.rand(4, 1, 8, 8) * 2 - 1, torch.zeros(4, 1, 8, 8)
    before = [p.clone() for p in judge.network.parameters()]
    assert judge.learn(x, x_hat, 4).item() == 0.0
    assert all(torch.equal(a, b) for a, b in zip(before, judge.network.parameters(), strict=True))
    losses = [judge.learn(x, x_hat, step).item() for step in [5] * 30]
    assert losses[0] == pytest.approx(1.0, abs=0.2) and losses[-1] < 0.2


def test_its_gradient_at_the_last_layer_is_its_weight_times_the_others(monkeypatch):
    judge, model = adversary(weight=0.5, start=0)
    x = torch.rand(4, 1, 8, 8) * 2 - 1
    for scale in (1.0, 1000.0):
        x_hat, _ = model(x)
        loss = scale * (x_hat - x).abs().mean()
        terms = judge.judge({"loss": loss}, x, x_hat, 0)
        others, whole = (torch.autograd.grad(t, judge.last_layer, retain_graph=True)[0] for t in (loss, terms["loss"]))
        assert (whole - others).norm().item() == pytest.approx(0.5 * others.norm().item(), rel=0.01)
    assert judge.last_layer is model.decoder.conv_out.weight
    assert all(p.grad is None for p in judge.network.parameters())


def test_accumulating_equals_the_big_batch():
    x, x_hat = torch.rand(4, 1, 8, 8) * 2 - 1, torch.rand(4, 1, 8, 8) * 2 - 1
    one, two = adversary()[0], adversary()[0]
    one.learn(x, x_hat, 20)
    two.learn(x[:2], x_hat[:2], 20, 0, 2)
    two.learn(x[2:], x_hat[2:], 20, 1, 2)
    for a, b in zip(one.network.parameters(), two.network.parameters(), strict=True):
        assert torch.allclose(a, b, atol=1e-5)


def config(**changes):
    return tiny_kl(**{"adversarial": 0.3, "adversarial_start": 280, "epochs": 1} | changes)


def test_its_terms_are_logged_from_when_they_are_there(tmp_path):
    run = fit(config(), tmp_path / "run", device="cpu")
    steps = [line for line in run.metrics() if line["kind"] == "step"]
    assert [line["adversarial"] != 0.0 for line in steps] == [False] * 2 + [True] * 8
    assert [line["discriminator"] != 0.0 for line in steps] == [False] + [True] * 9
    epoch = run.metrics()[-1]
    assert epoch["val_loss"] == pytest.approx(epoch["val_reconstruction"] + epoch["val_kl"], rel=1e-5)


@pytest.mark.parametrize("changes", [{}, {"precision": "bf16", "accumulate": 2, "batch_size": 70}])
def test_stopped_and_resumed_equals_uninterrupted(tmp_path, monkeypatch, changes):
    whole = fit(config(**changes), tmp_path / "whole", device="cpu")
    update = vae.training.loop.Trainer.update

    def updating(self):
        update(self)
        if self.step + 1 == 4:
            self.writer.request_stop()

    with monkeypatch.context() as patch:
        patch.setattr(vae.training.loop.Trainer, "update", updating)
        fit(config(**changes), tmp_path / "run", device="cpu")
    resumed = fit(config(**changes), tmp_path / "run", resume=True, device="cpu")
    assert untimed(resumed) == untimed(whole)
    ours, theirs = (load(run.folder, device="cpu").state_dict() for run in (whole, resumed))
    assert all(torch.equal(tensor, theirs[name]) for name, tensor in ours.items())
    states = [torch.load(run.model_folder() / "trainer.pt")["adversary"] for run in (whole, resumed)]
    assert all(torch.equal(t, states[1]["network"][name]) for name, t in states[0]["network"].items())


def test_a_training_that_it_wrecks_stops_with_the_last_good_weights(tmp_path, monkeypatch):
    monkeypatch.setattr(vae.training.recorder, "CHECKPOINT_SECONDS", 0.0)
    monkeypatch.setattr(vae.training.recorder, "SAVING", 1e9)  # one after every update
    settings = {
        "adversarial": 20.0,
        "adversarial_start": 1400,
        "epochs": 20,
        "learning_rate": 0.01,
        "schedule": "constant",
    }
    with pytest.raises(InputError, match=r"times what it was before the discriminator was heard.*it was 20"):
        fit(config(**settings), tmp_path / "run", device="cpu")
    run = vae.training.loop.Run(tmp_path / "run")
    assert run.state()["state"] == "failed" and "The last good checkpoint is kept" in run.state()["reason"]
    lines = [line for line in run.metrics() if line["kind"] == "step"]
    last = int(run.model_folder().name.split("-")[1])
    assert 10 <= last <= lines[-1]["step"]
    before = next(line for line in lines if line["step"] == 10)
    kept = next(line for line in lines if line["step"] == last)
    assert kept["reconstruction"] < 5 * before["reconstruction"]
    load(run.folder, device="cpu")


def test_half_precision_is_refused():
    with pytest.raises(InputError, match="bf16 or fp32, not fp16"):
        config(precision="fp16")
