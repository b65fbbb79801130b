"""The run folder: the only thing that a training and those who watch it share.

    config.json      the TrainConfig, written once
    state.json       where the run stands, rewritten whole
    metrics.jsonl    one JSON object a line, appended
    previews/        reconstruction-<step>.png and samples-<step>.png
    checkpoints/     step-<step>/{config.json, model.safetensors, trainer.pt}
    lock             held by the process that trains, so that a killed run is known for one
    stop             if present, the training ends

A line of metrics.jsonl is either {"kind": "step", …}, averages since the last such line, or {"kind": "epoch", …}; where
a run goes on from a model the first is {"kind": "start", …}, that model's validation.
"""

import json
import os
import re
import shutil
import socket
import time
from contextlib import contextmanager, suppress
from difflib import get_close_matches
from pathlib import Path

from vae.checkpoints.run_checkpoints import complete_checkpoints
from vae.errors import InputError
from vae.files import replacing, write_text
from vae.training import metrics_file
from vae.training.run_listing import newest_first

try:
    import fcntl
except ImportError:  # Windows: a run is then known for dead by its silence
    fcntl = None

LIVE = "live"  # what the run that trains now is called, besides its name
SILENCE = 120.0  # seconds without a sign of life after which a run elsewhere counts as interrupted
ACTIVE = ("starting", "running")
_PART = re.compile(r"\.(config|state)\.json\.[0-9]+\.part")  # half-written by a training that was killed
_MACHINE = "host"  # the key in state.json under which the machine that trains is named
_FAR = re.compile(r"-[0-9]{5,}$")  # like the name of a generated run, so far on that the next ones would look absurd
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._-]{0,79}")


def runs_dir() -> Path:
    """Where runs live: VAE_RUNS_DIR, or runs/ in the working directory."""
    return Path(os.environ.get("VAE_RUNS_DIR") or "runs").expanduser()


class Run:
    """A view of a run folder. Reading never blocks and never disturbs the training."""

    def __init__(self, folder: str | Path):
        if not isinstance(folder, str | os.PathLike):
            raise InputError(f"A run is a folder, whose path is a string or a Path, not {folder!r}.")
        self.folder = Path(folder)

    def __repr__(self) -> str:
        return f"Run({str(self.folder)!r})"

    @property
    def name(self) -> str:
        return self.folder.name

    def exists(self) -> bool:
        return (self.folder / "config.json").is_file()

    def _require(self) -> None:
        if not self.exists():
            raise InputError(f"{str(self.folder)!r} is not a run folder: it has no config.json.")

    def begun(self) -> bool:
        """Whether there is anything in it to lose: a checkpoint."""
        return self.exists() and self.model_folder() is not None

    def config(self) -> dict:
        """The TrainConfig as a dict. Raises InputError if the folder is no run."""
        try:
            return json.loads((self.folder / "config.json").read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise InputError(f"{self.folder.name!r} is not a run folder: it has no readable config.json.") from error

    def metrics(self, since: int = 0) -> list[dict]:
        """The metrics from line `since` on. A line still being written is left for the next call.

        Raises InputError if the folder is no run."""
        self._require()
        return self.read_metrics(since, 0)[0]

    def read_metrics(self, since: int = 0, offset: int = 0) -> tuple[list[dict], int]:
        """The metrics from byte `offset` on, less the first `since` lines, and the offset to ask from next."""
        return metrics_file.read(self.folder, since, offset)

    def state(self) -> dict:
        """Where the run stands: state, reason, epoch, epochs, step, steps, started, updated, seconds_left, ….

        `state` is starting, running, finished, stopped, failed, or interrupted: the process is gone without a word.
        Raises InputError if the folder is no run.
        """
        try:
            state = json.loads((self.folder / "state.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            self._require()
            state = {"state": "starting", "updated": 0.0}
        if state["state"] in ACTIVE and not self._alive(state):
            state |= {"state": "interrupted", "reason": "The process that trained it ended without a word."}
        return state

    def _alive(self, state: dict) -> bool:
        if fcntl is not None and state.get(_MACHINE) == socket.gethostname():
            try:
                with (self.folder / "lock").open("rb") as lock:
                    fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
                return False
            except BlockingIOError:
                return True
            except FileNotFoundError:
                return False
            except OSError:  # a file system without locks
                pass
        return time.time() - state["updated"] < SILENCE

    def active(self) -> bool:
        return self.state()["state"] in ACTIVE

    def request_stop(self) -> None:
        """Ask the training to end, within two seconds or so; it keeps what it learned. InputError as for metrics."""
        self._require()
        (self.folder / "stop").touch()

    def stop_requested(self) -> bool:
        return (self.folder / "stop").exists()

    def checkpoints(self) -> list[Path]:
        """The complete checkpoint folders, oldest first."""
        return complete_checkpoints(self.folder)

    def model_folder(self) -> Path | None:
        """The newest complete checkpoint, which vae.load takes; None before the first."""
        return max(self.checkpoints(), default=None)

    def previews(self) -> list[dict]:
        """The preview images so far, oldest first: {step, epoch, kind: "reconstruction" | "samples", path}."""
        found = []
        for path in sorted((self.folder / "previews").glob("*-*-*.png")):
            kind, step, epoch = path.stem.split("-")
            found.append({"step": int(step), "epoch": int(epoch), "kind": kind, "path": path})
        return sorted(found, key=lambda preview: (preview["step"], preview["kind"]))

    def rename(self, name: str) -> "Run":
        """The same run under another name. Raises InputError if it is training, or the name is bad or taken."""
        target = self.folder.parent / checked_name(name)
        if target.exists():
            raise InputError(f"There is already a run {name!r}.")
        self._move(target, "rename")
        return Run(target)

    def delete(self) -> None:
        """Remove the folder and all in it. Raises InputError while the run is training, or if it cannot be removed."""
        # Renamed first, so that a half-deleted folder is never taken for a run.
        gone = self.folder.with_name(f".{self.name}.{time.time_ns()}.deleted")
        self._move(gone, "delete")
        shutil.rmtree(gone, ignore_errors=True)

    def _move(self, target: Path, verb: str) -> None:
        if not self.exists():
            raise InputError(f"There is no run {self.name!r}.")
        if self.active():
            raise InputError(f"The run {self.name!r} is still training; stop it before you {verb} it.")
        try:
            self.folder.rename(target)
        except OSError as error:
            raise InputError(f"The run {self.name!r} cannot be {verb}d: {error.strerror}.") from error


def checked_name(name: str) -> str:
    """`name` if it can name a run folder; InputError otherwise, so that no name leads out of the runs' folder."""
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise InputError(f"A run's name is 1 to 80 letters, digits, spaces, dots, dashes or underscores, not {name!r}.")
    if name.casefold() == LIVE:
        raise InputError(f"{name!r} means the training that runs now; give the run another name.")
    if _FAR.search(name):
        raise InputError(f"A run's name ends in a dash and up to 4 digits at most, not {name!r}; new runs count on.")
    return name


def list_runs(folder: str | Path | None = None, most: int | None = None) -> list[Run]:
    """The runs in `folder` (the runs' folder unless given), the newest first; of more than `most` the newest, and older
    ones that may be training."""
    folder, since = Path(folder) if folder is not None else runs_dir(), time.time() - SILENCE
    found = newest_first(folder)
    most = len(found) if most is None else most
    return [Run(place) for i, (place, written) in enumerate(found) if i < most or written > since]


def named_run(name: object, folder: str | Path | None = None) -> Run | None:
    """The run of that name among `list_runs`; None if there is none. A name never leads out of the folder."""
    if not isinstance(name, str) or not name or name.startswith(".") or Path(name).name != name or "\0" in name:
        return None
    path = (Path(folder) if folder is not None else runs_dir()) / name
    try:
        return Run(path) if (path / "config.json").is_file() and (path / "state.json").is_file() else None
    except OSError:  # a name no disk takes
        return None


def new_run_folder(preset: str, folder: str | Path | None = None) -> Path:
    """A folder name that is not taken: the preset's and the next number."""
    folder = Path(folder) if folder is not None else runs_dir()
    numbers = [int(m[1]) for path in folder.glob(f"{preset}-*") if (m := re.fullmatch(r".*-([0-9]{1,6})", path.name))]
    return folder / f"{preset}-{max(numbers, default=0) + 1:03d}"


class RunWriter(Run):
    """The training's side of a run folder. Whatever it writes appears whole or not at all."""

    @contextmanager
    def locked(self, resume: bool = False):
        """Hold the folder, created if need be, for a new training or one that goes on.

        Raises InputError if another training holds it, it cannot be written, or it holds what is no run; if it has
        something to lose and `resume` is false, or it has no run and `resume` is true.
        """
        try:
            self.resumable() if resume else self._refuse_foreign()
            (self.folder / "previews").mkdir(parents=True, exist_ok=True)
            lock = (self.folder / "lock").open("ab")
        except OSError as error:
            raise InputError(f"The run folder {str(self.folder)!r} cannot be written: {error.strerror}.") from error
        with lock:
            self._take(lock)
            if self.begun() and not resume:
                raise InputError(f"The run {self.name!r} exists already; resume it, or give another name.")
            yield self

    def resumable(self) -> "RunWriter":
        """Itself. Raises InputError if there is no run in the folder, and says which one may have been meant."""
        self._refuse_foreign()
        if not self.exists():
            advice = f"{str(self.folder.parent)!r} has none"
            for place in (runs_dir(), self.folder.parent):  # the second says it, if both have some
                names = [run.name for run in list_runs(place)]
                if near := get_close_matches(self.name, names, 1, 0.0):
                    there = "there" if place == self.folder.parent else f"in {str(place)!r}"
                    advice = f"the nearest name {there} is {near[0]!r}"
            raise InputError(f"There is no run {str(self.folder)!r} to resume; {advice}.")
        return self

    def _refuse_foreign(self) -> None:
        """A run overwrites what is in its folder and is deleted with it, so it must not begin among other things."""
        if not self.folder.is_dir():
            return
        begun = self._says("state.json", "state", "updated")
        if begun and self._says("config.json", "epochs"):
            return
        # A run that was killed before its config was written leaves these.
        own = {"lock", "state.json"} if begun else {"lock"}
        others = [f for f in self.folder.iterdir() if f.name not in own and not _PART.fullmatch(f.name)]
        others = [f.name for f in others if f.name != "previews" or not f.is_dir() or any(f.iterdir())]
        if others:
            raise InputError(
                f"The folder {str(self.folder)!r} is no run and not empty (it holds {min(others)}); give a new one."
            )

    def _says(self, name: str, *keys: str) -> bool:
        """Whether there is a JSON object with these keys in the file."""
        try:
            content = json.loads((self.folder / name).read_text("utf-8"))
        except (OSError, ValueError, RecursionError):
            return False
        return isinstance(content, dict) and all(key in content for key in keys)

    def _take(self, lock) -> None:
        if fcntl is None:
            return
        for _ in range(20):  # those who only look hold the lock for an instant
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                time.sleep(0.05)
            except OSError:  # a file system without locks: nothing better than silence tells the dead then
                return
            else:
                return
        raise InputError(f"The run {self.name!r} is already being trained by another process.")

    def start(self, config: dict) -> None:
        """Begin, with the config written, or go on; an old request to stop is forgotten. Only inside `locked()`.

        The config of a run gone on with is for `write_config`, when nothing can be refused any more.
        """
        try:
            (self.folder / "stop").unlink(missing_ok=True)
            if self.begun():
                self.update(state="starting", reason=None)
                return
            # The state first: a folder with a config.json and no state.json is not a run's.
            self.update(state="starting", reason=None, epochs=config["epochs"], started=time.time())
            self.write_config(config)
        except OSError as error:
            raise InputError(f"The run folder {str(self.folder)!r} cannot be written: {error.strerror}.") from error

    def write_config(self, config: dict) -> None:
        write_text(self.folder / "config.json", json.dumps(config, indent=2) + "\n")

    def update(self, **changes) -> None:
        """Change fields of state.json; `updated` is set to now."""
        path = self.folder / "state.json"
        try:
            state = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            state = {"started": time.time(), "reason": None}
        state |= {_MACHINE: socket.gethostname(), "pid": os.getpid(), "updated": time.time()} | changes
        write_text(path, json.dumps(state), durable=False)

    def end(self, **changes) -> None:
        """The last word of a run. If the disk is full it goes where the last state lies, which takes no more room."""
        try:
            self.update(**changes)
        except OSError:
            with suppress(OSError, ValueError):
                path = self.folder / "state.json"
                state = json.loads(path.read_text(encoding="utf-8")) | {"updated": time.time()} | changes
                with path.open("r+", encoding="utf-8") as file:
                    file.write(json.dumps(state))
                    file.truncate()

    def append(self, entry: dict) -> None:
        """One line of metrics."""
        metrics_file.append(self.folder, entry)

    def rewind(self, step: int) -> None:
        """Forget what was written after `step`: the training goes on from there and will write it again."""
        metrics_file.rewind(self.folder, step)
        for preview in self.previews():
            if preview["step"] > step:
                preview["path"].unlink(missing_ok=True)
        checkpoints = self.folder / "checkpoints"
        for folder in (*checkpoints.glob("step-*"), *checkpoints.glob(".step-*")):
            torn = folder.name.startswith(".") or not (folder / "trainer.pt").is_file()
            if torn or folder.name > self.checkpoint_folder(step).name:
                _remove(folder)
        # Of files half-written only a training's own: somebody may be writing another one beside them now.
        for name in (".config.json.", ".state.json.", ".metrics.jsonl.", "previews/."):
            for part in self.folder.glob(f"{name}*.part"):
                part.unlink(missing_ok=True)

    def preview(self, kind: str, step: int, epoch: int, png: bytes) -> None:
        with replacing(self.folder / "previews" / f"{kind}-{step:08d}-{epoch:05d}.png", durable=False) as part:
            part.write_bytes(png)

    def sync(self) -> None:
        """Metrics on the disk before the checkpoint that counts on them."""
        metrics_file.sync(self.folder)

    def checkpoint_folder(self, step: int) -> Path:
        return self.folder / "checkpoints" / f"step-{step:08d}"

    def prune(self, keep: int) -> None:
        """Delete all checkpoints but the newest ones."""
        for folder in self.checkpoints()[:-keep]:
            _remove(folder)


def _remove(folder: Path) -> None:
    """Delete a checkpoint; hidden first, so that a kill in between leaves nothing that looks like one."""
    hidden = folder if folder.name.startswith(".") else folder.with_name(f".{folder.name}.gone")
    with suppress(OSError):
        if hidden != folder:
            folder.rename(hidden)
        if hidden.is_dir():
            shutil.rmtree(hidden, ignore_errors=True)
        else:
            hidden.unlink()
