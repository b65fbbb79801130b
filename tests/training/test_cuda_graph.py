"""A training whose update is one CUDA graph, beside the same one operation by operation."""

from contextlib import nullcontext
from types import SimpleNamespace

import pytest
import torch
from tiny_runs import tiny, tiny_kl, untimed

import vae.training.cuda_graph
import vae.training.loop
import vae.training.preparation
from vae.training.cuda_graph import GraphedUpdate, why_not
from vae.training.loop import fit
from vae.training.schedule import plan

ON_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="a CUDA graph needs a CUDA device")
EVERYTHING = {"ema_images": 500, "clip": 1.0, "flip": True}
CONFIGS = [tiny(), tiny(batch_size=100, **EVERYTHING), tiny_kl(batch_size=64, **EVERYTHING)]
NAMES = ["plain", "everything", "group norm"]


def assert_alike(a, b, first: float = 1e-4):
    """That two runs have the same first updates and come as far; in between a difference in rounding grows."""
    ours, theirs = ([line["loss"] for line in run.metrics() if line["kind"] == "step"] for run in (a, b))
    assert len(ours) == len(theirs) and ours[:4] == pytest.approx(theirs[:4], rel=first)
    ours, theirs = ([line["val_loss"] for line in run.metrics() if line["kind"] == "epoch"] for run in (a, b))
    assert ours == pytest.approx(theirs, rel=0.05)


@pytest.fixture
def graphs_on_the_cpu(monkeypatch):
    """What a graph would hold is called instead of captured, so that all around it runs on a CPU."""
    stream = SimpleNamespace(wait_stream=lambda other: None)
    monkeypatch.setattr(vae.training.preparation, "why_not", lambda *_: None)
    for name, stand_in in {
        "Stream": lambda device: stream,
        "current_stream": lambda device: stream,
        "stream": lambda stream: nullcontext(),
        "synchronize": lambda device: None,
        "CUDAGraph": SimpleNamespace,
        "graph": lambda graph, **_: nullcontext(),
    }.items():
        monkeypatch.setattr(torch.cuda, name, stand_in)
    capture = GraphedUpdate._capture

    def capturing(self):
        capture(self)
        self.graph.replay = self._replayed

    monkeypatch.setattr(GraphedUpdate, "_capture", capturing)
    monkeypatch.setattr(vae.training.cuda_graph, "BLOCK", 4)


@pytest.mark.parametrize("config", CONFIGS, ids=NAMES)
def test_what_is_captured_reads_the_same_images_noise_and_rates(tmp_path, config, monkeypatch, graphs_on_the_cpu):
    graphed = fit(config, tmp_path / "graphed", device="cpu")
    monkeypatch.undo()
    eager = fit(config, tmp_path / "eager", device="cpu")
    assert_alike(graphed, eager)


def test_it_can_be_gone_on_with_in_the_middle_of_an_epoch(tmp_path, monkeypatch, graphs_on_the_cpu):
    whole = fit(CONFIGS[1], tmp_path / "whole", device="cpu")
    update = vae.training.loop.Trainer.update

    def stopping(self):
        update(self)
        if self.step + 1 == 17:
            self.writer.request_stop()

    with monkeypatch.context() as patch:
        patch.setattr(vae.training.loop.Trainer, "update", stopping)
        assert fit(CONFIGS[1], tmp_path / "run", device="cpu").state()["step"] == 17
    resumed = fit(CONFIGS[1], tmp_path / "run", resume=True, device="cpu")
    assert untimed(resumed) == untimed(whole)


def test_only_a_small_network_in_one_process_on_a_gpu_has_one():
    model, gpu = SimpleNamespace(parameter_count=1000), torch.device("cuda")
    good = {
        "config": tiny(),
        "objective": None,
        "model": model,
        "plan": plan(tiny(), 1000, 1),
        "scaler": None,
        "resident": True,
        "device": gpu,
    }
    assert why_not(**good) is None
    for changes, word in (
        ({"device": torch.device("cpu")}, "CUDA"),
        ({"config": tiny(perceptual=0.1)}, "another at every step"),
        ({"config": tiny(adversarial=0.1)}, "another at every step"),
        ({"config": tiny(equivariance=0.1)}, "another at every step"),
        ({"objective": lambda *batch: None}, "another at every step"),
        ({"plan": plan(tiny(), 1000, 2)}, "several"),
        ({"plan": plan(tiny(accumulate=2), 1000, 1)}, "several"),
        ({"scaler": object()}, "float16"),
        ({"resident": False}, "images"),
        ({"model": SimpleNamespace(parameter_count=10**9)}, "large"),
    ):
        assert word in why_not(**good | changes)


@ON_GPU
@pytest.mark.parametrize("config", CONFIGS, ids=NAMES)
def test_a_captured_training_is_the_eager_one_up_to_rounding(tmp_path, config, monkeypatch):
    begun = []
    capture = GraphedUpdate._capture
    monkeypatch.setattr(GraphedUpdate, "_capture", lambda self: (begun.append(self), capture(self)))
    graphed = fit(config, tmp_path / "graphed", device="cuda")
    assert len(begun) == 1 and begun[0].graph is not None
    monkeypatch.setattr(vae.training.preparation, "why_not", lambda *_: "not in this test")
    eager = fit(config, tmp_path / "eager", device="cuda")
    assert_alike(graphed, eager, first=5e-3)  # convolutions in TF32, and not always by the same algorithm


@ON_GPU
def test_a_run_begun_on_a_gpu_goes_on_on_a_cpu(tmp_path):
    fit(tiny(epochs=1), tmp_path / "run", device="cuda")
    gone_on = fit(tiny(epochs=2), tmp_path / "run", resume=True, device="cpu")
    first, second = [line["val_loss"] for line in gone_on.metrics() if line["kind"] == "epoch"]
    assert gone_on.state()["state"] == "finished" and second < first


@ON_GPU
def test_where_the_capture_fails_the_training_goes_on_without(tmp_path, monkeypatch):
    whole = fit(tiny(epochs=1), tmp_path / "whole", device="cuda")

    def failing(self):
        kept = self._snapshot()
        self._replayed()
        self._restore(kept)
        raise RuntimeError("no")

    monkeypatch.setattr(GraphedUpdate, "_capture", failing)
    with pytest.warns(UserWarning, match="slower without: no"):
        run = fit(tiny(epochs=1), tmp_path / "run", device="cuda")
    assert_alike(run, whole, first=5e-3)
