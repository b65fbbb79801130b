"""Priors on the disk, beside the weights they belong to."""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import torch
from torch import Tensor

from vae import sidecar
from vae.errors import InputError
from vae.latents.priors.diffusion import Diffusion
from vae.latents.priors.flow import Flow
from vae.latents.priors.gaussian import Gaussian, Mixture
from vae.latents.priors.prior import KINDS, Prior
from vae.latents.priors.standardizer import Standardizer
from vae.models import AutoEncoder

FILE = "priors.safetensors"
REMEDY = "fit the priors again"


def write(weights: Sequence[Path], fitted: dict[str, Prior]) -> Path:
    """Store priors beside the weight files they belong to, in the place of any that were there; returns the file."""
    content, tensors = {"priors": {}}, {}
    for kind, prior in fitted.items():
        content["priors"][kind] = {"shape": list(prior.shape), "facts": prior.facts}
        if prior.classes:
            content["priors"][kind]["classes"] = list(prior.classes)
        parts = {f"frame.{name}": value for name, value in vars(prior.frame).items()}
        if isinstance(prior.core, Flow | Diffusion):
            content["priors"][kind][kind] = prior.core.settings
            # Rounded to 16 bits when it was fitted, so that nothing is lost here.
            parts |= {f"core.{name}": value.half() for name, value in prior.core.state_dict().items()}
        else:
            stored = prior.core.parts() if isinstance(prior.core, Mixture) else vars(prior.core)
            parts |= {f"core.{name}": value for name, value in stored.items()}
        tensors |= {f"{kind}.{name}": value for name, value in parts.items()}
    path = weights[0].parent / FILE
    sidecar.write(path, sidecar.fingerprint(weights), content, tensors)
    return path


def add(weights: Sequence[Path], fitted: dict[str, Prior]) -> Path:
    """Store priors beside those that were fitted to these weights before, in the place of any of the same kind; returns
    the file."""
    with suppress(InputError):  # those of other weights are nobody's now
        fitted = read(weights) | fitted
    return write(weights, {kind: fitted[kind] for kind in KINDS if kind in fitted})


def read(weights: Sequence[Path]) -> dict[str, Prior]:
    """The priors stored beside those weight files, {} if there are none. Raises InputError for a file that is damaged
    or belongs to another checkpoint."""
    path = weights[0].parent / FILE
    if not path.is_file():
        return {}
    content, tensors = sidecar.read(path, sidecar.fingerprint(weights), REMEDY)
    try:
        return {kind: _rebuild(kind, content["priors"][kind], tensors) for kind in KINDS if kind in content["priors"]}
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"{FILE} is damaged, or of another version of this library; {REMEDY}.") from error


def _rebuild(kind: str, entry: dict, tensors: dict[str, Tensor]) -> Prior:
    def under(prefix: str) -> dict[str, Tensor]:
        return {name[len(prefix) :]: value for name, value in tensors.items() if name.startswith(prefix)}

    parts = under(f"{kind}.core.")
    networks = {"flow": Flow, "diffusion": Diffusion}
    if kind in networks:
        with torch.device("meta"):  # no weights drawn, and the global generator left alone
            core: Gaussian | Mixture | Flow | Diffusion = networks[kind](**entry[kind])
        core.load_state_dict({name: value.float() for name, value in parts.items()}, assign=True)
        core.eval().requires_grad_(False)
    else:
        core = Mixture.of_parts(parts) if kind == "mixture" else Gaussian(**parts)
    classes = tuple(entry.get("classes", ()))
    if kind == "diffusion":
        whole = core.classes == len(classes)
    else:
        whole = not classes or (kind == "mixture" and set(parts["labels"].tolist()) == set(range(len(classes))))
    if not whole:
        raise ValueError("classes that the prior does not tell apart")
    return Prior(kind, tuple(entry["shape"]), Standardizer(**under(f"{kind}.frame.")), core, entry["facts"], classes)


def attach(model: AutoEncoder, weights: Sequence[Path]) -> None:
    """Give a model the priors that lie beside its weights. Priors that are refused leave it without; the reason is kept
    in `refused_priors`, and is the answer to those who ask for one of them."""
    try:
        model.fitted_priors, model.refused_priors = read(weights), None
    except InputError as error:
        model.fitted_priors, model.refused_priors = {}, str(error)
