"""What the app is told by environment variables: read here, once, when it starts, and nowhere else in the page."""

import math
import os
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
    public: whether strangers use this server, as on Spaces: then only listed models, the Hub's and named data sets are
    open to them. zero_gpu: whether each call gets a GPU for its own duration only, in a process of its own.
    """

    model: str | None
    runs_dir: Path
    training: bool
    max_train_minutes: float | None
    public: bool
    zero_gpu: bool

    @classmethod
    def from_environment(cls) -> "Settings":
        """VAE_MODEL, VAE_RUNS_DIR, VAE_DATA_DIR, VAE_TRAINING and VAE_MAX_TRAIN_MINUTES, and what Spaces sets.

        VAE_DATA_DIR is only checked: vae.data finds it for itself. Raises InputError for a value that cannot be.
        """
        runs, data = runs_dir().resolve(), data_root()
        _check_folder("VAE_RUNS_DIR", runs)
        if data is not None:
            _check_folder("VAE_DATA_DIR", data, must_exist=True)
        zero_gpu = bool(os.environ.get("SPACES_ZERO_GPU"))
        return cls(
            model=os.environ.get("VAE_MODEL", "").strip() or None,
            runs_dir=runs,
            training=_switch("VAE_TRAINING", default=not zero_gpu),  # no thread keeps a device there
            max_train_minutes=_minutes("VAE_MAX_TRAIN_MINUTES"),
            public=bool(os.environ.get("SPACE_ID")),
            zero_gpu=zero_gpu,
        )


def _check_folder(name: str, folder: Path, must_exist: bool = False) -> None:
    """What may not be looked into is a mistake to know of at once."""
    try:
        there = folder.exists()
        if not folder.is_dir() if there else must_exist:
            raise InputError(f"{name} must be a folder, and {str(folder)!r} is none.")
        readable = not there or os.access(folder, os.R_OK | os.X_OK)
    except OSError:
        readable = False
    if not readable:
        raise InputError(f"{name} names {str(folder)!r}, which cannot be read by the user who runs the app.")


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
