"""Unpacking archives that nobody vouches for: what an archive claims is checked before a byte of it is written.

zipfile's and tarfile's own extraction guards paths, but not how much is unpacked, nor what half an unpacking leaves.
"""

import gzip
import io
import os
import re
import shutil
import stat
import struct
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from vae.data.source import NAMED, printable
from vae.errors import InputError

SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz")


@dataclass(frozen=True)
class Limits:
    """What an archive may hold: bytes of all files and of one, their number, and how many times its own size it may
    grow, which is only asked once it grows beyond free_bytes.
    """

    total_bytes: int = 4 * 2**30
    file_bytes: int = 64 * 2**20
    files: int = 300_000
    ratio: int = 100
    free_bytes: int = 64 * 2**20


@dataclass(frozen=True)
class _Member:
    name: str
    size: int
    kind: str  # "file", "folder", or what is refused: "link", "encrypted", "special"
    open: Callable[[], BinaryIO]


def is_archive(path: str | os.PathLike) -> bool:
    """Whether the file's name ends as an archive's does: .zip, .tar, .tar.gz or .tgz."""
    return str(path).lower().endswith(SUFFIXES)


def unpack(
    archive: str | os.PathLike,
    folder: str | os.PathLike,
    wanted: Iterable[str],
    limits: Limits | None = None,
    other: Callable[[str], object] | None = None,
) -> int:
    """Write the archive's files whose names end in one of `wanted` (".png", …) into `folder`; return how many.

    The folder is created; if it exists it must be empty. Names keep their subfolders. Other files stay in the archive
    (`other` is called with the name of each), and so do hidden ones and the shadow files that macOS adds.

    Everything is checked first, and the archive refused as a whole, with InputError: if a name in it leaves the folder,
    if it has a link, a device or an encrypted file, is damaged, goes over the limits, or holds no wanted file. Files
    are written beside the folder and appear in it together, after the last one; after an error nothing is left.
    """
    archive, folder = Path(archive), Path(folder)
    limits, suffixes = limits or Limits(), tuple(s.lower() for s in wanted)
    if not is_archive(archive):
        raise InputError(f"{archive.name} is not an archive; .zip, .tar and .tar.gz are accepted.")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{str(folder)!r} is not an empty folder to unpack into.")
    with _reading(archive):
        count, size = _check(archive, suffixes, limits)
        folder.parent.mkdir(parents=True, exist_ok=True)
        if shutil.disk_usage(folder.parent).free < size + limits.free_bytes:
            raise InputError(f"{archive.name} needs {size / 1e6:,.0f} MB of disk, more than there is.")
        staging = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
        try:
            with archive.open("rb") as file:
                for member in _members(file, archive, limits):
                    if _is_wanted(member, suffixes):
                        _write(member, staging.joinpath(*_parts(member.name)))
                    elif other and member.kind == "file" and not _is_hidden(member):
                        other("/".join(_parts(member.name)))
            if folder.exists():
                folder.rmdir()
            staging.rename(folder)
        except BaseException:
            shutil.rmtree(staging, ignore_errors=True)
            raise
    return count


@contextmanager
def _reading(archive: Path) -> Iterator[None]:
    """Turns what the parsers raise on a damaged archive, and the disk on a full one, into a sentence."""
    try:
        yield
    except InputError:
        raise
    except FileNotFoundError as error:
        raise InputError(f"There is no file {str(archive)!r}.") from error
    except OSError as error:
        if error.errno is None or isinstance(error, gzip.BadGzipFile):
            raise InputError(f"{archive.name} is damaged or cut off.") from error
        raise InputError(f"{archive.name} cannot be unpacked: {error.strerror}.") from error
    except (zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError, ValueError, struct.error) as error:
        raise InputError(f"{archive.name} is damaged, cut off, or not the archive its name says.") from error
    except (NotImplementedError, RuntimeError) as error:
        raise InputError(f"{archive.name} is packed in a way that is not supported; pack it anew as .zip.") from error


def _check(archive: Path, suffixes: tuple[str, ...], limits: Limits) -> tuple[int, int]:
    """Go through all the archive's headers; return how many files are wanted and their bytes, or raise InputError."""
    packed, total, files, wanted, size = archive.stat().st_size, 0, 0, 0, 0
    other: list[str] = []
    if not packed:
        raise InputError(f"{archive.name} is empty.")
    with archive.open("rb") as file:
        for member in _members(file, archive, limits):
            _parts(member.name)
            files += 1
            total += member.size
            if member.kind not in ("file", "folder"):
                raise InputError(f"{archive.name} holds a {member.kind} file; only plain files are accepted.")
            if files > limits.files:
                raise InputError(f"{archive.name} holds more than {limits.files:,} files.")
            if member.size > limits.file_bytes:
                raise InputError(f"{archive.name} holds a file over {limits.file_bytes / 1e6:,.0f} MB.")
            if total > limits.total_bytes:
                raise InputError(f"{archive.name} unpacks to more than {limits.total_bytes / 1e9:.3g} GB.")
            if total > max(limits.free_bytes, packed * limits.ratio):
                raise InputError(f"{archive.name} unpacks to over {limits.ratio} times its size, as no pictures do.")
            if _is_wanted(member, suffixes):
                wanted += 1
                size += member.size
            elif member.kind == "file" and len(other) < NAMED and not _is_hidden(member):
                other.append(printable(member.name))
    if not wanted:
        has = f" (it has {', '.join(other)})" if other else ""
        raise InputError(f"{archive.name} holds no pictures{has}; files ending in .png, .jpg, … are looked for.")
    return wanted, size


def _parts(name: str) -> list[str]:
    """A member's name as path parts below the folder; some Windows tools write backslashes. Raises InputError."""
    path = name.replace("\\", "/")
    parts = [p for p in path.split("/") if p not in ("", ".")]
    if path.startswith("/") or ".." in parts or re.match("[A-Za-z]:", path) or "\0" in path:
        raise InputError(f"The archive holds a file named {name[:80]!r}, which would lie outside its folder.")
    return parts


def _is_wanted(member: _Member, suffixes: tuple[str, ...]) -> bool:
    return member.kind == "file" and not _is_hidden(member) and member.name.lower().endswith(suffixes)


def _is_hidden(member: _Member) -> bool:
    return any(part.startswith((".", "__MACOSX")) for part in _parts(member.name))


def _write(member: _Member, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with member.open() as source, target.open("wb") as out:
        left = member.size
        while left and (data := source.read(min(left, 2**20))):
            out.write(data)
            left -= len(data)
        if left or source.read(1):
            raise EOFError("a file in the archive is not as long as its header says")


def _members(file: BinaryIO, archive: Path, limits: Limits) -> Iterator[_Member]:
    """The members in the archive's order. A member's open() is to be used before the next is asked for."""
    if archive.name.lower().endswith(".zip"):
        yield from _zip_members(file, limits)
    else:
        packed = archive.name.lower().endswith("gz")
        yield from _tar_members(gzip.GzipFile(fileobj=file) if packed else file, limits)


def _zip_members(file: BinaryIO, limits: Limits) -> Iterator[_Member]:
    if zip_directory_bytes(file) > limits.files * 200:  # zipfile would read all of it into memory first
        raise InputError(f"The archive holds more than {limits.files:,} files.")
    with zipfile.ZipFile(file) as archive:
        for info in archive.infolist():
            mode = info.external_attr >> 16
            kind = "folder" if info.is_dir() else "file"
            if info.flag_bits & 1:
                kind = "encrypted"
            elif stat.S_ISLNK(mode):
                kind = "link"
            elif stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
                kind = "special"
            elif info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                # zipfile unpacks bzip2 and lzma in steps of any size: a few bytes may become gigabytes of memory
                raise NotImplementedError
            yield _Member(info.filename, info.file_size, kind, lambda info=info: archive.open(info))


def zip_directory_bytes(file: BinaryIO) -> int:
    """The length the archive's end record gives for its table of contents (APPNOTE.TXT 4.3.14 to 4.3.16)."""
    length = file.seek(0, os.SEEK_END)
    file.seek(max(0, length - 65_557))  # the end record, 22 bytes, and the longest comment there can be
    tail = file.read()
    end = tail.rfind(b"PK\x05\x06")
    if end < 0 or len(tail) < end + 22:
        raise zipfile.BadZipFile("no end record")
    (size,) = struct.unpack_from("<L", tail, end + 12)
    if end >= 20 and tail[end - 20 : end - 16] == b"PK\x06\x07":
        file.seek(struct.unpack_from("<Q", tail, end - 12)[0])
        (size,) = struct.unpack_from("<Q", file.read(56), 40)
    return size


def _tar_members(file: BinaryIO, limits: Limits) -> Iterator[_Member]:
    bounded = Bounded(file, limits.total_bytes + 4096 * limits.files)
    with tarfile.open(fileobj=bounded, mode="r:") as archive:
        for info in archive:
            kind = "file" if info.isreg() else "folder" if info.isdir() else "link" if _is_link(info) else "special"
            if info.issparse():
                kind = "special"
            yield _Member(info.name, info.size, kind, lambda info=info: archive.extractfile(info))


def _is_link(info: tarfile.TarInfo) -> bool:
    return info.issym() or info.islnk()


class Bounded(io.RawIOBase):
    """A file that goes no further than `limit` and hands out at most 4 MB at once.

    tarfile reads whatever a long-name or PAX header claims to need into memory, before anyone can look at the member.
    """

    def __init__(self, file: BinaryIO, limit: int):
        self.file, self.limit = file, limit

    def read(self, size: int = -1) -> bytes:
        if size < 0 or size > 2**22 or self.file.tell() + size > self.limit:
            raise tarfile.ReadError("a header of the archive asks for too much")
        return self.file.read(size)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        if whence != os.SEEK_SET or not 0 <= offset <= self.limit:
            raise tarfile.ReadError("a header of the archive points too far")
        return self.file.seek(offset)

    def tell(self) -> int:
        return self.file.tell()
