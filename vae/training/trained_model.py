"""The model of a training: what it begins as, which part of it stays so, and what is said of it when it is saved."""

from dataclasses import replace

import torch

from vae.checkpoints import find_model, store
from vae.errors import InputError
from vae.latents import scaling
from vae.models import AutoEncoder, ModelConfig, build, config_from_dict, config_to_dict, is_own
from vae.models.base import check_channels
from vae.training.batches import TrainingImages
from vae.training.config import TrainConfig
from vae.training.model_shape import shaped
from vae.training.recorder import Saved

LATENTS = 64  # training images whose latents' statistics are those of a checkpoint, until the run has ended


def with_its_network(config: TrainConfig) -> TrainConfig:
    """The config with the network of the model at its `init`, at the size it asks for; without an `init` as it is.
    Raises InputError if there is no such model, or it cannot be had at that size."""
    if config.init is None:
        if not is_own(config.model):
            check_channels(config_from_dict(config.model))
        return config
    return replace(config, model=config_to_dict(shaped(find_model.load_config(config.init), config)))


def starting_model(config: TrainConfig, saved: Saved | None, given: AutoEncoder | None = None) -> AutoEncoder:
    """The model, in float32 on the CPU, as the checkpoint has it, or without one as the run begins with it: `given`,
    the caller's own, the one at `config.init`, or a new one whose weights depend on the seed alone."""
    if given is not None:
        model = given.float().cpu()
    elif config.init and not saved:
        model = store.load(config.init, device="cpu").requires_grad_(True).train()
        before, own = model.latent_shape(), config_from_dict(config.model)
        model.config = replace(model.config, sample_size=own.sample_size, border=own.border)
        if model.latent_shape() != before:
            model.fitted_priors = {}  # of latents of another size
    else:
        with torch.random.fork_rng(devices=[]):  # the process's own generator stays as it was
            torch.default_generator.manual_seed(config.seed)
            model = build(config.model)
    if saved:
        model.load_state_dict(saved.state["model"])
        model.fitted_priors = saved.averaged.fitted_priors
    if config.freeze != "encoder":
        model.fitted_priors = {}  # of latents that will be others
    return model


def freeze(model: AutoEncoder, part: str | None) -> None:
    """Take the "encoder" or the "decoder" out of the training, and leave it in evaluation mode, or batch norm would go
    on to follow the images. Raises InputError if nothing is left to train."""
    decoder, modules = model.decoder_names, [(f"{name}.", module) for name, module in model.named_modules() if name]
    if part and not any(name.startswith(decoder) for name, _ in modules):
        raise InputError(
            f"It is not known where the decoder of this model begins, so its {part} cannot be frozen; give it the name "
            "decoder, or the model the attribute decoder_names."
        )
    for name, parameter in model.named_parameters():
        if part == ("decoder" if name.startswith(decoder) else "encoder"):
            parameter.requires_grad_(False)
    for name, module in modules:
        above = any(beginning != name and beginning.startswith(name) for beginning in decoder)
        if not above and part == ("decoder" if name.startswith(decoder) else "encoder"):
            module.training = False
    if not any(parameter.requires_grad for parameter in model.parameters()):
        what = f"With its {part} frozen this model" if part else "This model"
        raise InputError(f"{what} has nothing left to train.")


@torch.no_grad()
def saved_config(
    began_with: ModelConfig, config: TrainConfig, model: AutoEncoder, feed: TrainingImages, seconds: float = 0.0
) -> ModelConfig:
    """The config of the trained model, which began with that one: with what it was trained on and, unless its encoder
    is frozen and its latents are what they were, what is known of these.

    seconds: how long its latents of all training images may be looked at; 0 is for LATENTS of them."""
    name = feed.train_set.name
    if config.freeze == "encoder":
        began, then = (began_with.trained_on if config.init else None), f", its decoder then on {name}"
        if began and began != name:
            name = began if began.endswith(then) else began + then
        return replace(began_with, trained_on=name)
    known = scaling.measured(model, feed.all_spread(seconds) if seconds else [feed.spread(LATENTS)])
    return replace(began_with, trained_on=name, latent_space=None, **known)
