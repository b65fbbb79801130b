"""The catalog of models where there are many runs."""

import json
import os

import pytest

pytest.importorskip("gradio")

import vae
from vae.checkpoints import describe
from vae.errors import InputError
from vae.models import ConvConfig, build
from vae.training.runs import list_runs, named_run
from vae.ui import picker
from vae.ui.serving import catalog
from vae.ui.serving.catalog import Catalog


@pytest.fixture
def runs(tmp_path):
    """Three finished runs with models of one config, and one without a model."""
    model = build(ConvConfig(features=(1, 4, 4, 2), sample_size=8, border=0))
    for name in ("a", "b", "c", "bare"):
        folder = tmp_path / "runs" / name
        folder.mkdir(parents=True)
        (folder / "config.json").write_text(json.dumps({"data": "digits"}))
        (folder / "state.json").write_text(json.dumps({"state": "finished", "started": 1.0, "updated": 1.0}))
        if name != "bare":
            vae.save(model, folder / "checkpoints" / "step-00000001")
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "state.json").write_text("{}")
    return tmp_path / "runs"


def test_a_network_is_built_once_for_all_runs_that_have_its_config(runs, monkeypatch):
    built = []
    describe._facts_of.cache_clear()
    monkeypatch.setattr(describe, "build", lambda config: built.append(config) or build(config))
    found = [model for model in Catalog(runs).models() if model["kind"] == "run"]
    assert sorted(model["name"] for model in found) == ["a", "b", "c"]
    assert len({model["parameters"] for model in found}) == 1 and {m["trained_on"] for m in found} == {"digits"}
    assert sum(config.get("sample_size") == 8 for config in built) == 1


def test_one_model_is_found_without_looking_at_all_runs(runs, monkeypatch):
    def all_runs(*_):
        raise AssertionError("all runs are listed")

    monkeypatch.setattr(catalog, "list_runs", all_runs)
    known = Catalog(runs)
    assert known.source("b") == runs / "b" / "checkpoints" / "step-00000001"
    assert known.source(None) == known.source(catalog.FIRST) and known.first() == catalog.FIRST
    assert known.counterpart("mnist-vae") == "mnist-ae" and known.run("bare").name == "bare"
    with pytest.raises(InputError, match="no run"):
        known.run("..")


def test_the_page_lists_the_newest_runs_and_those_that_train_or_are_shown(runs, monkeypatch):
    monkeypatch.setattr(catalog, "LISTED", 2)
    for i, name in enumerate(("c", "bare", "b", "a")):
        state = {"state": "finished", "started": float(i), "updated": 1.0}
        (runs / name / "state.json").write_text(json.dumps(state))
        (runs / name / "config.json").write_text(json.dumps({"data": "mnist"}))  # as of a run begun then
        os.utime(runs / name / "state.json", (1.0, 1.0))
    known = Catalog(runs)

    def listed():
        return [model["name"] for model in known.listed() if model["kind"] in ("run", "live")]

    assert listed() == ["a", "b"] and {"a", "b", "c"} <= {model["name"] for model in known.models()}
    assert known.named("c")["name"] == "c" and known.named("bare") is None and known.named("none") is None
    monkeypatch.setattr(picker, "widget", lambda *_, functions, **__: functions)
    model_list = next(f for f in picker.build(known, None) if f.__name__ == "model_list")
    news = model_list({"version": None, "names": ["c", "c", "none", 7]})
    assert [model["name"] for model in news["models"]].count("c") == 1
    assert model_list({"version": news["version"], "names": ["c"]}) == {"version": news["version"]}
    assert "c" not in [model["name"] for model in model_list({"version": news["version"]})["models"]]
    os.utime(runs / "c" / "state.json")  # its training has gone on
    assert listed() == ["a", "b", "c"]


def test_an_address_of_data_is_called_by_its_last_part():
    for address in ("s3://bucket/shades", "https://user:password@host/deep/shades", "/home/someone/shades"):
        assert catalog.data_title(address) == "shades"
    assert catalog.data_title("https://huggingface.co/datasets/owner/name") == "owner/name"


def test_a_runs_name_leads_nowhere_else(runs):
    assert {run.name for run in list_runs(runs)} == {"a", "b", "c", "bare"}
    assert named_run("a", runs).folder == runs / "a"
    for name in ("", ".", "..", "../runs/a", "a/", "/etc", "none", "x" * 5000, "\0", 7, None):
        assert named_run(name, runs) is None
