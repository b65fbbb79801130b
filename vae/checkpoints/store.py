"""Models read and written. Loading is strict, and nothing in a file is ever executed."""

import copy
import json
import tempfile
from collections.abc import Callable
from contextlib import contextmanager
from os import PathLike
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from vae import limits
from vae.checkpoints import hub, wan_names
from vae.checkpoints.diffusers_config import diffusers_config
from vae.checkpoints.find_model import Opened, local_folder, open_model, read_text
from vae.checkpoints.key_mapping import taesd_name
from vae.checkpoints.latent_spaces import TINY_SPACES
from vae.checkpoints.run_checkpoints import CONFIG, WEIGHTS
from vae.checkpoints.weight_files import SUFFIXES
from vae.device import pick_device
from vae.errors import InputError
from vae.files import appearing, replacing
from vae.latents import priors
from vae.models import AutoEncoder, build, config_to_dict, is_own
from vae.models.autoencoder_wan import AutoencoderWan
from vae.models.base import as_model
from vae.models.precision import best_dtype, to_fast_layout, use_mixed_precision
from vae.models.tiny import TinyAE

DTYPES = {name: getattr(torch, name) for name in ("float32", "bfloat16", "float16", "float64")}


def load(
    source: str | Path,
    device: str | torch.device | None = None,
    dtype: torch.dtype | str | None = None,
    *,
    revision: str | None = None,
    subfolder: str | Path | None = None,
    variant: str | None = None,
    token: str | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> AutoEncoder:
    """The auto-encoder at `source`, in eval mode and without gradients.

    source: a bundled name; a folder of ours or of diffusers (also a pipeline's with its vae/, or one with TAESD's two
    files); a run folder (its newest complete checkpoint); one .safetensors, .pth or .ckpt file; or a Hub id `org/name`,
    also `org/name/subfolder` and `org/name@revision`. dtype: of the weights, torch.bfloat16 or "bfloat16" for example;
    float32 unless given, whatever the file holds; "auto" is the fastest that stays over 50 dB from it (bfloat16 on a
    GPU, in part on a CPU that has it).
    revision, token and progress(bytes done, bytes in all) are for the Hub; variant ("fp16") chooses between weights.

    Raises InputError if there is no such model or it is damaged; a tensor that is missing, not expected, of the wrong
    shape or not finite is named.
    """
    for name, value in (("revision", revision), ("subfolder", subfolder), ("variant", variant)):
        if value is not None and not isinstance(value, str | PathLike):
            raise InputError(f"The {name} is a string, not {value!r}.")
    subfolder = None if subfolder is None else str(subfolder)
    device = pick_device(device)
    wanted = _dtype(dtype, device)
    opened = open_model(source, revision, subfolder, variant, token, progress)
    with torch.device("meta"):
        model = build(opened.config)
    stored = sum(tensor.numel() for tensor in model.state_dict().values())  # of Wan's more than is computed with
    limits.check_memory(stored * wanted.itemsize, f"The model's {model.parameter_count:,} parameters")
    own = is_own(opened.config)
    if own:  # it may hold more than its weights, such as tensors of constants, which are then made with their numbers
        with torch.random.fork_rng(devices=[]):
            model = build(opened.config).to(device, wanted)
    _fill(model, opened, device, wanted)
    model.weight_files = tuple(opened.weights.files)
    priors.attach(model, model.weight_files)
    model.eval().requires_grad_(False)
    if not own:  # whose views of its tensors may count on the usual layout
        to_fast_layout(model)
    return use_mixed_precision(model) if dtype == "auto" else model


def load_into(model: AutoEncoder, folder: Path) -> AutoEncoder:
    """A copy of `model`, which nobody else can build, with the weights in a checkpoint folder of its own, on the CPU in
    float32. Raises InputError as `load` does, for weights that do not fit too."""
    filled = copy.deepcopy(model)
    _fill(filled, open_model(folder), torch.device("cpu"), torch.float32)
    return filled.to("cpu")


def _dtype(dtype: torch.dtype | str | None, device: torch.device) -> torch.dtype:
    if dtype is None:
        return torch.float32
    if dtype == "auto":
        return best_dtype(device)
    found = DTYPES.get(str(dtype).removeprefix("torch."))
    if found is None:
        raise InputError(f"The dtype must be auto, {', '.join(DTYPES)}, not {str(dtype)[:80]!r}.")
    return found


def save(model: AutoEncoder, folder: str | Path) -> Path:
    """Write `config.json` and `model.safetensors`, which `load` reads back bit for bit, and return the folder.

    Fitted priors go along, in `priors.safetensors`.

    A new folder appears whole or not at all; in one that exists each file is replaced whole. Raises InputError for a
    folder that is a file or cannot be written, and for a model of another library.
    """
    model = as_model(model)
    config = json.dumps(config_to_dict(model.config), indent=2)
    # The config rides along in the weights' header too, so that the one file can be sent around alone. It is the only
    # entry there: of several the order would be random, and the same model a different file each time.
    return _write(_on_cpu(model), _folder(folder), config, WEIGHTS, {"config": config}, model.fitted_priors)


def export(model: AutoEncoder, folder: str | Path, format: str = "diffusers") -> Path:
    """Write the model as others open it, with bit for bit the same weights; return the folder.

    format: "diffusers", for its `from_pretrained`; "taesd", the two files with the tensor names that TAESD and its
    relatives are published in, for a model of their family; or "onnx", encoder and decoder as ONNX graphs. Wan's and
    Qwen-Image's kernels are a video's again in diffusers' format, with the slices for other frames as they were loaded.
    Of padding_mode "reflect" diffusers itself takes no notice.

    In a folder that exists the files of the same names are replaced, and an export that fails leaves it as it was.
    Raises InputError for a model that the format has no class for, for another format, and for a folder that is a file.
    """
    model, folder = as_model(model), _folder(folder)
    if format in ("taesd", "onnx"):
        with _written(folder) as place:
            if format == "taesd":
                _write_taesd(model, place)
            else:
                from vae.checkpoints.onnx_format import write  # its packages are needed for nothing else

                write(model, place)
        return folder
    if format != "diffusers":
        raise InputError(f"The export format {format!r} is not known; diffusers, taesd and onnx are.")
    config = json.dumps(diffusers_config(model.config), indent=2)
    tensors = _on_cpu(model)
    if isinstance(model, AutoencoderWan):
        tensors = wan_names.for_videos(tensors)
    return _write(tensors, folder, config, "diffusion_pytorch_model.safetensors", {"format": "pt"})


def _write_taesd(model: AutoEncoder, folder: Path) -> None:
    if not isinstance(model, TinyAE):
        raise InputError("The format taesd is for tiny auto-encoders of TAESD's family, which this model is not of.")
    stem = next((stem for stem, space in TINY_SPACES.items() if space == model.config.latent_space), "tae")
    halves: dict[str, dict[str, Tensor]] = {"encoder": {}, "decoder": {}}
    for ours, tensor in _on_cpu(model).items():
        half, name = taesd_name(ours)
        halves[half][name] = tensor
    config = json.dumps(config_to_dict(model.config))  # `load` reads it; for others the header means nothing
    for half, tensors in halves.items():
        with replacing(folder / f"{stem}_{half}.safetensors") as part:
            save_file(tensors, part, metadata={"config": config})


def push(source: str | Path, repo: str, token: str | None = None, private: bool = False) -> str:
    """Publish the model at `source` on the Hugging Face Hub, with a model card, and return its page's address.

    The card is the README.md beside the weights, if there is one. The repository is made if need be; `load(repo)` reads
    it back. Raises InputError for a model that does not load, a bad repository name, or a Hub that refuses.
    """
    model = load(source, device="cpu")
    card = local_folder(source) / "README.md"
    with tempfile.TemporaryDirectory() as place:
        folder = save(model, Path(place) / "model")
        text = read_text(card) if card.is_file() else model_card(model, repo)
        (folder / "README.md").write_text(text, encoding="utf-8")
        return hub.push(folder, repo, token, private)


def model_card(model: AutoEncoder, repo: str) -> str:
    """A README.md for the model's repository: what it is, and how to open it."""
    channels, height, width = model.latent_shape()
    size, trained_on = model.config.sample_size, model.config.trained_on
    return f"""---
library_name: vae-studio
tags: [vae, autoencoder]
---
# {repo.split("/")[-1]}

A {"variational auto-encoder" if model.is_variational else "auto-encoder"} of {model.parameter_count:,} parameters:
{size}x{size} images to latents of {channels}x{height}x{width}. Trained on: {trained_on or "not said"}.

```python
import vae

model = vae.load("{repo}")
posterior = model.encode(x)  # x: (N, {model.in_channels}, H, W) in [-1, 1]
x_hat = model.decode(posterior.mode())
```
"""


def _write(
    tensors: dict[str, Tensor],
    folder: Path,
    config: str,
    weights: str,
    metadata: dict[str, str],
    fitted: dict | None = None,
) -> Path:
    with _written(folder) as place:
        with replacing(place / weights) as part:
            save_file(tensors, part, metadata=metadata)
        with replacing(place / CONFIG) as part:
            part.write_text(config + "\n", encoding="utf-8")
        if fitted:
            priors.write((place / weights,), fitted)
    return folder


@contextmanager
def _written(folder: Path):
    """`appearing`, with an InputError where the disk refuses."""
    try:
        with appearing(folder) as place:
            yield place
    except (OSError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"The folder {str(folder)!r} cannot be written: {reason}.") from error


def _folder(folder: str | Path) -> Path:
    """Where a model is to be written: a new folder, or one whose files of the same names are replaced."""
    if not isinstance(folder, str | PathLike) or not str(folder):
        raise InputError(f"A model is saved in a folder, whose path is a string or a Path, not {folder!r}.")
    folder = Path(folder).expanduser()
    if folder.is_file() or (folder.suffix.lower() in (*SUFFIXES, ".onnx") and not folder.exists()):
        raise InputError(
            f"A model is saved in a folder, with its config beside its weights; {folder.name!r} is a file."
        )
    return folder


def _on_cpu(model: AutoEncoder) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}


def _fill(model: AutoEncoder, opened: Opened, device: torch.device, dtype: torch.dtype) -> None:
    """Give a model on the meta device its weights, tensor by tensor, so that there is never a second copy of them."""
    wanted, parts = model.state_dict(), opened.naming.parts
    _refuse("lack the", sorted(wanted.keys() - parts.keys()))
    _refuse("have the unexpected", sorted(parts.keys() - wanted.keys()))
    state = {}
    for name, empty in wanted.items():
        if parts[name].shape != empty.shape:
            raise InputError(
                f"The tensor {name} has the shape {list(parts[name].shape)}, "
                f"where the config asks for {list(empty.shape)}."
            )
        tensor = parts[name].take(opened.weights.read)
        if tensor.is_floating_point() != empty.is_floating_point():
            raise InputError(f"The tensor {name} is of type {tensor.dtype}, which does not fit.")
        tensor = tensor.to(device, dtype if tensor.is_floating_point() else empty.dtype)
        if tensor.numel() and not all(torch.isfinite(extreme) for extreme in tensor.aminmax()):
            raise InputError(
                f"The tensor {name} holds numbers that are not finite (NaN or infinity) in {tensor.dtype}."
            )
        state[name] = tensor
    model.load_state_dict(state, assign=True)


def _refuse(verb: str, names: list[str]) -> None:
    if names:
        more = f" and {len(names) - 1} more" if len(names) > 1 else ""
        raise InputError(f"The weights {verb} tensor {names[0][:100]}{more}; they do not fit the config.")
