import gzip
import io
import os
import struct
import tarfile
import tracemalloc
import zipfile

import pytest

from vae.data.archives import Limits, is_archive, unpack
from vae.errors import InputError

WANTED = (".png", ".jpg")


def make_zip(path, members, compression=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def make_tar(path, members, mode="w"):
    """members: name -> bytes, or name -> a TarInfo for what is no plain file."""
    with tarfile.open(path, mode) as archive:
        for name, data in members.items():
            if isinstance(data, tarfile.TarInfo):
                archive.addfile(data)
                continue
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def make(kind, folder, members):
    path = folder / f"a{kind}"
    return make_zip(path, members) if kind == ".zip" else make_tar(path, members, "w:gz" if "gz" in kind else "w")


def refused(archive, folder, words, **limits):
    """The archive is refused with those words, and nothing is left of it anywhere."""
    before = sorted(p for p in archive.parent.rglob("*"))
    with pytest.raises(InputError, match=words) as caught:
        unpack(archive, folder, WANTED, Limits(**limits))
    assert sorted(p for p in archive.parent.rglob("*")) == before
    assert "\n" not in str(caught.value)


KINDS = [".zip", ".tar", ".tar.gz", ".tgz", ".ZIP"]


@pytest.mark.parametrize("kind", KINDS)
def test_pictures_in_their_folders(kind, tmp_path):
    members = {"set/cat/1.png": b"one", "set/cat/2.JPG": b"two", "set/dog/deep/er/3.png": b"three", "./4.png": b"four"}
    kind = kind if kind != ".ZIP" else ".zip"
    assert unpack(make(kind, tmp_path, members), tmp_path / "out", WANTED) == 4
    found = {p.relative_to(tmp_path / "out").as_posix(): p.read_bytes() for p in (tmp_path / "out").rglob("*.*")}
    assert found == {name.removeprefix("./"): data for name, data in members.items()}


@pytest.mark.parametrize("kind", [".zip", ".tar"])
def test_only_pictures_come_out(kind, tmp_path):
    members = {
        "a/1.png": b"x",
        "a/notes.txt": b"x",
        "a/run.sh": b"x",
        "__MACOSX/a/._1.png": b"x",
        "a/._1.png": b"x",
        "a/.hidden/2.png": b"x",
        "Thumbs.db": b"x",
    }
    assert unpack(make(kind, tmp_path, members), tmp_path / "out", WANTED) == 1
    assert [p.name for p in (tmp_path / "out").rglob("*") if p.is_file()] == ["1.png"]


def test_unpacks_into_an_existing_empty_folder_only(tmp_path):
    archive = make_zip(tmp_path / "a.zip", {"1.png": b"x"})
    (tmp_path / "out").mkdir()
    assert unpack(archive, tmp_path / "out", WANTED) == 1
    with pytest.raises(InputError, match="not an empty folder"):
        unpack(archive, tmp_path / "out", WANTED)


def test_files_are_not_executable(tmp_path):
    info = zipfile.ZipInfo("1.png")
    info.external_attr = 0o100777 << 16
    archive = make_zip(tmp_path / "a.zip", {info: b"x"})
    unpack(archive, tmp_path / "out", WANTED)
    assert not (tmp_path / "out" / "1.png").stat().st_mode & 0o111


# Names that lead out


@pytest.mark.parametrize(
    "name", ["../1.png", "a/../../1.png", "/etc/1.png", "C:/1.png", "c:1.png", "..\\1.png", "\\\\host\\1.png", "a/.."]
)
@pytest.mark.parametrize("kind", [".zip", ".tar.gz"])
def test_no_name_leaves_the_folder(kind, name, tmp_path):
    (tmp_path / "in").mkdir()
    archive = make(kind, tmp_path / "in", {"good.png": b"x", name: b"evil"})
    refused(archive, tmp_path / "in" / "out", "outside its folder")
    assert [p.name for p in tmp_path.iterdir()] == ["in"]


def test_backslashes_are_folders(tmp_path):
    unpack(make_zip(tmp_path / "a.zip", {"cat\\1.png": b"x"}), tmp_path / "out", WANTED)
    assert (tmp_path / "out" / "cat" / "1.png").is_file()


# What is not a plain file


@pytest.mark.parametrize(
    "kind, words",
    [
        (tarfile.SYMTYPE, "link"),
        (tarfile.LNKTYPE, "link"),
        (tarfile.CHRTYPE, "special"),
        (tarfile.BLKTYPE, "special"),
        (tarfile.FIFOTYPE, "special"),
        (tarfile.GNUTYPE_SPARSE, "special|damaged"),
    ],
)
def test_links_and_devices_in_a_tar(kind, words, tmp_path):
    odd = tarfile.TarInfo("odd.png")
    odd.type, odd.linkname = kind, "/etc/passwd"
    refused(make_tar(tmp_path / "a.tar", {"1.png": b"x", "odd.png": odd}), tmp_path / "out", words)


def test_link_in_a_zip(tmp_path):
    link = zipfile.ZipInfo("odd.png")
    link.external_attr = 0o120777 << 16
    refused(make_zip(tmp_path / "a.zip", {"1.png": b"x", link: b"/etc/passwd"}), tmp_path / "out", "link")


def test_encrypted_zip(tmp_path):
    data = bytearray(make_zip(tmp_path / "a.zip", {"1.png": b"x"}).read_bytes())
    data[6] |= 1  # the flag in the file's own header and in the table of contents
    data[data.index(b"PK\x01\x02") + 8] |= 1
    (tmp_path / "a.zip").write_bytes(data)
    refused(tmp_path / "a.zip", tmp_path / "out", "encrypted")


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_methods_that_unpack_in_unbounded_steps(method, tmp_path):
    refused(make_zip(tmp_path / "a.zip", {"1.png": b"x" * 100}, method), tmp_path / "out", "not supported")


# Bombs


@pytest.mark.parametrize("kind", [".zip", ".tar.gz"])
def test_a_bomb_is_refused_by_its_ratio(kind, tmp_path):
    archive = make(kind, tmp_path, {"1.png": bytes(4_000_000)})
    refused(archive, tmp_path / "out", "100 times its size", free_bytes=1_000_000)
    assert unpack(archive, tmp_path / "out", WANTED) == 1  # small things may be as empty as they like


@pytest.mark.parametrize("kind", [".zip", ".tar", ".tar.gz"])
def test_limits(kind, tmp_path):
    archive = make(kind, tmp_path, {f"{i}.png": os.urandom(1000) for i in range(10)})
    refused(archive, tmp_path / "out", "more than 9 files", files=9)
    refused(archive, tmp_path / "out", "more than 9e-06 GB", total_bytes=9_000)
    refused(archive, tmp_path / "out", "file over 0 MB", file_bytes=999)
    assert unpack(archive, tmp_path / "out", WANTED, Limits(files=10, total_bytes=10_000, file_bytes=1000)) == 10


def test_what_is_not_a_picture_counts_too(tmp_path):
    archive = make_zip(tmp_path / "a.zip", {"1.png": b"x", "big.txt": os.urandom(10_000)})
    refused(archive, tmp_path / "out", "unpacks to more", total_bytes=5_000)


def test_a_zip_that_lies_about_a_size(tmp_path):
    data = bytearray(make_zip(tmp_path / "a.zip", {"1.png": bytes(100_000)}).read_bytes())
    for place in (22, data.index(b"PK\x01\x02") + 24):
        data[place : place + 4] = struct.pack("<L", 10)
    (tmp_path / "a.zip").write_bytes(data)
    refused(tmp_path / "a.zip", tmp_path / "out", "damaged")


def test_a_zip_with_an_endless_table_of_contents(tmp_path):
    data = bytearray(make_zip(tmp_path / "a.zip", {"1.png": b"x"}).read_bytes())
    end = data.index(b"PK\x05\x06")
    data[end + 12 : end + 16] = struct.pack("<L", 2**32 - 1)
    (tmp_path / "a.zip").write_bytes(data)
    refused(tmp_path / "a.zip", tmp_path / "out", "more than 300,000 files")


def test_a_tar_header_that_wants_a_gigabyte(tmp_path):
    header = tarfile.TarInfo("long")
    header.type, header.size = tarfile.XHDTYPE, 2**30
    with gzip.open(tmp_path / "a.tar.gz", "wb", compresslevel=1) as file:
        file.write(header.tobuf(tarfile.GNU_FORMAT))
        file.write(bytes(2**20))
    tracemalloc.start()
    try:
        refused(tmp_path / "a.tar.gz", tmp_path / "out", "damaged")
        assert tracemalloc.get_traced_memory()[1] < 2**26
    finally:
        tracemalloc.stop()


# Damage


def test_archives_with_nothing_to_offer(tmp_path):
    refused(make_zip(tmp_path / "a.zip", {"readme.txt": b"x"}), tmp_path / "out", "no pictures")
    refused(make_zip(tmp_path / "b.zip", {}), tmp_path / "out", "no pictures")
    refused(make_tar(tmp_path / "c.tar", {}), tmp_path / "out", "no pictures")
    for name in ("d.zip", "d.tar", "d.tar.gz"):
        (tmp_path / name).touch()
        refused(tmp_path / name, tmp_path / "out", "empty")
    with pytest.raises(InputError, match="no file"):
        unpack(tmp_path / "none.zip", tmp_path / "out", WANTED)


@pytest.mark.parametrize("kind", [".zip", ".tar", ".tar.gz"])
def test_not_an_archive_at_all(kind, tmp_path):
    (tmp_path / f"a{kind}").write_bytes(b"hello" * 1000)
    refused(tmp_path / f"a{kind}", tmp_path / "out", "damaged|not the archive")


@pytest.mark.parametrize("kind", [".zip", ".tar", ".tar.gz"])
def test_cut_off(kind, tmp_path):
    archive = make(kind, tmp_path, {f"{i}.png": os.urandom(3000) for i in range(5)})
    archive.write_bytes(archive.read_bytes()[:-8000])
    refused(archive, tmp_path / "out", "damaged")


def test_damaged_in_the_middle_leaves_nothing(tmp_path):
    data = bytearray(make_zip(tmp_path / "a.zip", {f"{i}.png": os.urandom(3000) for i in range(5)}).read_bytes())
    data[len(data) // 2] ^= 255
    (tmp_path / "a.zip").write_bytes(data)
    refused(tmp_path / "a.zip", tmp_path / "out", "damaged")


def test_a_name_the_disk_does_not_take(tmp_path):
    refused(make_zip(tmp_path / "a.zip", {"n" * 300 + ".png": b"x"}), tmp_path / "out", "cannot be unpacked")


def test_a_file_and_a_folder_of_one_name(tmp_path):
    refused(make_zip(tmp_path / "a.zip", {"1.png": b"x", "1.png/2.png": b"x"}), tmp_path / "out", "cannot be unpacked")


def test_full_disk(tmp_path, monkeypatch):
    archive = make_zip(tmp_path / "a.zip", {"1.png": b"x"})
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 1000}))
    refused(archive, tmp_path / "out", "more than there is")


def test_endings():
    assert all(is_archive(f"a{kind}") for kind in KINDS)
    assert not any(is_archive(f"a{kind}") for kind in ("", ".png", ".rar", ".gz", ".tar.xz"))
    with pytest.raises(InputError, match="not an archive"):
        unpack("a.rar", "out", WANTED)
