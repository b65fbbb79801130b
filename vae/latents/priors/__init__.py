"""Priors fitted to the latents of a trained model, to sample it from beside N(0, I).

They are fitted after the fact and belong to one checkpoint, beside whose weights they lie in `priors.safetensors`.
"""

from vae.latents.priors.diffusion import MOST_STEPS
from vae.latents.priors.fitting import encode_all, fit_priors
from vae.latents.priors.prior import (
    KINDS,
    QUICK,
    TITLES,
    Prior,
    PriorNotFitted,
    best,
    can_pass,
    chosen,
    for_paths,
    no_path,
    of,
)
from vae.latents.priors.store import FILE, add, attach, read, write

__all__ = [
    "FILE",
    "KINDS",
    "MOST_STEPS",
    "QUICK",
    "TITLES",
    "Prior",
    "PriorNotFitted",
    "add",
    "attach",
    "best",
    "can_pass",
    "chosen",
    "encode_all",
    "fit_priors",
    "for_paths",
    "no_path",
    "of",
    "read",
    "write",
]
