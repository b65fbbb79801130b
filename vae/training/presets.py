"""The recipes that come with the project."""

import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial

from vae.errors import InputError
from vae.training.config import TrainConfig

PHOTOGRAPHS = "sd-small"  # the recipe of those
GENTLER = 10  # times smaller is the learning rate where a training begins with good weights, or it would undo them


def preset(name: str | None, device: str | None = None, **changes) -> TrainConfig:
    """The recipe of that name, with the given fields changed; None leaves a field as it is. InputError if unknown.

    name: None for the first or, with an `init`, for the one that suits this model. With an `init` the learning rate is
    GENTLER times smaller, unless it is given. device: what it is for, as for `fit`. On a GPU some recipes take
    larger batches (ON_GPU), unless the changes say how large or how fast; left out, the recipe is the one for a CPU.
    """
    given = {key: value for key, value in changes.items() if value is not None}
    name = _suiting(given.get("init")) if name is None else name
    if name not in PRESETS:
        raise InputError(f"There is no preset {name!r}; there are {', '.join(PRESETS)}.")
    recipe = PRESETS[name]
    if name in ON_GPU and device is not None and not given.keys() & {"batch_size", "learning_rate"}:
        from vae.device import pick_device  # heavy, and --help, which reads the names, needs no device

        if pick_device(device).type == "cuda":
            given = ON_GPU[name] | given
    if "init" in given and changes.get("learning_rate") is None:
        rate = given.get("learning_rate", recipe.learning_rate) / GENTLER
        given["learning_rate"] = float(f"{rate:.6g}")  # as one would write it
    return replace(recipe, **given)


def _suiting(init: str | None) -> str:
    """The recipe for going on with the model at `init`: of digits for the convolutional VAE, else of photographs. What
    is not on this machine is not fetched to know that; the Hub's auto-encoders are for photographs."""
    if init is None:
        return TrainConfig.preset
    from vae.checkpoints.find_model import load_config, local_folder
    from vae.models import ConvConfig

    here = local_folder(init).exists()
    return TrainConfig.preset if here and isinstance(load_config(init), ConvConfig) else PHOTOGRAPHS


class Presets(Mapping[str, TrainConfig]):
    """The recipes by name, each made when it is asked for: --help lists the names, and does not wait for torch. A
    registered family whose config is complete without being told anything is one, too, with the first one's settings.
    """

    def __getitem__(self, name: str) -> TrainConfig:
        if name in _registered():
            return TrainConfig(preset=name, model={"_class_name": name})
        recipe = _RECIPES[name]
        return TrainConfig(preset=name, **recipe | {"model": recipe["model"]()})

    def __iter__(self) -> Iterator[str]:
        yield from _RECIPES
        yield from _registered()

    def __len__(self) -> int:
        return len(_RECIPES) + len(_registered())


def _registered() -> tuple[str, ...]:
    models = sys.modules.get("vae.models")  # where nobody has imported it, nobody has registered anything
    return models.registered() if models else ()


def _conv(**changes) -> dict:
    from vae.models import ConvConfig, config_to_dict

    return config_to_dict(ConvConfig(**changes))


def _kl(name: str) -> dict:
    from vae.models import KL_PRESETS, config_to_dict

    return config_to_dict(KL_PRESETS[name])


_PHOTOS = {"data": "cifar10", "reconstruction": "sigma", "ema_images": 20_000, "clip": 1.0, "flip": True}
# For minutes on a CPU: what counts is the number of updates, so they are small.
_SMALL = _PHOTOS | {"ema_images": 5000, "epochs": 12, "batch_size": 8, "learning_rate": 1.5e-3}

# A GPU is busy with no fewer images at once: four times as many, Adam's steps twice as large, as many updates.
_WIDE = {"batch_size": 32, "learning_rate": 3e-3, "epochs": 48}
ON_GPU = {"sd-small": _WIDE, "sd-small-16": _WIDE}

_RECIPES = {
    "mnist-vae": {"model": _conv},
    "mnist-ae": {"model": partial(_conv, variational=False), "beta": 0.0},
    # Wider, and with a decoder variance of 1/20 in place of 1/2: sharper, at more nats.
    "mnist-vae-large": {
        "model": partial(_conv, features=(1, 24, 48, 96, 4)),
        "data": "mnist",
        "epochs": 24,
        "learning_rate": 5e-3,
        "beta": 0.1,
    },
    "sd-small": {"model": partial(_kl, "sd-small")} | _SMALL,
    "sd-small-16": {"model": partial(_kl, "sd-small-16")} | _SMALL,
    "sd": {"model": partial(_kl, "sd"), "epochs": 10, "batch_size": 4, "learning_rate": 1e-4} | _PHOTOS,
    # As in the Stable Diffusion notebook: MSE, beta 2.5e-4, batches of 4, Adam at a constant 1e-4, for 100 epochs.
    "sd-notebook": {
        "model": partial(_kl, "sd-notebook"),
        "data": "cifar10",
        "epochs": 100,
        "batch_size": 4,
        "learning_rate": 1e-4,
        "beta2": 0.999,
        "schedule": "constant",
        "reconstruction": "mean",
        "beta": 2.5e-4,
    },
}

PRESETS = Presets()
