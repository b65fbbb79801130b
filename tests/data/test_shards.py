"""WebDataset's shards, brace lists of them, and archives of images, which are something else."""

import io
import tarfile

import pytest
import torch
from PIL import Image

from vae import limits
from vae.data.formats import expanded
from vae.data.sets import load_data, located
from vae.errors import InputError
from vae.images import png_bytes


def shard(path, shades, labels=True, others=()):
    with tarfile.open(path, "w") as archive:

        def add(name, content):
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))

        for shade in shades:
            add(f"{shade:04}.png", png_bytes(Image.new("L", (8, 8), shade)))
            if labels:
                add(f"{shade:04}.cls", b"%d\n" % (shade % 3))
            for ending in others:
                add(f"{shade:04}.{ending}", b"{}")
    return path


def read(path, split="all", **options):
    return load_data(path, split, 8, **options)


def shades(data):
    return data.images[:, 0, 0, 0].tolist()


def test_a_folder_of_shards(tmp_path):
    for i in range(3):
        shard(tmp_path / f"part-{i}.tar", range(4 * i, 4 * i + 4), others=["json"] if i == 0 else [])
    data = read(tmp_path)
    assert shades(data) == list(range(12)) and data.labels.tolist() == [i % 3 for i in range(12)]
    assert data.classes == ["0", "1", "2"] and data.names[5] == "part-1.tar/0005.png"
    assert data.remarks == ["4 other files were left out: part-0.tar/0000.json, part-0.tar/0001.json, "
                            "part-0.tar/0002.json and 1 more."]  # fmt: skip
    lazy = read(tmp_path, limit_bytes=0)
    assert torch.equal(lazy.batch([11, 0, 6]), data.images[[11, 0, 6]])


def test_brace_lists(tmp_path):
    for i in range(11):
        shard(tmp_path / f"a-{i:03}.tar", [i])
    assert shades(read(str(tmp_path / "a-{002..009}.tar"))) == list(range(2, 10))
    assert shades(read(str(tmp_path / "a-{000,010}.tar"))) == [0, 10]
    with pytest.raises(InputError, match=r"there is no '.*a-011.tar'"):
        read(str(tmp_path / "a-{008..012}.tar"))


def test_a_brace_list_means_the_same_from_any_current_folder(tmp_path, monkeypatch):
    for i in range(2):
        shard(tmp_path / f"a-{i}.tar", [i])
    monkeypatch.chdir(tmp_path)
    assert located("a-{0..1}.tar") == str(tmp_path / "a-{0..1}.tar")
    monkeypatch.setenv("VAE_DATA_DIR", str(tmp_path))
    assert located("a-{0..1}.tar") == "a-{0..1}.tar", "a name in the data root"
    with pytest.raises(InputError, match="no data set"):
        read(str(tmp_path / "b-{0..3}.tar"))
    (tmp_path / "x-1.csv").touch(), (tmp_path / "x-2.csv").touch()
    with pytest.raises(InputError, match="taken together"):
        read(str(tmp_path / "x-{1..2}.csv"))


def test_brace_lists_in_the_data_root(tmp_path, monkeypatch):
    shard(tmp_path / "a-0.tar", [1]), shard(tmp_path / "a-1.tar", [2])
    assert shades(read("a-{0..1}.tar", root=tmp_path)) == [1, 2]


def test_what_a_brace_list_means():
    assert expanded("a-{08..11}.tar") == ["a-08.tar", "a-09.tar", "a-10.tar", "a-11.tar"]
    assert expanded("{a,b}/{0..1}") == ["a/0", "a/1", "b/0", "b/1"] and expanded("plain.tar") is None
    for endless in ("{000..999999999}", "{0..99999}{0..99999}", "{3..1}"):
        with pytest.raises(InputError, match="names"):
            expanded(endless)


def test_shards_named_like_splits(tmp_path):
    shard(tmp_path / "train-0.tar", [1, 2]), shard(tmp_path / "train-1.tar", [3]), shard(tmp_path / "val-0.tar", [9])
    shard(tmp_path / "extra.tar", [100])
    assert shades(read(tmp_path, "train")) == [1, 2, 3] and shades(read(tmp_path, "test")) == [9]
    assert read(tmp_path, "train").left_out == ["extra.tar"]


def test_a_single_tar_is_a_shard_if_it_has_labels_and_else_an_archive(tmp_path):
    labelled = read(shard(tmp_path / "a.tar", range(4)))
    assert labelled.classes == ["0", "1", "2"] and labelled.left_out == []
    plain = read(shard(tmp_path / "b.tar", range(4), labels=False, others=["txt"]))
    assert plain.classes is None and shades(plain) == [0, 1, 2, 3] and len(plain.left_out) == 4


def test_shards_that_lie(tmp_path, monkeypatch):
    whole = shard(tmp_path / "whole.tar", range(5)).read_bytes()
    (tmp_path / "cut").mkdir()
    (tmp_path / "cut" / "a.tar").write_bytes(whole[:-11_000])
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "a.tar").write_text("no archive " * 100)
    for name, kind in (("link", tarfile.SYMTYPE), ("big", tarfile.REGTYPE)):
        (tmp_path / name).mkdir()
        info = tarfile.TarInfo("0001.png")
        info.type, info.linkname, info.size = kind, "/etc/passwd", 2**40 if name == "big" else 0
        (tmp_path / name / "a.tar").write_bytes(info.tobuf(tarfile.GNU_FORMAT) + bytes(1024))
    (tmp_path / "words").mkdir()
    shard(tmp_path / "words" / "a.tar", [], others=["txt"])
    cases = {"cut": "damaged", "text": "damaged", "link": "link or special", "big": "damaged", "words": "no pictures"}
    for name, words in cases.items():
        with pytest.raises(InputError, match=words):
            read(tmp_path / name)
    monkeypatch.setattr(limits, "memory", lambda: 1000)
    (tmp_path / "fine").mkdir()
    (tmp_path / "fine" / "a.tar").write_bytes(whole)
    with pytest.raises(InputError, match=r"index of a.tar .* memory"):
        read(tmp_path / "fine")
