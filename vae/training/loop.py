"""The training loop, one for every model.

Nothing random here has a state: the order of the images is a function of (seed, epoch), the noise of (seed, step).
So a resumed run needs no generator restored to go on exactly as if it had never stopped, and any number of processes
that share an update draw, between them, what one would.
"""

import math
import time
from collections.abc import Callable
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from torch import nn

from vae.checks import real_number
from vae.device import pick_device
from vae.errors import InputError
from vae.perceptual import check_installed
from vae.training import memory
from vae.training.batches import TrainingImages
from vae.training.callbacks import Event
from vae.training.config import TrainConfig
from vae.training.cuda_graph import GraphedUpdate, captured
from vae.training.distributed import accelerator_for, claim, track_images
from vae.training.finishing import finish
from vae.training.hardware import chosen_precision
from vae.training.objective import check_terms
from vae.training.own_parts import OwnParts, gathered, lent
from vae.training.preparation import prepare
from vae.training.presets import PRESETS, preset
from vae.training.previews import previews
from vae.training.process import give_way, keep_freed_memory
from vae.training.recorder import Recorder
from vae.training.resume import continued, rooted, settings
from vae.training.runs import Run, RunWriter, new_run_folder
from vae.training.schedule import learning_rate
from vae.training.stopping import REASONS, Stopped, Stopper, check_loss, sentence
from vae.training.thread_trials import thread_trials
from vae.training.trained_model import saved_config, with_its_network
from vae.training.training_state import training_state
from vae.training.update import Update
from vae.training.validation import evaluating, validate

EPOCH, LINE = range(2)  # rows of the sums: over the epoch so far, and since the last step line of the metrics
MEASURING, SHARE = 30.0, 0.05  # seconds, or a share of the training's, for the latents' statistics at its end
QUICK = 0.5  # seconds that a preview or a measurement may take when the run is to stop


def fit(
    config: TrainConfig | str,
    run: str | Path | None = None,
    resume: bool = False,
    device: str | None = None,
    max_minutes: float | None = None,
    on_progress: Callable[[dict], None] | None = None,
    log_with: str | None = None,
    background: bool = False,
    objective: Callable | None = None,
    model: nn.Module | None = None,
    train_set: Any = None,
    val_set: Any = None,
    callbacks: Any = (),
) -> Run:
    """Train as `config` says, or the preset of that name, in the run folder `run` (a new one unless given).

    resume: go on from the folder's newest checkpoint, or begin it anew if it has none. On the CPU the metrics are then
    those of an uninterrupted run to the last bit, as long as as many threads compute (see thread_trials; with
    OMP_NUM_THREADS=N they always do). Epochs, steps and learning rate may be others than before: from there
    on the rate is that of a run which began with these. The data may have been moved: `data` and `val_data` then say
    where they are. All else must be as in the folder's own config.
    max_minutes: of this call, after which the run stops as if asked to. on_progress is called about twice a second
    with the run's state. log_with: a tracker's name for Accelerate ("tensorboard", "trackio", "wandb", …).
    objective: in place of the config's own, a callable (x, x_hat, posterior, step) that returns the loss, or a dict of
    named scalar tensors with it as "loss", or whose sum it is; step is None in validation. A run resumed needs it, too.
    See vae.training.objective.
    model: in place of the config's, one of vae.load's or of one's own: any module with encode and decode, as
    vae.models.own.OwnModel takes it. It is trained in place. train_set, val_set: in place of the config's data,
    Datasets of tensors or (tensor, label), as vae.data.own_set.OwnSet takes them, or what load_data gave; without a
    val_set the config's val_data validate, or its test_size of a Dataset is held out. callbacks: vae.Callback objects,
    or functions of a vae.training.callbacks Event. A run resumed needs these, too.
    background: this thread gives way to others of the process, for good: it is less urgent and uses a core fewer; and a
    new run that fails before its first checkpoint keeps its folder, whose state says why. Otherwise nothing is left of
    such a run.
    In a main thread Ctrl-C and SIGTERM stop the run too. A stop waits for nothing long: an update, a validation or an
    image in the making is dropped, and a run resumed makes it again.

    Returns the Run, finished or stopped; its state then has the `signal` that stopped it, or None. Raises InputError,
    with the reason in the run's state, too, if it has begun, where the data cannot be read, the folder not written, the
    loss is not finite or explodes, the run is being trained already, or with `resume` there is none or it has other
    settings.
    """
    config = preset(config) if isinstance(config, str) else config
    if not isinstance(config, TrainConfig):
        raise InputError(
            f"What to train is a TrainConfig or a preset's name ({', '.join(PRESETS)}), not {type(config).__name__}."
        )
    if max_minutes is not None:
        max_minutes = real_number("max_minutes", max_minutes, 0.0, 1e6)
    keep_freed_memory()
    if background:
        give_way()
    writer = RunWriter(Run(run).folder.expanduser() if run else new_run_folder(config.preset))
    new = not writer.folder.exists()
    before = writer.state() if resume and writer.begun() else None
    if resume and writer.exists():
        writer.resumable()
        asked = settings(config, own_model=model is not None)
        config = continued(writer.name, TrainConfig.from_dict(writer.config()), asked)
    else:
        config = with_its_network(config)
    going_on = writer if before else None
    config, parts = gathered(rooted(config), going_on, model, train_set, val_set, objective, callbacks)
    if config.perceptual:
        check_installed(config.perceptual_network)
    precision = chosen_precision(config, pick_device(device))
    with accelerator_for(precision, device, log_with, writer.folder) as accelerator, ExitStack() as held:
        held.enter_context(lent(parts.model))
        if config.batch_size == "auto":
            batches = gather_object([memory.fitting_batch(config, accelerator.device)])  # of every process
            config = replace(config, batch_size=min(batches))
        writer = claim(writer, config, resume, accelerator, held)
        stopper = Stopper(writer, max_minutes, accelerator)
        trainer = Trainer(config, writer, accelerator, stopper, on_progress, parts)
        try:
            with stopper.listening():
                reason = trainer.train()
                own = parts.model is not None
                if reason is None and config.map_and_priors and accelerator.num_processes == 1 and not own:
                    finish(writer, trainer.feed, trainer.plan.steps, accelerator.device, stopper.reason)
            ending = {"state": "stopped" if reason else "finished", "reason": reason, "seconds_left": 0}
            ending["signal"] = stopper.signal
        except BaseException as error:
            message = sentence(error)
            ending = {"state": "stopped" if isinstance(error, KeyboardInterrupt) else "failed", "reason": message}
            if before and not trainer.began and isinstance(error, InputError):  # refused: nothing has become of it
                ending = {"state": before["state"], "reason": before.get("reason")}
            if isinstance(error, OSError | MemoryError | torch.OutOfMemoryError):
                raise InputError(message) from error
            raise
        finally:
            if accelerator.is_main_process:
                writer.end(**ending)
                if new and ending["state"] == "failed" and not background and not writer.begun():
                    with suppress(InputError):
                        writer.delete()  # refused before it had learned anything
            trainer.close()
    return Run(writer.folder)


class Trainer:
    """One training: all that `fit` needs at hand while it runs; `prepare` adds what depends on the model and images."""

    def __init__(
        self,
        config: TrainConfig,
        writer: RunWriter,
        accelerator: Accelerator,
        stopper: Stopper,
        on_progress: Callable[[dict], None] | None,
        parts: OwnParts,
    ):
        self.config, self.writer, self.accelerator, self.stopper = config, writer, accelerator, stopper
        self.device = accelerator.device
        self.main = accelerator.is_main_process
        self.recorder = Recorder(writer, on_progress)
        self.parts = parts
        self.feed: TrainingImages | None = None
        self.began = False
        self.took = {"preview": math.inf, "measure": math.inf}  # seconds, the last time; infinite if it was dropped
        self.updates: Update | GraphedUpdate | None = None  # made at the first one

    def close(self) -> None:
        if self.updates is not None:
            self.updates.close()
        if self.feed is not None:
            self.feed.close()
        self.accelerator.end_training()
        if self.device.type != "cpu":
            self.accelerator.free_memory()

    # -- the loop -------------------------------------------------------------------------------------------------

    def train(self) -> str | None:
        """Train to the end. Returns None, or why it stopped before."""
        try:
            prepare(self)
            self.begin()
            self.learn()
            self.finish()
        except Stopped as stop:
            if self.began:
                with self.stopper.ending():
                    self.finish(stopped=True)
            return REASONS[stop.reason]
        return None

    def begin(self) -> None:
        """What is due before the first update, or is still due after the last one before a stop."""
        self.accelerator.wait_for_everyone()  # all have read the run folder before one changes it
        if self.main:
            self.recorder.begin(self.config, self.step, self.plan, self.feed, self.device)
        self.began = True
        if self.step == 0:
            if self.config.init:
                self.log_start()
            self.preview()
            if self.main:
                self.checkpoint()
        else:
            self.record(self.step * self.plan.update_images / self.seconds)

    def learn(self) -> None:
        plan, start, first, before = self.plan, time.perf_counter(), self.step, self.seconds
        took, work = None, lambda: self.updates.rehearse()
        with thread_trials(work, self.device, self.accelerator.num_processes) as after_update:
            while self.step < plan.steps:
                self.stopper.before_update(self.step, took)
                begun = time.perf_counter()
                self.update()
                self.step += 1
                took = time.perf_counter() - begun
                after_update(took)
                self.tell("step", terms=self.updates.terms)
                self.seconds = before + time.perf_counter() - start
                rate = (self.step - first) * plan.update_images / (self.seconds - before)
                self.record(rate)
                if self.main:
                    self.recorder.progress(self.step, plan, rate)
                    if self.recorder.due():
                        self.checkpoint()

    def record(self, rate: float) -> None:
        """What is due after an update, unless it was done before a stop. rate: images a second."""
        if self.step % self.plan.log_every == 0 and not self.sums.empty(LINE):
            self.log("step", LINE)
        if (self.step % self.plan.epoch_steps == 0 or self.step == self.plan.steps) and not self.sums.empty(EPOCH):
            self.log("epoch", EPOCH, rate)
        if self.step in self.preview_steps:
            self.preview()

    def finish(self, stopped: bool = False) -> None:
        """Save. Stopped, this takes no longer than writing does."""
        self.accelerator.wait_for_everyone()
        if stopped and self.took["preview"] < QUICK:
            self.preview()
        if self.main:
            measuring = 0.0 if stopped else max(MEASURING, SHARE * self.seconds)
            self.checkpoint(measure=not stopped or self.took["measure"] < QUICK, seconds=measuring)
            self.writer.prune(keep=1)
            self.recorder.state(**self.recorder.left_out(self.feed))
            self.recorder.progress(self.step, self.plan)

    def update(self) -> None:
        """One update of the weights, from this process's share of the update's images."""
        if self.updates is None:
            parts = self.model, self.optimizer, self.ema, self.objective, self.adversary, self.feed, self.sums
            update = Update(self.config, self.plan, self.accelerator, *parts, self.stopper)
            self.updates = captured(update, self.step) if self.graphed else update
        self.updates(self.step)
        if self.first_loss is None:
            self.first_loss = abs(self.sums.mean(EPOCH, self.accelerator)["loss"]) + 1.0

    # -- what is measured -----------------------------------------------------------------------------------------

    def log(self, kind: str, row: int, rate: float | None = None) -> None:
        """A line of metrics from a row of the sums, which starts again from 0."""
        entry = {"kind": kind, "step": self.step, "epoch": self.plan.epoch(self.step)}
        entry |= self.sums.mean(row, self.accelerator)
        self._judge(entry["loss"])
        if kind == "epoch":
            entry |= self.validate()
            if not math.isfinite(entry["val_loss"]):
                self._judge(entry["val_loss"])
        self.sums.table[row].zero_()  # after the validation, which a stop may drop
        entry["learning_rate"] = learning_rate(self.config, self.step - 1, self.plan.steps)
        if kind == "epoch":
            entry |= {"images_per_second": round(rate, 2), "seconds": round(self.seconds, 3)}
        if self.parts.objective:
            check_terms(entry, self.step)
        if self.main:
            self.recorder.metrics(entry)
        if kind == "epoch":
            self.tell("epoch", metrics=entry)
        if self.accelerator.log_with:
            self.accelerator.log({k: v for k, v in entry.items() if k not in ("kind", "step")}, step=self.step)

    def log_start(self) -> None:
        """How good the model is that the run begins with, before its first update."""
        found = self.validate()
        entry = {"kind": "start", "step": 0, "epoch": 0}
        entry |= {name: found[f"val_{name}"] for name in self.objective.val_terms} | found
        if self.main:
            self.recorder.metrics(entry)

    def _judge(self, loss: float) -> None:
        """InputError if the loss is not finite or has exploded, or the discriminator makes the images worse."""
        if self.adversary:
            self.adversary.check(self.step)
        check_loss(loss, self.first_loss, self.step, self.config.learning_rate)

    def validate(self) -> dict[str, float]:
        with self._evaluating() as model:
            return validate(model, self.feed, self.objective, self.config, self.accelerator, self.stopper)

    def tell(self, name: str, **facts) -> None:
        """Call those who want to hear of such an event."""
        if called := self.parts.listeners[name]:
            stop = self.stopper.call_off
            with torch.no_grad(), self._evaluating() as model:
                event = Event(name, self.step, self.plan.epoch(self.step), model, self.config, stop, **facts)
                for listener in called:
                    listener(event)

    @contextmanager
    def _evaluating(self):
        """The averaged model in evaluation mode, computing in the training's precision, and as it is: compiling it for
        validation's batches too would take longer than they do."""
        as_it_is = torch.compiler.set_stance("force_eager") if self.compiled else nullcontext()
        with evaluating(self.ema.model) as model, self.accelerator.autocast(), as_it_is:
            yield model

    @contextmanager
    def _timed(self, what: str):
        start, self.took[what] = time.monotonic(), math.inf
        yield
        self.took[what] = time.monotonic() - start

    # -- what is kept ---------------------------------------------------------------------------------------------

    def preview(self) -> None:
        """Images of how the model stands now, unless they are there."""
        found, sheets, epoch = {}, {}, self.plan.epoch(self.step)
        with self.stopper.together(), self.stopper.looking(), self._evaluating() as model:
            if self.main and not any(preview["step"] == self.step for preview in self.writer.previews()):
                with self._timed("preview"):
                    found = previews(model, self.feed, self.config.seed)
        for kind, pictures in found.items():
            sheets[kind] = self.recorder.preview(kind, self.step, epoch, pictures, columns=len(pictures) // 2)
        if found:
            track_images(self.accelerator, sheets, self.step)
            self.tell("preview", images=found)

    def checkpoint(self, measure: bool = True, seconds: float = 0.0) -> None:
        """Save if the training is sound; for the main process. measure: its latents, for so many seconds at most, see
        saved_config; or leave what is known of them."""
        if not self.sums.empty(LINE):  # the losses since the last step line, which nobody has judged
            self._judge(self.sums.mean(LINE)["loss"])
        tensors = (*self.raw.state_dict().values(), *self.ema.model.state_dict().values())
        if not all(torch.isfinite(tensor).all() for tensor in tensors):
            self._judge(math.nan)
        if measure:
            looking = self.stopper.looking() if self.stopper.alone else nullcontext()
            with looking, self._evaluating() as model, self._timed("measure"):
                model.config = saved_config(self.began_with, self.config, model, self.feed, seconds)
        if folder := self.recorder.checkpoint(self.step, self.ema.model, training_state(self)):
            self.tell("checkpoint", folder=folder)
