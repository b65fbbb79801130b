"""A model's facts, as the command line, the page and the HTTP API state them."""

import json
from copy import deepcopy
from functools import lru_cache
from pathlib import Path

import torch

from vae.checkpoints.find_model import load_config
from vae.models import FAMILIES, AutoEncoder, ModelConfig, build, config_to_dict


def describe(source: str | Path | AutoEncoder | ModelConfig) -> dict:
    """The facts of a model, or of what `vae.load(source)` would load; the weights are not read.

    {name, family, class, variational, parameters, encoder_parameters, decoder_parameters, in_channels, image_size
    (pixels), fixed_size, latent_shape (of an image of that size), codebook_size (None without a codebook), compression
    (pixel values for each latent value), scaling_factor (None where unknown), shift_factor, latent_space (models with
    the same one share their latents), trained_on, …}.
    Raises InputError as `vae.load` does.
    """
    if isinstance(source, AutoEncoder):
        return _facts(source)
    config = source if isinstance(source, ModelConfig) else load_config(source)
    entries = config_to_dict(config)
    known = _facts_of(json.dumps(entries, sort_keys=True), FAMILIES[entries["_class_name"]])
    return deepcopy(known) | {"name": None if isinstance(source, ModelConfig) else str(source)}


@lru_cache(maxsize=256)
def _facts_of(config: str, family: tuple) -> dict:
    """Of a config in JSON, built once however many runs have it. family: so that one registered anew is built anew."""
    with torch.device("meta"):
        return _facts(build(json.loads(config)))


def _facts(model: AutoEncoder) -> dict:
    config, size = model.config, model.config.sample_size
    of_decoder = sum(p.numel() for name, p in model.named_parameters() if name.startswith(model.decoder_names))
    shape = model.latent_shape(size, size)
    return {
        "name": None,
        "family": model.family,
        "class": config_to_dict(config)["_class_name"],
        "variational": model.is_variational,
        "parameters": model.parameter_count,
        "encoder_parameters": model.parameter_count - of_decoder,
        "decoder_parameters": of_decoder,
        "in_channels": model.in_channels,
        "image_size": size,
        "fixed_size": config.fixed_size,
        "latent_shape": list(shape),
        "codebook_size": model.codebook_size,
        "compression": round(model.in_channels * size * size / (shape[0] * shape[1] * shape[2]), 3),
        "scaling_factor": config.scaling_factor,
        "shift_factor": config.shift_factor,
        "latent_space": config.latent_space,
        "trained_on": config.trained_on,
    }
