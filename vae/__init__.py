"""Variational auto-encoders: load, reconstruct, sample, interpolate, train.

Names are imported when first used, so that `import vae` and `python -m vae --help` cost nothing.
"""

from importlib import import_module

_HOME = {
    "InputError": "errors",
    "DiagonalGaussian": "distributions",
    "load": "checkpoints.store",
    "save": "checkpoints.store",
    "bundled": "checkpoints.store",
    "export": "checkpoints.store",
    "sample": "inference",
    "reconstruct": "inference",
    "Reconstruction": "inference",
    "interpolate": "latents.interpolation",
    "load_data": "data.sets",
    "split_dataset": "data.splits",
    "elbo": "loss",
    "TrainConfig": "training.config",
    "PRESETS": "training.presets",
    "fit": "training.loop",
    "Run": "training.runs",
}
__all__ = sorted(_HOME)


def __getattr__(name: str):
    if name in _HOME:
        return getattr(import_module(f"vae.{_HOME[name]}"), name)
    raise AttributeError(f"module 'vae' has no attribute {name!r}")


def __dir__():
    return __all__
