"""The model families, one's own among them, and how a config becomes a model."""

import json
import re
import sys
from collections.abc import Callable
from dataclasses import MISSING, Field, fields
from functools import partial
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

import torch
from torch import nn

from vae.errors import InputError
from vae.models.autoencoder_dc import AutoencoderDC, DCConfig
from vae.models.autoencoder_hunyuan import AutoencoderHunyuan, HunyuanConfig
from vae.models.autoencoder_kl import KL_PRESETS, AutoencoderKL, AutoencoderKLFlux2, Flux2Config, KLConfig
from vae.models.autoencoder_qwen21 import QwenImage21Config
from vae.models.autoencoder_wan import AutoencoderWan, QwenImageConfig, WanConfig
from vae.models.base import AutoEncoder, ModelConfig
from vae.models.conv import ConvConfig, ConvVAE
from vae.models.own import OwnConfig, OwnModel
from vae.models.tiny import TinyAE, TinyConfig
from vae.models.vq_model import VQConfig, VQModel

__all__ = [
    "FAMILIES",
    "KL_PRESETS",
    "AutoEncoder",
    "ModelConfig",
    "adopted",
    "build",
    "config_from_dict",
    "config_to_dict",
    "is_own",
    "register",
    "registered",
]

FAMILIES: dict[str, tuple[type[ModelConfig], Callable[[Any], AutoEncoder]]] = {
    "ConvVAE": (ConvConfig, ConvVAE),
    "AutoencoderDC": (DCConfig, AutoencoderDC),
    "AutoencoderKL": (KLConfig, AutoencoderKL),
    "AutoencoderKLFlux2": (Flux2Config, AutoencoderKLFlux2),
    "AutoencoderKLHunyuanImage": (HunyuanConfig, AutoencoderHunyuan),
    "AutoencoderKLQwenImage": (QwenImageConfig, AutoencoderWan),
    "AutoencoderKLQwenImage21": (QwenImage21Config, AutoencoderWan),
    "AutoencoderKLWan": (WanConfig, AutoencoderWan),
    "AutoencoderTiny": (TinyConfig, TinyAE),
    "VQModel": (VQConfig, VQModel),
}
BUILT_IN = frozenset(FAMILIES)
REGISTERED: dict[str, type[nn.Module]] = {}  # classes of one's own by the names they have in FAMILIES


def _unregistered(config: OwnConfig) -> AutoEncoder:
    raise InputError(
        f"The network of this model, {config.network[:80]!r}, is known to nobody but the program that trained it; "
        "register its class with vae.register and train that, or give vae.fit the network itself."
    )


FAMILIES["Own"] = (OwnConfig, _unregistered)
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")


def register(name: str, model: type[nn.Module], config: type[ModelConfig]) -> None:
    """Make a family of one's own known: to vae.load and vae.save, to training and its presets, to the page and, by
    --plugin, to the command line.

    name: what stands in config.json as `_class_name`; nothing is ever imported by it. model: a subclass of AutoEncoder,
    or any nn.Module with encode and decode (see vae.models.own.OwnModel), made by model(config). config: a dataclass
    derived from vae.ModelConfig, whose fields are int, float, bool, str, tuples of these, or one of these or None. If
    all its fields have defaults, the name is a preset, too.

    A class may be registered again, as when a notebook's cell is run anew. Raises InputError for a name that another
    class has, and for what is no such class.
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise InputError(f"A family's name is a letter and up to 63 letters, digits and underscores, not {name!r}.")
    whole = isinstance(model, type) and issubclass(model, nn.Module)
    if not whole or not all(callable(getattr(model, method, None)) for method in ("encode", "decode")):
        raise InputError(
            f"A model to register is a class derived from nn.Module with encode and decode, not {model!r}."
        )
    if not (isinstance(config, type) and issubclass(config, ModelConfig)) or "__dataclass_fields__" not in vars(config):
        raise InputError(
            f"The config of {name} must be a class derived from vae.ModelConfig, and a dataclass(frozen=True) like it, "
            f"not {config!r}."
        )
    before = REGISTERED.get(name)
    again = before is not None and (before.__module__, before.__qualname__) == (model.__module__, model.__qualname__)
    if name in FAMILIES and not again:
        raise InputError(f"There is already a family {name!r}; register yours under another name.")
    other = next((known for known, (taken, _) in FAMILIES.items() if taken is config and known != name), None)
    if other is not None:
        raise InputError(f"{config.__name__} is the config of {other}; {name} needs a class of its own.")
    FAMILIES[name] = (config, partial(_made, name, model))
    REGISTERED[name] = model


def registered() -> tuple[str, ...]:
    """The names of the families of one's own that are made with no more than their config's defaults."""
    return tuple(name for name in REGISTERED if all(map(_has_default, fields(FAMILIES[name][0]))))


def _has_default(field: Field) -> bool:
    return field.default is not MISSING or field.default_factory is not MISSING


def is_own(config: ModelConfig | dict) -> bool:
    """Whether a config is of a network of one's own, registered or not, of which nothing is known here."""
    name = config.get("_class_name") if isinstance(config, dict) else _class_name(config)
    return isinstance(name, str) and name in FAMILIES and name not in BUILT_IN


def _made(name: str, kind: type[nn.Module], config: ModelConfig) -> AutoEncoder:
    """A model of a registered class. On the meta device one that needs numbers to be made is on the CPU instead."""

    def make() -> AutoEncoder:
        network = kind(config)
        if not isinstance(network, AutoEncoder):
            return OwnModel(network, config, name)
        for needed in ("config", "in_channels", "latent_channels", "downscale"):
            if not hasattr(network, needed):
                raise InputError(f"A {name} has no {needed}, which an AutoEncoder must set.")
        return network

    try:
        try:
            return make()
        except Exception:
            if not torch.empty(0).is_meta:
                raise
        with torch.device("cpu"):
            return make()
    except InputError:
        raise
    except Exception as error:  # of code that is not ours
        why = " ".join(str(error).split())[:200]
        raise InputError(f"A {name} cannot be made from its config: {type(error).__name__}: {why}") from error


def adopted(module: nn.Module) -> AutoEncoder | None:
    """A module as the model it is: one of a known family as it is, one of a registered class behind OwnModel; None for
    any other. Raises InputError for one of a registered class whose `config` is not of the class registered with it."""
    if isinstance(module, AutoEncoder):
        known = type(getattr(module, "config", None)) in (family for family, _ in FAMILIES.values())
        return module if known else None
    for name, kind in REGISTERED.items():
        if type(module) is kind:
            family, config = FAMILIES[name][0], getattr(module, "config", None)
            if type(config) is not family:
                raise InputError(f"A {name} must keep the {family.__name__} it was made from as its attribute config.")
            return OwnModel(module, config, name)
    return None


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
        raise InputError(f"The config has {said}; known are {known_names()}.")
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


def known_names() -> str:
    """The families there are, for people, and how there come to be more."""
    names = ", ".join(sorted(BUILT_IN | REGISTERED.keys()))
    return f"{names}, and what vae.register or --plugin adds"


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
