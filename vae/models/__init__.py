"""The model families, and how a config becomes a model."""

import json
import sys
from dataclasses import fields
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

from vae.errors import InputError
from vae.models.autoencoder_kl import KL_PRESETS, AutoencoderKL, AutoencoderKLFlux2, Flux2Config, KLConfig
from vae.models.base import AutoEncoder, ModelConfig
from vae.models.conv import ConvConfig, ConvVAE
from vae.models.tiny import TinyAE, TinyConfig

__all__ = [
    "FAMILIES",
    "KL_PRESETS",
    "AutoEncoder",
    "ModelConfig",
    "build",
    "config_from_dict",
    "config_to_dict",
]

FAMILIES: dict[str, tuple[type[ModelConfig], type[AutoEncoder]]] = {
    "ConvVAE": (ConvConfig, ConvVAE),
    "AutoencoderKL": (KLConfig, AutoencoderKL),
    "AutoencoderKLFlux2": (Flux2Config, AutoencoderKLFlux2),
    "AutoencoderTiny": (TinyConfig, TinyAE),
}


def build(config: ModelConfig | dict) -> AutoEncoder:
    """A model of that config with freshly initialised weights, in training mode. InputError for a config that is none.

    Under `torch.device("meta")` it costs neither memory nor time, and still knows its shapes and parameter_count.
    """
    if isinstance(config, dict):
        config = config_from_dict(config)
    return FAMILIES[_class_name(config)][1](config)


def config_to_dict(config: ModelConfig) -> dict:
    """What config.json holds: the fields, and `_class_name`, the key into FAMILIES. config_from_dict's inverse."""
    return {"_class_name": _class_name(config), **config.to_dict()}


def config_from_dict(entries: dict) -> ModelConfig:
    """The config that `entries`, as read from a config.json of ours, describes; fields left out have their defaults.

    Raises InputError for an unknown or missing `_class_name`, an unknown field and a value of the wrong type.
    """
    if not isinstance(entries, dict):
        raise InputError("A config must be a JSON object.")
    name = entries.get("_class_name")
    if not isinstance(name, str) or name not in FAMILIES:
        said = "no _class_name" if name is None else f"the unknown _class_name {json.dumps(name)[:80]}"
        raise InputError(f"The config has {said}; known are {', '.join(sorted(FAMILIES))}.")
    family = FAMILIES[name][0]
    hints, known = get_type_hints(family), {field.name for field in fields(family)}
    values = {}
    for key, value in entries.items():
        if key == "_class_name":
            continue
        if key not in known:
            raise InputError(f"The config of a {name} has no field {key[:80]!r}.")
        values[key] = _checked(key, value, hints[key])
    return family(**values)


def _class_name(config: ModelConfig) -> str:
    """The key into FAMILIES of a config's type."""
    for name, (family, _) in FAMILIES.items():
        if type(config) is family:
            return name
    known = ", ".join(family.__name__ for family, _ in FAMILIES.values())
    raise InputError(f"A model's config is one of {known}, not {type(config).__name__}.")


def _checked(name: str, value: Any, hint: Any) -> Any:
    """`value` as the type `hint` asks for (a JSON list becomes a tuple, a whole number a float), or InputError."""
    if get_origin(hint) is UnionType:
        if value is None:
            return None
        hint = get_args(hint)[0]
    if get_origin(hint) is tuple and isinstance(value, list | tuple):
        return tuple(_checked(name, item, get_args(hint)[0]) for item in value)
    if hint is float and type(value) in (int, float) and abs(value) < sys.float_info.max:
        return float(value)
    if hint in (int, bool, str) and type(value) is hint and (hint is not int or abs(value) < 2**53):
        return value
    wanted = getattr(hint, "__name__", str(hint))
    raise InputError(f"The config's {name} must be of type {wanted}, not {repr(value)[:80]}.")
