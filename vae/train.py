"""The training loop, one for every model.

Nothing random here has a state: the order of the images is a function of (seed, epoch), the noise of (seed, step).
So a resumed run needs no generator restored to go on exactly as if it had never stopped, and any number of processes
that share a batch draw, between them, what one would.
"""

import math
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from torch import Tensor

from vae import checkpoints, images, loss
from vae.data import ImageSet, load_data
from vae.device import pick_device
from vae.ema import EMA
from vae.errors import InputError
from vae.files import appearing
from vae.models import build
from vae.presets import TrainConfig
from vae.runs import Run, RunWriter, new_run_folder

PREVIEWS = 60  # of each kind in a whole run, denser at its beginning, when most happens
LINES = 400  # step lines in the metrics of a whole run
SAVING = 0.03  # share of the time that checkpoints may take
CHECKPOINT_SECONDS = 10.0  # but never more often than this
EXPLODED = 1e4  # a loss so many times its first value will not come back


def fit(
    config: TrainConfig,
    run: str | Path | None = None,
    resume: bool = False,
    device: str | None = None,
    max_minutes: float | None = None,
    on_progress: Callable[[dict], None] | None = None,
    log_with: str | None = None,
) -> Run:
    """Train as `config` says, in the run folder `run` (a new one under the runs' folder unless given).

    resume: go on from the folder's newest checkpoint, or begin if there is none. On the CPU the metrics are then
    those of an uninterrupted run to the last bit. The folder's own config is used, but for `epochs`.
    max_minutes: of this call, after which the run stops as if asked to. on_progress is called about twice a second
    with the run's state. log_with: a tracker's name for Accelerate ("tensorboard", "trackio", "wandb", …).

    Returns the Run, finished or stopped. Raises InputError, with the reason also in the run's state, where the data
    cannot be read, the folder not written, the loss is not finite or explodes, or the run is being trained already.
    """
    writer = RunWriter(run or new_run_folder(config.preset))
    if writer.exists():
        if not resume:
            raise InputError(f"The run {writer.name!r} exists already; resume it, or give another name.")
        config = replace(TrainConfig.from_dict(writer.config()), epochs=config.epochs)
    trainer = Trainer(config, writer, device, max_minutes, on_progress, log_with)
    if not trainer.accelerator.is_main_process:
        trainer.train()
        return Run(writer.folder)
    with writer.locked():
        try:
            writer.start(config.to_dict(), {"state": "starting", "reason": None, "epochs": config.epochs})
            reason = trainer.train()
            writer.update(state="stopped" if reason else "finished", reason=reason, seconds_left=0)
        except BaseException as error:
            message = _reason(error)
            with suppress(OSError):  # the disk that failed the run may fail its obituary too
                writer.update(state="stopped" if isinstance(error, KeyboardInterrupt) else "failed", reason=message)
            if isinstance(error, OSError):
                raise InputError(message) from error
            raise
        finally:
            trainer.close()
    return Run(writer.folder)


def _reason(error: BaseException) -> str:
    if isinstance(error, InputError):
        return str(error)
    if isinstance(error, KeyboardInterrupt):
        return "Interrupted."
    if isinstance(error, OSError):
        return f"The run folder could not be written: {error.strerror or error}."
    if isinstance(error, torch.OutOfMemoryError):
        return "The device has too little memory; lower the batch size or raise accumulate."
    return f"The training failed: {type(error).__name__}."


def learning_rate(config: TrainConfig, step: int, steps: int) -> float:
    """The rate of update `step` of `steps`, counted from 0."""
    if config.schedule == "constant":
        return config.learning_rate
    warm = max(1, round(0.15 * steps))
    if step < warm:
        return config.learning_rate * (step + 1) / warm
    return config.learning_rate * 0.5 * (1.0 + math.cos(math.pi * (step - warm + 1) / (steps - warm + 1)))


def preview_steps(steps: int) -> set[int]:
    """After which updates to take previews: the first and the last among them, denser at the beginning."""
    return {round(steps * (i / PREVIEWS) ** 2) for i in range(PREVIEWS + 1)}


def seeded(*numbers: int) -> torch.Generator:
    """A CPU generator that depends on all the numbers."""
    seed = 0
    for number in numbers:
        seed = (seed * 6364136223846793005 + number + 1442695040888963407) % 2**63
    return torch.Generator().manual_seed(seed)


def use_bf16(config: TrainConfig, device: torch.device) -> bool:
    """Whether "auto" means bfloat16 here: where it was measured to be faster (see benchmarks/README.md)."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported()
    return device.type == "cpu" and torch.backends.cpu.get_cpu_capability() == "AVX512" and cpu_has_bf16()


def cpu_has_bf16() -> bool:
    return bool(getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)())


class Trainer:
    """One training: all that `fit` needs at hand while it runs."""

    def __init__(self, config, writer: RunWriter, device, max_minutes, on_progress, log_with):
        self.config, self.writer, self.on_progress = config, writer, on_progress
        self.deadline = time.monotonic() + 60.0 * max_minutes if max_minutes else math.inf
        chosen = pick_device(device)
        precision = config.precision
        if precision == "auto":
            precision = "bf16" if use_bf16(config, chosen) else "fp32"
        if not torch.distributed.is_initialized():
            AcceleratorState._reset_state(reset_partial_state=True)  # of an earlier run in this process
        self.accelerator = Accelerator(
            cpu=chosen.type == "cpu",
            mixed_precision="no" if precision == "fp32" else precision,
            gradient_accumulation_steps=config.accumulate,
            log_with=log_with,
            project_dir=str(writer.folder) if log_with else None,
        )
        self.device = self.accelerator.device
        self.tracked = log_with is not None

    def close(self) -> None:
        if self.tracked:
            self.accelerator.end_training()
        self.accelerator.free_memory()

    # -- set up ---------------------------------------------------------------------------------------------------

    def prepare(self) -> None:
        config, accelerator = self.config, self.accelerator
        torch.manual_seed(config.seed)  # for the initial weights
        model = build(config.model).to(self.device, memory_format=torch.channels_last)
        fitted = {
            "size": model.config.sample_size,
            "channels": model.in_channels,
            "border": model.config.border,
            "test_size": config.test_size,
        }
        self.train_set = load_data(config.data, "train", **fitted)
        self.val_set = load_data(config.data, "test", **fitted)
        world = accelerator.num_processes
        self.batch = min(config.batch_size, max(1, len(self.train_set) // (world * config.accumulate)))
        self.update_images = self.batch * config.accumulate * world
        self.epoch_steps = max(1, len(self.train_set) // self.update_images)
        self.steps = config.epochs * self.epoch_steps
        self.log_every = max(1, self.steps // LINES)
        self.preview_steps = preview_steps(self.steps)
        self.images = self._resident(self.train_set)
        self.val_images = self._resident(self.val_set)
        self.ema = EMA(model, config.ema_images)
        optimizer = torch.optim.Adam(model.parameters(), lr=config.learning_rate, fused=self.device.type != "mps")
        self.raw = model
        self.model, self.optimizer = accelerator.prepare(model, optimizer)
        self.step, self.seconds = 0, 0.0
        self.sums = torch.zeros(2, 4, dtype=torch.float64 if self.device.type != "mps" else torch.float32)
        self.sums = self.sums.to(self.device)  # [epoch so far, since the last step line] x [loss, rec, kl, batches]
        self.first_loss = None
        if self.tracked:
            accelerator.init_trackers("vae-studio", config={k: v for k, v in config.to_dict().items() if k != "model"})

    def _resident(self, data: ImageSet) -> Tensor | None:
        """The whole set on the device, as bytes, where it is small enough to be in memory at all."""
        return None if data.images is None else data.images.to(self.device)

    def _pixels(self, data: ImageSet, resident: Tensor | None, indices: Tensor) -> Tensor:
        """Images [-1, 1] of those indices."""
        pixels = data.batch(indices).to(self.device) if resident is None else resident[indices.to(self.device)]
        return images.to_float(pixels).contiguous(memory_format=torch.channels_last)

    # -- the loop -------------------------------------------------------------------------------------------------

    def train(self) -> str | None:
        """Train to the end. Returns None, or why it stopped before."""
        self.prepare()
        self.restore()
        self._take_over()
        if self.step == 0:
            self.preview()
            self.checkpoint()
        started, images_before, reason = time.perf_counter(), self.step, None
        before = self.seconds
        order = None
        while self.step < self.steps and reason is None:
            epoch = self.step // self.epoch_steps
            if order is None or self.step % self.epoch_steps == 0:
                order = torch.randperm(len(self.train_set), generator=seeded(self.config.seed, 1, epoch))
            self.update(order)
            self.step += 1
            self.seconds = before + time.perf_counter() - started
            rate = (self.step - images_before) * self.update_images / (self.seconds - before)
            if self.step % self.log_every == 0:
                self.log_step(epoch)
            if self.step % self.epoch_steps == 0:
                self.log_epoch(epoch, rate)
            if self.step in self.preview_steps:
                self.preview()
            if self.accelerator.is_main_process:
                self._keep(epoch, rate)
            reason = self._asked_to_stop()
        self._settle()
        return reason

    def update(self, order: Tensor) -> None:
        """One update of the weights, from `accumulate` micro-batches of this process's share of the images."""
        config, accelerator = self.config, self.accelerator
        rate = learning_rate(config, self.step, self.steps)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        first = self.step % self.epoch_steps * self.update_images
        share = order[first : first + self.update_images]
        for micro in range(config.accumulate):
            part = slice(
                micro * self.batch * accelerator.num_processes, (micro + 1) * self.batch * accelerator.num_processes
            )
            x, noise = self._batch(share[part], self.step * config.accumulate + micro)
            with accelerator.accumulate(self.model):
                x_hat, posterior = self.model(x, noise)
                terms = self._loss(x, x_hat, posterior)
                accelerator.backward(terms.loss)
                if config.clip and accelerator.sync_gradients:
                    accelerator.clip_grad_norm_(self.model.parameters(), config.clip)
                self.optimizer.step()
                self.optimizer.zero_grad()
            self.sums += torch.stack([*terms, torch.ones_like(terms.loss)]).detach()
        self.ema.update((self.step + 1) * self.update_images, self.update_images)

    def _batch(self, indices: Tensor, number: int) -> tuple[Tensor, Tensor]:
        """This process's images of a global batch, and its share of the batch's noise."""
        mine = slice(self.accelerator.process_index, None, self.accelerator.num_processes)
        generator = seeded(self.config.seed, 2, number)
        noise = torch.randn((len(indices), *self.raw.latent_shape()), generator=generator)[mine]
        x = self._pixels(self.train_set, self.images, indices[mine])
        if self.config.flip:
            mirrored = torch.rand(len(indices), generator=generator)[mine].to(x.device) < 0.5
            x = torch.where(mirrored[:, None, None, None], x.flip(-1), x)
        return x, noise.to(self.device)

    def _loss(self, x: Tensor, x_hat: Tensor, posterior) -> loss.Loss:
        return loss.elbo(x, x_hat, posterior, self.config.reconstruction, self.config.beta, self.raw.pixel_scale)

    @torch.no_grad()
    def validate(self) -> list[float]:
        """Loss, reconstruction and KL over the validation set with one posterior sample each."""
        model, count, processes = self.ema.model, len(self.val_set), self.accelerator.num_processes
        model.eval()
        total = torch.zeros(4, device=self.device)
        batch = min(count, max(self.batch, 64))
        for number, start in enumerate(range(0, count, batch)):
            if number % processes != self.accelerator.process_index:
                continue
            indices = torch.arange(start, min(start + batch, count))
            noise = torch.randn((len(indices), *model.latent_shape()), generator=seeded(self.config.seed, 3, number))
            x = self._pixels(self.val_set, self.val_images, indices)
            with self.accelerator.autocast():
                x_hat, posterior = model(x, noise.to(self.device))
            terms = torch.stack([*self._loss(x, x_hat, posterior), torch.ones((), device=self.device)])
            total += terms * len(indices)
        self.raw.train()
        total = self.accelerator.reduce(total, "sum").tolist()
        return [value / total[3] for value in total[:3]]

    # -- what is kept ---------------------------------------------------------------------------------------------

    def _averages(self, row: int) -> list[float]:
        """Mean loss, reconstruction and KL of a row of sums, over all processes; the row starts again from 0."""
        *terms, batches = self.accelerator.reduce(self.sums[row].clone(), "sum").tolist()
        self.sums[row].zero_()
        terms = [term / batches for term in terms]
        self.first_loss = self.first_loss or abs(terms[0]) + 1.0
        if not math.isfinite(terms[0]) or abs(terms[0]) > EXPLODED * self.first_loss:
            raise InputError(
                f"The loss became {terms[0]:.3g} at step {self.step}, so the training was stopped; lower the learning "
                f"rate (it was {self.config.learning_rate:g}). The last good checkpoint is kept."
            )
        return terms

    def log_step(self, epoch: int) -> None:
        names = ("loss", "reconstruction", "kl")
        entry = {"kind": "step", "step": self.step, "epoch": epoch + 1}
        entry |= dict(zip(names, self._averages(1), strict=True))
        entry["learning_rate"] = learning_rate(self.config, self.step - 1, self.steps)
        self._write(entry)

    def log_epoch(self, epoch: int, rate: float) -> None:
        names = ("loss", "reconstruction", "kl")
        entry = {"kind": "epoch", "epoch": epoch + 1, "step": self.step}
        entry |= dict(zip(names, self._averages(0), strict=True))
        entry |= dict(zip((f"val_{name}" for name in names), self.validate(), strict=True))
        entry["learning_rate"] = learning_rate(self.config, self.step - 1, self.steps)
        entry |= {"images_per_second": round(rate, 2), "seconds": round(self.seconds, 3)}
        self._write(entry)

    def _write(self, entry: dict) -> None:
        if self.accelerator.is_main_process:
            self.writer.append(entry)
        if self.tracked:
            numbers = {key: value for key, value in entry.items() if key not in ("kind", "step")}
            self.accelerator.log(numbers, step=self.step)

    @torch.no_grad()
    def preview(self) -> None:
        """The same validation images reconstructed, and the same noise decoded, as the model stands now."""
        if not self.accelerator.is_main_process:
            return
        model = self.ema.model.eval()
        count = max(2, min(8, 512 // model.config.sample_size, len(self.val_set)))
        x = self._pixels(self.val_set, self.val_images, torch.arange(min(count, len(self.val_set))))
        noise = torch.randn((2 * count, *model.latent_shape()), generator=seeded(self.config.seed, 4)).to(self.device)
        with self.accelerator.autocast():
            rebuilt = model.decode(model.encode(x).mode())
            drawn = torch.cat([model.decode(z) for z in noise.split(count)])
        self.raw.train()
        epoch = -(-self.step // self.epoch_steps)
        rows = {"reconstruction": torch.cat([x, rebuilt.float()]), "samples": drawn.float()}
        for kind, pictures in rows.items():
            sheet = images.grid(pictures.clamp(-1.0, 1.0).cpu(), columns=len(x))
            self.writer.preview(kind, self.step, epoch, images.png_bytes(sheet))

    def checkpoint(self) -> None:
        """Everything the run can be gone on from, and the model for those who watch."""
        if not all(torch.isfinite(p).all() for p in self.raw.parameters()):
            raise InputError(
                f"The weights are no longer finite at step {self.step}, so the training was stopped; lower the "
                f"learning rate (it was {self.config.learning_rate:g}). The last good checkpoint is kept."
            )
        self.writer.sync()
        state = {
            "model": self.raw.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "seconds": self.seconds,
            "sums": self.sums,
            "first_loss": self.first_loss,
        }
        with appearing(self.writer.folder / "checkpoints" / f"step-{self.step:08d}") as place:
            checkpoints.save(self.ema.model, place)
            torch.save(state, place / "trainer.pt")
        self.writer.prune()

    def restore(self) -> None:
        """Go on from the newest checkpoint that has a training state, if the folder holds one."""
        folders = [f for f in self.writer.checkpoints() if (f / "trainer.pt").is_file()]
        if folders:
            state = torch.load(folders[-1] / "trainer.pt", map_location=self.device, weights_only=True)
            self.raw.load_state_dict(state["model"])
            if self.config.ema_images:
                averaged = checkpoints.load(folders[-1], device=self.device)
                self.ema.model.load_state_dict(averaged.state_dict())
            self.optimizer.load_state_dict(state["optimizer"])
            self.step, self.seconds, self.first_loss = state["step"], state["seconds"], state["first_loss"]
            self.sums.copy_(state["sums"])
        if self.accelerator.is_main_process:
            self.writer.rewind(self.step if folders else -1)

    def _take_over(self) -> None:
        """Say that the training runs, with what a viewer needs to know of it."""
        self.accelerator.wait_for_everyone()
        if self.accelerator.is_main_process:
            self.writer.update(
                state="running",
                steps=self.steps,
                epoch_steps=self.epoch_steps,
                step=self.step,
                epoch=self.step // self.epoch_steps,
                device=str(self.device),
                train_images=len(self.train_set),
                val_images=len(self.val_set),
                skipped=self.train_set.skipped + self.val_set.skipped,
            )
        self.last_state = self.last_saved = time.monotonic()
        self.save_interval = CHECKPOINT_SECONDS

    def _keep(self, epoch: int, rate: float) -> None:
        """Tell how far it is, twice a second; save, as often as SAVING allows."""
        now = time.monotonic()
        if now - self.last_state > 0.5:
            self.last_state = now
            left = (self.steps - self.step) * self.update_images / rate
            progress = {"step": self.step, "epoch": epoch + 1, "images_per_second": rate, "seconds_left": left}
            self.writer.update(**progress)
            if self.on_progress:
                self.on_progress({"steps": self.steps, "epochs": self.config.epochs} | progress)
        if now - self.last_saved > self.save_interval:
            self._check_sums()
            self.checkpoint()
            self.last_saved = time.monotonic()
            self.save_interval = max(CHECKPOINT_SECONDS, (self.last_saved - now) / SAVING)

    def _check_sums(self) -> None:
        """No checkpoint of a model whose loss, not yet logged, has gone wrong."""
        if not torch.isfinite(self.sums).all():
            raise InputError(
                f"The loss is not finite at step {self.step}, so the training was stopped; lower the learning rate "
                f"(it was {self.config.learning_rate:g}). The last good checkpoint is kept."
            )

    def _asked_to_stop(self) -> str | None:
        """Why to stop now, if anybody wants it. With several processes they agree, now and then."""
        accelerator = self.accelerator
        if accelerator.num_processes > 1 and self.step % self.log_every:
            return None
        wish = 1 if self.writer.stop_requested() else 2 if time.monotonic() > self.deadline else 0
        if accelerator.num_processes > 1:
            flags = accelerator.gather(torch.tensor([wish], device=self.device))
            wish = int(flags[0])
        return (None, "Stopped on request.", "Stopped: the time allowed for a run is over.")[wish]

    def _settle(self) -> None:
        """The end, early or not: a last checkpoint and preview."""
        self.accelerator.wait_for_everyone()
        if self.accelerator.is_main_process:
            self._check_sums()
            self.preview()
            self.checkpoint()
            self.writer.prune(keep=1)
            self.writer.update(step=self.step, epoch=self.step // self.epoch_steps)
            if self.on_progress:
                self.on_progress({"steps": self.steps, "epochs": self.config.epochs, "step": self.step})
