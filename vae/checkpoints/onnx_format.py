"""A model as two ONNX files, its encoder and its decoder, for onnxruntime and whatever else reads them."""

import json
import logging
import warnings
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor, nn

from vae.checkpoints.run_checkpoints import CONFIG
from vae.errors import InputError
from vae.files import replacing
from vae.models import AutoEncoder, config_to_dict

NEEDED = ("onnx", "onnxscript")
SIDES = 4, 6  # the example's height and width in latent pixels, where the size is free; unlike, so that none is fixed


class _Encoder(nn.Module):
    def __init__(self, model: AutoEncoder):
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        return self.model._encode(images).parameters


class _Decoder(nn.Module):
    def __init__(self, model: AutoEncoder):
        super().__init__()
        self.model = model

    def forward(self, latents: Tensor) -> Tensor:
        return self.model._decode(latents)


def write(model: AutoEncoder, folder: Path) -> None:
    """Write encoder.onnx, decoder.onnx and config.json, which has the scaling, into a folder.

    The encoder takes `images` (N, C, H, W) in [-1, 1] and gives `mean` and, of a VAE, `logvar`; the decoder takes
    `latents`, unscaled, and gives `images`, not clamped. N is free, and so are H and W where the model takes any size.
    Computed in float32 by onnxruntime they are within 1e-4 of `model.encode` and `model.decode`.
    Raises InputError where the packages for it are missing, and for a network of one's own that torch.export cannot
    follow.
    """
    if any(find_spec(name) is None for name in NEEDED):
        raise InputError(f"ONNX files need the libraries {' and '.join(NEEDED)}: pip install {' '.join(NEEDED)}.")
    config, training = model.config, model.training
    sides = (config.sample_size,) * 2 if config.fixed_size else tuple(side * model.downscale for side in SIDES)
    kind = {"dtype": model.dtype, "device": model.device}
    images = torch.zeros(2, model.in_channels, *sides, **kind)
    latents = torch.zeros(2, *model.latent_shape(*sides), **kind)
    moments = ["mean", "logvar"] if model.is_variational else ["mean"]
    try:
        _write(_Encoder(model.eval()), images, "images", moments, config.fixed_size, folder / "encoder.onnx")
        _write(_Decoder(model), latents, "latents", ["images"], config.fixed_size, folder / "decoder.onnx")
        with replacing(folder / CONFIG) as part:
            part.write_text(json.dumps(config_to_dict(config), indent=2) + "\n", encoding="utf-8")
    finally:
        model.train(training)


def _write(network: nn.Module, example: Tensor, name: str, outputs: list[str], fixed: bool, path: Path) -> None:
    free = {0: "batch"} if fixed else {0: "batch", 2: f"{name}_height", 3: f"{name}_width"}
    # Not optimized: constants near 0 would be taken for 0, such as those that keep a division from being by 0.
    options = {"optimize": False, "input_names": [name], "dynamic_shapes": ({**free},)}
    try:
        with torch.no_grad(), _quiet():
            program = torch.onnx.export(network, (example,), dynamo=True, verbose=False, **options)
    except Exception as error:  # of PyTorch's own, or of a network's that is not ours
        why = " ".join(str(error).split())[:200]
        raise InputError(f"This network cannot be written as ONNX: {type(error).__name__}: {why}") from error
    graph = program.model.graph
    for node in graph.all_nodes():  # torch.mean's result is called "mean", too, and names must be told apart
        for value in node.outputs:
            value.name = f"{value.name}_inside" if value.name in outputs else value.name
    for value, wanted in zip(graph.outputs, outputs, strict=True):
        value.name = wanted
    with replacing(path) as part:
        program.save(part, external_data=False)


@contextmanager
def _quiet():
    """PyTorch's exporter remarks on its own insides."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
