"""Parquet files and folders of the library `datasets`, through pyarrow."""

import gc
import json

import numpy as np
import pytest
import torch
from PIL import Image

from vae.data import tables
from vae.data.sets import load_data
from vae.errors import InputError
from vae.images import png_bytes

pa = pytest.importorskip("pyarrow", reason="the library pyarrow is not installed")
pq = pytest.importorskip("pyarrow.parquet")


def png(shade):
    return png_bytes(Image.new("L", (8, 8), shade))


def rows(count, start=0, broken=()):
    cells = [{"bytes": b"broken" if i in broken else png(i), "path": f"{i}.png"} for i in range(start, start + count)]
    return pa.table({"id": list(range(count)), "image": cells, "label": [i % 2 for i in range(count)]})


def named(table):
    """The table with what the Hub's files say of their columns."""
    features = {
        "id": {"dtype": "int64", "_type": "Value"},
        "image": {"_type": "Image"},
        "label": {"names": ["cat", "dog"], "_type": "ClassLabel"},
    }
    return table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})


def read(path, split="all", **options):
    return load_data(path, split, 8, **options)


def shades(data):
    return data.images[:, 0, 0, 0].tolist()


def test_a_parquet_file(tmp_path):
    pq.write_table(rows(10, broken=[3]), tmp_path / "x.parquet", row_group_size=4)
    data = read(tmp_path / "x.parquet")
    assert shades(data) == [0, 1, 2, 4, 5, 6, 7, 8, 9] and data.classes == ["0", "1"]
    assert data.labels.tolist() == [i % 2 for i in shades(data)] and data.unreadable == ["x.parquet:3"]
    assert len(read(tmp_path / "x.parquet", "test")) == 2


def test_a_folder_as_the_hub_has_it(tmp_path):
    (tmp_path / "data").mkdir()
    pq.write_table(named(rows(4)), tmp_path / "data" / "train-00000-of-00002.parquet")
    pq.write_table(named(rows(3, 4)), tmp_path / "data" / "train-00001-of-00002.parquet")
    pq.write_table(named(rows(2, 50)), tmp_path / "data" / "test-00000-of-00001.parquet")
    (tmp_path / "README.md").write_text("card")
    train, test = read(tmp_path, "train"), read(tmp_path, "test")
    assert shades(train) == list(range(7)) and shades(test) == [50, 51] and train.classes == ["cat", "dog"]
    assert train.remarks == [] and test.names[0] == "test-00000-of-00001.parquet:0"
    assert [train.names[i] for i in (3, 4)] == ["train-00000-of-00002.parquet:3", "train-00001-of-00002.parquet:0"]
    listed = read(str(tmp_path / "data" / "train-0000{0..1}-of-00002.parquet"))
    assert shades(listed) == list(range(7)) and listed.name == "train-0000{0..1}-of-00002.parquet"


def test_a_folder_that_datasets_saved(tmp_path):
    datasets = pytest.importorskip("datasets", reason="the library datasets is not installed")
    images = [Image.new("RGB", (8, 8), (i, i, i)) for i in range(6)]
    features = datasets.Features(picture=datasets.Image(), kind=datasets.ClassLabel(names=["a", "b"]))
    parts = {
        split: datasets.Dataset.from_dict({"picture": images[:n], "kind": [1] * n}, features=features)
        for split, n in (("train", 6), ("validation", 2))
    }
    datasets.DatasetDict(parts).save_to_disk(tmp_path / "saved")
    train, val = (read(tmp_path / "saved", split, channels=3) for split in ("train", "val"))
    assert shades(train) == list(range(6)) and len(val) == 2 and val.classes == ["a", "b"]
    assert val.labels.tolist() == [1, 1] and train.left_out == []


def test_a_large_set_is_kept_on_the_disk_and_then_removed(tmp_path, monkeypatch):
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    monkeypatch.setattr(tables, "HELD", 100)
    pq.write_table(rows(10), tmp_path / "x.parquet", row_group_size=3)
    held, lazy = read(tmp_path / "x.parquet"), read(tmp_path / "x.parquet", limit_bytes=0)
    gc.collect()
    assert len(list(temporary.iterdir())) == 1 and torch.equal(lazy.batch(range(10)), held.images)
    del lazy
    gc.collect()
    assert list(temporary.iterdir()) == []
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 1000}))
    with pytest.raises(InputError, match="more than there is"):
        read(tmp_path / "x.parquet")
    gc.collect()
    assert list(temporary.iterdir()) == []


def test_a_file_that_unpacks_to_more_than_it_says(tmp_path, monkeypatch):
    table = pa.table({"image": [png(7)] * 1000})  # kept once, as a dictionary's only entry
    pq.write_table(table, tmp_path / "x.parquet")
    assert len(read(tmp_path / "x.parquet")) == 1000
    monkeypatch.setattr(tables, "SLACK", 0)
    with pytest.raises(InputError, match=r"x.parquet unpacks to more than it says"):
        read(tmp_path / "x.parquet")


def test_names_in_cells_are_never_opened(tmp_path):
    (tmp_path / "0.png").write_bytes(png(9))
    cells = [{"bytes": None, "path": str(tmp_path / "0.png")}, {"bytes": png(1), "path": None}]
    pq.write_table(pa.table({"image": cells}), tmp_path / "x.parquet")
    data = read(tmp_path / "x.parquet")
    assert shades(data) == [1] and data.skipped == 1


def test_tables_of_other_things(tmp_path):
    pq.write_table(pa.table({"name": ["a"], "age": [3]}), tmp_path / "people.parquet")
    pq.write_table(rows(3).slice(0, 0), tmp_path / "none.parquet")
    whole = tmp_path / "whole.parquet"
    pq.write_table(rows(5), whole)
    (tmp_path / "cut.parquet").write_bytes(whole.read_bytes()[:-20])
    (tmp_path / "text.arrow").write_text("hello")
    (tmp_path / "empty.arrow").touch()
    cases = {"people.parquet": "no column of images .*name, age", "none.parquet": "no rows", "cut.parquet": "damaged"}
    for name, words in (cases | {"text.arrow": "damaged", "empty.arrow": "damaged"}).items():
        with pytest.raises(InputError, match=words) as caught:
            read(tmp_path / name)
        assert "\n" not in str(caught.value)


def test_labels_that_are_missing(tmp_path):
    table = pa.table({"image": [png(i) for i in range(4)], "label": np.array([0, 1, -1, 0])})
    pq.write_table(table, tmp_path / "x.parquet")
    data = read(tmp_path / "x.parquet")
    assert shades(data) == [0, 1, 2, 3] and data.labels is None


def test_without_pyarrow(tmp_path, monkeypatch):
    pq.write_table(rows(3), tmp_path / "x.parquet")
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(InputError, match="pip install pyarrow"):
        read(tmp_path / "x.parquet")
