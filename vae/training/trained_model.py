"""The model of a training: what it begins as, which part of it stays so, and what is said of it when it is saved."""

from dataclasses import replace

import torch

from vae.checkpoints import find_model, store
from vae.errors import InputError
from vae.latents import scaling
from vae.models import AutoEncoder, ModelConfig, build, config_from_dict, config_to_dict
from vae.training.batches import TrainingImages
from vae.training.config import TrainConfig
from vae.training.model_shape import shaped
from vae.training.recorder import Saved

LATENTS = 64  # training images whose latents' spread gives the scaling_factor


def with_its_network(config: TrainConfig) -> TrainConfig:
    """The config with the network of the model at its `init`, at the size it asks for; without an `init` as it is.
    Raises InputError if there is no such model, or it cannot be had at that size."""
    if config.init is None:
        return config
    return replace(config, model=config_to_dict(shaped(find_model.load_config(config.init), config)))


def starting_model(config: TrainConfig, saved: Saved | None) -> AutoEncoder:
    """The model, in float32 on the CPU, as the checkpoint has it, or without one as the run begins with it: the one at
    `config.init`, or a new one whose weights depend on the seed alone."""
    if config.init and not saved:
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
    for name, module in model.named_children():
        if part == ("decoder" if f"{name}.".startswith(model.decoder_names) else "encoder"):
            module.requires_grad_(False).eval()
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise InputError(f"With its {part} frozen this model has nothing left to train.")


@torch.no_grad()
def saved_config(began_with: ModelConfig, config: TrainConfig, model: AutoEncoder, feed: TrainingImages) -> ModelConfig:
    """The config of the trained model, which began with that one: with what it was trained on and, unless its encoder
    is frozen and its latents are what they were, what is known of these."""
    name = feed.train_set.name
    if config.freeze == "encoder":
        began = began_with.trained_on if config.init else None
        return replace(
            began_with, trained_on=f"{began}, its decoder then on {name}" if began and began != name else name
        )
    known = scaling.measured(model, feed.spread(LATENTS))
    return replace(began_with, trained_on=name, latent_space=None, **known)
