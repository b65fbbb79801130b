"""What callbacks hear of a training, and that it does not notice them."""

import pytest
import torch
from own_family import Discs, Plain, short, trainer_state
from tiny_runs import tiny, untimed

import vae
from vae.errors import InputError
from vae.training.callbacks import Event
from vae.training.loop import fit


@pytest.fixture(autouse=True)
def one_thread(thread_count):
    thread_count(1)


class Diary(vae.Callback):
    def __init__(self):
        self.events: list[Event] = []
        self.losses: list[float] = []

    def on_step(self, event):
        assert not event.model.training and not torch.is_grad_enabled()
        self.losses.append(event.terms["loss"].item())

    def on_epoch(self, event):
        self.events.append(event)

    on_preview = on_checkpoint = on_epoch


def test_callbacks_hear_of_everything_once(tmp_path):
    diary, names = Diary(), []
    config = short(epochs=2, flip=True, ema_images=100)
    run = fit(config, tmp_path / "run", device="cpu", model=Plain(), train_set=Discs(),
              callbacks=[diary, lambda event: names.append((event.name, event.step))])  # fmt: skip
    steps = [line for line in run.metrics() if line["kind"] == "step"]
    assert diary.losses == pytest.approx([line["loss"] for line in steps]) and len(steps) == 8
    assert [name for name in names if name[0] == "step"] == [("step", step) for step in range(1, 9)]
    epochs = [event for event in diary.events if event.name == "epoch"]
    assert [event.metrics for event in epochs] == [line for line in run.metrics() if line["kind"] == "epoch"]
    shown = [event for event in diary.events if event.name == "preview"]
    assert [event.step for event in shown] == sorted({preview["step"] for preview in run.previews()})
    assert all(set(event.images) == {"reconstruction", "samples"} for event in shown)
    kept = [event for event in diary.events if event.name == "checkpoint"]
    assert [event.step for event in kept] == [0, 8] and kept[-1].folder == run.model_folder()


def test_a_callback_that_looks_changes_nothing_and_one_that_stops_stops(tmp_path):
    options = {"device": "cpu", "train_set": Discs()}
    torch.manual_seed(0)
    modules = [Plain() for _ in range(2)]
    modules[1].load_state_dict(modules[0].state_dict())
    quiet = fit(short(), tmp_path / "quiet", model=modules[0], **options)

    def curious(event):
        torch.rand(3)
        event.model.encode(torch.zeros(1, 1, 8, 8))

    watched = fit(short(), tmp_path / "watched", model=modules[1], callbacks=curious, **options)
    assert untimed(watched) == untimed(quiet)

    class Enough(vae.Callback):
        def on_step(self, event):
            if event.step == 3:
                event.stop()

    stopped = fit(short(), tmp_path / "stopped", model=Plain(), callbacks=(Enough(),), **options)
    assert stopped.state()["step"] == 3 and stopped.state()["reason"] == "Stopped by a callback."
    assert trainer_state(stopped.folder)["step"] == 3


def test_callbacks_of_a_captured_update_hear_its_terms_once_a_step(tmp_path, monkeypatch):
    from vae.training import cuda_graph

    class Captured(cuda_graph.GraphedUpdate):
        """On the CPU, with warm-up updates that nobody may hear of, and the graph's work done as it is."""

        def _capture(self):
            kept = [(tensor, tensor.clone()) for tensor, _ in self._snapshot()[0]]
            self._replayed()
            for tensor, before in kept:
                tensor.copy_(before)
            for entries in self.update.optimizer.state.values():
                for value in entries.values():
                    value.zero_()
            self.graph = type("Graph", (), {"replay": staticmethod(self._replayed)})

    steps = []
    look = lambda event: steps.append((event.step, event.terms["loss"].item())) if event.name == "step" else None  # noqa: E731
    plain = fit(tiny(epochs=1), tmp_path / "plain", device="cpu", callbacks=look)
    eager, steps = steps, []
    monkeypatch.setattr("vae.training.preparation.why_not", lambda *_: None)
    monkeypatch.setattr("vae.training.loop.captured", Captured)
    fit(tiny(epochs=1), tmp_path / "graphed", device="cpu", callbacks=look)
    assert [step for step, _ in steps] == list(range(1, 11)) == [step for step, _ in eager]
    assert [loss for _, loss in steps] == pytest.approx([loss for _, loss in eager], rel=1e-4)
    assert plain.state()["state"] == "finished"


@pytest.mark.parametrize("wrong", [7, "epoch", vae.Callback, [object()], [lambda: None]])
def test_what_is_no_callback_is_refused(tmp_path, wrong):
    with pytest.raises(InputError, match=r"A callback is a vae\.Callback or a function"):
        fit(short(), tmp_path / "run", device="cpu", callbacks=wrong)
    assert not (tmp_path / "run").exists()


def test_what_a_callback_raises_ends_the_run_and_keeps_what_it_had(tmp_path):
    def failing(event):
        if event.name == "step" and event.step == 2:
            raise RuntimeError("mine")

    with pytest.raises(RuntimeError, match="mine"):
        fit(short(), tmp_path / "run", device="cpu", model=Plain(), train_set=Discs(), callbacks=failing)
    assert vae.Run(tmp_path / "run").state()["state"] == "failed"
    assert trainer_state(tmp_path / "run")["step"] == 0
