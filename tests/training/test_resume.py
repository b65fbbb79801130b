"""A run survives kill -9: real processes are killed at random moments, and what they leave is looked at each time."""

import json
import random
import sys
import time
from pathlib import Path

import pytest
from forked import forking
from tiny_runs import lines, tiny, untimed
from waiting import until

from vae.checkpoints.store import load
from vae.training.runs import Run

KILLS = 20
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows cannot fork")


def train(folder: str, hurried: bool) -> None:
    """In the child: train, or go on."""
    import torch

    import vae.training.recorder
    from vae.training.loop import fit

    torch.set_num_threads(1)
    vae.training.recorder.STATE_SECONDS = 0.0
    if hurried:  # a checkpoint after nearly every update, so that many kills come while one is written
        vae.training.recorder.CHECKPOINT_SECONDS, vae.training.recorder.SAVING = 0.0, 0.5
    fit(tiny(epochs=8, ema_images=2000), folder, resume=Run(folder).exists(), device="cpu")


@pytest.fixture(scope="module")
def server():
    return forking()


def check(run: Run) -> None:
    """Whatever the moment, nothing in the folder is half there."""
    if not run.exists():
        return
    run.config()
    text = (run.folder / "metrics.jsonl").read_bytes() if (run.folder / "metrics.jsonl").exists() else b""
    assert all(json.loads(line) for line in text.split(b"\n")[:-1])
    steps = [line["step"] for line in run.metrics() if line["kind"] == "step"]
    assert steps == list(range(1, len(steps) + 1))
    if run.model_folder() is not None:
        load(run.folder, device="cpu")
    for preview in run.previews():
        assert preview["path"].read_bytes().endswith(b"IEND\xaeB`\x82")


def test_killed_at_twenty_random_moments_and_resumed_equals_uninterrupted(server, tmp_path):
    whole = server.Process(target=train, args=(str(tmp_path / "whole"), False))
    start = time.monotonic()
    whole.start()
    whole.join(300)
    length = time.monotonic() - start
    assert whole.exitcode == 0
    run, chance, interrupted, reached = Run(tmp_path / "run"), random.Random(7), 0, []
    for kill in range(KILLS):
        child = server.Process(target=train, args=(str(run.folder), True))
        child.start()
        if kill % 2:  # the others may be killed before they have begun
            until(lambda child=child: not child.is_alive() or (run.exists() and run.active()))
        child.join(chance.uniform(0.0, (0.2 if kill % 2 else 0.8) * length))
        was_active = child.is_alive() and run.exists() and run.active()
        child.kill()
        child.join()
        check(run)
        if was_active:
            interrupted += 1
            assert run.state()["state"] in ("interrupted", "finished")
        if run.model_folder() is not None:
            reached.append(run.model_folder().name)
    assert interrupted >= KILLS // 5 and reached == sorted(reached) and len(set(reached)) > 1
    last = server.Process(target=train, args=(str(run.folder), True))
    last.start()
    last.join(300)
    assert last.exitcode == 0 and run.state()["state"] == "finished"
    assert untimed(run) == untimed(Run(tmp_path / "whole"))
    assert lines(run.folder) == run.metrics()
    ours, theirs = (Run(tmp_path / name).model_folder() / "model.safetensors" for name in ("run", "whole"))
    assert ours.read_bytes() == theirs.read_bytes()
    assert leftovers(run.folder) == []


def leftovers(folder: Path) -> list[str]:
    return [path.name for path in folder.rglob("*") if path.name.startswith(".") or path.suffix in (".part", ".gone")]
