"""What a visitor can have made of a run that has ended: its map and its priors."""

import shutil

import pytest

pytest.importorskip("gradio")

from bars import saved
from tiny_runs import tiny

import vae
from vae.checkpoints.find_model import weight_files
from vae.latents import priors, statistics
from vae.ui.serving.access import Audience, Visitor
from vae.ui.serving.catalog import Catalog
from vae.ui.tabs.train import changer
from vae.ui.training import after_run
from vae.ui.training.training_job import TrainingJob

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
