"""The one training slot: a thread in this process, which outlives the page that started it."""

import contextlib
import contextvars
import logging
import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from vae.checkpoints.find_model import bundled
from vae.device import pick_device
from vae.errors import InputError
from vae.latents.priors.diffusion_training import check_positions
from vae.training import memory, prior_run
from vae.training.config import TrainConfig
from vae.training.prior_run import PriorRun
from vae.training.runs import Run, new_run_folder
from vae.ui.serving.access import Audience, Visitor
from vae.ui.serving.shares import Shares, soon
from vae.ui.training import training_data
from vae.ui.training.after_run import AfterRun

log = logging.getLogger(__name__)
PUBLIC_MINUTES, PUBLIC_BYTES = 30.0, 10_000_000_000
PATIENCE = 4.0  # seconds to wait for a training to leave its setting up
PRIOR_UPDATES = 2000  # of a diffusion prior's weights, a tenth of the usual ones: minutes on a CPU


class TrainingJob:
    """Starts and stops trainings, one at a time."""

    def __init__(
        self,
        runs_dir: Path,
        allowed: bool = True,
        max_minutes: float | None = None,
        audience: Audience | None = None,
        max_bytes: int | None = None,
        shares: Shares | None = None,
    ):
        """allowed: whether trainings can be started here at all. max_minutes: after which they end; None is never, or
        PUBLIC_MINUTES where strangers use the server. audience: who starts them; those at this machine alone if left
        out. max_bytes: of all runs together, beyond which none begins; None is as many as the disk holds, or
        PUBLIC_BYTES. shares: what each visitor has had of trainings."""
        self.runs_dir, self.allowed, self.audience = runs_dir, allowed, audience or Audience()
        self._max_minutes, self._max_bytes = max_minutes, max_bytes
        self._shares = shares or Shares(self.audience)
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._run: Run | None = None
        self._title = ""  # of what trains
        self._until: float | None = None  # when the limit on its time ends it

    @property
    def max_minutes(self) -> float | None:
        return self._max_minutes or (PUBLIC_MINUTES if self.audience.public else None)

    @property
    def max_bytes(self) -> int | None:
        return self._max_bytes or (PUBLIC_BYTES if self.audience.public else None)

    def current(self) -> Run | None:
        """The run that trains in this process now."""
        thread = self._thread
        return self._run if thread is not None and thread.is_alive() else None

    def start(self, config: TrainConfig, who: Visitor) -> Run:
        """Begin a training that is theirs, and return its run as soon as its folder stands.

        Raises InputError if trainings are switched off here, one is running, or it could not begin.
        """
        self._check_allowed()
        if config.init is None:  # otherwise it is its model that counts, which is known when it is there
            with self.audience.limits():
                memory.check(config, pick_device())
        with self._lock:
            self._check_free()
            minutes = self._minutes(who)
            self._shares.check_runs(who, self._folders())
            self._check_room()
            training_data.sweep(self.runs_dir)
            config = replace(config, data=training_data.kept(config.data, self.runs_dir))
            run = Run(new_run_folder(config.preset, self.runs_dir))
            thread, failure = self._begin(run, minutes, who, self._fitting(config, run, minutes, resume=False))
        while thread.is_alive() and not run.exists():
            time.sleep(0.02)
        if run.exists():
            who.claim(run)
            self._shares.began(who, run.folder.stat().st_ino)
            self._settle(run, thread)
        else:
            thread.join()  # it could not even make its folder
        if failure and not run.checkpoints():
            self._forget(run)
            raise InputError(_sentence(failure[0]))
        return run

    def resume(self, run: Run, epochs: int, who: Visitor) -> Run:
        """Go on with a run that has ended, up to so many epochs in all.

        Raises InputError if it is not theirs, is training, has had so many epochs already, or cannot go on.
        """
        self._check_allowed()
        who.check(run, "continue")
        with self._lock:
            self._check_free()
            minutes = self._minutes(who)
            self._check_room()
            state = run.state()
            if run.active():
                raise InputError(f"The run {run.name} is training.")
            self._check_prior(run, "continue")
            done = state.get("epoch") or 0
            if epochs < done or (epochs == done and state["state"] == "finished"):
                raise InputError(
                    f"The run {run.name} has {done} epochs behind it; to continue it, give a larger number."
                )
            config = replace(TrainConfig.from_dict(run.config()), epochs=epochs, steps=0)
            thread, failure = self._begin(run, minutes, who, self._fitting(config, run, minutes, resume=True))
        patience = time.monotonic() + PATIENCE
        while thread.is_alive() and run.state()["updated"] == state["updated"] and time.monotonic() < patience:
            time.sleep(0.02)
        self._settle(run, thread)
        if failure:
            raise InputError(_sentence(failure[0]))
        return run

    def fit_prior(self, run: Run, who: Visitor) -> None:
        """Train a diffusion prior of a run's model, or go on with one that was stopped; returns once it has begun.

        Raises InputError if it is not theirs, trains, has no model or one too large for it, if its data cannot be read
        any more, if trainings are switched off here or one is running.
        """
        self._check_allowed()
        with self._lock:
            self._check_free()
            minutes = self._minutes(who)
            self._check_room()
            model, data, weights = AfterRun(self.audience).opened(run, who, "fit a prior to", "train")
            check_positions(model.latent_shape())
            prior = PriorRun(weights[0].parent)
            told = prior.state()["updated"] if prior.exists() else None

            def work() -> None:
                mirror = bool(run.config().get("flip"))
                prior_run.fit(
                    model, data, weights, 0, PRIOR_UPDATES, max_minutes=minutes, background=True, mirror=mirror
                )

            thread, failure = self._begin(prior, minutes, who, work, f"the diffusion prior of {run.name}")
        while thread.is_alive() and (not prior.exists() or prior.state()["updated"] == told):
            time.sleep(0.02)
        if failure:
            raise InputError(_sentence(failure[0]))

    def stop_prior(self, run: Run, who: Visitor) -> None:
        """As `stop`, for the training of the run's prior."""
        who.check(run, "stop")
        prior = prior_run.of(run)
        if prior and prior.active():
            prior.request_stop()

    def _check_prior(self, run: Run, verb: str) -> None:
        prior = prior_run.of(run)
        if prior and prior.active():
            raise InputError(f"The diffusion prior of {run.name} is training; stop it before you {verb} the run.")

    def _check_allowed(self) -> None:
        if not self.allowed:
            raise InputError("Training is switched off on this server.")

    def _check_free(self) -> None:
        busy = self.current()
        if busy is not None:
            state = busy.state() if busy.exists() else {}
            far = f"update {state.get('step', 0):,}" if isinstance(busy, PriorRun) else f"epoch {state.get('epoch', 0)}"
            most = state.get("steps" if isinstance(busy, PriorRun) else "epochs", "?")
            end = (
                "its end" if self._until is None else f"its end, {soon(self._until - time.monotonic())} at the latest,"
            )
            raise InputError(
                f"A training is already running ({self._title}, {far} of {most}); wait for {end} or stop it first."
            )

    def _minutes(self, who: Visitor) -> float | None:
        """After how long their next training ends. Raises InputError, which says when, if they can't train now."""
        most = self.max_minutes
        seconds = self._shares.check_training(who, most and 60 * most)
        return seconds and seconds / 60

    def _folders(self) -> set[int]:
        """The numbers of the runs' folders, which stay theirs when a run is renamed."""
        return {path.stat().st_ino for path in self.runs_dir.glob("[!.]*")}

    def _check_room(self) -> None:
        """InputError if the runs have filled what they may."""
        most = self.max_bytes
        if most is None:
            return
        held = sum(path.lstat().st_size for path in self.runs_dir.rglob("*") if path.is_file())
        if held > most:
            raise InputError(
                f"The runs on this server take {held / 1e9:.1f} GB, and {most / 1e9:.3g} GB are allowed; delete a run "
                "of yours, or wait until others have deleted theirs."
            )

    @staticmethod
    def _fitting(config: TrainConfig, run: Run, minutes: float | None, resume: bool) -> Callable[[], None]:
        def work() -> None:
            from vae.training.loop import fit  # heavy, and only needed here

            fit(config, run=run.folder, resume=resume, max_minutes=minutes, background=True)

        return work

    def _begin(
        self, run: Run, minutes: float | None, who: Visitor, work: Callable[[], None], title: str | None = None
    ) -> tuple[threading.Thread, list[BaseException]]:
        failure: list[BaseException] = []
        title = title or run.name
        with self.audience.limits():  # the training's, too, as whoever begins it has them
            context = contextvars.copy_context()
        begin = (self._train, work, title, who, failure)
        thread = threading.Thread(target=context.run, args=begin, name=f"train {title}", daemon=True)
        self._run, self._thread, self._title = run, thread, title
        self._until = None if minutes is None else time.monotonic() + 60 * minutes
        thread.start()
        return thread, failure

    def _settle(self, run: Run, thread: threading.Thread) -> None:
        """Wait a while for the run to leave its setting up: most of what can be wrong, such as an empty data folder,
        shows by then."""
        patience = time.monotonic() + PATIENCE
        while thread.is_alive() and run.state()["state"] == "starting" and time.monotonic() < patience:
            time.sleep(0.02)
        if not run.active():
            thread.join(1.0)

    def _train(self, work: Callable[[], None], title: str, who: Visitor, failure: list[BaseException]) -> None:
        began = time.monotonic()
        try:
            work()
        except InputError as error:
            failure.append(error)  # the run's state says it too
        except BaseException as error:
            failure.append(error)
            log.exception("the training %s failed", title)
        finally:
            self._shares.trained(who, time.monotonic() - began, failed=bool(failure))

    def stop(self, run: Run, who: Visitor) -> None:
        """Ask the run to end at its next step; it keeps what it has learned. Nothing happens if it has ended.

        Raises InputError if it is not theirs.
        """
        who.check(run, "stop")
        if run.active():
            try:
                run.request_stop()
            except OSError as error:
                raise InputError(f"The run {run.name} cannot be stopped: {error.strerror}.") from error

    def rename(self, run: Run, name: str, who: Visitor) -> Run:
        """Raises InputError if it is not theirs, is training, or the name is bad or taken."""
        who.check(run, "rename")
        self._check_prior(run, "rename")
        name = name.strip()
        if name in bundled():
            raise InputError(f"There is already a model {name!r}.")
        return run if name == run.name else run.rename(name)

    def delete(self, run: Run, who: Visitor) -> None:
        """Remove the run, its checkpoints and previews. Raises InputError if it is not theirs, or is training."""
        who.check(run, "delete")
        self._check_prior(run, "delete")
        self._delete(run)
        with self._lock:  # no training is about to begin with an archive that no run names yet
            if self.current() is None:
                training_data.sweep(self.runs_dir, age=0.0)

    def _delete(self, run: Run) -> None:
        folder = run.folder.stat().st_ino
        run.delete()
        self._shares.gone(folder)

    def _forget(self, run: Run) -> None:
        """Nothing half-written stays of a run that never began."""
        if run.exists():
            with contextlib.suppress(InputError, OSError):
                self._delete(run)
        else:
            shutil.rmtree(run.folder, ignore_errors=True)


def _sentence(error: BaseException) -> str:
    return str(error) if isinstance(error, InputError) else "The training could not begin; the server's log says why."
