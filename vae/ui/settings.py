"""What the app is told by environment variables: read here, once, when it starts, and nowhere else in the page."""

import math
import os
import re
from dataclasses import dataclass
from pathlib import Path

from vae.data.sets import data_root
from vae.errors import InputError
from vae.training.runs import runs_dir

TRAINING_TOOLS = ("train_start", "train_status", "train_stop")
TOOLS = ("models", "reconstruct", "sample", "interpolate", *TRAINING_TOOLS)


@dataclass(frozen=True)
class Settings:
    """How this server is run.

    model: the one that opens first, any source vae.load takes; None leaves it to the catalog.
    runs_dir: where the page's runs live, absolute.
    training: whether trainings can be started. max_train_minutes: after which they end; max_run_bytes: of all runs
    together, beyond which none begins; None leaves both to whether strangers use the server.
    public: whether strangers use this server; None if that depends on how it is launched. host: whether anybody may
    count as the host, who sits at the machine itself. names: by which visitors know this server, besides those it
    knows itself. visitors_per_address: how many visitors' share the people behind one network address have together.
    mcp: the tools that agents are offered; None for all, but on a public server none that trains.
    plugins: modules of the host's own to import first, which register models.
    server_name: what Gradio listens on where nothing else is said; share: whether it opens a tunnel then.
    space: whether this runs on Spaces. zero_gpu: whether each call gets a GPU for its own duration only, in a process
    of its own. ray: whether models compute on a Ray cluster.
    """

    model: str | None
    runs_dir: Path
    training: bool
    max_train_minutes: float | None
    max_run_bytes: int | None = None
    public: bool | None = None
    host: bool = True
    names: tuple[str, ...] = ()
    visitors_per_address: int = 1
    mcp: tuple[str, ...] | None = None
    plugins: tuple[str, ...] = ()
    server_name: str | None = None
    share: bool = False
    space: bool = False
    zero_gpu: bool = False
    ray: bool = False

    @classmethod
    def from_environment(cls) -> "Settings":
        """VAE_MODEL, VAE_RUNS_DIR, VAE_DATA_DIR, VAE_TRAINING, VAE_MAX_TRAIN_MINUTES, VAE_MAX_RUNS_GB, VAE_PUBLIC,
        VAE_HOST, VAE_MCP, VAE_PLUGIN, VAE_SERVER_NAMES, VAE_VISITORS_PER_ADDRESS and VAE_SERVE, where Gradio listens,
        and what Spaces sets.

        VAE_DATA_DIR is only checked: vae.data finds it for itself. Raises InputError for a value that cannot be.
        """
        runs, data = runs_dir().resolve(), data_root()
        _check_folder("VAE_RUNS_DIR", runs)
        if data is not None:
            _check_folder("VAE_DATA_DIR", data, must_exist=True)
        zero_gpu, space = bool(os.environ.get("SPACES_ZERO_GPU")), bool(os.environ.get("SPACE_ID"))
        return cls(
            model=os.environ.get("VAE_MODEL", "").strip() or None,
            runs_dir=runs,
            training=_switch("VAE_TRAINING", default=not zero_gpu),  # no thread keeps a device there
            max_train_minutes=_positive("VAE_MAX_TRAIN_MINUTES", "minutes"),
            max_run_bytes=_gigabytes("VAE_MAX_RUNS_GB"),
            public=_public(space),
            host=_switch("VAE_HOST", default=not space),
            names=_names("VAE_SERVER_NAMES"),
            visitors_per_address=_count("VAE_VISITORS_PER_ADDRESS"),
            mcp=_tools("VAE_MCP"),
            plugins=tuple(os.environ.get("VAE_PLUGIN", "").replace(",", " ").split()),
            server_name=os.environ.get("GRADIO_SERVER_NAME", "").strip() or None,
            share=os.environ.get("GRADIO_SHARE", "").strip().lower() == "true",
            space=space,
            zero_gpu=zero_gpu,
            ray=_ray("VAE_SERVE"),
        )


def guard_ray() -> None:
    """Before Ray is imported: whoever reaches a cluster can run code on it, so it asks for a token (which it keeps in
    ~/.ray), and one on this machine alone listens to no other, as Ray has it on desktops. It reports to nobody. Its
    replicas, for which somebody waits, do not stand behind all else that runs on a machine, as work for Ray does unless
    told. Where a cluster is gone Ray's threads go on; they begin none of their own."""
    os.environ.setdefault("RAY_AUTH_MODE", "token")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_worker_niceness", "0")
    os.environ["RAY_ENABLE_AUTO_CONNECT"] = "0"
    if not os.environ.get("RAY_ADDRESS") or re.match(r"(localhost|127\.[\d.]+):", os.environ["RAY_ADDRESS"]):
        os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"


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


def _public(space: bool) -> bool | None:
    text = os.environ.get("VAE_PUBLIC", "").strip()
    if text.lower() not in ("", "on", "off", "auto"):
        raise InputError(f"VAE_PUBLIC must be on, off or auto, not {text!r}.")
    return {"on": True, "off": False}.get(text.lower(), space or None)


def _ray(name: str) -> bool:
    text = os.environ.get(name, "").strip()
    if text.lower() not in ("", "here", "ray"):
        raise InputError(f"{name} must be here or ray, not {text!r}.")
    return text.lower() == "ray"


def _tools(variable: str) -> tuple[str, ...] | None:
    words = os.environ.get(variable, "").replace(",", " ").split()
    if words in ([], ["on"], ["off"]):
        return () if words == ["off"] else TOOLS if words else None
    for word in words:
        if word not in TOOLS:
            raise InputError(f"{variable} must be on, off, or some of {', '.join(TOOLS)}, not {word!r}.")
    return tuple(words)


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


def _count(name: str) -> int:
    text = os.environ.get(name, "").strip() or "1"
    if not text.isdecimal() or int(text) < 1:
        raise InputError(f"{name} must be a whole number from 1 on, not {text!r}.")
    return int(text)


def _gigabytes(name: str) -> int | None:
    amount = _positive(name, "gigabytes")
    return None if amount is None else int(amount * 1e9)


def _positive(name: str, unit: str) -> float | None:
    text = os.environ.get(name, "").strip()
    try:
        amount = float(text) if text else None
    except ValueError:
        amount = math.nan
    if amount is not None and not 0 < amount < math.inf:
        raise InputError(f"{name} must be a number of {unit} above 0, not {text!r}.")
    return amount
