"""What pages that watch a training are told, once a second: only what is new since their cursor."""

import base64
import threading
import time

from vae.runs import ACTIVE, Run
from vae.ui.catalog import Catalog

LISTED = 50  # runs in the selector
FIRST_VIEW = 1500  # metric lines of a long run in the first answer
FIELDS = ("kind", "step", "epoch", "loss", "reconstruction", "kl", "val_loss", "val_reconstruction", "val_kl")
STATE = ("state", "reason", "epoch", "epochs", "step", "steps", "images_per_second", "seconds_left")


class Watcher:
    """Answers the component "train". Called directly by its script, so it trusts nothing it is sent."""

    def __init__(self, catalog: Catalog):
        self.catalog = catalog
        self._lock = threading.Lock()
        self._runs: tuple[float, list[Run], list[dict]] = (0.0, [], [])

    def _list(self) -> tuple[list[Run], list[dict]]:
        """The runs and their short descriptions, read at most twice a second however many pages ask."""
        with self._lock:
            if time.monotonic() - self._runs[0] > 0.5:
                runs = self.catalog.histories()[:LISTED]
                self._runs = (time.monotonic(), runs, [{"name": r.name, "state": _state(r)} for r in runs])
            return self._runs[1:]

    def watch_run(self, known: dict) -> dict:
        """What is new of a run.

        known: {run, cursor, seen, follow}: the run's name, the cursor of the last answer, the step of each kind of
        preview that is shown, and whether to change to a training that has begun. Whatever is missing or makes no
        sense counts as not known.
        """
        known = known if isinstance(known, dict) else {}
        runs, listed = self._list()
        by_name = {run.name: run for run in runs}
        run = by_name.get(known["run"]) if isinstance(known.get("run"), str) else None
        if isinstance(known.get("run"), str) and run is None:  # one that began within the last half second
            with self._lock:
                self._runs = (0.0, [], [])
            runs, listed = self._list()
            run = {r.name: r for r in runs}.get(known["run"])
        if runs and (run is None or (known.get("follow") and not _live(listed, run.name))):
            newest = next((r for r in runs if _live(listed, r.name)), None)
            run = newest or run or runs[0]
        if run is None:
            return {
                "run": None,
                "runs": [],
                "state": {},
                "rows": [],
                "cursor": None,
                "previews": [],
                "has_model": False,
            }

        same = known.get("run") == run.name
        rows, cursor, reset = _rows(run, known.get("cursor") if same else None)
        state = run.state() if (run.folder / "state.json").is_file() else _closed(run)
        seen = known.get("seen") if same and not reset and isinstance(known.get("seen"), dict) else {}
        return {
            "run": run.name,
            "runs": listed,
            "state": {key: state.get(key) for key in STATE},
            "steps_per_epoch": _steps_per_epoch(state, rows),
            "rows": rows,
            "cursor": cursor,
            "reset": reset,
            "previews": _previews(run, seen),
            "has_model": run.model_folder() is not None or (run.folder / "model.safetensors").is_file(),
        }


def _closed(run: Run) -> dict:
    """The state of a bundled model's training, of which only the metrics were kept."""
    last = next((row for row in reversed(run.metrics()) if row.get("kind") == "epoch"), {})
    epoch, step = last.get("epoch"), last.get("step")
    return {
        "state": "finished",
        "epoch": epoch,
        "epochs": epoch,
        "step": step,
        "steps": step,
        "images_per_second": last.get("images_per_second"),
    }


def _state(run: Run) -> str:
    return run.state()["state"] if (run.folder / "state.json").is_file() else "finished"


def _live(listed: list[dict], name: str) -> bool:
    return any(entry["name"] == name and entry["state"] in ACTIVE for entry in listed)


def _rows(run: Run, cursor: object) -> tuple[list[dict], list[int] | None, bool]:
    """The metric lines after the cursor (file's inode, offset), the next cursor, and whether to forget the old lines.

    A resumed run replaces its file by a shorter one, so a cursor into the old file is worth nothing.
    """
    try:
        status = (run.folder / "metrics.jsonl").stat()
    except OSError:
        return [], None, cursor is not None
    ours = (
        isinstance(cursor, list)
        and len(cursor) == 2
        and all(type(part) is int for part in cursor)
        and cursor[0] == status.st_ino
        and 0 <= cursor[1] <= status.st_size
    )
    try:
        rows, offset = run.read_metrics(0, cursor[1] if ours else 0)
    except ValueError:  # an offset that is not the start of a line
        ours = False
        rows, offset = run.read_metrics(0, 0)
    return _thinned(rows), [status.st_ino, offset], cursor is not None and not ours


def _thinned(rows: list[dict]) -> list[dict]:
    """At most about FIRST_VIEW lines, evenly, the last of each kind kept, with six significant digits."""
    step = -(-len(rows) // FIRST_VIEW)
    if step > 1:
        kinds = [[row for row in rows if row.get("kind") == kind] for kind in ("step", "epoch")]
        rows = sorted(
            (r for kind in kinds for r in kind[::-1][::step]), key=lambda r: (r["step"], r["kind"] == "epoch")
        )
    return [{key: _short(row[key]) for key in FIELDS if key in row} for row in rows]


def _short(value: object) -> object:
    return float(f"{value:.6g}") if isinstance(value, float) else value


def _steps_per_epoch(state: dict, rows: list[dict]) -> float:
    if state.get("epoch_steps"):
        return state["epoch_steps"]
    last = next((row for row in reversed(rows) if row.get("kind") == "epoch"), None)
    return last["step"] / last["epoch"] if last else 1


def _previews(run: Run, seen: dict) -> list[dict]:
    """The newest picture of each kind, if it is newer than what is shown."""
    newest = {preview["kind"]: preview for preview in run.previews()}
    found = []
    for kind, preview in newest.items():
        known = seen.get(kind)
        if type(known) is int and known >= preview["step"]:
            continue
        try:
            data = preview["path"].read_bytes()
        except OSError:  # removed meanwhile
            continue
        uri = "data:image/png;base64," + base64.b64encode(data).decode("ascii")
        found.append({"kind": kind, "step": preview["step"], "epoch": preview["epoch"], "uri": uri})
    return found
