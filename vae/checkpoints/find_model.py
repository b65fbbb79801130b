"""What a name, folder, file or Hub id stands for: which files are the model's, and what they say of it."""

from dataclasses import dataclass
from os import PathLike
from pathlib import Path

from vae.checkpoints import hub
from vae.checkpoints.config_from_shapes import infer_config
from vae.checkpoints.config_text import LONGEST, parse
from vae.checkpoints.diffusers_config import read_config
from vae.checkpoints.discover import Found, find, partner
from vae.checkpoints.key_mapping import Naming, as_they_are, recognise
from vae.checkpoints.native_config import published_name
from vae.checkpoints.run_checkpoints import CONFIG, complete_checkpoints
from vae.checkpoints.weight_files import Weights, join, open_weights
from vae.errors import InputError
from vae.models import ModelConfig, is_own
from vae.models.base import check_channels

_HERE = Path(__file__).resolve()
_INSTALLED = _HERE.with_name("bundled")  # in a wheel; in a clone they lie at its root
BUNDLED = _INSTALLED if _INSTALLED.is_dir() else _HERE.parents[2] / "checkpoints"


def bundled() -> dict[str, Path]:
    """The checkpoints that come with the app: name -> folder."""
    return {path.parent.name: path.parent for path in sorted(BUNDLED.glob(f"*/{CONFIG}"))}


def beta_runs() -> dict[int, Path]:
    """Of the bundled runs that show what beta does: beta -> folder, in rising order. They are no models to choose, so
    `bundled` leaves them out."""
    return {int(path.parent.name): path.parent for path in sorted(BUNDLED.glob(f"beta/*/{CONFIG}"))}


@dataclass(frozen=True)
class Opened:
    config: ModelConfig
    naming: Naming
    weights: Weights


def open_model(source, revision=None, subfolder=None, variant=None, token=None, progress=None) -> Opened:
    """Everything about the model but its tensors' values."""
    path = local_folder(source)
    if path.is_dir():
        return _open_found(path, _find(path, subfolder, variant), path.resolve().name)
    if path.is_file():
        return _open_file(path)
    identifier = hub.parse(str(source), revision, subfolder)
    if identifier is None:
        raise _no_model(source)
    root, found = hub.fetch(identifier, variant, token, progress)
    return _open_found(root, found, identifier.repo)


def local_folder(source: str | Path) -> Path:
    """The checkpoint folder that a bundled name, a folder or a run folder means; any other path as it is."""
    if isinstance(source, str) and source in bundled():
        return bundled()[source]
    if not isinstance(source, str | PathLike) or not str(source):
        raise _no_model(source)
    try:
        path = Path(source).expanduser()
        path.stat()
    except FileNotFoundError:
        return path
    except (OSError, ValueError, RuntimeError) as error:  # no right to look, or no path at all
        raise _no_model(source) from error
    return max(complete_checkpoints(path), default=path)


def _no_model(source: str | Path) -> InputError:
    shown = repr(str(source)[:200]) if isinstance(source, str | PathLike) else repr(source)[:200]
    return InputError(
        f"There is no model {shown}; give a bundled name ({', '.join(bundled()) or 'none here'}), "
        "a checkpoint or run folder, a .safetensors or .pth file, or a Hugging Face id like org/name."
    )


def _find(folder: Path, subfolder: str | None, variant: str | None) -> Found:
    """The model in a local folder or a folder of that."""
    if subfolder and not (folder / subfolder).resolve().is_relative_to(folder.resolve()):
        raise InputError(f"The subfolder {subfolder[:200]!r} does not lie inside {folder.name}.")
    try:
        paths = (folder / subfolder).glob("*") if subfolder else (*folder.glob("*"), *folder.glob("*/*"))
        files = [path.relative_to(folder).as_posix() for path in paths if path.is_file()]
    except OSError as error:
        raise InputError(f"The folder {folder.name} cannot be read.") from error
    return find(files, lambda name: read_text(folder / name), f"The folder {folder.name}", subfolder, variant)


def _open_found(root: Path, found: Found, name: str) -> Opened:
    parts = [open_weights(root / file) for file in found.weights]
    weights = join(parts, ("encoder.", "decoder.") if found.pair else ())
    name = found.weights[0] if found.config is None else name
    return _recognised(weights, root / found.config if found.config else None, name)


def _open_file(path: Path) -> Opened:
    pair = partner(path)
    if pair:
        return _recognised(join([open_weights(file) for file in pair], ("encoder.", "decoder.")), None, path.name)
    beside = path.with_name(CONFIG)
    return _recognised(open_weights(path), beside if beside.is_file() else None, path.name)


def _recognised(weights: Weights, config: Path | None, name: str) -> Opened:
    """config: the config.json that goes with the weights; without one, or with one that only names the network, theirs
    is in their header or in their shapes."""
    text = weights.metadata.get("config") if config is None else read_text(config)
    entries = None if text is None else parse(text, name if config is None else config.name)
    published = published_name(entries)
    if text is None or published:
        naming = recognise(weights.shapes)
        told = infer_config(naming, published or name, weights.metadata)
        check_channels(told)
        return Opened(told, naming, weights)
    own = isinstance(entries, dict) and is_own(entries)
    naming = as_they_are(weights.shapes) if own else recognise(weights.shapes)
    told = read_config(entries, name)
    if not own:
        check_channels(told)
    return Opened(told, naming, weights)


def read_text(path: Path) -> str:
    try:
        if path.stat().st_size > 4 * LONGEST:  # a character has up to four bytes
            raise InputError(f"{path.name} has {path.stat().st_size:,} bytes, as no text of a model's has.")
        return path.read_text(encoding="utf-8")
    except InputError:
        raise
    except (OSError, ValueError) as error:
        raise InputError(f"{path.name} is not readable text.") from error


def load_config(source: str | Path) -> ModelConfig:
    """The config of the model at `source`, as `load` takes it, without reading its weights."""
    return open_model(source).config


def weight_files(source: str | Path) -> tuple[Path, ...]:
    """The files on this machine that `load(source)` reads the weights from; what belongs to the model lies beside.

    Raises InputError as `load` does, and for a Hub id: its files are the cache's.
    """
    if not local_folder(source).exists():
        raise InputError(
            f"{str(source)[:200]!r} is no checkpoint on this machine, which is what this can be stored beside; "
            "give a bundled name, a checkpoint or run folder, or a weight file."
        )
    return open_model(source).weights.files
