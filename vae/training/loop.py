"""The training loop, one for every model.

Nothing random here has a state: the order of the images is a function of (seed, epoch), the noise of (seed, step).
So a resumed run needs no generator restored to go on exactly as if it had never stopped, and any number of processes
that share an update draw, between them, what one would.
"""

import math
import time
from collections.abc import Callable
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path

import torch
from accelerate import Accelerator

from vae.checkpoints import find_model
from vae.checks import real_number
from vae.device import pick_device
from vae.errors import InputError
from vae.models import config_to_dict
from vae.perceptual import check_installed
from vae.training import memory
from vae.training.batches import TrainingImages
from vae.training.config import TrainConfig
from vae.training.cuda_graph import GraphedUpdate, captured, why_not
from vae.training.discriminator import Adversary
from vae.training.distributed import accelerator_for, all_mean, claim, share_batch_norm
from vae.training.ema import EMA
from vae.training.finishing import finish
from vae.training.hardware import chosen_precision, compile_blocks, is_compiled, memory_format
from vae.training.objective import CustomObjective, Objective
from vae.training.presets import PRESETS, preset
from vae.training.previews import preview_steps, previews
from vae.training.process import give_way, keep_freed_memory
from vae.training.recorder import Recorder, Saved
from vae.training.runs import Run, RunWriter, new_run_folder
from vae.training.schedule import learning_rate, plan
from vae.training.stopping import REASONS, Stopper, check_loss, sentence
from vae.training.sums import Sums
from vae.training.trained_model import freeze, saved_config, starting_model
from vae.training.update import Update
from vae.training.validation import evaluating, validate

EPOCH, LINE = range(2)  # rows of the sums: over the epoch so far, and since the last step line of the metrics
ASK_EVERY = 10  # updates between two questions whether to stop, where several processes must agree


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
) -> Run:
    """Train as `config` says, or the preset of that name, in the run folder `run` (a new one unless given).

    resume: go on from the folder's newest checkpoint, or begin if there is none. On the CPU the metrics are then
    those of an uninterrupted run to the last bit. The folder's own config is used, but for `epochs`.
    max_minutes: of this call, after which the run stops as if asked to. on_progress is called about twice a second
    with the run's state. log_with: a tracker's name for Accelerate ("tensorboard", "trackio", "wandb", …).
    objective: in place of the config's own, a callable (x, x_hat, posterior, step) that returns the loss, or a dict of
    named scalar tensors with it as "loss"; step is None in validation. A run resumed needs it again. See
    vae.training.objective.
    background: this thread gives way to others of the process, for good: it is less urgent and uses a core fewer.
    In a main thread Ctrl-C and SIGTERM stop the run too, after the step they come in.

    Returns the Run, finished or stopped. Raises InputError, with the reason also in the run's state, where the data
    cannot be read, the folder not written, the loss is not finite or explodes, or the run is being trained already.
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
    writer = RunWriter(run or new_run_folder(config.preset))
    if resume and writer.begun():
        config = replace(TrainConfig.from_dict(writer.config()), epochs=config.epochs)
    elif config.init:
        config = replace(config, model=config_to_dict(find_model.load_config(config.init)))
    if config.perceptual:
        check_installed()
    precision = chosen_precision(config, pick_device(device))
    with accelerator_for(precision, device, log_with, writer.folder) as accelerator, ExitStack() as held:
        writer = claim(writer, config, resume, accelerator, held)
        stopper = Stopper(writer, max_minutes)
        trainer = Trainer(config, writer, accelerator, stopper, on_progress, objective)
        try:
            with stopper.listening():
                reason = trainer.train()
                if reason is None and config.map_and_priors and accelerator.num_processes == 1:
                    finish(writer, trainer.feed, trainer.plan.steps, accelerator.device, stopper.reason)
            ending = {"state": "stopped" if reason else "finished", "reason": reason, "seconds_left": 0}
        except BaseException as error:
            message = sentence(error)
            ending = {"state": "stopped" if isinstance(error, KeyboardInterrupt) else "failed", "reason": message}
            if isinstance(error, OSError | MemoryError | torch.OutOfMemoryError):
                raise InputError(message) from error
            raise
        finally:
            if accelerator.is_main_process:
                writer.end(**ending)
            trainer.close()
    return Run(writer.folder)


class Trainer:
    """One training: all that `fit` needs at hand while it runs."""

    def __init__(
        self,
        config: TrainConfig,
        writer: RunWriter,
        accelerator: Accelerator,
        stopper: Stopper,
        on_progress: Callable[[dict], None] | None,
        objective: Callable | None = None,
    ):
        self.config, self.writer, self.accelerator, self.stopper = config, writer, accelerator, stopper
        self.device = accelerator.device
        self.main = accelerator.is_main_process
        self.recorder = Recorder(writer, on_progress)
        self.custom = objective
        self.updates: Update | GraphedUpdate | None = None  # made at the first one

    def close(self) -> None:
        if self.updates is not None:
            self.updates.close()
        self.accelerator.end_training()
        if self.device.type != "cpu":
            self.accelerator.free_memory()

    # -- set up ---------------------------------------------------------------------------------------------------

    def prepare(self) -> None:
        """Model, data, optimizer, as at the beginning or as the newest checkpoint has them."""
        config, accelerator = self.config, self.accelerator
        saved = self.recorder.newest()
        accelerator.wait_for_everyone()  # all have read before one deletes
        if self.main:
            with self.recorder.writing():
                self.writer.rewind(saved.state["step"] if saved else -1)
        model = starting_model(config, saved)
        self.began_with = model.config
        freeze(model, config.freeze)
        self.feed = TrainingImages(config, model, self.device)
        if saved:
            self.feed.expect(saved.state["images"])
        update_images = saved and saved.state["update_images"]
        self.plan = plan(config, len(self.feed.train_set), accelerator.num_processes, update_images)
        if self.device.type == "cpu":  # a GPU says for itself when its memory is full
            memory.check(replace(config, batch_size=self.plan.batch, accumulate=self.plan.accumulate))
        reason = why_not(config, self.custom, model, self.plan, accelerator.scaler, self.feed.is_resident, self.device)
        self.graphed = reason is None
        self.compiled = is_compiled(config, model, self.device, self.graphed, self.plan.steps)
        self.feed.layout = memory_format(model, self.device, self.compiled)
        self.raw = model.to(self.device, memory_format=self.feed.layout)
        self.ema = EMA(model, config.ema_images)
        if accelerator.num_processes > 1:
            share_batch_norm(model)
        if self.compiled:
            compile_blocks(model)
        accelerator.gradient_accumulation_steps = self.plan.accumulate
        optimizer = torch.optim.Adam(
            [parameter for parameter in model.parameters() if parameter.requires_grad],
            lr=config.learning_rate,
            betas=(0.9, config.beta2),
            fused=self.device.type != "mps",
            capturable=self.graphed,
        )
        self.model, self.optimizer = accelerator.prepare(model, optimizer)
        self._set_objective()
        self.sums = Sums(self.objective.terms + (self.adversary.terms if self.adversary else ()), 2, self.device)
        self.step, self.seconds, self.first_loss = 0, 0.0, None
        if saved:
            self._restore(saved)
        if self.step > self.plan.steps:
            raise InputError(
                f"The run has trained for {self.step / self.plan.epoch_steps:g} epochs already; give more than that."
            )
        self.preview_steps = preview_steps(self.plan.steps)
        if accelerator.log_with:
            settings = {key: value for key, value in config.to_dict().items() if key != "model"}
            accelerator.init_trackers("vae-studio", config=settings)

    def _set_objective(self) -> None:
        """What is minimised: the objective, and what an adversary adds to it."""
        config, accelerator = self.config, self.accelerator
        average = all_mean if accelerator.num_processes > 1 else None
        if self.custom:
            self.objective = CustomObjective(self.custom, config, self.raw.pixel_scale)
            with torch.no_grad(), self._evaluating() as model:
                x = self.feed.validation(0, 2)
                self.objective.name_terms(self.objective(x, *model(x), None))
        else:
            self.objective = Objective(config, self.raw, accelerator.autocast, average)
        self.adversary = None
        if config.adversarial:
            start = config.adversarial_start // self.plan.update_images
            self.adversary = Adversary(self.raw, config.adversarial, start, config.seed, accelerator.autocast, average)

    def _restore(self, saved: Saved) -> None:
        """The checkpoint's state, but for the model's, into what was prepared."""
        state = saved.state
        self.ema.model.load_state_dict(saved.averaged.state_dict() if self.config.ema_images else state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        for group in self.optimizer.param_groups:
            group["capturable"] = self.graphed  # whatever device the run was on before
        if self.accelerator.scaler is not None and state["scaler"]:
            self.accelerator.scaler.load_state_dict(state["scaler"])
        self.step, self.seconds, self.first_loss = state["step"], state["seconds"], state["first_loss"]
        if tuple(state["terms"]) != self.sums.terms:
            raise InputError(
                f"This run's loss had the terms {', '.join(state['terms'])}, and has {', '.join(self.sums.terms)} now; "
                "resume it with the objective it began with."
            )
        self.sums.table.copy_(state["sums"])
        if self.adversary:
            self.adversary.load_state_dict(state["adversary"])

    # -- the loop -------------------------------------------------------------------------------------------------

    def train(self) -> str | None:
        """Train to the end. Returns None, or why it stopped before."""
        self.prepare()
        plan, reason = self.plan, None
        if self.main:
            self.recorder.begin(self.step, plan, self.feed, self.device)
        if self.step == 0:
            if self.config.init:
                self.log_start()
            self.preview()
            self.checkpoint()
        start, first, before = time.perf_counter(), self.step, self.seconds
        while self.step < plan.steps and reason is None:
            self.update()
            self.step += 1
            self.seconds = before + time.perf_counter() - start
            rate = (self.step - first) * plan.update_images / (self.seconds - before)
            if self.step % plan.log_every == 0:
                self.log("step", LINE)
            if self.step % plan.epoch_steps == 0:
                self.log("epoch", EPOCH, rate)
            if self.step in self.preview_steps:
                self.preview()
            if self.main:
                self.recorder.progress(self.step, plan, rate)
                if self.recorder.due():
                    self.checkpoint()
            reason = self._asked_to_stop()
        self.accelerator.wait_for_everyone()
        if reason:
            self.preview()
        self.checkpoint()
        if self.main:
            self.writer.prune(keep=1)
            self.recorder.progress(self.step, plan)
        return reason

    def update(self) -> None:
        """One update of the weights, from this process's share of the update's images."""
        if self.updates is None:
            parts = self.model, self.optimizer, self.ema, self.objective, self.adversary, self.feed, self.sums
            update = Update(self.config, self.plan, self.accelerator, *parts)
            self.updates = captured(update, self.step) if self.graphed else update
        self.updates(self.step)
        if self.first_loss is None:
            self.first_loss = abs(self.sums.mean(EPOCH, self.accelerator)["loss"]) + 1.0

    def _asked_to_stop(self) -> str | None:
        """Why to stop now, if anybody wants it. Several processes agree on it, now and then."""
        if self.accelerator.num_processes == 1:
            return REASONS[self.stopper.reason()]
        if self.step % ASK_EVERY:
            return None
        reasons = self.accelerator.gather(torch.tensor([self.stopper.reason()], device=self.device))
        return REASONS[int(reasons.max())]

    # -- what is measured -----------------------------------------------------------------------------------------

    def log(self, kind: str, row: int, rate: float | None = None) -> None:
        """A line of metrics from a row of the sums, which starts again from 0."""
        entry = {"kind": kind, "step": self.step, "epoch": self.plan.epoch(self.step)}
        entry |= self.sums.mean(row, self.accelerator)
        self.sums.table[row].zero_()
        self._judge(entry["loss"])
        if kind == "epoch":
            entry |= self.validate()
            if not math.isfinite(entry["val_loss"]):
                self._judge(entry["val_loss"])
        entry["learning_rate"] = learning_rate(self.config, self.step - 1, self.plan.steps)
        if kind == "epoch":
            entry |= {"images_per_second": round(rate, 2), "seconds": round(self.seconds, 3)}
        if self.main:
            self.recorder.metrics(entry)
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
            return validate(model, self.feed, self.objective, self.config, self.accelerator)

    @contextmanager
    def _evaluating(self):
        """The averaged model in evaluation mode, computing in the training's precision, and as it is: compiling it for
        validation's batches too would take longer than they do."""
        as_it_is = torch.compiler.set_stance("force_eager") if self.compiled else nullcontext()
        with evaluating(self.ema.model) as model, self.accelerator.autocast(), as_it_is:
            yield model

    # -- what is kept ---------------------------------------------------------------------------------------------

    def preview(self) -> None:
        """Images of how the model stands now."""
        if not self.main:
            return
        with self._evaluating() as model:
            found = previews(model, self.feed, self.config.seed)
        for kind, pictures in found.items():
            self.recorder.preview(kind, self.step, self.plan.epoch(self.step), pictures, columns=len(pictures) // 2)

    def checkpoint(self) -> None:
        """Save, in the main process, if the training is sound."""
        if not self.main:
            return
        if not self.sums.empty(LINE):  # the losses since the last step line, which nobody has judged
            self._judge(self.sums.mean(LINE)["loss"])
        tensors = (*self.raw.state_dict().values(), *self.ema.model.state_dict().values())
        if not all(torch.isfinite(tensor).all() for tensor in tensors):
            self._judge(math.nan)
        with self._evaluating() as model:
            model.config = saved_config(self.began_with, self.config, model, self.feed)
        state = {
            "model": self.raw.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.accelerator.scaler.state_dict() if self.accelerator.scaler is not None else None,
            "step": self.step,
            "seconds": self.seconds,
            "sums": self.sums.table,
            "terms": list(self.sums.terms),
            "first_loss": self.first_loss,
            "images": len(self.feed.train_set),
            "update_images": self.plan.update_images,
            "adversary": self.adversary.state_dict() if self.adversary else None,
        }
        self.recorder.checkpoint(self.step, self.ema.model, state)
