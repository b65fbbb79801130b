"""What a caller brings to a training besides its config, checked before anything is written."""

from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from vae.checkpoints import store
from vae.data.own_set import AnySet, is_label, label_of, own_sets
from vae.errors import InputError
from vae.models import AutoEncoder, adopted, build, config_to_dict, is_own
from vae.models.own import OwnConfig, OwnModel
from vae.training.callbacks import Event, listeners, takes
from vae.training.config import TrainConfig
from vae.training.model_shape import NETWORK
from vae.training.runs import Run


@dataclass(frozen=True)
class OwnParts:
    """model: to be trained in place, None where the config says which. train_set, val_set: None where its data are
    meant. objective: None for the config's own. listeners: see callbacks."""

    model: AutoEncoder | None
    train_set: AnySet | None
    val_set: AnySet | None
    objective: Callable | None
    listeners: dict[str, list[Callable[[Event], Any]]]


def gathered(
    config: TrainConfig,
    going_on: Run | None,
    model: nn.Module | None,
    train_set: Any,
    val_set: Any,
    objective: Callable | None,
    callbacks: Any,
) -> tuple[TrainConfig, OwnParts]:
    """The parts, as the training takes them, and the config, which says of them what it can.

    going_on: the run whose config this is, if it is gone on with. Raises InputError for parts that are none, that do
    not fit each other, or are not those the run began with.
    """
    called = listeners(callbacks)
    _check_objective(objective, config)
    train, val = own_sets(train_set, val_set, None if config.val_data else config.test_size)
    if train is None and is_label(config.data):
        raise InputError(f"This run learned from {config.data}; it takes vae.fit(..., train_set=...) to go on with it.")
    if train is not None and not going_on:
        config = replace(config, data=label_of(train))
    given = None if model is None else _given(model, train or val)
    if given is not None and config.init:
        raise InputError("Give a model or the config's init, not both: each says what the training begins with.")
    shape = [name for name in ("size", *NETWORK) if getattr(config, name) is not None]
    if given is not None and shape:
        raise InputError(f"A model that is given has its network and size; leave out {', '.join(shape)}.")
    if going_on:
        _check_same(config, going_on, given)
    elif given is not None:
        config = replace(config, model=config_to_dict(given.config))
    if train or val:
        _check_shapes(given or _outline(config), train, val)
    return config, OwnParts(given, train, val, objective, called)


def _check_objective(objective: Any, config: TrainConfig) -> None:
    """InputError for what is no objective, or one beside terms that it takes the place of."""
    if objective is None:
        return
    if not takes(objective, 4):
        found = "one that takes others" if callable(objective) else type(objective).__name__
        raise InputError(f"An objective is a function of (x, x_hat, posterior, step), not {found}.")
    for term in ("perceptual", "equivariance"):
        if getattr(config, term):
            raise InputError(
                f"An objective takes the place of the config's, and of its {term} term; leave out {term}, or it."
            )


def _given(model: Any, data: AnySet | None) -> AutoEncoder:
    """Any module with encode and decode as a model: of what images, its data say, or it does itself."""
    model = getattr(model, "_orig_mod", model)  # out of torch.compile's wrapping
    if not isinstance(model, nn.Module) or not all(hasattr(model, method) for method in ("encode", "decode")):
        raise InputError(f"A model to train is an nn.Module with encode and decode, not {type(model).__name__}.")
    known = adopted(model)
    if known is not None:
        return known
    name, config = type(model).__name__, getattr(model, "config", None)
    if data is not None:
        channels, size, width = data.shape
        if size != width:
            raise InputError(f"The images of a training are square, not {width}x{size} pixels.")
    else:
        channels, size = (
            getattr(config, key, None) or getattr(model, key, None) for key in ("in_channels", "sample_size")
        )
    if not isinstance(channels, int) or not isinstance(size, int):
        raise InputError(
            f"Nothing says how large the images of a {name} are: give a train_set, or the network the attributes "
            "in_channels and sample_size."
        )
    return OwnModel(model, OwnConfig(sample_size=size, network=name, in_channels=channels), name)


def _check_same(config: TrainConfig, run: Run, given: AutoEncoder | None) -> None:
    """InputError unless the run's checkpoints can be read into what it is gone on with. Of a network of one's own,
    whose code may have changed, that is not otherwise known before what came after them has been dropped."""
    began = config.model
    if given is None and began["_class_name"] == "Own":
        raise InputError(f"This run trained a {began['network']}; it takes vae.fit(..., model=...) to go on with it.")
    if given is not None:
        now = config_to_dict(given.config)
        names = [entry.get("network", entry["_class_name"]) for entry in (began, now)]
        if names[0] != names[1]:
            raise InputError(f"This run trained a {names[0]}, not a {names[1]}; give it the model it began with.")
    if not is_own(began) and given is None:
        return
    problem = None
    for folder in reversed(run.checkpoints()):
        try:
            store.load(folder, device="cpu") if given is None else store.load_into(given, folder)
            return
        except InputError as error:
            problem = problem or error
    if problem:
        raise InputError(f"The run {run.name!r} cannot be gone on with: {problem}") from problem


def _outline(config: TrainConfig) -> AutoEncoder:
    with torch.device("meta"):
        return build(config.model)


def _check_shapes(model: AutoEncoder, *sets: AnySet | None) -> None:
    wanted = (model.in_channels, model.config.sample_size, model.config.sample_size)
    for data in sets:
        if data is not None and tuple(data.shape) != wanted:
            raise InputError(
                f"The images of {data.name} are {'x'.join(map(str, data.shape))} (channels, height, width) and this "
                f"model is trained on {'x'.join(map(str, wanted))}."
            )


@contextmanager
def lent(model: AutoEncoder | None):
    """While a training has the caller's model. Afterwards it has learned, and is otherwise as it was: in the same mode,
    and the same of its parameters take gradients. If none do, as vae.load gives it, all do meanwhile."""
    if model is None:
        yield
        return
    gradients = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    modes = [(module, type(module), module.training) for module in model.modules()]
    if not any(takes for _, takes in gradients):
        model.requires_grad_(True)
    model.train()
    try:
        yield
    finally:
        for parameter, takes in gradients:
            parameter.requires_grad_(takes)
        for module, kind, mode in modes:
            module.__class__ = kind  # several processes share batch norm's statistics
            module.training = mode
        for name in ("forward", "_original_forward"):  # Accelerate's, which computes in the training's precision
            vars(model).pop(name, None)
