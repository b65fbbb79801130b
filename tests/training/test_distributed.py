"""Two processes on the CPU train what one would."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from forked import forking
from tiny_runs import dots, tiny, tiny_kl, untimed
from waiting import free_port

from vae.checkpoints.find_model import load_config
from vae.training.runs import Run

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows cannot fork")
REPO = Path(__file__).resolve().parents[2]


def process(rank: int, world: int, port: int, config, folder: str, resume: bool) -> None:
    """In the child: what torchrun would set, then the training."""
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(world), "LOCAL_WORLD_SIZE": str(world)}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1"}
    torch.set_num_threads(1)
    import vae.training.objective
    from vae.training.loop import fit

    vae.training.objective.VIEWS = (64,)  # cheaper
    fit(config, folder, resume=resume, device="cpu")


@pytest.fixture(scope="module")
def train():
    context = forking()

    def train(config, folder, world: int = 2, resume: bool = False, target=process) -> Run:
        if world == 1:
            children = [context.Process(target=alone, args=(config, str(folder), resume))]
        else:
            arguments = (world, free_port(), config, str(folder), resume)
            children = [context.Process(target=target, args=(rank, *arguments)) for rank in range(world)]
        for child in children:
            child.start()
        for child in children:
            child.join(300)
        assert [child.exitcode for child in children] == [0] * world
        return Run(folder)

    return train


def alone(config, folder: str, resume: bool) -> None:
    torch.set_num_threads(1)
    import vae.training.objective
    from vae.training.loop import fit

    vae.training.objective.VIEWS = (64,)  # cheaper
    fit(config, folder, resume=resume, device="cpu")


@pytest.mark.parametrize("kind", ["group norm", "batch norm", "sigma", "perceptual", "adversarial"])
def test_two_processes_learn_what_one_does_from_the_doubled_batch(train, tmp_path, kind):
    config = {
        "group norm": tiny_kl(epochs=1, batch_size=128, flip=True, clip=1.0, ema_images=200, accumulate=2),
        "batch norm": tiny(epochs=1, batch_size=700),
        "sigma": tiny_kl(epochs=1, batch_size=239, reconstruction="sigma"),
        "perceptual": tiny_kl(
            epochs=2, batch_size=16, perceptual=0.3, equivariance=0.3, data=str(dots(tmp_path / "dots"))
        ),
        "adversarial": tiny_kl(epochs=1, batch_size=239, adversarial=0.3, adversarial_start=478),
    }[kind]
    if kind == "perceptual":
        pytest.importorskip("efficientnet_lite_pytorch")
    two = train(config, tmp_path / "two", world=2)
    one = train(replace(config, batch_size=2 * config.batch_size), tmp_path / "one", world=1)
    assert two.state()["processes"] == 2 and two.state()["state"] == "finished"
    assert two.state()["steps"] == one.state()["steps"] <= 3
    for ours, theirs in zip(two.metrics(), one.metrics(), strict=True):
        assert ours["step"] == theirs["step"] and ours["kind"] == theirs["kind"]
        # A bias before batch norm has no gradient but rounding, of which Adam makes steps; running means see them.
        seen = {"loss", "reconstruction", "kl", "perceptual", "equivariance", "adversarial", "discriminator"} | (
            {"val_loss", "val_kl"} if kind != "batch norm" else set()
        )
        for term in ours.keys() & seen:
            near = 1e-3 if term in ("adversarial", "discriminator") else 1e-5
            assert ours[term] == pytest.approx(theirs[term], rel=1e-4, abs=near)
    # Adam's first moments are the gradients' average.
    ours, theirs = (moments(run) for run in (two, one))
    near = {"batch norm": 5e-3, "perceptual": 1e-3, "adversarial": 1e-3}.get(kind, 1e-4)  # float32, summed otherwise
    assert (ours - theirs).norm() < near * theirs.norm()
    if kind == "adversarial":
        ours, theirs = (moments(run, "adversary") for run in (two, one))
        assert theirs.norm() > 0 and (ours - theirs).norm() < near * theirs.norm()
    if kind != "batch norm":
        ours, theirs = (load_config(run.folder) for run in (two, one))
        assert ours.scaling_factor == pytest.approx(theirs.scaling_factor, rel=1e-4)


def watched(rank: int, world: int, port: int, config, folder: str, resume: bool) -> None:
    """In the child: the training, with data that are streamed, and a note of what this process saw and ended with."""
    import vae.training.batches
    import vae.training.discriminator
    from vae.data import hub, sets
    from vae.training.loop import Trainer

    seen, forwards, digits = [], [], sets.load_data("digits", "test", 8)

    class Seen(hub.StreamedSet):
        def batch(self, indices):
            pixels = super().batch(indices)
            seen.extend(pixels[:, 0, 0, 0].tolist())
            return pixels

    def load_data(name, split, process=0, processes=1, **fitted):
        def rows():  # every image another one
            yield from ((np.full((1, 8, 8), i, np.uint8), -1) for i in range(process, 240, processes))

        return Seen(name, (1, 8, 8), rows, 240, 40 // processes, None) if split == "train" else digits

    vae.training.batches.load_data = load_data
    vae.training.discriminator.WRECKED = 1e9  # the images become lighter and lighter
    forward, close = torch.nn.parallel.DistributedDataParallel.forward, Trainer.close
    torch.nn.parallel.DistributedDataParallel.forward = lambda self, *a: (forwards.append(1), forward(self, *a))[1]

    def closing(self):
        states = [*self.raw.parameters(), *self.raw.buffers(), *self.adversary.network.parameters()]
        vector = torch.cat([tensor.detach().double().flatten() for tensor in states])
        torch.save({"seen": seen, "forwards": len(forwards), "ends": vector}, f"{folder}-{rank}.pt")
        close(self)

    Trainer.close = closing
    process(rank, world, port, config, folder, resume)


def test_processes_divide_a_stream_and_stay_one_training(train, tmp_path):
    config = {"epochs": 1, "batch_size": 20, "accumulate": 2, "learning_rate": 1e-4, "adversarial": 0.01}
    config = tiny(data="some/pictures", adversarial_start=80, **config)
    run = train(config, tmp_path / "run", world=2, target=watched)
    first, second = (torch.load(tmp_path / f"run-{rank}.pt", weights_only=True) for rank in range(2))
    read = first["seen"][:100], second["seen"][:100]  # of 120: then the stream starts anew
    assert len(set(read[0])) == len(set(read[1])) == 100 and not set(read[0]) & set(read[1])
    # What is not averaged over the processes, of the model or of the discriminator, would drift apart.
    assert torch.equal(first["ends"], second["ends"])
    assert first["forwards"] == second["forwards"] == 2 * run.state()["steps"]


def moments(run: Run, whose: str | None = None) -> torch.Tensor:
    state = torch.load(run.model_folder() / "trainer.pt", weights_only=True)
    state = (state[whose] if whose else state)["optimizer"]["state"]
    return torch.cat([entry["exp_avg"].flatten() for entry in state.values()])


def test_one_process_goes_on_from_two_and_two_from_one(train, tmp_path):
    config = tiny(epochs=1, batch_size=70)
    train(config, tmp_path / "run", world=2)
    longer = tiny(epochs=2, batch_size=70)
    train(longer, tmp_path / "run", world=1, resume=True)
    run = train(tiny(epochs=3, batch_size=70), tmp_path / "run", world=2, resume=True)
    epochs = [line for line in run.metrics() if line["kind"] == "epoch"]
    assert [(line["epoch"], line["step"]) for line in epochs] == [(1, 10), (2, 20), (3, 30)]
    assert epochs[2]["val_loss"] < epochs[0]["val_loss"]
    again = train(tiny(epochs=3, batch_size=70), tmp_path / "again", world=2)
    assert untimed(again)[0].keys() == untimed(run)[0].keys()


def stopped(method: str, rank: int, world: int, port: int, config, folder: str, resume: bool) -> None:
    """In the child: the second process alone is told to end, at its fourth update or its first validation."""
    from vae.training.loop import Trainer

    original = getattr(Trainer, method)

    def told(self):
        if rank == 1 and (self.step == 3 or method == "validate"):
            os.kill(os.getpid(), signal.SIGTERM)
        return original(self)

    setattr(Trainer, method, told)
    process(rank, world, port, config, folder, resume)


@pytest.mark.parametrize("method", ["update", "validate"])
def test_processes_stop_together_and_what_one_dropped_the_other_drops(train, tmp_path, method):
    config = tiny(epochs=2, batch_size=35, accumulate=4)
    run = train(config, tmp_path / "run", world=2, target=partial(stopped, method))
    state = run.state()
    assert (state["state"], state["signal"]) == ("stopped", signal.SIGTERM) and state["step"] < state["steps"]
    if method == "validate":
        assert state["step"] == 5 and not [line for line in run.metrics() if line["kind"] == "epoch"]
        return
    resumed = train(config, tmp_path / "run", world=2, resume=True)
    assert resumed.state()["state"] == "finished"
    whole = train(config, tmp_path / "whole", world=2)
    for ours, theirs in zip(resumed.metrics(), whole.metrics(), strict=True):
        loss = "loss" if ours["kind"] == "step" else "val_loss"
        assert ours["step"] == theirs["step"] and ours[loss] == pytest.approx(theirs[loss], rel=1e-4)


def test_torchrun_starts_the_command_line_and_one_process_speaks(tmp_path):
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", "-m", "vae"]
    command += ["train", "--data", "digits", "--epochs", "1", "--device", "cpu", "--batch-size", "512", "--json"]
    command += ["--run-dir", str(tmp_path / "mine")]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=REPO, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)
    assert figures["state"] == "finished" and figures["epoch"] == 1
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
    refused = subprocess.run(command, cwd=REPO, env=environment, capture_output=True, text=True, timeout=300)
    assert "exists already" in refused.stderr and "terminate called" not in refused.stderr
