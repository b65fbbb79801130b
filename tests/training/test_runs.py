import errno
import json
import os
import subprocess
import sys
import time

import pytest

from vae.errors import InputError
from vae.files import replacing
from vae.training import runs
from vae.training.runs import Run, RunWriter, checked_name, list_runs, new_run_folder


@pytest.fixture
def writer(tmp_path):
    writer = RunWriter(tmp_path / "digits")
    with writer.locked():
        writer.start({"epochs": 3})
    return writer


def checkpoint(run: RunWriter, step: int, parts=("config.json", "model.safetensors", "trainer.pt")):
    folder = run.checkpoint_folder(step)
    folder.mkdir(parents=True)
    for name in parts:
        (folder / name).touch()
    return folder


def entry(step: int) -> dict:
    return {"kind": "step", "step": step, "loss": 1.5}


def test_metrics_are_read_from_a_line_or_from_an_offset_and_a_line_being_written_is_left(writer):
    run = Run(writer.folder)
    assert run.metrics() == [] and run.read_metrics() == ([], 0)
    for step in (1, 2, 3):
        writer.append(entry(step))
    with (run.folder / "metrics.jsonl").open("a") as file:
        file.write('{"kind": "st')
    assert [line["step"] for line in run.metrics()] == [1, 2, 3]
    assert [line["step"] for line in run.metrics(since=2)] == [3]
    seen, offset = run.read_metrics()
    assert len(seen) == 3 and run.read_metrics(0, offset) == ([], offset)
    with (run.folder / "metrics.jsonl").open("a") as file:
        file.write('ep", "step": 4}\n')
    assert [line["step"] for line in run.read_metrics(0, offset)[0]] == [4]


def test_a_line_is_json_that_any_reader_takes(writer):
    with pytest.raises(ValueError, match="not JSON compliant"):
        writer.append({"step": 1, "loss": float("nan")})
    assert not (writer.folder / "metrics.jsonl").exists()


def test_a_line_the_disk_took_half_of_is_an_error_and_is_dropped_at_rewind(writer, monkeypatch):
    writer.append(entry(1))
    write = os.write
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:9]))
        with pytest.raises(OSError) as caught:
            writer.append(entry(2))
    assert caught.value.errno == errno.ENOSPC
    assert [line["step"] for line in writer.metrics()] == [1]
    writer.rewind(5)
    writer.append(entry(2))
    assert [json.loads(line)["step"] for line in (writer.folder / "metrics.jsonl").read_text().splitlines()] == [1, 2]


def test_rewind_forgets_what_came_later_and_what_a_kill_left(writer):
    for step in range(1, 7):
        writer.append(entry(step))
    with (writer.folder / "metrics.jsonl").open("ab") as file:
        file.write(b"\0" * 20 + b"\n")  # as a power cut leaves it
    for step in (2, 4, 6):
        writer.preview("samples", step, 1, b"png")
    good, old = checkpoint(writer, 4), checkpoint(writer, 2)
    later, torn = checkpoint(writer, 6), checkpoint(writer, 3, ("config.json",))
    hidden = writer.folder / "checkpoints" / ".step-00000005.xyz"
    hidden.mkdir()
    (writer.folder / ".state.json.12.part").touch()
    (writer.folder / "previews" / ".x.png.12.part").touch()
    with replacing(writer.folder / "owner") as part:  # while another thread writes down whose run it is
        part.touch()
        writer.rewind(4)
    assert [line["step"] for line in writer.metrics()] == [1, 2, 3, 4]
    assert [preview["step"] for preview in writer.previews()] == [2, 4]
    assert good.is_dir() and old.is_dir() and not any(f.exists() for f in (later, torn, hidden))
    assert not list(writer.folder.rglob(".*"))
    writer.rewind(-1)
    assert writer.metrics() == [] and writer.checkpoints() == [] and writer.previews() == []


def test_the_model_is_the_newest_complete_checkpoint(writer):
    assert writer.model_folder() is None and not writer.begun()
    older, newer = checkpoint(writer, 9), checkpoint(writer, 100)
    checkpoint(writer, 200, ("config.json",))
    assert writer.model_folder() == newer and writer.begun()
    writer.prune(keep=1)
    assert not older.exists() and writer.checkpoints() == [newer]


def test_previews_are_listed_oldest_first(writer):
    for step, epoch in ((100, 4), (20, 1)):
        for kind in ("samples", "reconstruction"):
            writer.preview(kind, step, epoch, b"png")
    found = writer.previews()
    assert [(p["step"], p["epoch"], p["kind"]) for p in found] == [
        *((20, 1, "reconstruction"), (20, 1, "samples")),
        *((100, 4, "reconstruction"), (100, 4, "samples")),
    ]
    assert found[0]["path"].read_bytes() == b"png"


def test_a_run_is_active_while_its_lock_is_held_and_interrupted_after(writer):
    run = Run(writer.folder)
    with writer.locked():
        writer.update(state="running")
        assert run.state()["state"] == "running" and run.active()
    assert run.state()["state"] == "interrupted" and not run.active()
    assert run.state()["reason"] == "The process that trained it ended without a word."
    writer.update(state="finished")
    assert run.state()["state"] == "finished"


def test_a_run_whose_process_is_killed_is_interrupted_at_once(writer):
    code = (
        "import sys, time; from vae.training.runs import RunWriter; w = RunWriter(sys.argv[1])\n"
        "with w.locked():\n    w.update(state='running'); print('held', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(writer.folder)], stdout=subprocess.PIPE) as child:
        assert child.stdout.readline() == b"held\n"
        assert Run(writer.folder).active()
        with pytest.raises(InputError, match="already being trained by another process"), writer.locked(resume=True):
            pass
        child.kill()
        child.wait()
    assert Run(writer.folder).state()["state"] == "interrupted"
    with writer.locked():
        pass


def test_a_run_on_another_machine_is_judged_by_its_silence(writer, monkeypatch):
    writer.update(state="running")
    monkeypatch.setattr(runs.socket, "gethostname", lambda: "elsewhere")
    assert Run(writer.folder).active()
    monkeypatch.setattr(time, "time", lambda now=time.time: now() + runs.SILENCE + 1)
    assert Run(writer.folder).state()["state"] == "interrupted"


def test_a_file_system_without_locks_falls_back_on_silence(writer, monkeypatch):
    if runs.fcntl is None:
        pytest.skip("no fcntl")

    def unsupported(*_):
        raise OSError(errno.ENOTSUP, "Operation not supported")

    monkeypatch.setattr(runs.fcntl, "flock", unsupported)
    with writer.locked():
        writer.update(state="running")
        assert Run(writer.folder).active()


def test_the_last_word_is_written_even_where_no_new_file_can_be(writer, monkeypatch):
    writer.update(state="running", step=7, reason="x" * 200)

    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(runs, "write_text", full)
    with pytest.raises(OSError):
        writer.update(step=8)
    writer.end(state="failed", reason="The disk is full.")
    state = Run(writer.folder).state()
    assert (state["state"], state["reason"], state["step"]) == ("failed", "The disk is full.", 7)


def test_rename_and_delete(writer, tmp_path):
    checkpoint(writer, 1)
    run = Run(writer.folder).rename("my digits")
    assert run.name == "my digits" and run.begun() and not writer.folder.exists()
    (tmp_path / "taken").mkdir()
    with pytest.raises(InputError, match="already a run 'taken'"):
        run.rename("taken")
    for bad in ("", "..", "a/b", ".hidden", "x" * 81, "a\\b", "tab\t", None):
        with pytest.raises(InputError, match="A run's name is"):
            run.rename(bad)
    run.delete()
    assert [f.name for f in tmp_path.iterdir()] == ["taken"]
    for gone in (run.delete, lambda: run.rename("new")):
        with pytest.raises(InputError, match="There is no run 'my digits'"):
            gone()


def test_checked_name_passes_good_ones():
    for fine in ("mnist-vae 2.1_b", "mnist-vae-9999", "seed 12345", "alive"):
        assert checked_name(fine) == fine
    for wrong in ("live", "LIVE", "Live", "mnist-vae-10000", f"mnist-vae-{'9' * 60}"):
        with pytest.raises(InputError):
            checked_name(wrong)


def test_absurd_numbers_are_not_counted_on_from(tmp_path):
    (tmp_path / f"mnist-vae-{'9' * 60}").mkdir()
    (tmp_path / "mnist-vae-007").mkdir()
    assert new_run_folder("mnist-vae", tmp_path).name == "mnist-vae-008"


def test_what_is_no_run_is_said_to_be_none(tmp_path):
    with pytest.raises(InputError, match="is not a run folder"):
        Run(tmp_path / "nothing").config()
    assert Run(tmp_path / "nothing").previews() == [] and Run(tmp_path / "nothing").model_folder() is None


def test_runs_are_listed_newest_first_and_numbered_on(tmp_path):
    for i, name in enumerate(("a-001", "a-007", "b-001")):
        writer = RunWriter(tmp_path / name)
        with writer.locked():
            writer.start({"epochs": 1})
            writer.update(started=float(i))
    (tmp_path / ".b-002.1.deleted").mkdir()
    (tmp_path / "notes").mkdir()
    assert [run.name for run in list_runs(tmp_path)] == ["b-001", "a-007", "a-001"]
    assert new_run_folder("a", tmp_path).name == "a-008" and new_run_folder("c", tmp_path).name == "c-001"
    assert list_runs(tmp_path / "none") == []


def test_starting_forgets_an_old_wish_to_stop_and_a_run_that_never_began(writer):
    writer.request_stop()
    writer.update(state="failed", reason="Bad data.", started=1.0)
    with writer.locked():
        writer.start({"epochs": 9})
        assert not writer.stop_requested()
        state = writer.state()
    assert state["state"] == "starting" and state["reason"] is None and state["started"] > 1.0
    assert state["epochs"] == 9 and writer.config() == {"epochs": 9}
