"""What a visitor can have made of a run that has ended: its map and its priors."""

import shutil
import time

import pytest

pytest.importorskip("gradio")

from bars import saved
from tiny_runs import tiny

import vae
from vae.checkpoints.find_model import weight_files
from vae.latents import priors, statistics
from vae.latents.priors import diffusion_training
from vae.ui.serving.access import Audience, Visitor
from vae.ui.serving.catalog import Catalog
from vae.ui.tabs.train import changer
from vae.ui.training import after_run
from vae.ui.training import training_job as job
from vae.ui.training.training_job import TrainingJob
from vae.ui.training.watch import Watcher

MINE = {"run": "tiny-001", "token": "m" * 32}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    runs = tmp_path_factory.mktemp("runs")
    run = vae.fit(tiny(epochs=1), run=runs / "tiny-001", device="cpu")
    model = vae.load(saved(runs / "other"), device="cpu")
    last = model.encoder[-1]
    last.weight.data[2:], last.bias.data[2:] = 0.0, -8.0  # the log-variances: as of a model that has learned something
    vae.save(model, run.model_folder())
    shutil.rmtree(runs / "other")
    Audience().visitor(MINE["token"]).claim(vae.Run(runs / "tiny-001"))
    return runs


@pytest.fixture
def change(runs):
    return changer(Catalog(runs), TrainingJob(runs))


def beside(runs):
    return weight_files(vae.Run(runs / "tiny-001").model_folder())


def test_a_run_gets_its_map_once(runs, change, monkeypatch):
    assert statistics.read(beside(runs)) is None
    assert change({**MINE, "do": "map"}) == {"run": "tiny-001"}
    found = statistics.read(beside(runs))
    assert (found.data, found.split, found.images) == ("digits", "test", 360)
    monkeypatch.setattr(after_run, "load", lambda folder: 1 / 0)
    assert change({**MINE, "do": "map"}) == {"run": "tiny-001"}, "nothing is measured again"


def test_a_run_gets_the_priors_that_it_lacks(runs, change, monkeypatch):
    monkeypatch.setattr(after_run, "UPDATES", 5)
    assert change({**MINE, "do": "fit"}) == {"run": "tiny-001"}
    model = vae.load(runs / "tiny-001", device="cpu")
    assert list(model.priors) == ["normal", *priors.QUICK]
    monkeypatch.setattr(priors, "fit_priors", lambda *_, **__: 1 / 0)
    assert change({**MINE, "do": "fit"}) == {"run": "tiny-001"}, "none is fitted again"


def test_what_is_refused(runs, change, monkeypatch):
    run, who = vae.Run(runs / "tiny-001"), Audience().visitor(MINE["token"])
    work = after_run.AfterRun(Audience())
    for act in (work.map, work.fit):
        with pytest.raises(vae.InputError, match="Only whoever started"):
            act(run, Visitor(frozenset({"another"})))
    switched_off = changer(Catalog(runs), TrainingJob(runs, allowed=False))
    assert switched_off({**MINE, "do": "fit"})["error"].startswith("A run can be")
    with work._alone(), pytest.raises(vae.InputError, match="Another model is being measured"):
        work.fit(run, who)
    monkeypatch.setattr(after_run, "MOST", 100)
    assert "up to 100 are measured on this page" in change({**MINE, "do": "fit"})["error"]
    monkeypatch.setattr(vae.Run, "active", lambda self: True)
    assert "is still training" in change({**MINE, "do": "map"})["error"]


@pytest.fixture
def seen(runs):
    """What the page is told of the run's diffusion prior, once it is so."""
    watcher = Watcher(Catalog(runs))

    def wait(wanted):
        patience = time.monotonic() + 120
        while True:
            now = watcher.watch_run({"run": "tiny-001"})["prior"] or {}
            if wanted(now):
                return now
            assert time.monotonic() < patience, now
            time.sleep(0.05)

    return wait


def test_a_diffusion_prior_trains_in_the_background(runs, seen, monkeypatch):
    for name, small in {"NARROW": 32, "BATCH_SIZE": 16, "TESTS": 2}.items():
        monkeypatch.setattr(diffusion_training, name, small)
    monkeypatch.setattr("vae.latents.priors.fitting.PARTS", 1)
    monkeypatch.setattr(job, "PRIOR_UPDATES", 10**6)  # until it is stopped
    training_job = TrainingJob(runs)
    change = changer(Catalog(runs), training_job)
    for kind in (priors.FILE, diffusion_training.FILE):
        (beside(runs)[0].parent / kind).unlink(missing_ok=True)

    assert change({**MINE, "do": "prior"}) == {"run": "tiny-001"}
    now = seen(lambda prior: prior.get("state") == "running" and "seen" in prior)
    assert now["steps"] == 10**6 and not now["drawable"]
    (image,) = Watcher(Catalog(runs)).see_previews({"run": "tiny-001", "wanted": [["prior", now["seen"]]]}) or [None]
    assert image in (None, f"prior-{now['seen']}"), "or newer ones are there"
    assert "already running (the diffusion prior of tiny-001, update" in change({**MINE, "do": "prior"})["error"]
    for act in ({"do": "rename", "name": "another"}, {"do": "delete"}):
        assert "is training; stop it before" in change({**MINE, **act})["error"]
    assert "Only whoever started" in change({"run": "tiny-001", "token": "x" * 32, "do": "stop prior"})["error"]

    assert change({**MINE, "do": "stop prior"}) == {"run": "tiny-001"}
    stopped = seen(lambda prior: prior.get("state") == "stopped")
    assert stopped["drawable"] and stopped["reason"] == "Stopped on request." and stopped["step"] > 0
    training_job._thread.join(120)
    assert change({**MINE, "do": "fit"}) == {"run": "tiny-001"}, "the quick ones lie beside it"
    assert list(vae.load(runs / "tiny-001", device="cpu").priors) == ["normal", *priors.KINDS]

    # the server restarts, and it goes on
    change = changer(Catalog(runs), TrainingJob(runs, max_minutes=30))
    assert change({**MINE, "do": "prior"}) == {"run": "tiny-001"}
    assert seen(lambda prior: prior.get("state") == "running" and prior["step"] > stopped["step"])["drawable"]
    assert change({**MINE, "do": "stop prior"}) == {"run": "tiny-001"}
    seen(lambda prior: prior.get("state") == "stopped")


def test_the_limit_on_a_training_ends_a_prior_too(runs, seen, monkeypatch):
    monkeypatch.setattr(diffusion_training, "NARROW", 32)
    training_job = TrainingJob(runs, max_minutes=1e-4)
    assert changer(Catalog(runs), training_job)({**MINE, "do": "prior"}) == {"run": "tiny-001"}
    training_job._thread.join(120)
    assert seen(lambda prior: prior.get("state") == "stopped")["reason"].startswith("Stopped: the time allowed")
    switched_off = changer(Catalog(runs), TrainingJob(runs, allowed=False))
    assert switched_off({**MINE, "do": "prior"})["error"] == "Training is switched off on this server."


def test_a_prior_that_has_finished_leaves_what_draws_and_nothing_else(runs, seen, monkeypatch):
    monkeypatch.setattr(diffusion_training, "NARROW", 32)
    monkeypatch.setattr(job, "PRIOR_UPDATES", 1)
    training_job = TrainingJob(runs)
    assert changer(Catalog(runs), training_job)({**MINE, "do": "prior"}) == {"run": "tiny-001"}
    assert seen(lambda prior: set(prior) == {"drawable"}) == {"drawable": True}
    training_job._thread.join(120)
    assert not [path for path in beside(runs)[0].parent.iterdir() if path.name.startswith("diffusion")]
