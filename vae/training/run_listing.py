"""Which runs a folder has, looked up so that a thousand of them cost next to nothing: pages ask every second."""

import json
from functools import lru_cache
from pathlib import Path
from stat import S_ISREG


def newest_first(folder: Path) -> list[tuple[Path, float]]:
    """The run folders in `folder`, the one begun last first, and when the state of each was last written."""
    found = []
    for place in folder.iterdir() if folder.is_dir() else ():
        if place.name.startswith("."):
            continue
        try:
            config, state = (place / "config.json").stat(), (place / "state.json").stat()
        except OSError:
            continue
        if S_ISREG(config.st_mode) and S_ISREG(state.st_mode):
            found.append((_begun(place, (config.st_ino, config.st_mtime_ns)), place, state.st_mtime))
    found.sort(key=lambda run: run[0], reverse=True)
    return [(place, written) for _, place, written in found]


@lru_cache(maxsize=2**14)
def _begun(folder: Path, stamp: tuple[int, int]) -> float:
    """When a run was begun, which its state says. stamp: of its config, which is written after that."""
    try:
        return float(json.loads((folder / "state.json").read_text(encoding="utf-8"))["started"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0.0
