"""A run whose data lie elsewhere now goes on with them, and with no others."""

import shutil
from dataclasses import replace

import pytest
from PIL import Image
from tiny_runs import dots, tiny, untimed

from vae.errors import InputError
from vae.training.loop import fit

ONE_EPOCH, TWO_EPOCHS = 4, 8  # updates


@pytest.fixture(autouse=True)
def one_thread(thread_count):
    thread_count(1)


@pytest.fixture
def begun(tmp_path):
    """A run of one epoch, whose data have been moved since: (its config, its folder, where the data are now)."""
    config = tiny(data=str(dots(tmp_path / "photos")), batch_size=8, steps=ONE_EPOCH, schedule="constant")
    fit(config, tmp_path / "run", device="cpu")
    return config, tmp_path / "run", (tmp_path / "photos").rename(tmp_path / "archive")


def test_it_goes_on_where_they_are_now_as_if_they_had_always_lain_there(begun, tmp_path):
    config, folder, place = begun
    with pytest.raises(InputError, match=r"no longer at .*photos; say with --data \(data=\) where"):
        fit(replace(config, steps=TWO_EPOCHS), folder, resume=True, device="cpu")
    run = fit(replace(config, steps=TWO_EPOCHS, data=str(place)), folder, resume=True, device="cpu")
    assert run.config()["data"] == str(place)
    whole = fit(replace(config, steps=TWO_EPOCHS, data=str(place)), tmp_path / "whole", device="cpu")
    assert untimed(run)[-1] == untimed(whole)[-1]


def renamed(place):
    for file in [*place.iterdir()]:
        file.rename(file.with_name(f"x{file.name}"))


def mirrored_in_brightness(place):
    for file in place.iterdir():
        Image.eval(Image.open(file), lambda value: 255 - value).save(file)


def fewer(place):
    for file in [*place.iterdir()][::2]:
        file.unlink()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [(renamed, "other names"), (mirrored_in_brightness, "something else"), (fewer, "had 32 training images")],
)
def test_other_data_are_refused_and_the_run_stays(begun, tmp_path, change, sentence):
    config, folder, place = begun
    change(place)
    before, state = (folder / "config.json").read_bytes(), (folder / "metrics.jsonl").read_bytes()
    with pytest.raises(InputError, match=sentence):
        fit(replace(config, steps=TWO_EPOCHS, data=str(place)), folder, resume=True, device="cpu")
    assert (folder / "config.json").read_bytes() == before and (folder / "metrics.jsonl").read_bytes() == state


def test_the_same_images_stored_a_little_otherwise_are_the_same_data(begun):
    config, folder, place = begun
    for file in place.iterdir():
        Image.eval(Image.open(file), lambda value: max(0, value - 2)).save(file)
    run = fit(replace(config, steps=TWO_EPOCHS, data=str(place)), folder, resume=True, device="cpu")
    assert run.state()["state"] == "finished"


def test_validation_images_may_have_moved_too(tmp_path):
    data, judged = dots(tmp_path / "photos"), dots(tmp_path / "judged")
    config = tiny(data=str(data), val_data=str(judged), batch_size=8, steps=ONE_EPOCH)
    fit(config, tmp_path / "run", device="cpu")
    shutil.move(judged, tmp_path / "elsewhere")
    with pytest.raises(InputError, match=r"say with --val-data \(val_data=\)"):
        fit(replace(config, steps=TWO_EPOCHS), tmp_path / "run", resume=True, device="cpu")
    moved = replace(config, steps=TWO_EPOCHS, val_data=str(tmp_path / "elsewhere"))
    run = fit(moved, tmp_path / "run", resume=True, device="cpu")
    assert run.config()["val_data"] == str(tmp_path / "elsewhere")


def test_a_way_back_and_forth_is_the_same_place(begun, tmp_path, monkeypatch):
    config, folder, place = begun
    place.rename(tmp_path / "photos")
    (tmp_path / "else").mkdir()
    monkeypatch.chdir(tmp_path / "else")
    fit(replace(config, steps=TWO_EPOCHS, data="../photos"), folder, resume=True, device="cpu")
    run = fit(replace(config, data="../photos"), tmp_path / "new", device="cpu")
    assert run.config()["data"] == str((tmp_path / "photos").resolve())
