"""Files and folders that appear whole or not at all: written beside, flushed to the disk, renamed into place; and what
is said where the disk refuses."""

import errno
import os
import re
import shutil
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path

from vae.errors import InputError

NO_ROOM_OR_RIGHT = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM)
PROBE = 16_384  # bytes; a disk that is full has no room for them either


@contextmanager
def replacing(path: Path, durable: bool = True):
    """A path beside `path` to write to; when the block ends well it takes `path`'s place, else it is removed.

    durable: wait until the disk has it. Without, a power cut (not a kill) may leave the file empty.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield part
        part.chmod(0o644)  # safetensors makes files for their owner alone
        if durable:
            with part.open("rb+") as file:
                os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def appearing(folder: Path):
    """Where to write the files of `folder`: a folder that becomes it when the block ends well, or, where it exists,
    whose files then take their places in it. If the block raises, nothing of them is left."""
    exists, new = folder.is_dir(), [parent for parent in folder.parents if not parent.exists()]
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        place = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder if exists else folder.parent))
        try:
            yield place
            if exists:
                _move(place, folder)
            else:
                place.chmod(0o755)
                place.rename(folder)
        finally:
            shutil.rmtree(place, ignore_errors=True)
    except BaseException:
        with suppress(OSError):  # somebody else may have come to use one
            for parent in new:
                parent.rmdir()
        raise


def _move(place: Path, folder: Path) -> None:
    """Let the files of `place` take their places in the folder; none does where one cannot."""
    for path in place.iterdir():
        if (folder / path.name).is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(folder / path.name))
    for path in sorted(place.iterdir()):
        path.replace(folder / path.name)


def write_text(path: Path, text: str, durable: bool = True) -> None:
    with replacing(path, durable) as part:
        part.write_text(text, encoding="utf-8")


@contextmanager
def flushed(path: Path):
    """An open binary file at `path` that is on the disk when the block ends."""
    with path.open("wb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())


def rooted_path(path: Path) -> Path:
    """The path from the root. A ".." in it is followed, and else no link is."""
    return path.resolve() if ".." in path.parts else path.absolute()


def check_writable(path: Path) -> None:
    """Raises InputError if no file can be written at `path`, or in the folder of that name, which need not exist yet.

    It is tried, with an unnamed file in the nearest folder there is: rights alone do not tell of a full disk.
    """
    with writing(path):
        folder = path if path.is_dir() else next(parent for parent in path.absolute().parents if parent.exists())
        with tempfile.TemporaryFile(dir=folder, buffering=0) as probe:
            if probe.write(bytes(PROBE)) != PROBE:
                probe.write(bytes(PROBE))  # the rest, which raises what the system has to say


@contextmanager
def writing(path: Path):
    """Turns the disk's refusal to write at `path` into an InputError that says why."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        reason = disk_error(error)
        if reason is None:
            raise
        raise InputError(f"{str(path)!r} cannot be written: {reason}.") from error


def disk_error(error: BaseException | None) -> str | None:
    """What the system said, however torch or safetensors wrapped it; None if it was not about a file."""
    number = re.search(r"\(os error (\d+)\)", str(error))
    if number:
        return os.strerror(int(number[1]))
    while error is not None and not isinstance(error, OSError):
        error = error.__context__
    return error and (error.strerror or str(error))
