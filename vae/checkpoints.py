"""Models on disk: by bundled name, folder, run folder or file. Strict, and nothing in a file is ever executed."""

import json
import os
import pickle
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterable
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from vae.device import pick_device
from vae.errors import InputError
from vae.models import AutoEncoder, ModelConfig, build, config_from_dict, config_to_dict

CONFIG, WEIGHTS = "config.json", "model.safetensors"
BUNDLED = Path(__file__).resolve().parents[1] / "checkpoints"


def bundled() -> dict[str, Path]:
    """The checkpoints that come with the app: name -> folder."""
    return {path.parent.name: path.parent for path in sorted(BUNDLED.glob(f"*/{CONFIG}"))}


def save(model: AutoEncoder, folder: str | Path) -> Path:
    """Write `config.json` and `model.safetensors`, which `load` reads back bit for bit, and return the folder.

    A new folder appears whole or not at all; in one that exists each file is replaced whole.
    """
    folder = Path(folder)
    config = json.dumps(config_to_dict(model.config), indent=2)
    tensors = {name: tensor.detach().contiguous().cpu() for name, tensor in model.state_dict().items()}
    with _appearing(folder) as place:
        # The config rides along in the weights' header too, so that the one file can be sent around alone.
        with _replacing(place / WEIGHTS) as part:
            save_file(tensors, part, metadata={"format": "pt", "config": config})
        with _replacing(place / CONFIG) as part:
            part.write_text(config + "\n", encoding="utf-8")
    return folder


def load(source: str | Path, device=None, dtype: torch.dtype | None = None) -> AutoEncoder:
    """The model at `source`, in eval mode and without gradients.

    source: a bundled name, a checkpoint folder, a run folder (its newest complete checkpoint), or a single
    .safetensors or .pth file. dtype: float32 unless given, whatever the file holds. Raises InputError if the source
    is none of these or is damaged: missing, unexpected, ill-shaped or non-finite tensors are named.
    """
    device = pick_device(device)
    config, names, read = _open(source)
    with torch.device("meta"):
        model = build(config)
    _fill(model, names, read, device, dtype or torch.float32)
    return model.eval().requires_grad_(False)


def load_config(source: str | Path) -> ModelConfig:
    """The config of what `load(source)` would load, without reading the weights."""
    return _open(source)[0]


def newest_checkpoint(run: Path) -> Path | None:
    """The newest complete checkpoint of a run folder, None if there is none yet."""
    found = [f for f in run.glob("checkpoints/step-*") if (f / CONFIG).is_file() and (f / WEIGHTS).is_file()]
    return max(found, key=lambda folder: folder.name, default=None)


def _open(source: str | Path) -> tuple[ModelConfig, Iterable[str], Callable[[str], Tensor]]:
    path = _locate(source)
    if path.is_dir():
        if not (path / CONFIG).is_file() or not (path / WEIGHTS).is_file():
            raise InputError(f"The folder {path.name} holds no model: {CONFIG} and {WEIGHTS} are needed.")
        return config_from_dict(_read_json(path / CONFIG)), *_read_safetensors(path / WEIGHTS)[:2]
    if path.suffix == ".safetensors":
        names, read, metadata = _read_safetensors(path)
        if "config" in metadata:
            return config_from_dict(json.loads(metadata["config"])), names, read
    else:
        tensors = _read_pickle(path)
        names, read = tensors.keys(), tensors.__getitem__
    if (path.parent / CONFIG).is_file():
        return config_from_dict(_read_json(path.parent / CONFIG)), names, read
    raise InputError(f"The file {path.name} says nothing about its model; put its {CONFIG} beside it.")


def _locate(source: str | Path) -> Path:
    """The checkpoint folder or weight file that `source` means."""
    if isinstance(source, str) and source in bundled():
        return bundled()[source]
    path = Path(source).expanduser()
    if path.is_dir():
        return newest_checkpoint(path) or path
    if path.is_file():
        if path.suffix not in (".safetensors", ".pth", ".pt", ".ckpt", ".bin"):
            raise InputError(f"{path.name} is no weight file; .safetensors, .pth and .ckpt are accepted.")
        return path
    raise InputError(
        f"There is no model {str(source)[:200]!r}; give a bundled name ({', '.join(bundled())}), "
        "a checkpoint or run folder, or a .safetensors or .pth file."
    )


def _fill(model: AutoEncoder, names: Iterable[str], read: Callable[[str], Tensor], device, dtype: torch.dtype) -> None:
    """Give a model on the meta device its weights, tensor by tensor, so that there is never a second copy of them."""
    wanted, names = model.state_dict(), set(names)
    _refuse("lack", sorted(wanted.keys() - names))
    _refuse("have the unexpected", sorted(names - wanted.keys()))
    state = {}
    for name, empty in wanted.items():
        tensor = read(name)
        if tensor.shape != empty.shape:
            raise InputError(
                f"The tensor {name} has the shape {list(tensor.shape)}, where the config asks for {list(empty.shape)}."
            )
        if tensor.is_floating_point() != empty.is_floating_point():
            raise InputError(f"The tensor {name} is of type {tensor.dtype}, which does not fit.")
        if not torch.isfinite(tensor).all():
            raise InputError(f"The tensor {name} holds numbers that are not finite (NaN or infinity).")
        # copy=True: a tensor read from safetensors still lives in the file, which may be replaced.
        state[name] = tensor.to(device, dtype if tensor.is_floating_point() else empty.dtype, copy=True)
    model.load_state_dict(state, assign=True)


def _refuse(verb: str, names: list[str]) -> None:
    if names:
        more = f" and {len(names) - 1} more" if len(names) > 1 else ""
        raise InputError(f"The weights {verb} tensor {names[0][:100]}{more}; they do not fit the config.")


def _read_json(path: Path) -> dict:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise InputError(f"{path.name} is not readable JSON.") from error


def _read_safetensors(path: Path) -> tuple[list[str], Callable[[str], Tensor], dict[str, str]]:
    try:
        file = safe_open(path, framework="pt")
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path.name} is not a complete safetensors file.") from error
    return list(file.keys()), file.get_tensor, file.metadata() or {}


def _read_pickle(path: Path) -> dict[str, Tensor]:
    """The tensors of a .pth/.ckpt file. Anything in it that is more than data makes it refused, not run."""
    try:
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except pickle.UnpicklingError as error:
        raise InputError(
            f"{path.name} is damaged or holds more than weights, and loading it could run code; "
            "only files of plain tensors are accepted."
        ) from error
    except (RuntimeError, ValueError, EOFError, OSError, KeyError) as error:
        raise InputError(f"{path.name} is not a complete weight file.") from error
    if isinstance(content, dict) and isinstance(content.get("state_dict"), dict):
        content = content["state_dict"]
    tensors = {name: value for name, value in content.items() if isinstance(value, Tensor)} if content else {}
    if not tensors or not all(isinstance(name, str) for name in tensors):
        raise InputError(f"{path.name} holds no weights by name.")
    return tensors


@contextmanager
def _replacing(path: Path):
    """A path beside `path` to write to; when the block ends it is flushed to the disk and takes `path`'s place."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield part
        with part.open("rb+") as file:
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def _appearing(folder: Path):
    """Where to write the files of `folder`: itself if it exists, else a folder that becomes it when the block ends."""
    if folder.is_dir():
        yield folder
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    place = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        yield place
        place.chmod(0o755)
        place.rename(folder)
    finally:
        shutil.rmtree(place, ignore_errors=True)
