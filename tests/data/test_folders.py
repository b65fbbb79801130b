"""Folders as people have them: endings, splits of any name, links, deep values, transparency."""

import os
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image

from vae.data.image_set import remarks_of
from vae.data.sets import data_names, load_data
from vae.data.splits import split_of
from vae.errors import InputError
from vae.images import HEIF, open_image


def put(folder, names, start=0):
    """Images of one shade each, counted from `start`."""
    for i, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            Image.new("RGB", (8, 8), (start + i,) * 3).save(file, "PNG")
    return folder


def read(folder, split="all", channels=1, **options):
    return load_data(folder, split, 8, channels, **options)


def shades(data):
    return data.images[:, 0, 0, 0].tolist()


def test_endings_that_people_have(tmp_path):
    names = ["a.jfif", "b.jpe", "c.jpg.jpeg", "d.JPG", "e.pnm", "f.apng"]
    put(tmp_path, [*names, "noext", "g.raw", ".hidden.png"])
    data = read(tmp_path)
    assert data.names == names
    assert data.left_out == ["g.raw", "noext"] and data.remarks == ["2 other files were left out: g.raw, noext."]


def test_heic_is_taken_where_a_library_reads_it(tmp_path):
    put(tmp_path, ["a.png", "b.png"])
    if not HEIF:
        (tmp_path / "c.heic").write_bytes(b"\0\0\0\x18ftypheic" + bytes(100))
        assert read(tmp_path).left_out == ["c.heic"]
        with pytest.raises(InputError, match=r"c.heic is a photograph in HEIC; .* pip install pillow-heif"):
            open_image(tmp_path / "c.heic")
        return
    import pillow_heif

    pillow_heif.from_pillow(Image.new("RGB", (64, 64), (200,) * 3)).save(tmp_path / "c.heic")
    data = read(tmp_path)
    assert data.names[2] == "c.heic" and abs(shades(data)[2] - 200) < 4


def test_what_is_left_out_is_counted_and_named_in_a_folder_and_its_archive_alike(tmp_path):
    folder = put(tmp_path / "d", [f"{i}.png" for i in range(5)])
    for name in ("broken.png", "empty.jpg", "a.txt", "b.txt", "sub/c.txt", "sub/d.txt"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"" if "empty" in name else b"text")
    with zipfile.ZipFile(tmp_path / "d.zip", "w") as archive:
        for file in sorted(folder.rglob("*.*")):
            archive.write(file, file.relative_to(folder))
    for path in (folder, tmp_path / "d.zip"):
        data = read(path)
        assert data.remarks == [
            "4 other files were left out: a.txt, b.txt, sub/c.txt and 1 more.",
            "2 images could not be read and were left out: broken.png, empty.jpg.",
        ]
        assert "2 unreadable left out" in data.describe() and "4 other files left out" in data.describe()
        both = remarks_of(read(path, "train"), read(path, "test"))
        assert both[0] == data.remarks[0] and both[1].startswith("2 images could not be read and were left out: ")


def test_a_folder_or_archive_with_other_things_says_what_it_has(tmp_path):
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "notes.txt").write_text("x")
    with zipfile.ZipFile(tmp_path / "nested.zip", "w") as archive:
        archive.writestr("train.zip", b"x")
    for name, has in (("d", "notes.txt"), ("nested.zip", "train.zip")):
        with pytest.raises(InputError, match=rf"no pictures \(it has {has}\)"):
            read(tmp_path / name)
    np.save(tmp_path / "d" / "x.npy", np.zeros((5, 8, 8), np.uint8))
    (tmp_path / "d" / "y.csv").write_text("1,2,3,4\n")
    with pytest.raises(InputError, match=r"several formats \(x.npy, y.csv\); name the file"):
        read(tmp_path / "d")
    with pytest.raises(InputError, match="single picture; a folder"):
        read(put(tmp_path, ["one.png"]) / "one.png")


@pytest.mark.parametrize("name", ["\udce9.txt", "a\nb.txt", "n" * 200 + ".txt"])
def test_odd_names_can_be_printed(name, tmp_path):
    put(tmp_path, ["a.png", "b.png"])
    try:
        (tmp_path / name).write_text("x")
    except OSError:
        pytest.skip("the file system does not take such names")
    (remark,) = read(tmp_path).remarks
    assert remark.encode() and "\n" not in remark and len(remark) < 120


# Splits


@pytest.mark.parametrize(
    ("train", "test"),
    [
        ("Train", "Test"),
        ("TRAIN", "TEST"),
        ("training", "testing"),
        ("train", "val"),
        ("train", "validation"),
        ("Training", "Valid"),
        ("seg_train", "seg_test"),
        ("train2017", "val2017"),
    ],
)
def test_splits_of_any_usual_name(train, test, tmp_path):
    put(tmp_path / "set" / train, ["cat/0.png", "dog/1.png", "dog/2.png"])
    put(tmp_path / "set" / test, ["dog/0.png"], start=50)
    data, held_out = read(tmp_path, "train"), read(tmp_path, "test")
    assert shades(data) == [0, 1, 2] and shades(held_out) == [50] == shades(read(tmp_path, "val"))
    assert data.classes == held_out.classes == ["cat", "dog"] and held_out.labels.tolist() == [1]
    assert shades(read(tmp_path)) == ([0, 1, 2, 50] if train < test else [50, 0, 1, 2])
    assert shades(read(tmp_path, "train", test_size=None)) == [0, 1, 2]


def test_a_training_is_judged_by_the_validation_set_and_evaluated_on_the_test_set(tmp_path):
    (
        put(tmp_path / "train", ["0.png", "1.png"]),
        put(tmp_path / "val", ["0.png"], 7),
        put(tmp_path / "test", ["0.png"], 9),
    )
    put(tmp_path / "unlabelled", ["0.png"], 100)
    assert [shades(read(tmp_path, split)) for split in ("train", "val", "test")] == [[0, 1], [7], [9]]
    assert read(tmp_path, "train").left_out == ["unlabelled/0.png"]


def test_words_that_name_no_split(tmp_path):
    assert [split_of(name) for name in ("cat", "trainer", "latest", "contest", "valley")] == [None] * 5
    put(tmp_path, ["train/0.png", "bus/1.png", "train/2.png", "bus/3.png"])  # these are vehicles
    assert read(tmp_path).classes == ["bus", "train"]


# Links


def test_linked_folders_and_files_are_followed_each_once(tmp_path):
    real = put(tmp_path / "real", ["cats/0.png", "cats/1.png", "dogs/2.png"])
    folder = tmp_path / "linked"
    folder.mkdir()
    for name in ("cats", "dogs"):
        (folder / name).symlink_to(real / name)
    (folder / "again").symlink_to(folder)
    (folder / "dogs-too").symlink_to(real / "dogs")
    (real / "dogs" / "up").symlink_to(tmp_path)
    (real / "dogs" / "dead.png").symlink_to("/nowhere/x.png")
    data = read(folder)
    assert sorted(shades(data)) == [0, 1, 2] and data.classes == ["cats", "dogs"]
    assert data.left_out == ["dogs/dead.png (a link that leads nowhere)"]
    (tmp_path / "root").symlink_to(real)
    assert sorted(shades(read(tmp_path / "root"))) == [0, 1, 2]


# Values over 8 bits


def test_12_bits_in_16_bit_files_are_scaled_by_their_own_range_and_it_is_said(tmp_path):
    for i in range(6):
        values = np.full((8, 8), 100 * i, np.uint16)
        values[0, 0] = 4080 if i == 3 else 16
        Image.fromarray(values).save(tmp_path / f"{i}.png")
    data = read(tmp_path)
    assert data.images[:, 0, 4, 4].tolist() == [round(100 * i / 4095 * 255) for i in range(6)]  # one range for all
    assert data.remarks == ["The 16-bit values go from 0 to 4,080; 0 is black and 4,095 is white."]
    assert read(tmp_path, "train").remarks == read(tmp_path, "test").remarks == data.remarks
    given = read(tmp_path, value_range="0:510")
    assert given.images[:, 0, 4, 4].tolist() == [50 * i for i in range(6)]
    assert "510 is white" in given.remarks[0]


def test_16_bits_stay_16_and_other_depths_have_their_own_range(tmp_path):
    for name, top in (("a.png", 65535), ("b.png", 300)):
        Image.fromarray(np.array([[0, top]] * 2, np.uint16)).resize((8, 8), 0).save(tmp_path / name)
    for name, top in (("c.tif", 25.0), ("d.tif", 50.0)):
        Image.fromarray(np.array([[0, top]] * 2, np.float32)).resize((8, 8), 0).save(tmp_path / name)
    data = read(tmp_path)
    assert data.images[:, 0, 0, -1].tolist() == [255, 1, 128, 255]
    assert [remark.split(";")[1] for remark in data.remarks] == [
        " 0 is black and 65,535 is white.",
        " 0 is black and 50 is white.",
    ]


# Channels


def test_transparency_is_a_channel_where_it_is_asked_for(tmp_path):
    rgba = np.random.default_rng(0).integers(0, 256, (8, 8, 4), np.uint8)
    Image.fromarray(rgba).save(tmp_path / "a.png")
    Image.fromarray(rgba[..., :3]).save(tmp_path / "b.png")
    data = read(tmp_path, channels=4)
    np.testing.assert_array_equal(data.images[0].numpy(), rgba.transpose(2, 0, 1))
    assert data.images[1, 3].unique().tolist() == [255] and data.source_channels == 4
    assert data.remarks == ["The images have 4 channels, and all are kept."]
    assert read(tmp_path, channels=3).remarks == ["Some images are transparent; they are laid on white."]
    grey = read(tmp_path, channels=2)
    assert grey.images.shape == (2, 2, 8, 8) and torch.equal(grey.images[:, 1], data.images[:, 3])


# Names


def test_file_names_in_the_order_of_the_images(tmp_path):
    put(tmp_path, [f"{c}/{i}.png" for c in "ab" for i in range(5)])
    (tmp_path / "a" / "2.png").write_text("broken")
    names = {f"{c}/{i}.png": 5 * "ab".index(c) + i for c in "ab" for i in range(5)}
    for split in ("train", "test", "all"):
        data, lazy = read(tmp_path, split), read(tmp_path, split, limit_bytes=0)
        assert shades(data) == [names[name] for name in data.names] and "a/2.png" not in data.names
        assert [name for name in lazy.names if name != "a/2.png"] == data.names
    digits = load_data("digits", "test")
    everything = load_data("digits", "all")
    assert len(digits.names) == len(digits) and len(everything) == 1797
    first = int(digits.names[0])
    assert torch.equal(everything.images[first], digits.images[0])


def test_formats_in_the_data_root_are_listed(tmp_path, monkeypatch):
    monkeypatch.setenv("VAE_DATA_DIR", os.fspath(tmp_path))
    np.save(tmp_path / "x.npy", np.zeros((5, 8, 8), np.uint8))
    (tmp_path / "MNIST" / "raw").mkdir(parents=True)
    (tmp_path / "MNIST" / "raw" / "train-images-idx3-ubyte").touch()
    (tmp_path / "slices").mkdir()
    np.save(tmp_path / "slices" / "1.npy", np.zeros((8, 8)))
    (tmp_path / "notes.txt").touch()
    assert data_names() == ["digits", "slices", "x.npy"]
    assert len(read("x.npy")) == 5
