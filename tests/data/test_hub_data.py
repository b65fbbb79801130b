"""The Hub through a stand-in for `datasets` that keeps to the few calls used; and through the real one, where there is
one, from files on the disk."""

import gc
import io
import sys
import threading
import types

import numpy as np
import pytest
import torch
from PIL import Image
from waiting import until

from vae.data import hub as hub_data
from vae.data.sets import load_data
from vae.errors import InputError
from vae.images import fit, png_bytes, to_array

SHAPE = (1, 8, 8)


def FIT(image):
    return to_array(fit(image, 8, 1))


class ImageFeature:
    def __init__(self, decode=True):
        self.decode = decode


class ClassLabel:
    names = ("cat", "dog")


class Value:
    pass


class Stream:
    def __init__(self, rows, features, count, num_shards=1):
        self.rows, self.features, self.num_shards = rows, features, num_shards
        sizes = dict.fromkeys(("train", "test"), types.SimpleNamespace(num_examples=count))
        self.info = types.SimpleNamespace(splits=sizes if count else None)

    def cast_column(self, column, feature):
        assert isinstance(self.features[column], ImageFeature) and not feature.decode
        return self

    def shard(self, num_shards, index):
        assert self.num_shards % num_shards == 0
        self.rows = self.rows[index * len(self.rows) // num_shards : (index + 1) * len(self.rows) // num_shards]
        return self

    def __iter__(self):
        yield from self.rows


def row(i, broken=False):
    data = b"broken" if broken else png_bytes(Image.new("L", (10, 9), i % 256))
    return {"title": "x", "picture": {"bytes": data, "path": None}, "label": i % 2}


@pytest.fixture
def hub(monkeypatch):
    """Sets up a Hub with one data set; call it with the splits' rows."""

    def serve(count=None, features=None, files=None, shards=1, **splits):
        if features is None:
            features = {"title": Value(), "picture": ImageFeature(), "label": ClassLabel()}
        module = types.ModuleType("datasets")
        module.Image, module.ClassLabel = ImageFeature, ClassLabel
        module.load_dataset_builder = lambda name: types.SimpleNamespace(config=types.SimpleNamespace(data_files=files))
        module.get_dataset_split_names = lambda name: list(splits)

        def load_dataset(name, split, streaming):
            assert streaming and name == "some/pictures"
            return Stream(splits[split], features, count, shards)

        module.load_dataset = load_dataset
        monkeypatch.setitem(sys.modules, "datasets", module)

    monkeypatch.setattr("huggingface_hub.HfApi.dataset_info", lambda self, name, timeout: None)
    return serve


def values(pixels):
    return pixels[:, 0, 0, 0].tolist()


def test_splits_of_its_own(hub):
    hub(train=[row(i) for i in range(6)], test=[row(i) for i in (7, 8)])
    train = load_data("some/pictures", size=8)
    test = load_data("some/pictures", "test", size=8)
    assert values(train.images) == list(range(6)) and values(test.images) == [7, 8]
    assert train.classes == ["cat", "dog"] and train.labels.tolist() == [0, 1, 0, 1, 0, 1]
    assert train.name == "some/pictures" and not train.cut


def test_every_fifth_is_for_testing_where_there_is_no_split(hub):
    hub(train=[row(i) for i in range(10)])
    assert values(hub_data.load("some/pictures", "test", FIT, SHAPE, 2**20).images) == [4, 9]
    assert values(hub_data.load("some/pictures", "train", FIT, SHAPE, 2**20).images) == [0, 1, 2, 3, 5, 6, 7, 8]


@pytest.mark.parametrize("share", [0.5, 0.3, 0.1, 0.01])
def test_the_share_for_testing_is_the_one_asked_for(share, hub):
    hub(train=[row(i) for i in range(200)])
    train, test = (load_data("some/pictures", split, size=8, test_size=share) for split in ("train", "test"))
    assert len(test) == round(200 * share) and sorted(values(train.images) + values(test.images)) == list(range(200))
    assert train.names == [str(i) for i in values(train.images)]
    assert values(load_data("some/pictures", "val", size=8, test_size=share).images) == values(test.images)
    assert len(load_data("some/pictures", size=8, test_size=None)) == 200 == len(load_data("some/pictures", "all"))


def test_a_validation_split_is_for_validating(hub):
    hub(Training=[row(i) for i in range(6)], validation=[row(7)], test=[row(8), row(9)])
    found = {split: values(load_data("some/pictures", split, size=8).images) for split in ("train", "val", "test")}
    assert found == {"train": [0, 1, 2, 3, 4, 5], "val": [7], "test": [8, 9]}
    assert values(load_data("some/pictures", "all", size=8).images) == [*range(6), 7, 8, 9]


def test_broken_pictures_are_counted(hub):
    rows = [row(i, broken=i in (1, 4)) for i in range(6)] + [{**row(0), "picture": None}]
    hub(train=rows, test=rows[:1])
    data = hub_data.load("some/pictures", "train", FIT, SHAPE, 2**20)
    assert values(data.images) == [0, 2, 3, 5] and data.labels.tolist() == [0, 0, 1, 1] and data.skipped == 3
    hub(train=[row(0, broken=True)], test=[])
    with pytest.raises(InputError, match="no pictures that can be read"):
        hub_data.load("some/pictures", "train", FIT, SHAPE, 2**20)


@pytest.mark.parametrize(
    ("path", "own"),
    [
        ("hf://datasets/some/pictures/a.png", True),
        ("hf://datasets/some/pictures@0123/train/a.png", True),
        ("zip://a.png::hf://datasets/some/pictures@0123/all.zip", True),
        ("hf://datasets/some/pictures-of-others/a.png", False),
        ("hf://datasets/some/pictures/../others/a.png", False),
        ("hf://some/pictures/a.png", False),
        ("http://127.0.0.1:7860/a.png", False),
        ("zip://a.png::http://127.0.0.1/all.zip", False),
        ("simplecache::file:///etc/passwd::hf://datasets/some/pictures/a.png", False),
        ("{file}", False),
        ("file://{file}", False),
    ],
)
def test_a_cell_names_no_file_but_the_repositorys_own(path, own, monkeypatch, tmp_path):
    opened = []

    def open_(path, mode):
        opened.append(path)
        return io.BytesIO(b"an image")

    monkeypatch.setitem(sys.modules, "fsspec", types.SimpleNamespace(open=open_))
    (tmp_path / "a.png").write_bytes(b"an image")
    path = path.format(file=tmp_path / "a.png")
    if own:
        assert hub_data._bytes({"bytes": None, "path": path}, "some/pictures") == b"an image" and opened == [path]
    else:
        with pytest.raises(InputError, match="outside of it"):
            hub_data._bytes({"bytes": None, "path": path}, "some/pictures")
        assert not opened


@pytest.mark.parametrize(
    "value", ["/home/*/*.png", "~/a.png", "http://127.0.0.1/a.parquet", "../others/*.png", "a/../../b", "C:\\a.png"]
)
def test_a_card_leads_to_no_files_elsewhere(hub, monkeypatch, value):
    hub(train=[row(i) for i in range(4)])
    for data_files in (value, [value], {"train": value}, [{"split": "train", "path": ["a.png", value]}]):
        info = types.SimpleNamespace(card_data={"configs": [{"config_name": "default", "data_files": data_files}]})
        monkeypatch.setattr("huggingface_hub.HfApi.dataset_info", lambda self, name, timeout, info=info: info)
        with pytest.raises(InputError, match="outside of it"):
            load_data("some/pictures")
    info = types.SimpleNamespace(card_data={"configs": [{"data_files": [{"split": "train", "path": "data/*.png"}]}]})
    monkeypatch.setattr("huggingface_hub.HfApi.dataset_info", lambda self, name, timeout: info)
    assert len(load_data("some/pictures", size=8))


def test_files_that_the_library_finds_elsewhere_are_not_opened(hub):
    hub(files={"train": ["hf://datasets/some/pictures@0/a.png", "/home/me/b.png"]}, train=[row(0)])
    with pytest.raises(InputError, match="outside of it"):
        load_data("some/pictures")


def test_rows_that_name_other_files_count_as_broken(hub, tmp_path):
    (tmp_path / "a.png").write_bytes(png_bytes(Image.new("L", (9, 9))))
    hub(train=[row(0), {**row(1), "picture": {"bytes": None, "path": str(tmp_path / "a.png")}}, row(2)])
    assert load_data("some/pictures", "train", size=8, channels=1).skipped == 1


def test_columns(hub):
    features = {"title": Value(), "depth": ImageFeature(), "picture": ImageFeature()}
    rows = [{**row(i), "depth": row(i + 100)["picture"]} for i in range(3)]
    hub(features=features, train=rows, test=rows)
    assert values(hub_data.load("some/pictures", "train", FIT, SHAPE, 2**20).images) == [100, 101, 102]
    data = hub_data.load("some/pictures:picture", "train", FIT, SHAPE, 2**20)
    assert values(data.images) == [0, 1, 2] and data.labels is None
    for column in ("title", "none"):
        with pytest.raises(InputError, match=f"'{column}'; it has title, depth, picture"):
            hub_data.load(f"some/pictures:{column}", "train", FIT, SHAPE, 2**20)


def test_of_a_large_set_testing_gets_the_first_pictures(hub):
    hub(train=[row(i) for i in range(100)], test=[row(i) for i in range(100)], count=100)
    data = hub_data.load("some/pictures", "test", FIT, SHAPE, limit_bytes=64 * 10)
    assert values(data.images) == list(range(10)) and data.cut and "first of a larger set" in data.describe()


def test_of_a_large_set_training_gets_a_stream(hub):
    hub(train=[row(i, broken=i == 3) for i in range(50)], test=[row(0)], count=50)
    before = set(threading.enumerate())
    data = hub_data.load("some/pictures", "train", FIT, SHAPE, limit_bytes=64 * 49, window=10)
    assert data.images is None and len(data) == 50 and data.batch([0]).shape == (1, *SHAPE)
    assert values(data.preview(4)) == values(data.preview(4)) and len(set(values(data.preview(4)))) == 4
    order = torch.Generator().manual_seed(0)
    seen = [values(data.batch(torch.randperm(50, generator=order)[:7])) for _ in range(60)]
    assert {value for batch in seen for value in batch} == set(range(50)) - {3}  # all of it passes by, again and again
    assert len(set(seen[0])) > 3 and data.skipped >= 1
    del data
    gc.collect()
    until(lambda: set(threading.enumerate()) <= before)


@pytest.mark.parametrize("own", [True, False], ids=["a test split", "none"])
@pytest.mark.parametrize("shards", [1, 8])
def test_several_processes_see_as_many_images_as_one(hub, own, shards):
    kinds = {"train": [row(i) for i in range(240)]} | ({"test": [row(0)]} if own else {})
    hub(count=240, shards=shards, **kinds)
    count = 240 if own else 192
    for processes in (1, 8):
        share = {"limit_bytes": 64 * 100, "window": 40, "processes": processes}
        sets = [hub_data.load("some/pictures", "train", FIT, SHAPE, **share, process=i) for i in range(processes)]
        order = torch.randperm(count, generator=torch.Generator().manual_seed(0))
        seen = [values(data.batch(order[:160][i::processes])) for i, data in enumerate(sets)]
        assert [len(data) for data in sets] == [count] * processes
        assert len({value for part in seen for value in part}) == 160  # every image once


def test_a_stream_is_the_same_each_time(hub):
    hub(train=[row(i) for i in range(50)], test=[row(0)], count=50)
    sets = [hub_data.load("some/pictures", "train", FIT, SHAPE, 64 * 20, window=16) for _ in range(2)]
    for _ in range(5):
        assert torch.equal(*(data.batch([40, 3, 3, 9]) for data in sets))


def test_a_stream_that_breaks_off(hub):
    def rows():
        yield from (row(i) for i in range(20))
        raise ConnectionResetError

    class Rows:
        __iter__ = staticmethod(rows)

    hub(train=Rows(), test=[row(0)], count=50)
    data = hub_data.load("some/pictures", "train", FIT, SHAPE, 64 * 4, window=4)
    with pytest.raises(InputError, match="broke off"):
        for _ in range(10):
            data.batch(range(4))


def test_without_the_library(monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(InputError, match="pip install datasets"):
        load_data("some/pictures")


@pytest.mark.parametrize(
    "status, words", [(404, "no public data set"), (403, "terms"), (500, "500"), (None, "network")]
)
def test_what_the_hub_may_answer(status, words, hub, monkeypatch):
    hub(train=[])

    def refuse(self, name, timeout):
        error = ConnectionError("long\ntechnical text")
        error.response = types.SimpleNamespace(status_code=status)
        raise error

    monkeypatch.setattr("huggingface_hub.HfApi.dataset_info", refuse)
    with pytest.raises(InputError, match=words) as caught:
        load_data("some/pictures")
    assert "'some/pictures' is no folder or archive here" in str(caught.value) and "\n" not in str(caught.value)


def test_the_real_library_on_files(tmp_path, monkeypatch):
    datasets = pytest.importorskip("datasets", reason="the library datasets is not installed")
    monkeypatch.setattr("huggingface_hub.HfApi.dataset_info", lambda self, name, timeout: None)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr(hub_data, "_is_own", lambda path, repository: path.startswith(repository))
    for name in ("cat", "dog"):
        folder = tmp_path / "files" / "train" / name
        folder.mkdir(parents=True)
        for i in range(10):
            Image.fromarray(np.full((12, 10, 3), i, np.uint8)).save(folder / f"{i}.png")
    data = hub_data.load(str(tmp_path / "files"), "train", FIT, SHAPE, 2**20)
    assert data.classes == ["cat", "dog"] and len(data) == 16
    assert sorted(values(data.images)) == sorted([0, 1, 2, 3, 5, 6, 7, 8] * 2)
