"""What a training leaves in its run folder, and how often."""

import time
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from pickle import UnpicklingError
from typing import NamedTuple

import torch
from PIL import Image
from safetensors import SafetensorError
from torch import Tensor

from vae import images
from vae.checkpoints import find_model, store
from vae.errors import InputError
from vae.files import appearing, disk_error, flushed
from vae.models import AutoEncoder
from vae.training import metrics_file
from vae.training.batches import TrainingImages
from vae.training.config import TrainConfig
from vae.training.runs import RunWriter
from vae.training.schedule import Plan

STATE_SECONDS = 0.5  # between two words of how far it is
CHECKPOINT_SECONDS = 10.0  # checkpoints are never closer than this
SAVING = 0.03  # and take no more than this share of the time


class Saved(NamedTuple):
    """A checkpoint to go on from: its folder, the training's state, and the averaged model."""

    folder: Path
    state: dict
    averaged: AutoEncoder


class Recorder:
    """Writes for a training. Every failure to write is an InputError that says why, and leaves the rest as it was."""

    def __init__(self, writer: RunWriter, on_progress: Callable[[dict], None] | None):
        self.writer, self.on_progress = writer, on_progress
        self.reported = self.saved = time.monotonic()
        self.interval = CHECKPOINT_SECONDS
        self.best: float | None = None

    @contextmanager
    def writing(self):
        try:
            yield
        except (OSError, SafetensorError, RuntimeError, InputError) as error:
            reason = disk_error(error)
            if reason is None:
                raise
            raise InputError(
                f"The run folder cannot be written ({reason}), so the training was stopped; the last good checkpoint "
                "is kept."
            ) from error

    def state(self, **changes) -> None:
        with self.writing():
            self.writer.update(**changes)

    def begin(self, config: TrainConfig, step: int, plan: Plan, feed: TrainingImages, device: torch.device) -> None:
        """Say that the training runs, with what a viewer needs to know of it.

        What was written after `step` is forgotten, and from here on the run has this config.
        """
        with self.writing():
            self.writer.rewind(step or -1)  # what is written at step 0 is written anew
            self.best = metrics_file.best(self.writer.folder)
            self.writer.write_config(config.to_dict())
        self.state(
            state="running",
            step=step,
            steps=plan.steps,
            epoch=plan.epoch(step),
            epochs=plan.epochs,
            epoch_steps=plan.epoch_steps,
            device=str(device),
            processes=plan.processes,
            train_images=len(feed.train_set),
            val_images=len(feed.val_set),
            best=self.best,
            **self.left_out(feed),
        )
        if self.on_progress:
            self.on_progress({"step": step, "steps": plan.steps, "epoch": plan.epoch(step)})

    @staticmethod
    def left_out(feed: TrainingImages) -> dict:
        """How many images could not be read so far, and what is to be said of the data."""
        return {"skipped": feed.train_set.skipped + feed.val_set.skipped, "remarks": feed.remarks}

    def metrics(self, entry: dict) -> None:
        """A line of metrics. The lowest validation loss of an epoch so far is in the run's state, too, so that a list
        of runs need not read all lines of each."""
        with self.writing():
            self.writer.append(entry)
        if entry["kind"] == "epoch" and (self.best is None or entry["val_loss"] < self.best):
            self.best = entry["val_loss"]
            self.state(best=self.best)

    def preview(self, kind: str, step: int, epoch: int, pictures: Tensor, columns: int) -> Image.Image:
        """Write a sheet of `pictures`, (N, C, H, W) around [-1, 1], and return it."""
        sheet = images.grid(pictures.clamp(-1.0, 1.0).cpu(), columns=columns)
        with self.writing():
            self.writer.preview(kind, step, epoch, images.png_bytes(sheet))
        return sheet

    def progress(self, step: int, plan: Plan, rate: float | None = None) -> None:
        """Tell how far it is, if it was not told a moment ago. rate: images a second; without it, as at the end, it is
        told in any case."""
        if rate is not None and time.monotonic() - self.reported <= STATE_SECONDS:
            return
        self.reported = time.monotonic()
        progress = {"step": step, "steps": plan.steps, "epoch": plan.epoch(step)}
        if rate is not None:
            left = (plan.steps - step) * plan.update_images
            progress |= {"images_per_second": rate, "seconds_left": left / rate}
        self.state(**progress)
        if self.on_progress:
            self.on_progress(progress)

    def due(self) -> bool:
        """Whether it is time for a checkpoint."""
        return time.monotonic() - self.saved > self.interval

    def checkpoint(self, step: int, model: AutoEncoder, state: dict) -> Path | None:
        """Everything the run can be gone on from, and `model` for those who watch; the older of the last two goes.

        One that is there stays, but for what `model` says of itself. Returns the folder, None if it was there already.
        """
        start = time.monotonic()
        folder = self.writer.checkpoint_folder(step)
        new = folder not in self.writer.checkpoints()
        if not new:
            if find_model.load_config(folder) != model.config:
                with self.writing():
                    store.save(model, folder)
        else:
            with self.writing():
                self.writer.sync()
                with appearing(folder) as place:
                    store.save(model, place)
                    with flushed(place / "trainer.pt") as file:
                        torch.save(state, file)
            self.writer.prune(keep=2)
        self.saved = time.monotonic()
        self.interval = max(CHECKPOINT_SECONDS, (self.saved - start) / SAVING)
        return folder if new else None

    def newest(self, model: AutoEncoder | None = None) -> Saved | None:
        """The newest checkpoint that can be read, on the CPU. model: the caller's own, of which the averaged one is a
        copy."""
        for folder in reversed(self.writer.checkpoints()):
            try:
                state = torch.load(folder / "trainer.pt", map_location="cpu", weights_only=True)
                averaged = store.load(folder, device="cpu") if model is None else store.load_into(model, folder)
                return Saved(folder, state, averaged)
            except (
                OSError,
                RuntimeError,
                EOFError,
                ValueError,
                KeyError,
                UnpicklingError,
            ):  # damaged: an older one will do
                continue
        return None
