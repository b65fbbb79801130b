"""Priors fitted to the latents of a trained model, to sample it from beside N(0, I).

They are fitted after the fact and belong to one checkpoint, beside whose weights they lie in `priors.safetensors`.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from vae import beside, images
from vae.errors import InputError
from vae.models import AutoEncoder
from vae.priors.flow import Flow, fit_flow
from vae.priors.frame import Frame, fit_frame
from vae.priors.gaussian import Gaussian, Mixture

FILE = "priors.safetensors"
KINDS = ("gaussian", "mixture", "flow")
TITLES = {
    "normal": "N(0, I)",
    "gaussian": "Gaussian fitted to the encoded training pictures",
    "mixture": "mixture of Gaussians fitted to the encoded training pictures",
    "flow": "learned map of N(0, I) onto the encoded training pictures",
}
REMEDY = "fit the priors again with `python -m vae fit-prior`"


class Unfitted(InputError):
    """A prior that might be fitted to the model, but is not, or not to these weights."""


@dataclass(frozen=True)
class Prior:
    """A map of noise onto latents. core: it, in the standardised space of the latent dimensions in use; see Frame.

    facts: {data, images, seed, seconds}, what it was fitted to.
    """

    kind: str
    shape: tuple[int, int, int]
    frame: Frame
    core: Gaussian | Mixture | Flow
    facts: dict = field(default_factory=dict)

    @property
    def title(self) -> str:
        return TITLES[self.kind]

    @property
    def invertible(self) -> bool:
        """Whether there is an `inverse`, and so a way between latents through the space of the noise."""
        return hasattr(self.core, "inverse")

    def __call__(self, noise: Tensor, temperature: float = 1.0) -> Tensor:
        """Latents (n, C, h, w) for noise of that shape, drawn from N(0, I): a function of it and of nothing else.

        temperature scales the spread: of the noise, or for the mixture that of each component, which is still chosen
        as at 1. Raises InputError for another latent size than the prior was fitted at.
        """
        flat = self._flat(noise)
        return self.frame.place(temperature * flat, self.core(flat[:, self.frame.used], temperature)).view(noise.shape)

    def inverse(self, z: Tensor) -> Tensor:
        """The noise (n, C, h, w) that this maps to the latents z. Raises InputError for a mixture, which has none."""
        if not self.invertible:
            raise InputError("There is no way back through a mixture; the gaussian and the flow have one.")
        noise = self.frame.standardise(self._flat(z))
        noise[:, self.frame.used] = self.core.inverse(noise[:, self.frame.used])
        return noise.view(z.shape)

    def _flat(self, x: Tensor) -> Tensor:
        if x.shape[1:] != self.shape:
            raise InputError(
                f"The {self.kind} prior was fitted to latents of {list(self.shape)} and gives no others, "
                f"such as {list(x.shape[1:])}."
            )
        return x.detach().float().cpu().flatten(1)


def encode_all(
    model: AutoEncoder, data, on_progress: Callable[[int], None] | None = None, batch_size: int = 256
) -> tuple[Tensor, Tensor]:
    """Means and standard deviations (N, C, h, w), on the CPU, of the posteriors of all pictures of an ImageSet."""
    if not len(data):
        raise InputError(f"{data.name} holds no pictures.")
    means, stds, done = [], [], 0
    with torch.inference_mode():
        for pixels in data.batches(torch.arange(len(data)).split(batch_size)):
            posterior = model.encode(images.to_float(pixels.to(model.device)))
            means.append(posterior.mean.cpu())
            stds.append(posterior.std.cpu())
            done += len(pixels)
            if on_progress:
                on_progress(done)
    return torch.cat(means).clone(), torch.cat(stds).clone()


def fit_priors(
    model: AutoEncoder,
    data,
    kinds: Sequence[str] = KINDS,
    seed: int = 0,
    updates: int = 8000,
    on_progress: Callable[[str, int, int], None] | None = None,
) -> dict[str, Prior]:
    """Priors of those kinds, fitted to the posteriors of an ImageSet (the training pictures) under the model.

    updates: of the flow's weights. on_progress(what, done, total) is called now and then.
    Raises InputError for an unknown kind, no more pictures than latent dimensions, or latents that are not finite or do
    not depend on the picture.
    """
    for kind in kinds:
        if kind not in KINDS:
            raise InputError(f"A prior to fit is one of {', '.join(KINDS)}, not {kind!r}.")
    shape = tuple(model.latent_shape())
    dims = shape[0] * shape[1] * shape[2]
    if len(data) <= dims:
        raise InputError(
            f"{data.name} has {len(data):,} pictures and the latent {dims:,} dimensions; "
            "a prior is fitted to more pictures than dimensions."
        )
    report = on_progress or (lambda what, done, total: None)
    means, stds = encode_all(model, data, lambda done: report("encode", done, len(data)))
    frame, points = fit_frame(means.flatten(1), stds.flatten(1))
    fitted = {}
    for kind in (kind for kind in KINDS if kind in kinds):
        start = time.perf_counter()
        if kind == "gaussian":
            core: Gaussian | Mixture | Flow = Gaussian.fit(points)
        elif kind == "mixture":
            report("mixture", 0, 1)
            core = Mixture.fit(points, seed)
            report("mixture", 1, 1)
        else:
            core = fit_flow(
                points.to(model.device), seed, updates, on_progress=lambda done, total: report("flow", done, total)
            )
        facts = {"data": data.name, "images": len(data), "seed": seed}
        facts["seconds"] = round(time.perf_counter() - start, 1)
        fitted[kind] = Prior(kind, shape, frame, core, facts)
    return fitted


def write(weights: Sequence[Path], fitted: dict[str, Prior]) -> Path:
    """Store priors beside the weight files they belong to, in the place of any that were there; returns the file."""
    content, tensors = {"priors": {}}, {}
    for kind, prior in fitted.items():
        content["priors"][kind] = {"shape": list(prior.shape), "facts": prior.facts}
        parts = {f"frame.{name}": value for name, value in vars(prior.frame).items()}
        if isinstance(prior.core, Flow):
            content["priors"][kind]["flow"] = prior.core.settings
            # Rounded to 16 bits when it was fitted, so that nothing is lost here.
            parts |= {f"core.{name}": value.half() for name, value in prior.core.state_dict().items()}
        else:
            parts |= {f"core.{name}": value for name, value in vars(prior.core).items()}
        tensors |= {f"{kind}.{name}": value for name, value in parts.items()}
    path = weights[0].parent / FILE
    beside.write(path, beside.fingerprint(weights), content, tensors)
    return path


def read(weights: Sequence[Path]) -> dict[str, Prior]:
    """The priors stored beside those weight files, {} if there are none. Raises InputError for a file that is damaged
    or belongs to another checkpoint."""
    path = weights[0].parent / FILE
    if not path.is_file():
        return {}
    content, tensors = beside.read(path, beside.fingerprint(weights), REMEDY)
    try:
        return {kind: _rebuild(kind, content["priors"][kind], tensors) for kind in KINDS if kind in content["priors"]}
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"{FILE} is damaged, or of another version of this library; {REMEDY}.") from error


def _rebuild(kind: str, entry: dict, tensors: dict[str, Tensor]) -> Prior:
    def under(prefix: str) -> dict[str, Tensor]:
        return {name[len(prefix) :]: value for name, value in tensors.items() if name.startswith(prefix)}

    parts = under(f"{kind}.core.")
    if kind == "flow":
        with torch.device("meta"):  # no weights drawn, and the global generator left alone
            core: Gaussian | Mixture | Flow = Flow(**entry["flow"])
        core.load_state_dict({name: value.float() for name, value in parts.items()}, assign=True)
        core.eval().requires_grad_(False)
    else:
        core = {"gaussian": Gaussian, "mixture": Mixture}[kind](**parts)
    return Prior(kind, tuple(entry["shape"]), Frame(**under(f"{kind}.frame.")), core, entry["facts"])


def attach(model: AutoEncoder, weights: Sequence[Path]) -> None:
    """Give a model the priors that lie beside its weights. Priors that are refused leave it without; the reason is kept
    in `refused_priors`, and is the answer to those who ask for one of them."""
    try:
        model.fitted_priors, model.refused_priors = read(weights), None
    except InputError as error:
        model.fitted_priors, model.refused_priors = {}, str(error)


def of(model: AutoEncoder, name: str) -> Prior:
    """The model's fitted prior of that name. Raises Unfitted, which says how to get one, if it has none, and InputError
    if there is none of that name."""
    if name in model.fitted_priors:
        return model.fitted_priors[name]
    if name in KINDS and model.refused_priors:
        raise Unfitted(model.refused_priors)
    if name in KINDS:
        raise Unfitted(
            f"This model has no {name} prior yet; fit it with "
            f"`python -m vae fit-prior MODEL --data DATA --prior {name}`, or use {', '.join(model.priors)}."
        )
    raise InputError(f"This model has no prior {name!r}; it has {', '.join(model.priors)}.")


def best(model: AutoEncoder) -> str:
    """The name of the prior that comes nearest to the latents of pictures, of those that the model has."""
    return next((kind for kind in reversed(KINDS) if kind in model.fitted_priors), "normal")


def for_paths(model: AutoEncoder) -> Prior | None:
    """The prior through whose space to go from one latent to another: the best the model has that can be inverted;
    None if it has none. Raises Unfitted if there are some that were refused."""
    if model.refused_priors:
        raise Unfitted(model.refused_priors)
    return next((model.fitted_priors[kind] for kind in ("flow", "gaussian") if kind in model.fitted_priors), None)
