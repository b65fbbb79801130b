import errno
import gc
import gzip
import os
import struct
import threading
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image

from vae.data import builtin
from vae.data.folders import list_images
from vae.data.sets import data_names, load_data
from vae.data.splits import split_dataset, split_indices
from vae.errors import InputError
from vae.images import fit, open_image, to_array


def make_folder(folder, names, size=(24, 20)):
    """Images of one colour each, the number of the image as its red."""
    for i, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", size, (i, 0, 0)).save(path)
    return folder


def reds(data):
    return data.images[:, 0, 0, 0].tolist()


@pytest.fixture(autouse=True)
def no_cache(monkeypatch, tmp_path_factory):
    """No test reads or fills the cache of whoever runs it, or their data root."""
    monkeypatch.setattr(builtin, "cache_dir", lambda: tmp_path_factory.getbasetemp() / "cache")
    monkeypatch.delenv("VAE_DATA_DIR", raising=False)


@pytest.fixture
def no_network(monkeypatch):
    def refuse(*args, **kwargs):
        raise OSError("no network")

    monkeypatch.setattr("socket.socket.connect", refuse)
    monkeypatch.setattr("socket.getaddrinfo", refuse)


# Known sets


def test_digits_need_no_network(no_network):
    train, test = load_data("digits", border=2), load_data("digits", "test", border=2)
    assert (len(train), len(test)) == (1437, 360)
    assert train.images.shape == (1437, 1, 32, 32) and train.images.dtype == torch.uint8
    assert train.labels.shape == (1437,) and train.classes == [str(i) for i in range(10)]
    assert train.labels.bincount().min() > 120 and test.labels.bincount().min() > 25
    assert train.images[:, :, :2].max() == 0 and train.images.max() > 250


def test_digits_are_the_same_every_time():
    first, second = load_data("digits"), load_data("digits")
    assert torch.equal(first.images, second.images) and torch.equal(first.labels, second.labels)
    assert not torch.equal(load_data("digits", test_size=0.5).labels[:100], first.labels[:100])


def write_idx(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    data = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.astype(np.uint8).tobytes()
    with gzip.open(path, "wb") if path.suffix == ".gz" else path.open("wb") as file:
        file.write(data)


def fake_mnist(root, folder="MNIST", ending=".gz", count=20):
    pixels = np.random.default_rng(0).integers(0, 256, (count, 28, 28))
    for stem in ("train", "t10k"):
        write_idx(root / folder / "raw" / f"{stem}-images-idx3-ubyte{ending}", pixels)
        write_idx(root / folder / "raw" / f"{stem}-labels-idx1-ubyte{ending}", np.arange(count) % 10)
    return pixels


@pytest.mark.parametrize("ending", [".gz", ""])
@pytest.mark.parametrize("name, folder", [("mnist", "MNIST"), ("fashion", "FashionMNIST")])
def test_idx_files_are_read_where_they_lie(name, folder, ending, tmp_path, no_network):
    pixels = fake_mnist(tmp_path, folder, ending)
    before = sorted(tmp_path.rglob("*"))
    data = load_data(name, border=2, root=tmp_path)
    np.testing.assert_array_equal(data.images[:, 0, 2:30, 2:30].numpy(), pixels)
    assert data.images.sum() == pixels.sum()  # the border is black
    assert data.labels.tolist() == [i % 10 for i in range(20)] and len(data.classes) == 10
    assert sorted(tmp_path.rglob("*")) == before
    assert name in data_names(tmp_path)


def test_grey_sets_as_colour(tmp_path):
    pixels = fake_mnist(tmp_path)
    data = load_data("mnist", size=28, channels=3, root=tmp_path)
    assert data.images.shape == (20, 3, 28, 28)
    assert all(np.array_equal(data.images[:, c].numpy(), pixels) for c in range(3))


def test_damaged_idx_file(tmp_path):
    fake_mnist(tmp_path)
    file = tmp_path / "MNIST" / "raw" / "train-images-idx3-ubyte.gz"
    whole = file.read_bytes()
    for bad in (
        whole[:-100],
        b"no gzip",
        gzip.compress(b"\0\0\x08\x03\0\0"),
        gzip.compress(b""),
        gzip.compress(b"x" * 99),
    ):
        file.write_bytes(bad)
        with pytest.raises(InputError, match="train-images-idx3-ubyte"):
            load_data("mnist", root=tmp_path)
    write_idx(file, np.zeros((3, 28, 28)))
    with pytest.raises(InputError, match="do not belong together"):
        load_data("mnist", root=tmp_path)


def test_mnist_itself(data_dir, no_network):
    data = load_data("mnist", "test", border=2, root=data_dir)
    assert data.images.shape == (10_000, 1, 32, 32)
    assert data.labels[:5].tolist() == [7, 2, 1, 0, 4]
    assert data.images.float().mean().item() * 32**2 / 28**2 == pytest.approx(33.79, abs=0.01)


def test_dogs_themselves(data_dir):
    train, test = (load_data("dogs128", s, 64, 3, root=data_dir, limit_bytes=0) for s in ("train", "test"))
    assert (len(train), len(test)) == (5112, 1279)
    preview = train.preview()
    assert preview.shape == (16, 3, 64, 64) and 60 < preview.float().mean() < 180 and train.skipped == 0


@pytest.mark.parametrize("name", ["mnist", "fashion", "cifar10"])
def test_no_data_and_no_network(name, tmp_path, no_network):
    with pytest.raises(InputError, match=r"cannot be downloaded.*VAE_DATA_DIR"):
        load_data(name, root=tmp_path)
    assert name not in data_names(tmp_path)


def test_cifar_through_torchvision(tmp_path, monkeypatch):
    class Fake:
        classes = ("plane", "car")

        def __init__(self, root, train=True, download=False):
            assert os.fspath(root) == os.fspath(tmp_path) and not download
            self.data = np.full((4 if train else 2, 32, 32, 3), 9, np.uint8)
            self.targets = [0, 1] * (len(self.data) // 2)

    monkeypatch.setattr("torchvision.datasets.CIFAR10", Fake)
    (tmp_path / "cifar-10-batches-py").mkdir()
    data = load_data("cifar10", channels=3, root=tmp_path)
    assert data.images.shape == (4, 3, 32, 32) and data.labels.tolist() == [0, 1, 0, 1]
    assert load_data("cifar10", "test", channels=1, root=tmp_path).images.shape == (2, 1, 32, 32)


# Folders


def test_folder_split_like_seed_1(tmp_path):
    folder = make_folder(tmp_path / "dogs", [f"{i:02}.png" for i in range(10)])
    train, test = load_data(folder, channels=3, size=16), load_data(folder, "test", channels=3, size=16)
    assert train.name == "dogs" and train.labels is None and train.classes is None
    assert sorted(reds(train) + reds(test)) == list(range(10)) and len(test) == 2
    split_dataset(folder, tmp_path / "train", tmp_path / "test")
    assert sorted(int(f.stem) for f in (tmp_path / "test").iterdir()) == sorted(reds(test))


def test_pictures_are_fitted_as_a_single_one_is(tmp_path):
    random = np.random.default_rng(0)
    (tmp_path / "d").mkdir()
    for i in range(5):
        Image.fromarray(random.integers(0, 255, (90, 120, 3), np.uint8)).save(tmp_path / "d" / f"{i}.jpg")
    data = load_data(tmp_path / "d", size=16, channels=1, border=2, test_size=0.2)
    files = [list_images(tmp_path / "d")[i] for i in split_indices(5)[0].tolist()]
    expected = np.stack([to_array(fit(open_image(f, size_hint=16), 16, 1, 2)) for f in files])
    np.testing.assert_array_equal(data.images.numpy(), expected)


def test_class_folders(tmp_path):
    folder = make_folder(
        tmp_path / "pets", [f"{c}/{d}/{i}.png" for c in ("dog", "cat") for d in "ab" for i in range(5)]
    )
    data = load_data(folder, channels=3)
    assert data.classes == ["cat", "dog"]
    assert data.labels.tolist() == [0 if red >= 10 else 1 for red in reds(data)]


@pytest.mark.parametrize(("colours", "channels"), [([(9, 9, 9)] * 4, 1), ([(9, 9, 9)] * 3 + [(9, 0, 0)], 3)])
def test_channels_of_the_source_are_those_that_are_seen(tmp_path, colours, channels):
    for i, colour in enumerate(colours):
        Image.new("RGB", (8, 8), colour).save(tmp_path / f"{i}.png")  # grey too is often kept as RGB
    splits = [load_data(tmp_path, split, size=8, channels=3, test_size=0.5) for split in ("train", "test")]
    assert max(data.source_channels for data in splits) == channels


@pytest.mark.parametrize(("colour", "channels"), [((9, 9, 9, 80), 2), ((9, 0, 0, 80), 4), ((9, 0, 0, 255), 3)])
def test_transparency_of_the_source_counts_where_there_is_any(tmp_path, colour, channels):
    for i in range(3):
        Image.new("RGBA", (8, 8), colour).save(tmp_path / f"{i}.png")
    data = load_data(tmp_path, size=8, channels=4, test_size=0.5)
    assert data.source_channels == channels
    assert data.images[0, :, 0, 0].tolist() == list(colour)


def test_wrapping_folders_are_no_classes(tmp_path):
    folder = make_folder(tmp_path / "x", [f"y/z/{i}.png" for i in range(5)])
    assert load_data(folder).classes is None
    make_folder(tmp_path / "w", [f"y/{c}/{i}.png" for c in "ab" for i in range(5)])
    assert load_data(tmp_path / "w").classes == ["a", "b"]


def test_pictures_beside_folders_make_no_classes(tmp_path):
    assert load_data(make_folder(tmp_path / "x", ["0.png", "1.png", "a/2.png", "b/3.png"])).classes is None


@pytest.mark.parametrize("other", ["test", "val"])
def test_folders_that_come_split(other, tmp_path):
    names = [f"train/{c}/{i}.png" for c in "ab" for i in range(4)] + [f"{other}/{c}/0.png" for c in "ab"]
    folder = make_folder(tmp_path / "d", names)
    train, test = load_data(folder, channels=3), load_data(folder, "test", channels=3)
    assert reds(train) == list(range(8)) and reds(test) == [8, 9]
    assert train.classes == test.classes == ["a", "b"] and test.labels.tolist() == [0, 1]


def test_broken_files_are_counted_and_left_out(tmp_path):
    folder = make_folder(tmp_path / "d", [f"{c}/{i}.png" for c in "ab" for i in range(10)])
    (folder / "a" / "text.png").write_text("not a picture")
    (folder / "a" / "empty.jpg").touch()
    whole = (folder / "b" / "3.png").read_bytes()
    (folder / "b" / "cut.png").write_bytes(whole[: len(whole) // 2])
    (folder / "notes.txt").write_text("not looked at")
    (folder / "b" / ".hidden.png").write_text("not looked at")
    train, test = load_data(folder, channels=3), load_data(folder, "test", channels=3)
    assert train.skipped + test.skipped == 3 and len(train) + len(test) == 20
    assert len(train.labels) == len(train) and train.labels.tolist() == [r // 10 for r in reds(train)]
    assert f"{train.skipped} unreadable" in train.describe()


def test_links_to_folders_are_not_followed(tmp_path):
    folder = make_folder(tmp_path / "d", ["0.png", "1.png"])
    (folder / "loop").symlink_to(folder)
    assert len(list_images(folder)) == 2


def test_folders_without_pictures(tmp_path):
    (tmp_path / "empty").mkdir()
    make_folder(tmp_path / "one", ["0.png"])
    (tmp_path / "bad").mkdir()
    for i in range(5):
        (tmp_path / "bad" / f"{i}.png").write_text("no")
    for name, words in (("empty", "no pictures"), ("one", "two or more"), ("bad", "None of the 4 pictures")):
        with pytest.raises(InputError, match=words):
            load_data(tmp_path / name)
    with pytest.raises(InputError, match="no folder"):
        list_images(tmp_path / "none")


# Sets too large to hold


def test_read_on_demand(tmp_path):
    folder = make_folder(tmp_path / "d", [f"{c}/{i}.png" for c in "ab" for i in range(10)])
    held = load_data(folder, channels=3)
    lazy = load_data(folder, channels=3, limit_bytes=16 * 3 * 32 * 32 - 1)
    assert lazy.images is None and len(lazy) == len(held) == 16 and "on demand" in lazy.describe()
    assert torch.equal(lazy.labels, held.labels)
    chosen = torch.tensor([5, 0, 15, 5])
    assert torch.equal(lazy.batch(chosen), held.batch(chosen))
    assert torch.equal(lazy.batch([3, -1]), held.batch([3, -1]))
    assert torch.equal(lazy.preview(4), held.preview(4))
    assert load_data(folder, channels=3, limit_bytes=16 * 3 * 32 * 32).images is not None
    with pytest.raises(IndexError):
        lazy.batch([16])


def test_batches_are_read_ahead_in_order(tmp_path):
    folder = make_folder(tmp_path / "d", [f"{i:02}.png" for i in range(20)])
    parts = torch.randperm(16, generator=torch.Generator().manual_seed(0)).split(3)
    held, lazy = load_data(folder, channels=3), load_data(folder, channels=3, limit_bytes=1)
    for data in (held, lazy):
        assert torch.equal(torch.cat(list(data.batches(parts))), held.images[torch.cat(parts)])
    reading = lazy.batches(iter(parts))
    assert torch.equal(next(reading), held.images[parts[0]])
    reading.close()


def test_known_sets_on_demand(tmp_path):
    fake_mnist(tmp_path)
    held, lazy = (load_data("mnist", size=64, root=tmp_path, limit_bytes=b) for b in (2**30, 1))
    assert lazy.images is None and torch.equal(lazy.batch(range(20)), held.images)


def test_a_file_that_vanishes(tmp_path):
    folder = make_folder(tmp_path / "d", [f"{i}.png" for i in range(5)])
    lazy = load_data(folder, limit_bytes=1)
    assert lazy.batch([0]).shape == (1, 1, 32, 32)
    for file in folder.iterdir():
        file.unlink()
    with pytest.raises(InputError, match=r"\.png of d has vanished"):
        lazy.batch([0, 1])


def test_a_broken_file_met_later_gives_way_to_the_next(tmp_path):
    folder = make_folder(tmp_path / "d", [f"{i}.png" for i in range(6)])
    lazy = load_data(folder, channels=3, limit_bytes=1)
    files = [list_images(folder)[i] for i in split_indices(6)[0].tolist()]
    files[1].write_text("broken")
    for _ in range(2):
        assert torch.equal(lazy.batch([1]), lazy.batch([2]))
    assert lazy.skipped == 1
    for file in files:
        file.write_text("broken")
    with pytest.raises(InputError, match=r"None of the \d images of d can be read"):
        lazy.batch([0])


# Archives


@pytest.fixture
def archive(tmp_path, monkeypatch):
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    folder = make_folder(tmp_path / "d", [f"{c}/{i}.png" for c in "ab" for i in range(5)])
    (folder / "a" / "bad.png").write_text("broken")
    with zipfile.ZipFile(tmp_path / "pets.zip", "w") as file:
        for picture in list_images(folder):
            file.write(picture, picture.relative_to(tmp_path))
    return tmp_path / "pets.zip"


def test_archive_equals_its_folder(archive, tmp_path):
    data, folder = load_data(archive, channels=3), load_data(tmp_path / "d", channels=3)
    assert torch.equal(data.images, folder.images) and torch.equal(data.labels, folder.labels)
    assert (data.name, data.classes, data.skipped) == ("pets.zip", ["a", "b"], folder.skipped)
    assert list((tmp_path / "temporary").iterdir()) == []


def test_archive_read_on_demand_is_removed_with_its_set(archive, tmp_path):
    data = load_data(archive, channels=3, limit_bytes=1)
    assert torch.equal(data.batch([0, 1]), load_data(archive, channels=3).images[:2])
    assert len(list((tmp_path / "temporary").iterdir())) == 1
    del data
    gc.collect()
    assert list((tmp_path / "temporary").iterdir()) == []


def test_a_refused_archive_leaves_nothing(archive, tmp_path):
    with zipfile.ZipFile(tmp_path / "evil.zip", "w") as file:
        file.writestr("good.png", b"x")
        file.writestr("../../evil.png", b"x")
    (tmp_path / "text.zip").write_text("no archive")
    with zipfile.ZipFile(tmp_path / "texts.zip", "w") as file:
        file.writestr("0.png", b"x"), file.writestr("1.png", b"x")
    for name, words in (("evil", "outside"), ("text", "damaged"), ("texts", "can be read")):
        with pytest.raises(InputError, match=words):
            load_data(tmp_path / f"{name}.zip")
    assert list((tmp_path / "temporary").iterdir()) == []


# Names


def test_names_in_the_data_root(tmp_path, monkeypatch):
    make_folder(tmp_path / "root" / "pets", ["a/0.png", "b/1.png", "b/2.png"])
    (tmp_path / "root" / "text").mkdir()
    (tmp_path / "root" / "readme.md").write_text("x")
    (tmp_path / "root" / "old.zip").write_text("x")
    monkeypatch.setenv("VAE_DATA_DIR", str(tmp_path / "root"))
    assert data_names() == ["digits", "old.zip", "pets"]
    assert load_data("pets").name == "pets"
    monkeypatch.setenv("VAE_DATA_DIR", str(tmp_path / "gone"))
    assert data_names() == ["digits"]


@pytest.mark.parametrize("name", ["imagenet", "", "no/such/folder", "a\nb", "a\0b", "x" * 5000])
def test_unknown_name_says_what_is_accepted(name, tmp_path, monkeypatch):
    (tmp_path / "sub").mkdir()
    monkeypatch.chdir(tmp_path / "sub")
    with pytest.raises(InputError, match=r"digits, mnist, fashion, cifar10, a folder") as caught:
        load_data(name)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_no_archive(tmp_path):
    (tmp_path / "a.rar").write_text("x")
    with pytest.raises(InputError, match="neither a folder of pictures nor"):
        load_data(tmp_path / "a.rar")


@pytest.mark.parametrize("wrong", [{"split": "valid"}, {"test_size": 0}, {"channels": 5}, {"size": 4, "border": 2}])
def test_arguments_out_of_range(wrong):
    with pytest.raises(InputError):
        load_data("digits", **wrong)


def test_progress_and_preview(tmp_path):
    fake_mnist(tmp_path, count=200)
    seen = []
    data = load_data("mnist", root=tmp_path, progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (200, 200) and len(seen) > 1
    assert data.preview().shape == (16, 1, 32, 32) and data.preview(1000).shape[0] == 200
    assert torch.equal(data.preview(4), data.images[[0, 50, 100, 150]])
    assert data.describe() == "mnist: 200 pictures, 32 x 32 grey, 10 classes"


# Splits


@pytest.mark.parametrize("n", [2, 3, 10, 101, 6391])
def test_split_indices_are_those_of_scikit_learn(n):
    from sklearn.model_selection import train_test_split

    for size, seed in ((0.2, 42), (0.37, 7)):
        train, test = train_test_split(range(n), test_size=size, random_state=seed)
        ours = split_indices(n, size, seed)
        assert ours[0].tolist() == sorted(train) and ours[1].tolist() == sorted(test)


def test_split_dataset_as_seed_1_describes(tmp_path):
    from sklearn.model_selection import train_test_split

    names = sorted([f"{i}.png" for i in range(20)] + ["a.JPG", "b.jpeg"])
    source = tmp_path / "source"
    source.mkdir()
    for name in names:
        (source / name).write_text(name)
    (source / "notes.txt").touch()
    (source / "folder.png").mkdir()
    assert split_dataset(source, tmp_path / "x" / "train", tmp_path / "x" / "test") == (17, 5)
    train, test = train_test_split(names, test_size=0.2, random_state=42)
    assert sorted(f.name for f in (tmp_path / "x" / "train").iterdir()) == sorted(train)
    assert sorted(f.name for f in (tmp_path / "x" / "test").iterdir()) == sorted(test)
    assert all((source / name).read_text() == name for name in names)


@pytest.mark.parametrize("size", [0.0, 1.0, -1, float("nan")])
def test_split_dataset_refuses_and_creates_nothing(size, tmp_path):
    source = make_folder(tmp_path / "source", ["0.png", "1.png"])
    with pytest.raises(InputError, match="test_size"):
        split_dataset(source, tmp_path / "train", tmp_path / "test", test_size=size)
    for file in source.iterdir():
        file.unlink()
    with pytest.raises(InputError, match="too few"):
        split_dataset(source, tmp_path / "train", tmp_path / "test")
    with pytest.raises(InputError, match="no folder"):
        split_dataset(tmp_path / "none", tmp_path / "train", tmp_path / "test")
    assert [f.name for f in tmp_path.iterdir()] == ["source"]


def test_loading_leaves_no_threads():
    before = set(threading.enumerate())
    load_data("digits")
    assert set(threading.enumerate()) <= before


def test_a_cache_that_cannot_be_written_is_not_taken_for_a_missing_network():
    def fetch():
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    with pytest.raises(InputError, match=r"MNIST cannot be kept in '.*': Read-only file system"):
        builtin._download("MNIST", fetch)
