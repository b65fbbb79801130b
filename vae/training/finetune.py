"""Training that goes on from a model: whose weights it begins with, and which part of it stays as it is."""

from torch import nn

from vae.checkpoints import store
from vae.errors import InputError
from vae.models import AutoEncoder


def initial_model(source: str) -> AutoEncoder:
    """The model at `source`, as vae.load takes it, in float32 on the CPU, to be trained."""
    return store.load(source, device="cpu").requires_grad_(True).train()


def freeze(model: AutoEncoder, part: str | None) -> list[nn.Module]:
    """Take the "encoder" or the "decoder" out of the training; the modules returned must stay in evaluation mode,
    or batch norm would go on to follow the images. Raises InputError if nothing is left to train.
    """
    frozen = []
    for name, module in model.named_children():
        if part == ("decoder" if f"{name}.".startswith(model.decoder_names) else "encoder"):
            frozen.append(module.requires_grad_(False).eval())
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise InputError(f"With its {part} frozen this model has nothing left to train.")
    return frozen
