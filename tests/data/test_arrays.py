"""NumPy's files, idx files and tables of numbers."""

import gzip
import io
import pickle
import struct
import zipfile

import numpy as np
import pytest
import torch

from vae import limits
from vae.data.sets import load_data
from vae.errors import InputError

N, SIDE = 10, 8


def pixels(count=N, shape=(SIDE, SIDE), dtype=np.uint8):
    """Image i is i all over but for its last pixel."""
    images = np.broadcast_to(np.arange(count).reshape(-1, *[1] * len(shape)), (count, *shape)).copy()
    images[:, -1, -1] = 255
    return images.astype(dtype)


def read(path, split="all", channels=1, **options):
    return load_data(path, split, SIDE, channels, **options)


def firsts(data):
    return data.images[:, 0, 0, 0].tolist()


def test_npy_of_all_images(tmp_path):
    np.save(tmp_path / "x.npy", pixels())
    train, test = read(tmp_path / "x.npy", "train"), read(tmp_path / "x.npy", "test")
    assert len(test) == 2 and sorted(firsts(train) + firsts(test)) == list(range(N))
    assert list(train.names) == [str(i) for i in firsts(train)] and train.source_channels == 1 and train.remarks == []
    lazy = read(tmp_path / "x.npy", limit_bytes=0)
    assert lazy.images is None and torch.equal(lazy.batch(range(N)), read(tmp_path / "x.npy").images)


@pytest.mark.parametrize(("shape", "channels"), [((SIDE, SIDE, 3), 3), ((3, SIDE, SIDE), 3), ((SIDE, SIDE, 1), 1)])
def test_channels_last_and_first(shape, channels, tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (N, *shape), np.uint8)
    np.save(tmp_path / "x.npy", images)
    data = read(tmp_path / "x.npy", channels=channels)
    expected = images if shape[0] == channels == 3 else images.transpose(0, 3, 1, 2)
    np.testing.assert_array_equal(data.images.numpy(), expected)
    assert data.source_channels == channels


@pytest.mark.parametrize("channels", [2, 4])
def test_two_and_four_channels_are_carried_through_or_refused(channels, tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (N, channels, SIDE, SIDE), np.uint8)
    np.save(tmp_path / "x.npy", images)
    data = read(tmp_path / "x.npy", channels=channels)
    np.testing.assert_array_equal(data.images.numpy(), images)
    assert f"{channels} channels" in data.remarks[0]
    for other in {1, 2, 3, 4} - {channels}:
        with pytest.raises(InputError, match=f"have {channels} channels, and the model takes {other}"):
            read(tmp_path / "x.npy", channels=other)
    resized = load_data(tmp_path / "x.npy", "all", 4, channels).images.float()
    means = torch.from_numpy(images).float().mean((2, 3))
    assert (resized.mean((2, 3)) - means).abs().max() < 8  # no channel is another's transparency


@pytest.mark.parametrize(
    ("values", "black_and_white", "expected"),
    [
        (np.array([0, 2048, 4095], np.uint16), "0 is black and 4,095 is white", [0, 128, 255]),
        (np.array([0, 200, 255], np.int32), None, [0, 200, 255]),
        (np.array([-1000, 0, 1000], np.int16), "-1,000 is black and 1,000 is white", [0, 128, 255]),
        (np.array([0, 0.5, 1]), "0 is black and 1 is white", [0, 128, 255]),
        (np.array([-1, 0, 1], np.float32), "-1 is black and 1 is white", [0, 128, 255]),
        (np.array([0, np.nan, 30], np.float16), "0 is black and 30 is white", [0, 0, 255]),
        (np.array([False, True, True]), None, [0, 255, 255]),
    ],
)
def test_values_that_are_no_bytes_are_scaled_by_their_own_range_and_it_is_said(
    values, black_and_white, expected, tmp_path
):
    images = np.zeros((4, SIDE, SIDE), values.dtype)
    images[:, 0, :3] = values
    np.save(tmp_path / "x.npy", images)
    data = read(tmp_path / "x.npy")
    assert data.images[0, 0, 0, :3].tolist() == expected
    assert [black_and_white in remark for remark in data.remarks] == ([True] if black_and_white else [])


def test_a_range_of_ones_own(tmp_path):
    np.save(tmp_path / "x.npy", np.full((4, SIDE, SIDE), 300, np.uint16))
    for given in ("100:500", (100, 500), np.array([100, 500])):
        data = read(tmp_path / "x.npy", value_range=given)
        assert data.images.unique().tolist() == [128] and data.value_range == (100, 500)
    for wrong in ("4095", "5:5", "a:b", (1, 2, 3), "nan:1", 4095, "0:inf"):
        with pytest.raises(InputError, match=r"such as 0:4095"):
            read(tmp_path / "x.npy", value_range=wrong)


def test_npz_with_splits_and_labels(tmp_path):
    labels = np.arange(N) % 3
    np.savez_compressed(
        tmp_path / "x.npz",
        train_images=pixels(),
        train_labels=labels[:, None],
        test_images=pixels(4) + 100,
        test_labels=labels[:4, None],
        notes=np.array("words"),
    )
    train, test = read(tmp_path / "x.npz", "train"), read(tmp_path / "x.npz", "test")
    assert len(train) == N and firsts(test) == [100, 101, 102, 103] == firsts(read(tmp_path / "x.npz", "val"))
    assert train.labels.tolist() == labels.tolist() and train.classes == ["0", "1", "2"]
    assert len(read(tmp_path / "x.npz")) == N + 4


def test_a_folder_of_npy_files(tmp_path):
    for split, count in (("train", N), ("test", 3)):
        np.save(tmp_path / f"x_{split}.npy", pixels(count))
        np.save(tmp_path / f"y_{split}.npy", np.arange(count) + 5)
    (tmp_path / "readme.txt").write_text("x")
    train, test = read(tmp_path, "train"), read(tmp_path, "test")
    assert (len(train), len(test)) == (N, 3) and test.labels.tolist() == [0, 1, 2] and test.classes[0] == "5"
    assert train.remarks == ["1 other file was left out: readme.txt."]


def test_a_folder_with_an_image_in_each_npy_file(tmp_path):
    for i, image in enumerate(pixels(dtype=np.uint16) * 16):
        path = tmp_path / "ab"[i % 2] / f"{i}.npy"
        path.parent.mkdir(exist_ok=True)
        np.save(path, image)
    data = read(tmp_path)
    assert data.names[0] == "a/0.npy" and data.classes == ["a", "b"] and data.labels.tolist() == [0] * 5 + [1] * 5
    assert data.images[:, 0, -1, -1].unique().tolist() == [254]  # 4,080 of 4,095
    np.save(tmp_path / "b" / "9.npy", np.zeros((SIDE, SIDE, 3), np.uint16))
    data = read(tmp_path)
    assert data.unreadable == ["b/9.npy"] and len(data) == len(data.names) == len(data.labels) == N - 1


class Evil:
    def __reduce__(self):
        return (print, ("executed",))


def test_pickles_are_refused_unopened(tmp_path, capsys):
    np.save(tmp_path / "x.npy", np.array([Evil()] * 3, object), allow_pickle=True)
    np.savez(tmp_path / "x.npz", x=np.array([Evil()] * 3, object))
    (tmp_path / "raw.npy").write_bytes(pickle.dumps(Evil()))
    for name, words in (("x.npy", "pickle"), ("x.npz", "pickle"), ("raw.npy", "damaged")):
        with pytest.raises(InputError, match=words):
            read(tmp_path / name)
    assert "executed" not in capsys.readouterr().out


def header(shape, dtype="|u1"):
    """An .npy file that ends with its header."""
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": dtype, "fortran_order": False, "shape": shape})
    return buffer.getvalue()


def test_what_an_array_claims_is_checked_before_it_is_read(tmp_path, monkeypatch):
    (tmp_path / "big.npy").write_bytes(header((10**9, 1000, 1000)) + bytes(100))
    with zipfile.ZipFile(tmp_path / "lie.npz", "w") as file:
        file.writestr("x.npy", header((10**9, 1000, 1000)) + bytes(100))
    (tmp_path / "cut.npy").write_bytes(header((10, 8, 8)) + bytes(639))
    (tmp_path / "zero.npy").write_bytes(header((0, 8, 8)))
    (tmp_path / "words.npy").write_bytes(header((3, 8, 8), "<U4") + bytes(3 * 8 * 8 * 16))
    (tmp_path / "empty.npy").touch()
    (tmp_path / "text.npz").write_text("hello")
    cases = {"big.npy": "damaged", "lie.npz": "damaged", "cut.npy": "damaged", "zero.npy": "damaged|no images"}
    for name, words in (
        cases | {"words.npy": "images are numbers", "empty.npy": "cut off", "text.npz": "no f"}
    ).items():
        with pytest.raises(InputError, match=words) as caught:
            read(tmp_path / name)
        assert "\n" not in str(caught.value)
    np.savez_compressed(tmp_path / "true.npz", x=np.zeros((200, 100, 100), np.uint8))
    monkeypatch.setattr(limits, "memory", lambda: 1_000_000)
    with pytest.raises(InputError, match="memory"):
        read(tmp_path / "true.npz")


def test_headers_and_tables_of_contents_that_claim_gigabytes(tmp_path):
    wide = b"\x93NUMPY\x02\x00" + struct.pack("<I", 2**31)
    (tmp_path / "wide.npy").write_bytes(wide + bytes(100))
    with zipfile.ZipFile(tmp_path / "wide.npz", "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("x.npy", wide + bytes(10**6))
    np.savez(tmp_path / "long.npz", x=pixels())
    data = bytearray((tmp_path / "long.npz").read_bytes())
    end = data.index(b"PK\x05\x06")
    data[end + 12 : end + 16] = struct.pack("<L", 2**31)
    (tmp_path / "long.npz").write_bytes(data)
    for name, words in (("wide.npy", "damaged"), ("wide.npz", "damaged"), ("long.npz", "too many arrays")):
        with pytest.raises(InputError, match=words):
            read(tmp_path / name)


def test_an_array_too_many(tmp_path):
    np.savez(tmp_path / "two.npz", a=pixels(), b=pixels())
    np.savez(tmp_path / "none.npz", a=np.zeros(5))
    for name, words in (("two", r"more than one array .*\(a, b\)"), ("none", "no array of images")):
        with pytest.raises(InputError, match=words):
            read(tmp_path / f"{name}.npz")


# idx


def idx(images):
    return struct.pack(f">BBBB{images.ndim}I", 0, 0, 8, images.ndim, *images.shape) + images.tobytes()


@pytest.mark.parametrize("ending", ["", ".gz"])
def test_idx_files(ending, tmp_path):
    pack = gzip.compress if ending else bytes
    for stem, count in (("train", N), ("t10k", 4)):
        (tmp_path / f"{stem}-images-idx3-ubyte{ending}").write_bytes(pack(idx(pixels(count))))
        (tmp_path / f"{stem}-labels-idx1-ubyte{ending}").write_bytes(pack(idx(np.arange(count, dtype=np.uint8) % 4)))
    train, test = read(tmp_path, "train"), read(tmp_path, "test")
    assert firsts(train) == list(range(N)) and len(test) == 4 and train.classes == ["0", "1", "2", "3"]
    single = read(tmp_path / f"train-images-idx3-ubyte{ending}")
    assert len(single) == N and single.labels.tolist() == train.labels.tolist()


def test_an_idx_file_that_claims_too_much(tmp_path, monkeypatch):
    lie = struct.pack(">BBBB3I", 0, 0, 8, 3, 2**31, 2**31, 2**31)
    (tmp_path / "a.idx3-ubyte").write_bytes(lie)
    (tmp_path / "a.idx3-ubyte.gz").write_bytes(gzip.compress(lie))
    for name in ("a.idx3-ubyte", "a.idx3-ubyte.gz"):
        with pytest.raises(InputError, match="memory"):
            read(tmp_path / name)
    (tmp_path / "b.idx3-ubyte").write_bytes(idx(pixels())[:-1])
    with pytest.raises(InputError, match="damaged"):
        read(tmp_path / "b.idx3-ubyte")


# CSV


def table(path, images, labels=None, head=True):
    rows = images.reshape(len(images), -1).tolist()
    names = [f"pixel{i}" for i in range(len(rows[0]))]
    if labels is not None:
        rows, names = [[label, *row] for label, row in zip(labels, rows, strict=True)], ["label", *names]
    text = [",".join(map(str, row)) for row in ([names] if head else []) + rows]
    path.write_text("\n".join(text) + "\n")


@pytest.mark.parametrize("head", [True, False])
def test_csv_of_mnists_kind(head, tmp_path):
    labels = [f"{i % 2 + 8}" for i in range(N)]
    table(tmp_path / "mnist.csv", pixels(), labels, head)
    data = read(tmp_path / "mnist.csv")
    assert firsts(data) == list(range(N)) and data.classes == ["8", "9"] and data.labels.tolist() == [0, 1] * 5
    assert data.images[:, 0, -1, -1].unique().tolist() == [255] and data.remarks == []
    table(tmp_path / "bare.csv", pixels(), None, head)
    assert torch.equal(read(tmp_path / "bare.csv").images, data.images)


def test_csv_of_other_numbers_than_bytes(tmp_path):
    table(tmp_path / "a.csv", pixels() / 255)
    assert torch.equal(read(tmp_path / "a.csv").images, torch.from_numpy(pixels())[:, None])
    table(tmp_path / "a.csv", pixels(dtype=np.int64) * 16)
    data = read(tmp_path / "a.csv")
    assert data.images[:, 0, -1, -1].unique().tolist() == [254] and "4,095 is white" in data.remarks[0]


def test_a_long_label_is_cut(tmp_path):
    table(tmp_path / "a.csv", pixels(4), ["a" * 100_000, '"b, c"', "d", "d"])
    data = read(tmp_path / "a.csv")
    assert data.classes == ["a" * 100, "b, c", "d"] and data.labels.tolist() == [0, 1, 2, 2]


def test_csv_files_as_splits(tmp_path):
    table(tmp_path / "mnist_train.csv", pixels(), ["cat"] * 5 + ["ant"] * 5)
    table(tmp_path / "mnist_test.csv", pixels(4), ["cat"] * 4)
    train, test = read(tmp_path, "train"), read(tmp_path, "test")
    assert (len(train), len(test)) == (N, 4) and train.classes == test.classes == ["ant", "cat"]
    assert test.labels.tolist() == [1] * 4


def test_tables_that_are_none_of_images(tmp_path, monkeypatch):
    for text, words in (
        ("", "no images"),
        ("name,age\nx,3\n", "2 columns"),
        ("1,2,3,4\n1,2,3\n", "no table of numbers"),
        ("1,2,3,4\n1,2,x,4\n", "no table of numbers"),
        ("a,b,c,d\n", "no images"),
    ):
        (tmp_path / "a.csv").write_text(text)
        with pytest.raises(InputError, match=words) as caught:
            read(tmp_path / "a.csv")
        assert "\n" not in str(caught.value)
    (tmp_path / "a.csv").write_bytes(b"\xff\xfe\0\0")
    with pytest.raises(InputError, match=r"no text|columns"):
        read(tmp_path / "a.csv")
    table(tmp_path / "a.csv", pixels())
    monkeypatch.setattr(limits, "memory", lambda: 1000)
    with pytest.raises(InputError, match="memory"):
        read(tmp_path / "a.csv")
