"""The one training slot: a thread in this process, which outlives the page that started it."""

import contextlib
import logging
import os
import shutil
import threading
import time
from pathlib import Path

from vae.errors import InputError
from vae.presets import TrainConfig
from vae.runs import Run, new_run_folder

log = logging.getLogger(__name__)
PATIENCE = 4.0  # seconds to wait for a training to leave its setting up


def training_allowed() -> bool:
    """VAE_TRAINING=on|off; on unless said otherwise, but on ZeroGPU, where no thread keeps a device."""
    default = "off" if os.environ.get("SPACES_ZERO_GPU") else "on"
    return os.environ.get("VAE_TRAINING", default).strip().lower() not in ("off", "0", "false", "no")


def minutes_allowed() -> float | None:
    """VAE_MAX_TRAIN_MINUTES as a number; None if there is no limit."""
    text = os.environ.get("VAE_MAX_TRAIN_MINUTES", "").strip()
    try:
        minutes = float(text) if text else None
    except ValueError:
        minutes = -1.0
    if minutes is not None and not minutes > 0:
        raise InputError(f"VAE_MAX_TRAIN_MINUTES must be a number of minutes above 0, not {text!r}.")
    return minutes


class Slot:
    """Starts and stops trainings, one at a time."""

    def __init__(self, runs_dir: Path):
        self.runs_dir = runs_dir
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._run: Run | None = None

    def current(self) -> Run | None:
        """The run that trains in this process now."""
        thread = self._thread
        return self._run if thread is not None and thread.is_alive() else None

    def start(self, config: TrainConfig) -> Run:
        """Begin a training and return its run as soon as its folder stands.

        Raises InputError if trainings are switched off here, one is running, or it could not begin.
        """
        if not training_allowed():
            raise InputError("Training is switched off on this server.")
        limit = minutes_allowed()
        with self._lock:
            busy = self.current()
            if busy is not None:
                state = busy.state()
                raise InputError(
                    f"A training is already running ({busy.name}, epoch {state.get('epoch', 0)} of "
                    f"{state.get('epochs', '?')}); wait for its end or stop it first."
                )
            self._run = run = Run(new_run_folder(config.preset, self.runs_dir))
            failure: list[BaseException] = []
            self._thread = threading.Thread(
                target=self._train, args=(config, run, limit, failure), name=f"train {run.name}", daemon=True
            )
            self._thread.start()
            thread = self._thread
        # Most of what can be wrong, such as an empty data folder, shows while the run is being set up.
        while thread.is_alive() and not run.exists():
            time.sleep(0.02)
        patience = time.monotonic() + PATIENCE
        while thread.is_alive() and run.state()["state"] == "starting" and time.monotonic() < patience:
            time.sleep(0.02)
        if run.state()["state"] == "failed":
            thread.join(1.0)
        if failure and not run.checkpoints():
            _forget(run)
            raise InputError(_sentence(failure[0]))
        return run

    def _train(self, config: TrainConfig, run: Run, limit: float | None, failure: list[BaseException]) -> None:
        from vae.train import fit  # heavy, and only needed here

        try:
            fit(config, run=run.folder, max_minutes=limit)
        except InputError as error:
            failure.append(error)  # the run's state says it too
        except BaseException as error:
            failure.append(error)
            log.exception("the training %s failed", run.name)

    def stop(self, run: Run) -> None:
        """Ask the run to end at its next step; it keeps what it has learned. Nothing happens if it has ended."""
        if run.active():
            try:
                run.request_stop()
            except OSError as error:
                raise InputError(f"The run {run.name!r} cannot be stopped: {error.strerror}.") from error


def _forget(run: Run) -> None:
    """Nothing half-written stays of a run that never began."""
    if run.exists():
        with contextlib.suppress(InputError, OSError):
            run.delete()
    else:
        shutil.rmtree(run.folder, ignore_errors=True)


def _sentence(error: BaseException) -> str:
    return str(error) if isinstance(error, InputError) else "The training could not begin; the server's log says why."
