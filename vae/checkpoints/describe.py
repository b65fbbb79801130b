"""A model's facts, as the command line, the page and the HTTP API state them."""

from pathlib import Path

import torch

from vae.checkpoints.find_model import load_config
from vae.models import AutoEncoder, ModelConfig, build, config_to_dict


def describe(source: str | Path | AutoEncoder | ModelConfig) -> dict:
    """The facts of a model, or of what `vae.load(source)` would load; the weights are not read.

    {name, family, class, variational, parameters, encoder_parameters, decoder_parameters, in_channels, image_size
    (pixels), fixed_size, latent_shape (of an image of that size), codebook_size (None without a codebook), compression
    (pixel values for each latent value), scaling_factor (None where unknown), shift_factor, latent_space (models with
    the same one share their latents), trained_on, …}.
    Raises InputError as `vae.load` does.
    """
    if isinstance(source, AutoEncoder):
        model, name = source, None
    else:
        config = source if isinstance(source, ModelConfig) else load_config(source)
        with torch.device("meta"):
            model = build(config)
        name = None if isinstance(source, ModelConfig) else str(source)
    config, size = model.config, model.config.sample_size
    of_decoder = sum(p.numel() for name, p in model.named_parameters() if name.startswith(model.decoder_names))
    shape = model.latent_shape(size, size)
    return {
        "name": name,
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
