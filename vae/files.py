"""Files and folders that appear whole or not at all: written beside, flushed to the disk, renamed into place."""

import os
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path


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
    """Where to write the files of `folder`: itself if it exists, else a folder that becomes it when the block ends."""
    if folder.is_dir():
        yield folder
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    place = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        yield place
        place.chmod(0o755)
        place.rename(folder)
    finally:
        shutil.rmtree(place, ignore_errors=True)


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
