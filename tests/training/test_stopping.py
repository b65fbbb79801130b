"""A stop is honoured within two seconds, in the middle of whatever the training does."""

import threading
import time

import pytest
import torch
from tiny_runs import tiny

import vae
from vae.models.conv import ConvBlock, ConvVAE
from vae.training import loop
from vae.training.runs import Run


def asked_to_stop_when(condition, run: Run) -> list[float]:
    """Asks the run to stop as soon as the condition holds; the answer is the time at which that was, once it was."""
    asked = []

    def wait() -> None:
        while not condition():
            time.sleep(0.01)
        run.request_stop()
        asked.append(time.monotonic())

    threading.Thread(target=wait, daemon=True).start()
    return asked


@pytest.fixture
def slow(monkeypatch):
    """Makes every block take so many seconds, in the mode given."""

    def make(seconds: float, training: bool) -> None:
        forward = ConvBlock.forward

        def slowly(self, x, enlarge=False):
            if self.training is training:
                time.sleep(seconds)
            return forward(self, x, enlarge)

        monkeypatch.setattr(ConvBlock, "forward", slowly)

    return make


@pytest.mark.parametrize("doing", ["a long update", "the validation", "the first preview", "the data"])
def test_a_stop_comes_within_two_seconds(tmp_path, monkeypatch, slow, doing):
    run, config = Run(tmp_path / "run"), tiny(epochs=50)
    inside = threading.Event()
    if doing == "a long update":
        config = tiny(batch_size=4, accumulate=200, epochs=50)
        slow(0.02, training=True)
        inside.set()
        begun = lambda: run.exists() and run.model_folder() is not None and inside.is_set()  # noqa: E731
    elif doing == "the data":
        load_data = loop.TrainingImages.__init__.__globals__["load_data"]

        def slowly(*arguments, progress, **named):
            inside.set()
            for i in range(1000):
                time.sleep(0.02)
                progress(i, 1000)
            return load_data(*arguments, **named)

        monkeypatch.setitem(loop.TrainingImages.__init__.__globals__, "load_data", slowly)
        begun = inside.is_set
    else:
        slow(0.1, training=False)  # each of the blocks
        method = "validate" if doing == "the validation" else "preview"
        work = getattr(loop.Trainer, method)

        def entered(self):
            inside.set()
            return work(self)

        monkeypatch.setattr(loop.Trainer, method, entered)
        begun = inside.is_set
    asked = asked_to_stop_when(begun, run)
    vae.fit(config, run=run.folder, device="cpu")
    assert asked and time.monotonic() - asked[0] < 2.0
    assert run.state()["state"] == "stopped" and run.state()["reason"] == "Stopped on request."


def test_an_interrupted_update_is_done_anew_as_if_it_had_not_been(tmp_path, monkeypatch):
    whole = vae.fit(tiny(epochs=1), run=tmp_path / "whole", device="cpu")
    run, forward, calls = Run(tmp_path / "run"), ConvVAE.forward, []

    def once_slow(self, x, noise=None):
        result = forward(self, x, noise)
        if self.training and not x.is_meta:
            calls.append(1)
            if len(calls) == 4:  # the batch norms have seen it, the weights have not
                run.request_stop()
                time.sleep(1.0)
        return result

    with monkeypatch.context() as patch:
        patch.setattr(loop, "SLOW", -1.0)
        patch.setattr(ConvVAE, "forward", once_slow)
        vae.fit(tiny(epochs=1), run=run.folder, device="cpu")
    assert run.state()["state"] == "stopped" and run.state()["step"] == 3
    vae.fit(tiny(epochs=1), run=run.folder, resume=True, device="cpu")
    ours, theirs = (vae.load(r.folder).state_dict() for r in (run, whole))
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
