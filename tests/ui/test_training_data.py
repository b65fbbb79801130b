"""What visitors may train on, and what they see of it before."""

import io
import re
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_runs import tiny

pytest.importorskip("gradio")

from vae.data.sets import ADDRESS, load_data
from vae.errors import InputError
from vae.training import estimate
from vae.training.loop import fit
from vae.training.presets import PRESETS
from vae.training.runs import RunWriter
from vae.training.trained_model import with_its_network
from vae.ui.serving.catalog import Catalog
from vae.ui.tabs.train import SETTINGS, beginnings, given, training, watchers
from vae.ui.training import outlook, training_data
from vae.ui.training.controls import meant, shown
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
    addresses = "s3://bucket/shards", "gs://bucket", "http://127.0.0.1/x", "https://host/x"
    for path in (str(tmp_path), elsewhere, "/etc", ".", "~", "../x", outside, "", *addresses):
        with pytest.raises(InputError, match="no data"):
            checked(path, public=True)


def test_at_home_a_folder_is_fine_too(uploads, tmp_path):
    assert training("mnist-vae", str(tmp_path), public=False, epochs=3).data == str(tmp_path)
    assert training("mnist-vae", "someone/some-pictures", public=False).data == ADDRESS + "someone/some-pictures"
    assert training("mnist-vae", "s3://bucket/shards", public=False).data == "s3://bucket/shards"
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
    monkeypatch.setattr(training_data, "_look", lambda data, fitted, size: made.append(fitted) or {"n": len(made)})
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


@pytest.fixture
def page(tmp_path):
    """What the Train tab's scripts call: (look_at_data, foresee), each of (data, preset, **settings)."""
    catalog = Catalog(tmp_path / "runs")

    def called(function):
        def call(data="digits", preset="mnist-vae", **settings):
            return function({"data": data, "preset": preset, "settings": settings})

        return call

    return [called(function) for function in watchers(catalog, Previews(catalog.audience))]


def coloured(folder) -> str:
    for i in range(10):
        Image.new("RGB", (70, 80), (20 * i, 99, 7)).save(folder / f"{i}.png")
    return str(folder)


def test_images_are_shown_at_the_size_and_in_the_colours_asked_for(page, tmp_path):
    look, _ = page
    found = look(coloured(tmp_path), size="48", in_channels="3", crop="random")
    assert (found["width"], found["height"]) == (48, 48) and "in colour" in found["says"]
    assert found["images"] == 8 and found["channels"] == 3
    large = look(str(tmp_path), "sd", size="1024")
    assert large["width"] == 256 and "1024 × 1024" in large["says"]
    wrong = look(size="100")
    assert wrong["settings"] and wrong["error"].startswith("size 100 is not a multiple of 8")
    assert "settings" not in look("/none/such")


def test_colour_images_are_not_seen_in_grey_without_a_word(page, tmp_path):
    look, _ = page
    suggested = look(coloured(tmp_path))["suggest"]
    assert suggested["preset"] == "sd-small" and "would see them in grey" in suggested["says"]
    assert look(str(tmp_path), in_channels="3")["suggest"] is None
    assert look(str(tmp_path), "sd-small")["suggest"] is None and look("digits")["suggest"] is None
    assert look(str(tmp_path), init="dogs-vae")["suggest"] is None


def test_memory_and_time_are_estimated_before_a_training(page, monkeypatch):
    _, foresee = page
    monkeypatch.setattr(estimate, "SHORT", 0.01)
    monkeypatch.setattr(outlook, "pick_device", lambda: torch.device("cpu"))
    says = foresee(epochs=30)["says"]
    assert re.fullmatch(r"About 0\.1 GB of memory and .+ on this machine's processor\.", says)
    large = foresee(preset="sd", size="4096")["error"]
    assert "A batch of 4 images of 4096x4096 pixels would take about" in large and "\n" not in large
    assert "downscale must be" in foresee(downscale="6")["error"]
    assert "no model 'none-such'" in foresee(init="none-such")["error"]
    assert foresee(init="someone/their-vae")["says"] == "What it takes is known when the model has been fetched."


def test_a_training_starts_from_what_is_listed(tmp_path):
    catalog = Catalog(tmp_path / "runs")
    run = fit(tiny(epochs=1), tmp_path / "runs" / "mine", device="cpu")
    names = [value for _, value in beginnings(catalog)]
    assert names[0] == "" and {"mine", "dogs-vae"} < set(names)
    assert catalog.beginning("") is catalog.beginning(None) is None and catalog.beginning("dogs-vae") == "dogs-vae"
    assert catalog.beginning("mine") == str(run.folder)
    values = {"init": "mine", "freeze": "encoder", "size": "16", "batch_size": "auto", "widths": "", "data": "x"}
    config = training("mnist-vae", "digits", public=False, **given(catalog, values))
    assert (config.init, config.freeze, config.size, config.batch_size) == (str(run.folder), "encoder", 16, "auto")
    assert with_its_network(config).model["sample_size"] == 16
    with pytest.raises(InputError, match="epochs must be a whole number from 1 to 100000; it is empty"):
        given(catalog, values | {"epochs": None})


def test_every_control_says_and_takes_what_its_setting_has():
    for preset_ in PRESETS.values():
        for name, known in SETTINGS.items():
            value = getattr(preset_, name)
            assert meant(known, shown(known, value)) == value


def test_without_a_preset_a_training_takes_what_suits_the_model_it_goes_on_from():
    assert training(None, "digits", public=False).preset == "mnist-vae"
    going_on = training("", "digits", public=False, init="dogs-vae", epochs=2)
    assert (going_on.preset, going_on.init, going_on.epochs) == ("sd-small", "dogs-vae", 2)
    assert going_on.learning_rate < training("sd-small", "digits", public=False).learning_rate
    assert training("mnist-vae", "digits", public=False, init="dogs-vae").preset == "mnist-vae"
