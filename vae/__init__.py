"""Variational auto-encoders: load, reconstruct, sample, interpolate, train.

Names are imported when first used, so that `import vae` and `python -m vae --help` cost nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # the names of _HOME once more, with their types
    from vae.checkpoints.find_model import bundled as bundled
    from vae.checkpoints.store import export as export
    from vae.checkpoints.store import load as load
    from vae.checkpoints.store import save as save
    from vae.data.sets import load_data as load_data
    from vae.data.splits import split_dataset as split_dataset
    from vae.distributions import DiagonalGaussian as DiagonalGaussian
    from vae.errors import InputError as InputError
    from vae.evaluation.measure import measure as measure
    from vae.evaluation.measurement import Measurement as Measurement
    from vae.evaluation.unusual import how_unusual as how_unusual
    from vae.inference import Reconstruction as Reconstruction
    from vae.inference import reconstruct as reconstruct
    from vae.inference import sample as sample
    from vae.latents.interpolation import interpolate as interpolate
    from vae.loss import elbo as elbo
    from vae.many import decode as decode
    from vae.many import encode as encode
    from vae.models import AutoEncoder as AutoEncoder
    from vae.models import ModelConfig as ModelConfig
    from vae.models import register as register
    from vae.training.callbacks import Callback as Callback
    from vae.training.config import TrainConfig as TrainConfig
    from vae.training.loop import fit as fit
    from vae.training.presets import PRESETS as PRESETS
    from vae.training.runs import Run as Run

__version__ = "0.1.0"

_HOME = {
    "InputError": "errors",
    "DiagonalGaussian": "distributions",
    "load": "checkpoints.store",
    "save": "checkpoints.store",
    "bundled": "checkpoints.find_model",
    "export": "checkpoints.store",
    "sample": "inference",
    "reconstruct": "inference",
    "Reconstruction": "inference",
    "how_unusual": "evaluation.unusual",
    "measure": "evaluation.measure",
    "Measurement": "evaluation.measurement",
    "interpolate": "latents.interpolation",
    "load_data": "data.sets",
    "split_dataset": "data.splits",
    "elbo": "loss",
    "encode": "many",
    "decode": "many",
    "AutoEncoder": "models",
    "ModelConfig": "models",
    "register": "models",
    "Callback": "training.callbacks",
    "TrainConfig": "training.config",
    "PRESETS": "training.presets",
    "fit": "training.loop",
    "Run": "training.runs",
}
__all__ = sorted(["__version__", *_HOME])


def __dir__() -> list[str]:
    return __all__


if not TYPE_CHECKING:  # a type checker that saw it would believe in any name

    def __getattr__(name: str):
        if name in _HOME:
            return getattr(import_module(f"vae.{_HOME[name]}"), name)
        raise AttributeError(f"module 'vae' has no attribute {name!r}")
