"""What a training has at hand before its first update: model, images, plan, optimizer, objective."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from vae.errors import InputError
from vae.models import AutoEncoder
from vae.training import memory, same_data
from vae.training.batches import TrainingImages
from vae.training.config import TrainConfig
from vae.training.cuda_graph import why_not
from vae.training.discriminator import Adversary
from vae.training.distributed import PROJECT, all_mean, share_batch_norm
from vae.training.ema import EMA
from vae.training.hardware import checkpoint_blocks, compile_blocks, is_compiled, memory_format
from vae.training.objective import CustomObjective, Objective
from vae.training.previews import preview_steps
from vae.training.recorder import Saved
from vae.training.resume import check_places, rooted
from vae.training.schedule import plan
from vae.training.sums import Sums
from vae.training.trained_model import freeze, starting_model
from vae.training.training_state import restore
from vae.training.validation import evaluating

if TYPE_CHECKING:
    from vae.training.loop import Trainer


def prepare(trainer: Trainer) -> None:
    """Give a training all that it needs, as at the beginning or as the newest checkpoint has it. Raises InputError for
    what cannot be had, or does not go together."""
    config, accelerator, stopper, device = trainer.config, trainer.accelerator, trainer.stopper, trainer.device
    with stopper.together():
        model, saved = stopper.waiting(lambda: _load(trainer))
    trainer.began_with = model.config
    if saved:
        trainer.feed.expect(saved.state["images"])
        _check_moved(trainer, saved)
    update_images = saved and saved.state["update_images"]
    trainer.plan = plan(config, len(trainer.feed.train_set), accelerator.num_processes, update_images)
    if device.type == "cpu":  # a GPU says for itself when its memory is full
        memory.check(replace(config, batch_size=trainer.plan.batch, accumulate=trainer.plan.accumulate), device)
    own, resident = trainer.parts.objective, trainer.feed.is_resident
    trainer.graphed = why_not(config, own, model, trainer.plan, accelerator.scaler, resident, device) is None
    trainer.compiled = is_compiled(config, model, device, trainer.graphed, trainer.plan.steps)
    trainer.feed.layout = memory_format(model, device, trainer.compiled)
    trainer.raw = model.to(device, memory_format=trainer.feed.layout)
    trainer.ema = EMA(model, config.ema_images)
    if accelerator.num_processes > 1:
        share_batch_norm(model)
    stopper.eager = not trainer.compiled
    if trainer.compiled:
        compile_blocks(model, stopper.check if stopper.alone else lambda: None)
    accelerator.gradient_accumulation_steps = trainer.plan.accumulate
    optimizer = torch.optim.Adam(
        [parameter for parameter in model.parameters() if parameter.requires_grad],
        lr=config.learning_rate,
        betas=(0.9, config.beta2),
        fused=device.type != "mps",
        capturable=trainer.graphed,
    )
    trainer.model, trainer.optimizer = accelerator.prepare(model, optimizer)
    _set_objective(trainer)
    terms = trainer.objective.terms + (trainer.adversary.terms if trainer.adversary else ())
    trainer.sums = Sums(terms, 2, device)
    trainer.step, trainer.seconds, trainer.first_loss = 0, 0.0, None
    if saved:
        restore(trainer, saved)
    if trainer.step > trainer.plan.steps:
        raise InputError(
            f"The run has trained for {trainer.step / trainer.plan.epoch_steps:g} epochs already ({trainer.step} "
            "steps); give more than that."
        )
    trainer.preview_steps = preview_steps(trainer.plan.steps)
    if accelerator.log_with:
        shown = {key: value for key, value in config.to_dict().items() if key != "model"}
        accelerator.init_trackers(PROJECT, config=shown)


def _load(trainer: Trainer) -> tuple[AutoEncoder, Saved | None]:
    """The model to begin with, the checkpoint it comes from, and the images, all of which may take long."""
    config, parts, accelerator = trainer.config, trainer.parts, trainer.accelerator
    saved = trainer.recorder.newest(parts.model)
    model = starting_model(config, saved, parts.model)
    freeze(model, config.freeze)
    if saved and parts.train_set is None:
        check_places(config)
    if config.gradient_checkpointing:
        checkpoint_blocks(model)
    process = accelerator.process_index, accelerator.num_processes
    trainer.feed = TrainingImages(
        config, model, trainer.device, trainer.stopper.check, *process, parts.train_set, parts.val_set
    )
    return model, saved


def _check_moved(trainer: Trainer, saved: Saved) -> None:
    """InputError if the data lie elsewhere than before, and are not the same; of older checkpoints their number must
    do."""
    config, then = trainer.config, saved.state.get("looks")
    if then is None or trainer.parts.train_set is not None:
        return
    before = rooted(TrainConfig.from_dict(trainer.writer.config()))
    if before.data != config.data:
        same_data.check(then["train"], trainer.feed.train_set, before.data, config.data)
    if before.val_data != config.val_data:
        same_data.check(then["val"], trainer.feed.val_set, str(before.val_data), str(config.val_data))


def _set_objective(trainer: Trainer) -> None:
    """What is minimised: the objective, and what an adversary adds to it."""
    config, accelerator = trainer.config, trainer.accelerator
    average = all_mean if accelerator.num_processes > 1 else None
    if trainer.parts.objective:
        trainer.objective = CustomObjective(trainer.parts.objective, config, trainer.raw.pixel_scale)
        as_it_is = torch.compiler.set_stance("force_eager") if trainer.compiled else nullcontext()
        with evaluating(trainer.raw) as model, accelerator.autocast(), as_it_is:
            trainer.objective.try_out(model, trainer.feed.validation(0, 2))
    else:
        trainer.objective = Objective(config, trainer.raw, accelerator.autocast, average)
    trainer.adversary = None
    if config.adversarial:
        start = config.adversarial_start // trainer.plan.update_images
        trainer.adversary = Adversary(
            trainer.raw, config.adversarial, start, config.seed, accelerator.autocast, average
        )
