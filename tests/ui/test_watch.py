"""What the Train tab's script is told: only what is new, whatever it claims to know."""

import csv
import io
import json

import pytest

pytest.importorskip("gradio")

from vae.training.runs import RunWriter
from vae.ui.serving.access import Visitor
from vae.ui.serving.catalog import Catalog
from vae.ui.training import watch
from vae.ui.training.metric_rows import EPOCH_FIELDS, FIRST_VIEW, STEP_FIELDS, row_fields
from vae.ui.training.watch import ASKS, PREVIEW_FIELDS, Watcher


def line(step: int, kind: str = "step", **more) -> dict:
    fixed = {"kind": kind, "step": step, "epoch": -(-step // 10), "reconstruction": 0.5, "kl": 0.1}
    return fixed | {"loss": 1 / step} | more


def epoch(step: int, loss: float) -> dict:
    return line(step, "epoch", val_loss=loss, val_reconstruction=1.0, val_kl=0.25, seconds=1.0)


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    """What was read of a folder is read again at the next question."""
    monkeypatch.setattr(watch, "FRESH", 0.0)


@pytest.fixture
def run(tmp_path):
    writer = RunWriter(tmp_path / "first-001")
    writer.folder.mkdir()
    (writer.folder / "previews").mkdir()
    writer.start({"data": "digits", "epochs": 3})
    writer.update(state="finished", epoch_steps=10)
    for step in range(1, 11):
        writer.append(line(step))
    writer.append(epoch(10, 2.0))
    writer.preview("samples", 5, 1, b"five")
    writer.preview("samples", 10, 1, b"ten")
    writer.preview("reconstruction", 10, 1, b"ten too")
    return writer


@pytest.fixture
def watcher(tmp_path, monkeypatch):
    monkeypatch.setattr("vae.ui.serving.catalog.bundled", dict)
    return Watcher(Catalog(tmp_path))


def known(news: dict, **more) -> dict:
    """What a page knows after this answer."""
    cursors = {name: curve["cursor"] for name, curve in news["curves"].items()}
    seen = max((preview[0] for preview in news["previews"]), default=-1)
    return {"run": news["run"], "cursors": cursors, "seen": seen, "list": news["list"]["version"]} | more


def test_the_first_answer_has_all_and_the_next_only_what_is_new(run, watcher):
    first = watcher.watch_run({"run": None, "follow": True})
    curve = first["curves"][run.name]
    assert first["run"] == run.name and len(curve["rows"]) == 11 and curve["per_epoch"] == 10
    assert dict(zip(STEP_FIELDS, curve["rows"][0], strict=True)) == {
        "step": 1,
        "loss": 1,
        "reconstruction": 0.5,
        "kl": 0.1,
    }
    assert dict(zip(EPOCH_FIELDS, curve["rows"][-1], strict=True))["val_loss"] == 2.0
    assert [dict(zip(PREVIEW_FIELDS, row, strict=True)) for row in first["previews"]] == [
        {"step": 5, "epoch": 1, "samples": 1, "reconstruction": 0},
        {"step": 10, "epoch": 1, "samples": 1, "reconstruction": 1},
    ]
    assert first["list"]["names"] == [run.name] and first["list"]["changed"][0]["best"] == 2.0

    page = known(first)
    again = watcher.watch_run(page)
    assert again["curves"][run.name]["rows"] == [] and again["previews"] == [] and "names" not in again["list"]
    assert again["list"]["changed"] == [] and len(json.dumps(again)) < 500

    run.append(line(11))
    run.append(epoch(20, 1.5))
    run.preview("samples", 11, 2, b"eleven")
    news = watcher.watch_run(page)
    assert [row[0] for row in news["curves"][run.name]["rows"]] == [11, 20] and news["previews"] == [[11, 2, 1, 0]]
    assert news["list"]["changed"][0]["best"] == 1.5
    assert "reset" not in news["curves"][run.name] and len(json.dumps(news)) < 1000


def test_a_page_that_slept_catches_up_in_one_step(run, watcher):
    page = known(watcher.watch_run({}))
    for step in range(11, 511):
        run.append(line(step))
    news = watcher.watch_run(page)
    assert [row[0] for row in news["curves"][run.name]["rows"]] == list(range(11, 511))


def test_a_torn_line_waits_until_it_is_whole(run, watcher):
    page = known(watcher.watch_run({}))
    torn = json.dumps(line(11)) + "\n"
    with (run.folder / "metrics.jsonl").open("a") as file:
        file.write(torn[:20])
        file.flush()
        assert watcher.watch_run(page)["curves"][run.name]["rows"] == []
        file.write(torn[20:])
    assert [row[0] for row in watcher.watch_run(page)["curves"][run.name]["rows"]] == [11]


def test_a_resumed_run_is_told_anew(run, watcher):
    page = known(watcher.watch_run({}))
    run.rewind(4)
    for step in range(5, 40):
        run.append(line(step))
    news = watcher.watch_run(page)
    curve = news["curves"][run.name]
    assert curve["reset"] and [row[0] for row in curve["rows"]] == list(range(1, 40))
    assert news["previews"] == []  # rewind removed those after step 4


@pytest.mark.parametrize(
    "nonsense",
    [
        None,
        17,
        [],
        {"run": 3, "list": "x", "token": 5, "page": {}},
        {"run": "../first-001"},
        {"run": "first-001", "cursors": "x", "seen": "y"},
        {"run": "first-001", "cursors": {"first-001": [1, 2]}},
        {"run": "first-001", "cursors": {"first-001": [None, -5], "../x": [1, 2], "none": None}},
        {"run": "first-001", "cursors": {"first-001": {"a": 1}}, "seen": [4], "list": 10**30},
    ],
)
def test_nonsense_counts_as_not_known(run, watcher, nonsense):
    news = watcher.watch_run(nonsense)
    assert len(news["curves"][run.name]["rows"]) == 11 and len(news["curves"]) == 1
    assert len(news["previews"]) == 2 and news["list"]["names"] == [run.name]


def test_a_cursor_inside_a_line_does_no_harm(run, watcher):
    inode, end = watcher.watch_run({})["curves"][run.name]["cursor"]
    curve = watcher.watch_run({"run": run.name, "cursors": {run.name: [inode, end - 7]}})["curves"][run.name]
    assert len(curve["rows"]) == 11 and curve["reset"]


def test_a_long_run_is_thinned_but_ends_where_it_ends(run, watcher):
    for step in range(11, 9000):
        run.append(line(step))
    rows = watcher.watch_run({})["curves"][run.name]["rows"]
    assert FIRST_VIEW / 2 < len(rows) <= FIRST_VIEW + 2 and rows[-1][0] == 8999
    assert [row[0] for row in rows] == sorted(row[0] for row in rows)


def test_several_runs_are_followed_at_once(run, watcher, tmp_path):
    other = RunWriter(tmp_path / "second-001")
    with other.locked():
        other.start({"data": "digits", "epochs": 3})
        other.append(line(1))
        other.update(state="finished")
    news = watcher.watch_run({"run": run.name, "cursors": {other.name: None}})
    assert set(news["curves"]) == {run.name, other.name}
    page = known(news)
    other.append(line(2))
    rows = {name: curve["rows"] for name, curve in watcher.watch_run(page)["curves"].items()}
    assert rows[run.name] == [] and [row[0] for row in rows[other.name]] == [2]


def test_pictures_are_fetched_by_name_and_only_previews(run, watcher):
    found = watcher.see_previews({"run": run.name, "wanted": [["samples", 5], ["samples", 6], ["../x", 5], "y"]})
    assert list(found) == ["samples-5"] and found["samples-5"].startswith("data:image/png;base64,")
    assert watcher.see_previews(None) == watcher.see_previews({"run": "../first-001", "wanted": [["samples", 5]]}) == {}


def test_the_table_has_every_line(run, watcher):
    rows = list(csv.DictReader(io.StringIO(watcher.curves_csv([run.name, "none", 3]))))
    assert len(rows) == 11 and rows[-1]["val_loss"] == "2.0" and rows[0]["val_loss"] == ""
    assert watcher.curves_csv("first-001").count("\n") == 1


def test_without_a_run_there_is_nothing_to_tell(watcher):
    news = watcher.watch_run({"run": "gone"})
    assert news["run"] is None and news["list"]["changed"] == [] and not news["has_model"]


def test_a_training_that_begins_is_followed(run, watcher, tmp_path):
    newer = RunWriter(tmp_path / "second-001")
    with newer.locked():
        newer.start({"data": "digits", "epochs": 3})
        newer.update(state="running")
        assert watcher.watch_run({"run": run.name, "follow": True})["run"] == newer.name
        assert watcher.watch_run({"run": run.name, "follow": False})["run"] == run.name


def test_a_run_that_goes_leaves_the_list(run, watcher):
    page = known(watcher.watch_run({}))
    renamed = run.rename("kept")
    news = watcher.watch_run(page)
    assert news["list"]["names"] == ["kept"] and news["run"] == renamed.name
    renamed.delete()
    assert watcher.watch_run(known(news))["list"]["names"] == []


def test_only_its_owner_is_told_that_a_run_is_theirs(run, watcher, monkeypatch):
    Visitor(frozenset({"mine"})).claim(run)
    for keys, mine in (("mine", True), ("other", None)):
        who = Visitor(frozenset({keys}))
        monkeypatch.setattr(watcher.catalog.audience, "visitor", lambda token, who=who: who)
        assert watcher.watch_run({})["list"]["changed"][0].get("mine") is mine


def test_many_pages_are_told_to_ask_less_often(run, watcher):
    waits = [watcher.watch_run({"page": f"page {i}"})["wait"] for i in range(4 * ASKS)]
    assert waits[0] == 2000 and waits[-1] == 4000  # a run at rest is asked for every other second


def test_a_runs_own_terms_are_told_with_their_names_and_stand_in_the_table(run, watcher, tmp_path):
    run.rewind(0)
    run.append(line(1, "start", val_psnr=20.0) | {"step": 0})
    run.append(line(1, edges=3.0, style=0.25))
    run.append(epoch(10, 2.0) | {"edges": 2.0, "style": 0.125, "val_edges": 2.5})
    news = watcher.watch_run({})
    curve = news["curves"][run.name]
    assert curve["more"] == ("edges", "style")
    start, step, last = (dict(zip(row_fields(curve["more"]), row, strict=False)) for row in curve["rows"])
    assert "edges" not in start and (step["edges"], step["style"], len(step)) == (3.0, 0.25, 6)
    assert (last["edges"], last["val_loss"], last["val_edges"], last["val_style"]) == (2.0, 2.0, 2.5, None)
    page = known(news)
    assert "more" not in watcher.watch_run(page)["curves"][run.name]
    run.append(line(11, edges=1.0, style=0.1))
    assert watcher.watch_run(page)["curves"][run.name]["rows"] == [[11, 0.090909, 0.5, 0.1, 1.0, 0.1]]
    rows = list(csv.DictReader(io.StringIO(watcher.curves_csv([run.name]))))
    assert (rows[1]["edges"], rows[2]["val_edges"], rows[0]["val_psnr"]) == ("3.0", "2.5", "20.0")
    for step in range(12, FIRST_VIEW * 2):
        run.append(line(step, edges=1.0, style=0.1))
    assert any(len(row) == 11 for row in watcher.watch_run({})["curves"][run.name]["rows"]), "thinned, epochs stay"
