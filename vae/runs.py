"""The run folder: the only thing that a training and those who watch it share.

    config.json      the TrainConfig, written once
    state.json       where the run stands, rewritten whole
    metrics.jsonl    one JSON object a line, appended
    previews/        reconstruction-<step>.png and samples-<step>.png
    checkpoints/     step-<step>/{config.json, model.safetensors, trainer.pt}
    lock             held by the process that trains, so that a killed run is known for one
    stop             if present, the training ends at the next step

A line of metrics.jsonl is either {"kind": "step", …}, averages since the last such line, or {"kind": "epoch", …}.
"""

import json
import os
import re
import shutil
import socket
import time
from contextlib import contextmanager, suppress
from pathlib import Path

from vae.errors import InputError
from vae.files import replacing, write_text

try:
    import fcntl
except ImportError:  # Windows: a run is then known for dead by its silence
    fcntl = None

SILENCE = 120.0  # seconds without a sign of life after which a run elsewhere counts as interrupted
ACTIVE = ("starting", "running")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._-]{0,79}")


def runs_dir() -> Path:
    """Where runs live: VAE_RUNS_DIR, or runs/ in the working directory."""
    return Path(os.environ.get("VAE_RUNS_DIR") or "runs")


class Run:
    """A view of a run folder. Reading never blocks and never disturbs the training."""

    def __init__(self, folder: str | Path):
        self.folder = Path(folder)

    def __repr__(self) -> str:
        return f"Run({str(self.folder)!r})"

    @property
    def name(self) -> str:
        return self.folder.name

    def exists(self) -> bool:
        return (self.folder / "config.json").is_file()

    def config(self) -> dict:
        """The TrainConfig as a dict. Raises InputError if the folder is no run."""
        try:
            return json.loads((self.folder / "config.json").read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise InputError(f"{self.folder.name!r} is not a run folder: it has no readable config.json.") from error

    def metrics(self, since: int = 0) -> list[dict]:
        """The metrics from line `since` on. A line still being written is left for the next call."""
        return self.read_metrics(since, 0)[0]

    def read_metrics(self, since: int = 0, offset: int = 0) -> tuple[list[dict], int]:
        """The metrics from byte `offset` on, less the first `since` lines, and the offset to ask from next."""
        try:
            with (self.folder / "metrics.jsonl").open("rb") as file:
                file.seek(offset)
                whole, newline, _ = file.read().rpartition(b"\n")
        except FileNotFoundError:
            return [], 0
        lines = whole.split(b"\n")[since:] if newline else []
        return [json.loads(line) for line in lines], offset + len(whole) + len(newline)

    def state(self) -> dict:
        """Where the run stands: state, reason, epoch, epochs, step, steps, started, updated, seconds_left, ….

        `state` is starting, running, finished, stopped, failed, or interrupted: the process is gone without a word.
        """
        try:
            state = json.loads((self.folder / "state.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            state = {"state": "starting", "updated": 0.0}
        if state["state"] in ACTIVE and not self._alive(state):
            state |= {"state": "interrupted", "reason": "The process that trained it ended without a word."}
        return state

    def _alive(self, state: dict) -> bool:
        if fcntl is None or state.get("host") != socket.gethostname():
            return time.time() - state["updated"] < SILENCE
        try:
            with (self.folder / "lock").open("rb") as lock:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False

    def active(self) -> bool:
        return self.state()["state"] in ACTIVE

    def request_stop(self) -> None:
        """Ask the training to end at its next step; it keeps what it has learned."""
        (self.folder / "stop").touch()

    def stop_requested(self) -> bool:
        return (self.folder / "stop").exists()

    def checkpoints(self) -> list[Path]:
        """The complete checkpoint folders, oldest first."""
        found = (self.folder / "checkpoints").glob("step-*")
        return sorted(f for f in found if (f / "config.json").is_file() and (f / "model.safetensors").is_file())

    def model_folder(self) -> Path | None:
        """The newest complete checkpoint, which vae.load takes; None before the first."""
        return max(self.checkpoints(), default=None)

    def previews(self) -> list[dict]:
        """The preview pictures so far, oldest first: {step, epoch, kind: "reconstruction" | "samples", path}."""
        found = []
        for path in sorted((self.folder / "previews").glob("*-*-*.png")):
            kind, step, epoch = path.stem.split("-")
            found.append({"step": int(step), "epoch": int(epoch), "kind": kind, "path": path})
        return sorted(found, key=lambda preview: (preview["step"], preview["kind"]))

    def rename(self, name: str) -> "Run":
        """The same run under another name. Raises InputError if it is training, or the name is bad or taken."""
        target = self.folder.parent / checked_name(name)
        if self.active():
            raise InputError(f"The run {self.name!r} is still training; stop it before you rename it.")
        if target.exists():
            raise InputError(f"There is already a run {name!r}.")
        self.folder.rename(target)
        return Run(target)

    def delete(self) -> None:
        """Remove the folder and all in it. Raises InputError while the run is training."""
        if self.active():
            raise InputError(f"The run {self.name!r} is still training; stop it before you delete it.")
        # Renamed first, so that a half-deleted folder is never taken for a run.
        gone = self.folder.with_name(f".{self.name}.deleted")
        self.folder.rename(gone)
        shutil.rmtree(gone, ignore_errors=True)


def checked_name(name: str) -> str:
    """`name` if it can name a run folder; InputError otherwise, so that no name leads out of the runs' folder."""
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise InputError(f"A run's name is 1 to 80 letters, digits, spaces, dots, dashes or underscores, not {name!r}.")
    return name


def list_runs(folder: str | Path | None = None) -> list[Run]:
    """The runs in `folder` (the runs' folder unless given), the newest first."""
    folder = Path(folder) if folder is not None else runs_dir()
    found = [Run(path.parent) for path in folder.glob("[!.]*/config.json") if (path.parent / "state.json").is_file()]
    return sorted(found, key=lambda run: run.state().get("started", 0.0), reverse=True)


def new_run_folder(preset: str, folder: str | Path | None = None) -> Path:
    """A folder name that is not taken: the preset's and the lowest free number."""
    folder = Path(folder) if folder is not None else runs_dir()
    numbers = [int(m[1]) for path in folder.glob(f"{preset}-*") if (m := re.fullmatch(r".*-(\d+)", path.name))]
    return folder / f"{preset}-{max(numbers, default=0) + 1:03d}"


class RunWriter(Run):
    """The training's side of a run folder. Whatever it writes appears whole or not at all."""

    def start(self, config: dict, state: dict) -> None:
        """Begin or go on: config and state written, an old request to stop forgotten. Only inside `locked()`."""
        (self.folder / "stop").unlink(missing_ok=True)
        write_text(self.folder / "config.json", json.dumps(config, indent=2) + "\n")
        self.update(**state)

    @contextmanager
    def locked(self):
        """Hold the folder, created if need be. Raises InputError if another process trains in it, or on no access."""
        try:
            (self.folder / "previews").mkdir(parents=True, exist_ok=True)
            lock = (self.folder / "lock").open("ab")
        except OSError as error:
            raise InputError(f"The run folder {str(self.folder)!r} cannot be written: {error.strerror}.") from error
        with lock:
            self._take(lock)
            yield self

    def _take(self, lock) -> None:
        if fcntl is None:
            return
        for _ in range(20):  # those who only look hold the lock for an instant
            with suppress(BlockingIOError):
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            time.sleep(0.05)
        raise InputError(f"The run {self.name!r} is already being trained by another process.")

    def update(self, **changes) -> None:
        """Change fields of state.json; `updated` is set to now."""
        try:
            state = json.loads((self.folder / "state.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            state = {"started": time.time(), "reason": None, "host": socket.gethostname()}
        state |= {"host": socket.gethostname(), "pid": os.getpid(), "updated": time.time()} | changes
        write_text(self.folder / "state.json", json.dumps(state), durable=False)

    def append(self, entry: dict) -> None:
        """One line of metrics. Written in one call, so a kill leaves at worst one torn line, which `rewind` drops."""
        line = (json.dumps(entry) + "\n").encode()
        descriptor = os.open(self.folder / "metrics.jsonl", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            if os.write(descriptor, line) != len(line):
                raise OSError(28, "No space left on device")
        finally:
            os.close(descriptor)

    def rewind(self, step: int) -> None:
        """Forget what was written after `step`: the training goes on from there and will write it again."""
        path = self.folder / "metrics.jsonl"
        if path.is_file():
            kept = [json.dumps(entry) + "\n" for entry in self.metrics() if entry["step"] <= step]
            write_text(path, "".join(kept))
        for preview in self.previews():
            if preview["step"] > step:
                preview["path"].unlink(missing_ok=True)
        for folder in (self.folder / "checkpoints").glob(".*"):  # torn by a kill
            shutil.rmtree(folder, ignore_errors=True)

    def preview(self, kind: str, step: int, epoch: int, png: bytes) -> None:
        with replacing(self.folder / "previews" / f"{kind}-{step:08d}-{epoch:05d}.png") as part:
            part.write_bytes(png)

    def sync(self) -> None:
        """Metrics on the disk before the checkpoint that counts on them."""
        path = self.folder / "metrics.jsonl"
        if path.is_file():
            with path.open("rb+") as file:
                os.fsync(file.fileno())

    def prune(self, keep: int = 2) -> None:
        """Delete all checkpoints but the newest ones."""
        for folder in self.checkpoints()[:-keep]:
            shutil.rmtree(folder, ignore_errors=True)
