"""What the app is told by environment variables: read here, once, when it starts, and nowhere else in the page."""

import math
import os
import re
from dataclasses import dataclass
from pathlib import Path

from vae.data.sets import data_root
from vae.errors import InputError
from vae.training.runs import runs_dir


@dataclass(frozen=True)
class Settings:
    """How this server is run.

    model: the one that opens first, any source vae.load takes; None leaves it to the catalog.
    runs_dir: where the page's runs live, absolute.
    training: whether trainings can be started. max_train_minutes: after which they end; None is never.
    public: whether strangers use this server; None if that depends on how it is launched. host: whether anybody may
    count as the host, who sits at the machine itself. names: by which visitors know this server, besides those it
    knows itself. server_name: what Gradio listens on where nothing else is said; share: whether it opens a tunnel then.
    space: whether this runs on Spaces. zero_gpu: whether each call gets a GPU for its own duration only, in a process
    of its own.
    """

    model: str | None
    runs_dir: Path
    training: bool
    max_train_minutes: float | None
    public: bool | None = None
    host: bool = True
    names: tuple[str, ...] = ()
    server_name: str | None = None
    share: bool = False
    space: bool = False
    zero_gpu: bool = False

    @classmethod
    def from_environment(cls) -> "Settings":
        """VAE_MODEL, VAE_RUNS_DIR, VAE_DATA_DIR, VAE_TRAINING, VAE_MAX_TRAIN_MINUTES, VAE_PUBLIC, VAE_HOST and
        VAE_SERVER_NAMES, where Gradio listens, and what Spaces sets.

        VAE_DATA_DIR is only checked: vae.data finds it for itself. Raises InputError for a value that cannot be.
        """
        runs, data = runs_dir().resolve(), data_root()
        if runs.exists() and not runs.is_dir():
            raise InputError(f"VAE_RUNS_DIR must be a folder, and {str(runs)!r} is none.")
        if data is not None and not data.is_dir():
            raise InputError(f"VAE_DATA_DIR must be a folder, and {str(data)!r} is none.")
        zero_gpu, space = bool(os.environ.get("SPACES_ZERO_GPU")), bool(os.environ.get("SPACE_ID"))
        return cls(
            model=os.environ.get("VAE_MODEL", "").strip() or None,
            runs_dir=runs,
            training=_switch("VAE_TRAINING", default=not zero_gpu),  # no thread keeps a device there
            max_train_minutes=_minutes("VAE_MAX_TRAIN_MINUTES"),
            public=_public(space),
            host=_switch("VAE_HOST", default=not space),
            names=_names("VAE_SERVER_NAMES"),
            server_name=os.environ.get("GRADIO_SERVER_NAME", "").strip() or None,
            share=os.environ.get("GRADIO_SHARE", "").strip().lower() == "true",
            space=space,
            zero_gpu=zero_gpu,
        )


def _public(space: bool) -> bool | None:
    text = os.environ.get("VAE_PUBLIC", "").strip()
    if text.lower() not in ("", "on", "off", "auto"):
        raise InputError(f"VAE_PUBLIC must be on, off or auto, not {text!r}.")
    return {"on": True, "off": False}.get(text.lower(), space or None)


def _names(variable: str) -> tuple[str, ...]:
    names = tuple(name.lower() for name in os.environ.get(variable, "").replace(",", " ").split())
    for name in names:
        if not re.fullmatch(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?", name):
            raise InputError(f"{variable} must be names like studio.example.org, separated by commas, not {name!r}.")
    return names


def _switch(name: str, default: bool) -> bool:
    text = os.environ.get(name, "").strip()
    if text.lower() not in ("", "on", "off"):
        raise InputError(f"{name} must be on or off, not {text!r}.")
    return text.lower() == "on" if text else default


def _minutes(name: str) -> float | None:
    text = os.environ.get(name, "").strip()
    try:
        minutes = float(text) if text else None
    except ValueError:
        minutes = math.nan
    if minutes is not None and not 0 < minutes < math.inf:
        raise InputError(f"{name} must be a number of minutes above 0, not {text!r}.")
    return minutes
