"""The training loop, one for every model.

Nothing random here has a state: the order of the images is a function of (seed, epoch), the noise of (seed, step).
So a resumed run needs no generator restored to go on exactly as if it had never stopped, and any number of processes
that share an update draw, between them, what one would.
"""

import math
import time
import warnings
from collections.abc import Callable
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list
from torch import Tensor

from vae import loss
from vae.device import pick_device
from vae.errors import InputError
from vae.models import build
from vae.training.batches import TrainingImages
from vae.training.config import TrainConfig
from vae.training.cuda_graph import GraphedUpdate, why_not
from vae.training.distributed import accelerator_for, all_mean, share_batch_norm
from vae.training.ema import EMA
from vae.training.hardware import chosen_precision, compile_blocks, is_compiled, memory_format
from vae.training.process import give_way, keep_freed_memory
from vae.training.recorder import Recorder
from vae.training.runs import Run, RunWriter, new_run_folder
from vae.training.schedule import learning_rate, plan, preview_steps, seeded
from vae.training.stopping import REASONS, Stopper
from vae.training.update import Update

TERMS = ("loss", "reconstruction", "kl")
EXPLODED = 1e4  # a loss so many times its first value will not come back
LATENTS = 64  # validation images whose latents' spread gives the scaling_factor
ASK_EVERY = 10  # updates between two questions whether to stop, where several processes must agree


def fit(
    config: TrainConfig,
    run: str | Path | None = None,
    resume: bool = False,
    device: str | None = None,
    max_minutes: float | None = None,
    on_progress: Callable[[dict], None] | None = None,
    log_with: str | None = None,
    background: bool = False,
) -> Run:
    """Train as `config` says, in the run folder `run` (a new one under the runs' folder unless given).

    resume: go on from the folder's newest checkpoint, or begin if there is none. On the CPU the metrics are then
    those of an uninterrupted run to the last bit. The folder's own config is used, but for `epochs`.
    max_minutes: of this call, after which the run stops as if asked to. on_progress is called about twice a second
    with the run's state. log_with: a tracker's name for Accelerate ("tensorboard", "trackio", "wandb", …).
    background: this thread gives way to others of the process, for good: it is less urgent and uses a core fewer.
    In a main thread Ctrl-C and SIGTERM stop the run too, after the step they come in.

    Returns the Run, finished or stopped. Raises InputError, with the reason also in the run's state, where the data
    cannot be read, the folder not written, the loss is not finite or explodes, or the run is being trained already.
    """
    keep_freed_memory()
    if background:
        give_way()
    writer = RunWriter(run or new_run_folder(config.preset))
    if resume and writer.begun():
        config = replace(TrainConfig.from_dict(writer.config()), epochs=config.epochs)
    precision = chosen_precision(config, pick_device(device))
    with accelerator_for(precision, device, log_with, writer.folder) as accelerator, ExitStack() as held:
        writer = _claim(writer, config, resume, accelerator, held)
        stopper = Stopper(writer, max_minutes)
        trainer = Trainer(config, writer, accelerator, stopper, on_progress)
        try:
            with stopper.listening():
                reason = trainer.train()
            ending = {"state": "stopped" if reason else "finished", "reason": reason, "seconds_left": 0}
        except BaseException as error:
            message = _sentence(error)
            ending = {"state": "stopped" if isinstance(error, KeyboardInterrupt) else "failed", "reason": message}
            if isinstance(error, OSError | MemoryError | torch.OutOfMemoryError):
                raise InputError(message) from error
            raise
        finally:
            if accelerator.is_main_process:
                writer.end(**ending)
            trainer.close()
    return Run(writer.folder)


def _claim(writer: RunWriter, config: TrainConfig, resume: bool, accelerator: Accelerator, held: ExitStack):
    """Hold and start the run folder, in the main process; the others learn which it is, or why there is none."""
    problem = None
    if accelerator.is_main_process:
        try:
            held.enter_context(writer.locked(resume))
            writer.start(config.to_dict())
        except InputError as error:
            problem = str(error)
    problem, folder = broadcast_object_list([problem, str(writer.folder)])
    if problem:
        raise InputError(problem)
    return RunWriter(folder)


def _sentence(error: BaseException) -> str:
    if isinstance(error, InputError):
        return str(error)
    if isinstance(error, KeyboardInterrupt):
        return "Interrupted."
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return "There is too little memory; lower the batch size and raise accumulate."
    if isinstance(error, OSError):
        return f"The training failed: {error.strerror or error}."
    return f"The training failed: {type(error).__name__}."


class Trainer:
    """One training: all that `fit` needs at hand while it runs."""

    def __init__(
        self,
        config: TrainConfig,
        writer: RunWriter,
        accelerator: Accelerator,
        stopper: Stopper,
        on_progress: Callable[[dict], None] | None,
    ):
        self.config, self.writer, self.accelerator, self.stopper = config, writer, accelerator, stopper
        self.device = accelerator.device
        self.main = accelerator.is_main_process
        self.recorder = Recorder(writer, on_progress)
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
        with torch.random.fork_rng(devices=[]):  # the initial weights; the process's own generator stays as it was
            torch.default_generator.manual_seed(config.seed)
            model = build(config.model)
        self.feed = TrainingImages(config, model, self.device)
        if saved:
            self.feed.expect(saved.state["images"])
            model.load_state_dict(saved.state["model"])
        update_images = saved and saved.state["update_images"]
        self.plan = plan(config, len(self.feed.train_set), accelerator.num_processes, update_images)
        self.graphed = why_not(model, self.plan, accelerator.scaler, self.feed.is_resident, self.device) is None
        self.compiled = is_compiled(config.compile, model, self.device, self.graphed, self.plan.steps)
        self.feed.layout = memory_format(model, self.device, self.compiled)
        self.raw = model.to(self.device, memory_format=self.feed.layout)
        self.ema = EMA(model, config.ema_images)
        if accelerator.num_processes > 1:
            share_batch_norm(model)
        if self.compiled:
            compile_blocks(model)
        accelerator.gradient_accumulation_steps = self.plan.accumulate
        optimizer = torch.optim.Adam(
            model.parameters(),
            lr=config.learning_rate,
            betas=(0.9, config.beta2),
            fused=self.device.type != "mps",
            capturable=self.graphed,
        )
        self.model, self.optimizer = accelerator.prepare(model, optimizer)
        exact = torch.float32 if self.device.type == "mps" else torch.float64
        # [the epoch so far, since the last step line] x [loss, reconstruction, kl, batches]
        self.sums = torch.zeros(2, 4, dtype=exact, device=self.device)
        self.step, self.seconds, self.first_loss = 0, 0.0, None
        if saved:
            self._restore(saved.state, saved.averaged)
        if self.step > self.plan.steps:
            raise InputError(
                f"The run has trained for {self.step / self.plan.epoch_steps:g} epochs already; give more than that."
            )
        self.preview_steps = preview_steps(self.plan.steps)
        if accelerator.log_with:
            settings = {key: value for key, value in config.to_dict().items() if key != "model"}
            accelerator.init_trackers("vae-studio", config=settings)

    def _restore(self, state: dict, averaged: dict[str, Tensor]) -> None:
        self.ema.model.load_state_dict(averaged if self.config.ema_images else state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        for group in self.optimizer.param_groups:
            group["capturable"] = self.graphed  # whatever device the run was on before
        if self.accelerator.scaler is not None and state["scaler"]:
            self.accelerator.scaler.load_state_dict(state["scaler"])
        self.step, self.seconds, self.first_loss = state["step"], state["seconds"], state["first_loss"]
        self.sums.copy_(state["sums"])

    # -- the loop -------------------------------------------------------------------------------------------------

    def train(self) -> str | None:
        """Train to the end. Returns None, or why it stopped before."""
        self.prepare()
        plan, reason = self.plan, None
        self._announce()
        if self.step == 0:
            self.preview()
            self.checkpoint()
        start, first, before = time.perf_counter(), self.step, self.seconds
        while self.step < plan.steps and reason is None:
            self.update()
            self.step += 1
            self.seconds = before + time.perf_counter() - start
            rate = (self.step - first) * plan.update_images / (self.seconds - before)
            if self.step % plan.log_every == 0:
                self.log("step", 1)
            if self.step % plan.epoch_steps == 0:
                self.log("epoch", 0, rate)
            if self.step in self.preview_steps:
                self.preview()
            if self.main:
                self.recorder.progress(self._progress(rate))
                if self.recorder.due():
                    self.checkpoint()
            reason = self._asked_to_stop()
        self.accelerator.wait_for_everyone()
        if reason:
            self.preview()
        self.checkpoint()
        if self.main:
            self.writer.prune(keep=1)
            self.recorder.progress({"step": self.step, "epoch": self._epoch(), "steps": plan.steps}, force=True)
        return reason

    def update(self) -> None:
        """One update of the weights, from this process's share of the update's images."""
        if self.updates is None:
            self.updates = self._updates()
        self.updates(self.step)
        if self.first_loss is None:
            self.first_loss = abs(self._mean(0)[0]) + 1.0

    def _updates(self) -> Update | GraphedUpdate:
        """What makes the updates: on a GPU of a small network one CUDA graph, else one operation after the other."""
        parts = self.model, self.optimizer, self.ema, self._loss, self.feed, self.sums
        update = Update(self.config, self.plan, self.accelerator, *parts)
        if not self.graphed:
            return update
        try:
            return GraphedUpdate(update, self.step)
        except RuntimeError as error:
            warnings.warn(f"The update cannot be one CUDA graph and is slower without: {error}", stacklevel=2)
            return update

    def _loss(self, x: Tensor, x_hat: Tensor, posterior) -> loss.Loss:
        average = all_mean if self.plan.processes > 1 and torch.is_grad_enabled() else None  # each validates alone
        kind, beta = self.config.reconstruction, self.config.beta
        return loss.elbo(x, x_hat, posterior, kind, beta, self.raw.pixel_scale, average)

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
        entry = {"kind": kind, "step": self.step, "epoch": self._epoch()}
        entry |= dict(zip(TERMS, self._mean(row), strict=True))
        self.sums[row].zero_()
        self._judge(entry["loss"])
        if kind == "epoch":
            entry |= dict(zip((f"val_{name}" for name in TERMS), self.validate(), strict=True))
            if not math.isfinite(entry["val_loss"]):
                self._judge(entry["val_loss"])
        entry["learning_rate"] = learning_rate(self.config, self.step - 1, self.plan.steps)
        if kind == "epoch":
            entry |= {"images_per_second": round(rate, 2), "seconds": round(self.seconds, 3)}
        if self.main:
            self.recorder.metrics(entry)
        if self.accelerator.log_with:
            self.accelerator.log({k: v for k, v in entry.items() if k not in ("kind", "step")}, step=self.step)

    def _mean(self, row: int) -> list[float]:
        """Mean loss, reconstruction and KL of a row of sums, over all processes."""
        *terms, batches = self.accelerator.reduce(self.sums[row].clone(), "sum").tolist()
        return [term / batches for term in terms]

    def _judge(self, value: float) -> None:
        """InputError if the loss is not finite or has exploded."""
        if not math.isfinite(value) or abs(value) > EXPLODED * self.first_loss:
            raise InputError(
                f"The loss became {value:.3g} at step {self.step}, so the training was stopped; lower the learning "
                f"rate (it was {self.config.learning_rate:g}). The last good checkpoint is kept."
            )

    @torch.no_grad()
    def validate(self) -> list[float]:
        """Loss, reconstruction and KL over the validation set with one posterior sample each."""
        count, processes = len(self.feed.val_set), self.accelerator.num_processes
        batch = min(count, max(self.config.batch_size, 2**18 // self.raw.config.sample_size**2))
        total = torch.zeros(4, dtype=self.sums.dtype, device=self.device)
        with self._evaluating() as model:
            for number, start in enumerate(range(0, count, batch)):
                if number % processes != self.accelerator.process_index:
                    continue
                x = self.feed.validation(start, min(start + batch, count))
                noise = torch.randn((len(x), *model.latent_shape()), generator=seeded(self.config.seed, 3, number))
                x_hat, posterior = model(x, noise.to(self.device))
                terms = torch.stack([*self._loss(x, x_hat, posterior), torch.ones((), device=self.device)])
                total += terms * len(x)
        total = self.accelerator.reduce(total, "sum").tolist()
        return [value / total[3] for value in total[:3]]

    @contextmanager
    def _evaluating(self):
        """The averaged model in evaluation mode, computing in the training's precision, and as it is: compiling it for
        validation's batches too would take longer than they do."""
        as_it_is = torch.compiler.set_stance("force_eager") if self.compiled else nullcontext()
        try:
            with self.accelerator.autocast(), as_it_is:
                yield self.ema.model.eval()
        finally:
            self.raw.train()

    # -- what is kept ---------------------------------------------------------------------------------------------

    def _epoch(self) -> int:
        """The epoch the last update belonged to, counted from 1; 0 before the first."""
        return -(-self.step // self.plan.epoch_steps)

    def _progress(self, rate: float) -> dict:
        left = (self.plan.steps - self.step) * self.plan.update_images / rate
        return {
            "step": self.step,
            "steps": self.plan.steps,
            "epoch": self._epoch(),
            "images_per_second": rate,
            "seconds_left": left,
        }

    def _announce(self) -> None:
        """Say that the training runs, with what a viewer needs to know of it."""
        if self.main:
            self.recorder.state(
                state="running",
                step=self.step,
                steps=self.plan.steps,
                epoch=self._epoch(),
                epoch_steps=self.plan.epoch_steps,
                device=str(self.device),
                processes=self.plan.processes,
                train_images=len(self.feed.train_set),
                val_images=len(self.feed.val_set),
                skipped=self.feed.train_set.skipped + self.feed.val_set.skipped,
            )

    @torch.no_grad()
    def preview(self) -> None:
        """The same validation images reconstructed, and the same noise decoded, as the model stands now."""
        if not self.main:
            return
        count = min(len(self.feed.val_set), max(2, min(8, 512 // self.raw.config.sample_size)))
        x = self.feed.validation(0, count)
        with self._evaluating() as model:
            generator = seeded(self.config.seed, 4)
            noise = torch.randn((2 * count, *model.latent_shape()), generator=generator).to(self.device)
            rebuilt = model.decode(model.encode(x).mode())
            drawn = torch.cat([model.decode(z) for z in noise.split(count)])
        for kind, pictures in (("reconstruction", torch.cat([x, rebuilt.float()])), ("samples", drawn.float())):
            self.recorder.preview(kind, self.step, self._epoch(), pictures, columns=count)

    def checkpoint(self) -> None:
        """Save, in the main process, if the training is sound."""
        if not self.main:
            return
        if self.sums[1, 3] > 0:  # the losses since the last step line, which nobody has judged
            total, *_, batches = self.sums[1].tolist()
            self._judge(total / batches)
        tensors = (*self.raw.state_dict().values(), *self.ema.model.state_dict().values())
        if not all(torch.isfinite(tensor).all() for tensor in tensors):
            self._judge(math.nan)
        self._describe()
        state = {
            "model": self.raw.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.accelerator.scaler.state_dict() if self.accelerator.scaler is not None else None,
            "step": self.step,
            "seconds": self.seconds,
            "sums": self.sums,
            "first_loss": self.first_loss,
            "images": len(self.feed.train_set),
            "update_images": self.plan.update_images,
        }
        self.recorder.checkpoint(self.step, self.ema.model, state)

    @torch.no_grad()
    def _describe(self) -> None:
        """Write into the saved model's config what it was trained on, and the scaling_factor that gives its latents a
        standard deviation of 1, which is what a diffusion model wants."""
        with self._evaluating() as model:
            posterior = model.encode(self.feed.validation(0, min(len(self.feed.val_set), LATENTS)))
        std = (posterior.mean.var() + posterior.var.mean()).sqrt().item()
        known = {"trained_on": self.feed.train_set.name, "scaling_factor": round(1.0 / std, 5) if std > 1e-5 else 1.0}
        self.ema.model.config = replace(self.raw.config, **known)
