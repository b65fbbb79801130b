"""A stop is honoured within two seconds, whatever the training is at, and nothing that it drops is missing later."""

import threading
import time
from dataclasses import dataclass, field

import pytest
import torch
from tiny_runs import dots, tiny, tiny_kl, untimed

import vae.data.encoded
import vae.training.batches
from vae.data.sets import load_data
from vae.training.loop import Trainer, fit
from vae.training.runs import Run
from vae.training.stopping import Stopper

BEGUN = 2  # small parts that may have begun when the stop is seen; where each takes a tenth of it, two seconds hold ten
WITHIN = 30.0  # seconds, however slow the machine is
CONFIG = tiny(epochs=2, batch_size=280, ema_images=500)


@pytest.fixture(autouse=True)
def one_thread(thread_count):
    thread_count(1)


@dataclass
class Slowness:
    """What is called at every small part of something long: takes its time, and asks for a stop at the second."""

    run: Run
    seconds: float = 0.2
    parts: int = 0
    asked: float = field(default=0.0)

    def __call__(self) -> None:
        self.parts += 1
        if self.parts == 2:
            self.run.request_stop()
            self.asked = time.monotonic()
        time.sleep(self.seconds)


class Late(torch.autograd.Function):
    """The identity, whose gradient is slow."""

    @staticmethod
    def forward(ctx, x, slow):
        ctx.slow = slow
        return x.view_as(x)

    @staticmethod
    def backward(ctx, gradient):
        ctx.slow()
        return gradient, None


def slow_convolutions(slow: Slowness, within: list, patch, backward: bool = False) -> None:
    """While `within` holds something, every convolution takes long."""
    for kind in (torch.nn.Conv2d, torch.nn.ConvTranspose2d):
        forward = kind.forward

        def slowed(self, x, *arguments, forward=forward):
            if within and backward:
                return Late.apply(forward(self, x, *arguments), slow)
            if within:
                slow()
            return forward(self, x, *arguments)

        patch.setattr(kind, "forward", slowed)


def in_phase(method: str, at, patch) -> list:
    """A list that holds something while that method of a Trainer runs, if at(trainer)."""
    within, original = [], getattr(Trainer, method)

    def running(self, *arguments, **named):
        if not at(self):
            return original(self, *arguments, **named)
        within.append(self)
        try:
            return original(self, *arguments, **named)
        finally:
            within.clear()

    patch.setattr(Trainer, method, running)
    return within


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    torch.set_num_threads(1)
    return {a: fit(batches(a), tmp_path_factory.mktemp("whole") / "run", device="cpu") for a in (1, 4)}


def batches(accumulate: int):
    return tiny(epochs=2, batch_size=280 // accumulate, accumulate=accumulate, ema_images=500)


def stopped_in_time(run: Run, slow: Slowness, config, **named) -> dict:
    fit(config, run.folder, device="cpu", **named)
    assert slow.parts >= 2, "it was never slow"
    assert slow.parts <= 2 + BEGUN and time.monotonic() - slow.asked < WITHIN
    state = run.state()
    assert state["state"] == "stopped" and state["reason"] == "Stopped on request."
    return state


@pytest.mark.parametrize(
    ("method", "step", "accumulate", "backward"),
    [
        ("update", 0, 1, False),
        ("update", 3, 1, True),
        ("update", 3, 4, True),
        ("validate", 5, 1, False),
        ("preview", 0, 1, False),
        ("preview", 5, 1, False),
        ("checkpoint", 0, 1, False),
        ("checkpoint", 10, 1, False),
    ],
    ids=str,
)
def test_in_the_middle_of_the_computing(whole, tmp_path, monkeypatch, method, step, accumulate, backward):
    """…and what was dropped is made again: the run gone on with is the one that was never stopped."""
    run, config = Run(tmp_path / "run"), batches(accumulate)
    with monkeypatch.context() as patch:
        slow = Slowness(run)
        slow_convolutions(slow, in_phase(method, lambda trainer: trainer.step == step, patch), patch, backward)
        # Every update is looked into, as those that take long are.
        patch.setattr("vae.training.stopping.SLOW", -1.0)
        state = stopped_in_time(run, slow, config)
    assert state["step"] == step
    resumed = fit(config, run.folder, resume=True, device="cpu")
    assert untimed(resumed) == untimed(whole[accumulate])
    ours, theirs = (each.model_folder() for each in (resumed, whole[accumulate]))
    for file in ("model.safetensors", "config.json"):
        assert (ours / file).read_bytes() == (theirs / file).read_bytes()
    shown = [[(p["step"], p["kind"]) for p in each.previews()] for each in (resumed, whole[accumulate])]
    assert set(shown[1]) <= set(shown[0])


@pytest.mark.parametrize("held", [True, False], ids=["before", "during"])
def test_while_images_are_read(tmp_path, monkeypatch, held):
    run, pictures = Run(tmp_path / "run"), dots(tmp_path / "dots")
    slow, reading, open_image = Slowness(run), [held], vae.data.encoded.open_image

    def opened(*arguments, **named):
        if any(reading):
            slow()
        return open_image(*arguments, **named)

    if not held:
        reading = in_phase("update", lambda trainer: trainer.step >= 1, monkeypatch)
        on_demand = lambda *a, **k: load_data(*a, limit_bytes=0, **k)  # noqa: E731
        monkeypatch.setattr(vae.training.batches, "load_data", on_demand)
    monkeypatch.setattr(vae.data.encoded, "open_image", opened)
    monkeypatch.setattr(vae.data.encoded, "LOOKED_AT", 1)  # the few that are looked at first are not counted here
    stopped_in_time(run, slow, tiny(data=str(pictures), epochs=50, batch_size=8))
    time.sleep(2 * slow.seconds)  # for what was being read
    parts = slow.parts
    time.sleep(2 * slow.seconds)
    assert slow.parts == parts, "it is still reading"


def test_while_a_network_does_not_answer(tmp_path, monkeypatch):
    run, never = Run(tmp_path / "run"), threading.Event()
    slow = Slowness(run, seconds=0.0)

    def silent(*arguments, **named):
        slow(), slow()
        never.wait(60)

    monkeypatch.setattr(vae.training.batches, "load_data", silent)
    stopped_in_time(run, slow, CONFIG)
    never.set()
    monkeypatch.undo()
    resumed = fit(CONFIG, run.folder, resume=True, device="cpu")
    assert resumed.state()["state"] == "finished"


def test_between_two_blocks_that_are_compiled(tmp_path, monkeypatch):
    run = Run(tmp_path / "run")
    slow = Slowness(run)

    def compile_by(module, **options):
        original = module._call_impl

        def compiled(*arguments, **named):
            slow()
            return original(*arguments, **named)

        module._compiled_call_impl = compiled

    monkeypatch.setattr(torch.nn.Module, "compile", compile_by)
    state = stopped_in_time(run, slow, tiny_kl(epochs=1, compile="on"))
    assert state["step"] == 0


def test_a_fast_update_is_not_looked_into(tmp_path, monkeypatch):
    looked_into, update, looking = [], Trainer.update, Stopper.looking
    monkeypatch.setattr(Stopper, "looking", lambda self: (looked_into.append(True), looking(self))[1])

    def updating(self):
        looked_into.clear()
        update(self)
        assert bool(looked_into) is (self.step == 0)  # nobody knows yet how long it takes

    monkeypatch.setattr(Trainer, "update", updating)
    monkeypatch.setattr("vae.training.stopping.SLOW", 60.0)
    assert fit(tiny(epochs=1), tmp_path / "run", device="cpu").state()["state"] == "finished"
