"""A run's metrics.jsonl: one JSON object a line, appended while others read, whole again after a kill."""

import errno
import json
import math
import os
from pathlib import Path

from vae.files import write_text

NAME = "metrics.jsonl"


def read(folder: Path, since: int = 0, offset: int = 0) -> tuple[list[dict], int]:
    """The metrics from byte `offset` on, less the first `since` lines, and the offset to ask from next.

    A line still being written is left for the next call.
    """
    try:
        with (folder / NAME).open("rb") as file:
            file.seek(offset)
            whole, newline, _ = file.read().rpartition(b"\n")
    except FileNotFoundError:
        return [], 0
    lines = whole.split(b"\n")[since:] if newline else []
    return [json.loads(line) for line in lines], offset + len(whole) + len(newline)


def best(folder: Path) -> float | None:
    """The lowest finite validation loss of an epoch; None if there is none yet."""
    losses = []
    try:
        with (folder / NAME).open("rb") as file:
            for line in file:
                if b'"val_loss"' in line and line.endswith(b"\n"):  # few lines have it; the others need no parsing
                    entry = json.loads(line)
                    losses += [entry["val_loss"]] if entry.get("kind") == "epoch" else []
    except FileNotFoundError:
        pass
    return min((loss for loss in losses if isinstance(loss, float) and math.isfinite(loss)), default=None)


def append(folder: Path, entry: dict) -> None:
    """One line more. Written in one call, so a kill leaves at worst one torn line, which `rewind` drops."""
    line = (json.dumps(entry, allow_nan=False) + "\n").encode()
    descriptor = os.open(folder / NAME, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        if os.write(descriptor, line) != len(line):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    finally:
        os.close(descriptor)


def rewind(folder: Path, step: int) -> None:
    """Drop what was written after `step`, and torn lines."""
    path = folder / NAME
    if path.is_file():
        kept = [line for line in path.read_text(encoding="utf-8").splitlines() if _is_whole(line, step)]
        write_text(path, "".join(f"{line}\n" for line in kept))


def sync(folder: Path) -> None:
    """All of it on the disk."""
    path = folder / NAME
    if path.is_file():
        with path.open("rb+") as file:
            os.fsync(file.fileno())


def _is_whole(line: str, step: int) -> bool:
    """Whether the line is a metric up to `step`, and not what a kill or a power cut left of one."""
    try:
        return json.loads(line)["step"] <= step
    except (ValueError, KeyError, TypeError):
        return False
