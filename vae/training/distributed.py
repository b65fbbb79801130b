"""Accelerate, set up for one training: the device, the precision, and what several processes need to act as one."""

import os
import threading
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState, GradientState, PartialState
from accelerate.tracking import get_available_trackers
from accelerate.utils import broadcast_object_list
from PIL import Image
from torch import Tensor, nn

from vae.device import pick_device
from vae.errors import InputError
from vae.training.config import TrainConfig
from vae.training.runs import RunWriter

RANKS = ("RANK", "PMI_RANK", "OMPI_COMM_WORLD_RANK", "MV2_COMM_WORLD_RANK")  # a process's number, by its launcher
PROJECT = "vae-studio"  # what trackers are told that this is, and the folder of their files in the run's
_ONE = threading.Lock()  # Accelerate keeps its state in module globals: one training at a time in a process


@contextmanager
def accelerator_for(precision: str, device: str | None, log_with: str | None, folder: Path):
    """An Accelerator of our own for the length of a training; whatever the process had of Accelerate is put back.

    precision: "fp32", "bf16" or "fp16". log_with: a tracker's name; its files go into `folder`.
    Raises InputError if this process is training already, the device or precision is not to be had, or the tracker is
    not installed.
    """
    if not _ONE.acquire(blocking=False):
        raise InputError("This process is training another run already; wait for its end or stop it first.")
    try:
        with _own_state():
            accelerator = _create(precision, pick_device(device), log_with, folder)
            try:
                yield accelerator
            finally:
                # Or its threads would still run when Python ends, and the process abort.
                accelerator.state.destroy_process_group()
    finally:
        _ONE.release()


def _create(precision: str, device: torch.device, log_with: str | None, folder: Path) -> Accelerator:
    if log_with is not None and log_with not in (known := [str(t.value) for t in get_available_trackers()]):
        have = ", ".join(known) if known else "none"
        raise InputError(f"The tracker {log_with!r} is not known or not installed; installed here: {have}.")
    if precision == "fp16" and device.type == "cpu":
        raise InputError("fp16 is for GPUs; use fp32 or bf16 on the CPU.")
    _refuse_lone_process()
    accelerator = Accelerator(
        cpu=device.type == "cpu",
        mixed_precision="no" if precision == "fp32" else precision,
        log_with=log_with,
        project_dir=str(folder) if log_with else None,
    )
    if accelerator.device.type != device.type or (device.index or 0) != (accelerator.device.index or 0) == 0:
        raise InputError(
            f"Training would run on {accelerator.device}, not on {device}; choose among several GPUs by the "
            "environment variable CUDA_VISIBLE_DEVICES."
        )
    return accelerator


def _refuse_lone_process() -> None:
    """InputError if Accelerate's launcher was asked for several processes and has started one.

    So it does on the CPU without MPI, and where there are fewer than two GPUs; only its address for them to meet at
    tells.
    """
    launched = "ACCELERATE_MIXED_PRECISION" in os.environ and "MASTER_ADDR" in os.environ
    if launched and not any(name in os.environ for name in RANKS):
        raise InputError(
            "Accelerate's launcher was asked for several processes and has started one, as it does without several "
            "GPUs; start processes on the CPU by `torchrun --nproc_per_node 2 -m vae train --device cpu …`."
        )


@contextmanager
def _own_state():
    """Accelerate's globals as in a fresh process, and afterwards as they were before.

    Else a second training could not have another precision, and a user's own Accelerator would lose its state.
    """
    if torch.distributed.is_initialized():  # several processes: started for this training alone
        yield
        return
    owners = (AcceleratorState, PartialState, GradientState)
    before = [dict(owner._shared_state) for owner in owners]
    for owner in owners:
        owner._shared_state.clear()
    try:
        yield
    finally:
        for owner, entries in zip(owners, before, strict=True):
            owner._shared_state.clear()
            owner._shared_state.update(entries)


def claim(writer: RunWriter, config: TrainConfig, resume: bool, accelerator: Accelerator, held: ExitStack) -> RunWriter:
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


def track_images(accelerator: Accelerator, images: dict[str, Image.Image], step: int) -> None:
    """The images to those of the trackers that show some."""
    arrays = {name: np.asarray(image.convert("RGB"))[None] for name, image in images.items()}
    for tracker in accelerator.trackers:
        if tracker.name == "tensorboard":
            tracker.log_images(arrays, step=step, dataformats="NHWC")
        elif tracker.name == "wandb":
            tracker.log_images(arrays, step=step)


class _AllSum(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        x = x.clone()
        torch.distributed.all_reduce(x)
        return x

    backward = staticmethod(lambda ctx, gradient: _AllSum.forward(ctx, gradient))


def all_mean(x: Tensor) -> Tensor:
    """The mean of x over all processes. Differentiable: gradients come back from all of them."""
    return _AllSum.apply(x) / torch.distributed.get_world_size()


class SharedBatchNorm(nn.BatchNorm2d):
    """Batch norm by the statistics of all processes' images together, so that two processes learn what one would.

    nn.SyncBatchNorm does this on CUDA alone. Every process must have as many images as every other.
    """

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return super().forward(x)
        with torch.autocast(x.device.type, enabled=False):
            var, mean = torch.var_mean(x.float(), (0, 2, 3), correction=0)
            mean, var = mean.double(), var.double()  # E[x²] - E[x]² would lose too much in float32
            mean, square = all_mean(torch.stack([mean, var + mean.square()]))
            var = square - mean.square()
            count = x.numel() // x.shape[1] * torch.distributed.get_world_size()
            with torch.no_grad():
                self.num_batches_tracked += 1
                self.running_mean.lerp_(mean.float(), self.momentum)
                self.running_var.lerp_((var * count / (count - 1)).float(), self.momentum)
            scale = self.weight * (var + self.eps).rsqrt().float()
            shift = self.bias - mean.float() * scale
            return (x.float() * scale[:, None, None] + shift[:, None, None]).to(x.dtype)


def share_batch_norm(model: nn.Module) -> None:
    """Make every BatchNorm2d in the model a SharedBatchNorm, in place; names and parameters stay."""
    for module in model.modules():
        if type(module) is nn.BatchNorm2d:
            module.__class__ = SharedBatchNorm
