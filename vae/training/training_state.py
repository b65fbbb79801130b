"""What a training's checkpoint holds besides the model: all that the next update depends on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vae.errors import InputError
from vae.training.recorder import Saved

if TYPE_CHECKING:
    from vae.training.loop import Trainer


def training_state(trainer: Trainer) -> dict:
    """The state of a training, for torch.save."""
    scaler, adversary = trainer.accelerator.scaler, trainer.adversary
    return {
        "model": trainer.raw.state_dict(),
        "optimizer": trainer.optimizer.state_dict(),
        "scaler": scaler.state_dict() if scaler is not None else None,
        "step": trainer.step,
        "seconds": trainer.seconds,
        "sums": trainer.sums.table,
        "terms": list(trainer.sums.terms),
        "own_objective": trainer.parts.objective is not None,
        "first_loss": trainer.first_loss,
        "images": len(trainer.feed.train_set),
        "looks": trainer.feed.looks(trainer.config),
        "update_images": trainer.plan.update_images,
        "adversary": adversary.state_dict() if adversary else None,
    }


def restore(trainer: Trainer, saved: Saved) -> None:
    """The checkpoint's state, but for the model's, into a training that was prepared for it.

    Raises InputError if the loss then had other terms, or was another's.
    """
    state, averaged = saved.state, saved.averaged
    trainer.ema.model.load_state_dict(averaged.state_dict() if trainer.config.ema_images else state["model"])
    trainer.ema.model.config = averaged.config
    trainer.optimizer.load_state_dict(state["optimizer"])
    for group in trainer.optimizer.param_groups:
        group["capturable"] = trainer.graphed  # whatever device the run was on before
    if trainer.accelerator.scaler is not None and state["scaler"]:
        trainer.accelerator.scaler.load_state_dict(state["scaler"])
    trainer.step, trainer.seconds, trainer.first_loss = state["step"], state["seconds"], state["first_loss"]
    own = trainer.parts.objective is not None
    if tuple(state["terms"]) != trainer.sums.terms or state.get("own_objective", own) != own:
        raise InputError(
            f"This run's loss had the terms {', '.join(state['terms'])}, and has {', '.join(trainer.sums.terms)} now; "
            "resume it with the objective it began with."
        )
    trainer.sums.table.copy_(state["sums"])
    if trainer.adversary:
        trainer.adversary.load_state_dict(state["adversary"])
