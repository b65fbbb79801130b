"""What happens in a training, told to those who want to hear of it."""

import inspect
from collections.abc import Callable as Function
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from vae.errors import InputError
from vae.models import AutoEncoder

NAMES = ("step", "epoch", "preview", "checkpoint")


@dataclass(frozen=True)
class Event:
    """What has just happened: `name`, one of NAMES, after update `step` and in epoch `epoch`, both counted from 1.

    model: as it is validated and saved, the average of the weights where the config asks for one; in evaluation mode
    and, as long as the callback lasts, without gradients. config: the TrainConfig. Of the rest each event has its own:
    terms: of a step: the last batch's in this process, scalars on the device, which has to be waited for to read one.
    metrics: of an epoch: its line in metrics.jsonl. images: of a preview: "reconstruction" (some images and, after
    them, what the model makes of them) and "samples", (N, C, H, W) around [-1, 1]. folder: of a checkpoint.
    """

    name: str
    step: int
    epoch: int
    model: AutoEncoder
    config: Any
    stop: Function[[], None] = field(repr=False)  # asks the training to end after this update, as a visitor's Stop does
    terms: dict[str, Tensor] | None = None
    metrics: dict[str, Any] | None = None
    images: dict[str, Tensor] | None = None
    folder: Path | None = None


class Callback:
    """Override what you want to hear of. Steps and epochs are told in every process, previews and checkpoints in the
    main one, which makes them. What a callback raises ends the training."""

    def on_step(self, event: Event) -> None: ...

    def on_epoch(self, event: Event) -> None: ...

    def on_preview(self, event: Event) -> None: ...

    def on_checkpoint(self, event: Event) -> None: ...


def takes(function: Any, count: int) -> bool:
    """Whether it can be called with so many arguments."""
    try:
        inspect.signature(function).bind(*[None] * count)
    except TypeError:
        return False
    except ValueError:  # it does not say what it takes
        return callable(function)
    return True


def listeners(callbacks: Any) -> dict[str, list[Function[[Event], Any]]]:
    """Whom to call at each of NAMES: of a Callback, or an object like one, its methods; a function at all of them.

    Raises InputError for what is neither.
    """
    if callbacks is None:
        callbacks = ()
    if not isinstance(callbacks, Iterable):
        callbacks = (callbacks,)
    found: dict[str, list[Function[[Event], Any]]] = {name: [] for name in NAMES}
    for callback in callbacks:
        methods = {name: getattr(callback, f"on_{name}", None) for name in NAMES}
        if not any(methods.values()) and callable(callback) and not isinstance(callback, type):
            methods = dict.fromkeys(NAMES, callback)
        given = [method for method in methods.values() if method is not None]
        if not given or isinstance(callback, type) or not all(takes(method, 1) for method in given):
            raise InputError(
                f"A callback is a vae.Callback or a function of an event, not {' '.join(repr(callback).split())[:80]}."
            )
        for name, method in methods.items():
            if method is not None and getattr(method, "__func__", None) is not getattr(Callback, f"on_{name}"):
                found[name].append(method)
    return found
