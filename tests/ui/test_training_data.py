"""What visitors may train on, and what they see of it before."""

import io
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny_runs import tiny

pytest.importorskip("gradio")

from vae.data.sets import ADDRESS, load_data
from vae.errors import InputError
from vae.training.presets import PRESETS
from vae.training.runs import RunWriter
from vae.ui.tabs.train import training
from vae.ui.training import training_data
from vae.ui.training.training_data import Previews, checked, kept, sweep
from vae.ui.uploads import read_picture


@pytest.fixture
def uploads(tmp_path, monkeypatch):
    """Where uploaded files lie."""
    folder = tmp_path / "uploads"
    folder.mkdir()
    monkeypatch.setattr(training_data, "get_upload_folder", lambda: str(folder))
    return folder


def png(shade: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("L", (12, 9), shade).save(buffer, "PNG")
    return buffer.getvalue()


def archive(path, count: int = 40, broken: int = 3) -> str:
    with zipfile.ZipFile(path, "w") as file:
        for i in range(count):
            file.writestr(f"{'cats' if i % 2 else 'dogs'}/{i:03}.png", png(6 * i))
        for i in range(broken):
            file.writestr(f"dogs/broken-{i}.png", b"no picture")
    return str(path)


def test_strangers_may_train_on_what_is_listed_uploaded_or_on_the_hub(uploads, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "owner" / "pictures").mkdir(parents=True)
    mine = archive(uploads / "mine.zip")
    for fine in ("digits", "mnist", mine):
        assert checked(fine, public=True) == fine
    for name in ("someone/some-pictures", "someone/some-pictures:image", "owner/pictures"):  # a folder is never meant
        assert checked(name, public=True) == ADDRESS + name == checked(ADDRESS + name, public=True)
    elsewhere = archive(tmp_path / "elsewhere.zip")
    outside = f"{uploads}/../elsewhere.zip"
    for path in (str(tmp_path), elsewhere, "/etc", ".", "~", "../x", outside, ""):
        with pytest.raises(InputError, match="no data"):
            checked(path, public=True)


def test_at_home_a_folder_is_fine_too(uploads, tmp_path):
    assert training("mnist-vae", str(tmp_path), public=False, epochs=3).data == str(tmp_path)
    assert training("mnist-vae", "someone/some-pictures", public=False).data == ADDRESS + "someone/some-pictures"
    for wrong in ("/none/such", "none-such", "a b", "x" * 5000, "\0"):
        with pytest.raises(InputError, match=r"no folder|no data"):
            training("mnist-vae", wrong, public=False)


def test_a_stranger_opens_no_file_by_any_of_its_names(uploads, tmp_path, monkeypatch):
    """Neither arrays nor tables nor brace lists of shards, and nothing is looked for on the disk for them."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(training_data, "find", lambda *_: pytest.fail("a stranger's path was looked for"))
    for name in ("x.npy", "x.npz", "x.csv", "x.parquet", "x.arrow", "x-0.tar", "x-1.tar", "x.idx3-ubyte"):
        (tmp_path / name).write_bytes(b"x")
        for path in (name, str(tmp_path / name), f"{uploads}/../{name}", f"~/{name}"):
            with pytest.raises(InputError, match="no data"):
                checked(path, public=True)
    for path in (
        "x-{0..1}.tar",
        f"{tmp_path}/x-{{0..1}}.tar",
        "{x,y}.npy",
        f"{uploads}/../x-{{0..1}}.tar",
        "/{etc,bin}",
    ):
        with pytest.raises(InputError, match="no data"):
            checked(path, public=True)
    assert checked("x/x.npy", public=True) == ADDRESS + "x/x.npy"  # on the Hub, never here


def test_at_home_every_format_is_fine(uploads, tmp_path):
    for name in ("x.npy", "x-0.tar", "x-1.tar"):
        (tmp_path / name).write_bytes(b"x")
    for data in (f"{tmp_path}/x.npy", f"{tmp_path}/x-{{0..1}}.tar"):
        assert checked(data, public=False) == data
    with pytest.raises(InputError, match=r"there is no .*x-2.tar"):
        checked(f"{tmp_path}/x-{{0..2}}.tar", public=False)


def test_an_upload_of_another_kind_is_refused(uploads):
    for name in ("words.txt", "table.parquet", "x.arrow", "a.rar"):
        (uploads / name).write_text("words")
        for public in (False, True):
            with pytest.raises(InputError, match=rf"{name} is no archive"):
                checked(str(uploads / name), public)
    np.save(uploads / "x.npy", np.zeros((10, 8, 8), np.uint16) + 4000)
    found = Previews().look(checked(str(uploads / "x.npy"), public=True), PRESETS["mnist-vae"])
    assert found["remarks"] == ["The 16-bit values go from 4,000 to 4,000; 0 is black and 4,095 is white."]


def test_what_the_page_says_of_data_is_what_the_command_line_says(uploads):
    data = archive(uploads / "mine.zip")
    with zipfile.ZipFile(data, "a") as file:
        file.writestr("notes.txt", b"x")
    on_the_page = Previews().look(data, PRESETS["mnist-vae"])["remarks"]
    everything = load_data(data, "all").remarks
    assert on_the_page[0] == everything[0] == "1 other file was left out: notes.txt."
    assert on_the_page[1].startswith("3 images could not be read and were left out: dogs/broken-")
    assert everything[1].startswith("3 images could not be read and were left out: dogs/broken-")


def test_sixteen_pictures_of_an_archive_and_what_is_wrong_with_it(uploads):
    found = Previews().look(archive(uploads / "mine.zip"), PRESETS["mnist-vae"])
    assert found["n"] == 16 and found["skipped"] == 3 and found["classes"] == ["cats", "dogs"]
    assert "pictures to learn from" in found["says"] and "32 × 32" in found["says"]
    sheet = read_picture({"kind": "inline", "uri": found["sprite"]})
    assert sheet.size == (found["columns"] * 32, 16 // found["columns"] * 32)
    assert sheet.convert("L").getpixel((0, 0)) == 0  # the preset's black border

    (uploads / "bad.zip").write_bytes(b"no archive")
    with pytest.raises(InputError, match=r"bad.zip"):
        Previews().look(str(uploads / "bad.zip"), PRESETS["mnist-vae"])


def test_looking_fetches_no_data_set(tmp_path, monkeypatch):
    monkeypatch.setenv("VAE_DATA_DIR", str(tmp_path))
    monkeypatch.setattr(training_data, "data_names", list)
    monkeypatch.setattr(training_data, "load_data", lambda *_, **__: pytest.fail("it would be downloaded"))
    found = Previews().look("cifar10", PRESETS["sd-small"])
    assert found["sprite"] is None and "when a training begins" in found["says"]


def test_a_preview_is_made_once_for_all(monkeypatch):
    made, previews = [], Previews()
    monkeypatch.setattr(training_data, "_look", lambda data, fitted: made.append(fitted) or {"n": len(made)})
    assert previews.look("digits", tiny()) == previews.look("digits", tiny()) == {"n": 1}
    previews.look("digits", PRESETS["mnist-vae"])
    assert [fitted["size"] for fitted in made] == [8, 32]
    previews._waiting = training_data.WAITING
    with pytest.raises(InputError, match="Too many"):
        previews.look("digits", PRESETS["sd-small"])


def test_an_upload_is_kept_as_long_as_a_run_was_trained_on_it(uploads, tmp_path):
    runs, first = tmp_path / "runs", archive(uploads / "mine.zip")
    assert kept("digits", runs) == "digits" and not runs.exists()
    data = kept(first, runs)
    assert data == kept(first, runs) and data.endswith("/mine.zip") and Path(data).parents[2].samefile(runs)
    (uploads / "mine.zip").unlink()
    run = RunWriter(runs / "mine-001")
    with run.locked():
        run.start(replace(tiny(), data=data).to_dict())
        run.update(state="finished")
    sweep(runs, age=0.0)
    assert zipfile.ZipFile(data).namelist()
    run.delete()
    sweep(runs)
    assert Path(data).exists(), "it may be about to be trained on"
    sweep(runs, age=0.0)
    assert not Path(data).exists()
