"""What the Train tab's script is told: only what is new, whatever it claims to know."""

import json

import pytest

pytest.importorskip("gradio")

from vae.runs import RunWriter
from vae.ui.catalog import Catalog
from vae.ui.watch import FIRST_VIEW, Watcher


def line(step: int, kind: str = "step", **more) -> dict:
    return {
        "kind": kind,
        "step": step,
        "epoch": 1 + step // 10,
        "loss": 1 / step,
        "reconstruction": 0.5,
        "kl": 0.1,
    } | more


@pytest.fixture
def run(tmp_path):
    writer = RunWriter(tmp_path / "first-001")
    writer.folder.mkdir()
    (writer.folder / "previews").mkdir()
    writer.start({"data": "digits", "epochs": 3})
    writer.update(state="finished", epoch_steps=10)
    for step in range(1, 11):
        writer.append(line(step))
    writer.append(line(10, "epoch", val_loss=2.0, val_kl=0.25, seconds=1.0))
    writer.preview("samples", 5, 1, b"five")
    writer.preview("samples", 10, 1, b"ten")
    return writer


@pytest.fixture
def watcher(tmp_path):
    return Watcher(Catalog(tmp_path))


def test_the_first_answer_has_all_and_the_next_only_what_is_new(run, watcher):
    first = watcher.watch_run({"run": None, "cursor": None, "seen": {}, "follow": True})
    assert first["run"] == run.name and len(first["rows"]) == 11 and first["steps_per_epoch"] == 10
    assert first["rows"][-1]["val_loss"] == 2.0 and "seconds" not in first["rows"][-1]
    assert [p["step"] for p in first["previews"]] == [10]

    known = {"run": run.name, "cursor": first["cursor"], "seen": {"samples": 10}, "follow": True}
    again = watcher.watch_run(known)
    assert again["rows"] == [] and again["previews"] == [] and not again["reset"]

    run.append(line(11))
    run.preview("samples", 11, 2, b"eleven")
    news = watcher.watch_run(known)
    assert [row["step"] for row in news["rows"]] == [11] and [p["step"] for p in news["previews"]] == [11]
    assert len(json.dumps(news)) < 2000


def test_a_resumed_run_is_told_anew(run, watcher):
    first = watcher.watch_run({})
    run.rewind(4)
    for step in range(5, 40):
        run.append(line(step))
    news = watcher.watch_run({"run": run.name, "cursor": first["cursor"], "seen": {"samples": 10}})
    assert news["reset"] and [row["step"] for row in news["rows"]] == list(range(1, 40))
    assert [p["step"] for p in news["previews"]] == []  # rewind removed those after step 4


@pytest.mark.parametrize(
    "known",
    [
        None,
        17,
        "run",
        [],
        {},
        {"run": 3},
        {"run": "../first-001"},
        {"run": "first-001", "cursor": "x"},
        {"run": "first-001", "cursor": [1, 2]},
        {"run": "first-001", "cursor": [None, -5]},
        {"run": "first-001", "cursor": {"a": 1}, "seen": 4},
    ],
)
def test_nonsense_counts_as_not_known(run, watcher, known):
    assert len(watcher.watch_run(known)["rows"]) == 11


def test_a_cursor_inside_a_line_does_no_harm(run, watcher):
    inode, end = watcher.watch_run({})["cursor"]
    news = watcher.watch_run({"run": run.name, "cursor": [inode, end - 7]})
    assert len(news["rows"]) == 11 and news["reset"]


def test_a_long_run_is_thinned_but_ends_where_it_ends(run, watcher):
    for step in range(11, 9000):
        run.append(line(step))
    rows = watcher.watch_run({})["rows"]
    assert FIRST_VIEW / 2 < len(rows) <= FIRST_VIEW + 2 and rows[-1]["step"] == 8999
    assert [row["step"] for row in rows] == sorted(row["step"] for row in rows)


def test_without_a_run_there_is_nothing_to_tell(tmp_path, monkeypatch):
    monkeypatch.setattr("vae.ui.catalog.bundled", dict)
    news = Watcher(Catalog(tmp_path / "none")).watch_run({"run": "gone"})
    assert news["run"] is None and news["runs"] == [] and not news["has_model"]


def test_a_training_that_begins_is_followed(run, watcher, tmp_path):
    newer = RunWriter(tmp_path / "second-001")
    with newer.locked():
        newer.start({"data": "digits", "epochs": 3})
        newer.update(state="running")
        watcher._runs = (0.0, [], [])
        assert watcher.watch_run({"run": run.name, "follow": True})["run"] == newer.name
        assert watcher.watch_run({"run": run.name, "follow": False})["run"] == run.name
