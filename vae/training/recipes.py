"""What is usual where a training's settings are left out: the recipes that come with the project, as numbers and words.
Nothing here is heavy: --help reads the names."""

import sys
from functools import partial

from vae.errors import InputError

FIRST, PHOTOGRAPHS = "mnist-vae", "sd-small"  # what is trained unless something else is said, and that for photographs
LEARNING_RATE = 1e-2
GENTLER = 10  # times smaller is the learning rate where a training begins with good weights, or it would undo them


def names() -> tuple[str, ...]:
    """The recipes there are, those of registered families among them."""
    return (*_RECIPES, *_registered())


def recipe(name: str, init: str | None = None, wide: bool = False) -> dict:
    """TrainConfig's fields as the recipe has them; a registered family's has the first one's settings.

    With an `init` the learning rate is GENTLER times smaller. wide: for a GPU, where the recipe has another form for
    one. Raises InputError if there is none of that name."""
    if name not in names():
        raise InputError(f"There is no preset {name!r}; there are {', '.join(names())}.")
    found = _RECIPES.get(name, {"model": lambda: {"_class_name": name}})
    found = found | {"model": found["model"]()} | (ON_GPU.get(name, {}) if wide else {})
    if init is not None:
        rate = found.get("learning_rate", LEARNING_RATE) / GENTLER
        found["learning_rate"] = float(f"{rate:.6g}")  # as one would write it
    return found


def suiting(init: str | None) -> str:
    """The recipe for going on with the model at `init`: of digits for the convolutional VAE, else of photographs. What
    is not on this machine is not fetched to know that; the Hub's auto-encoders are for photographs."""
    if init is None:
        return FIRST
    from vae.checkpoints.find_model import load_config, local_folder
    from vae.models import ConvConfig

    here = local_folder(init).exists()
    return FIRST if here and isinstance(load_config(init), ConvConfig) else PHOTOGRAPHS


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
