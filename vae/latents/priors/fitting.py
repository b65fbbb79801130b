"""Priors fitted to the posteriors of a data set."""

import time
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from vae import images
from vae.errors import InputError
from vae.latents.priors.flow import Flow, fit_flow
from vae.latents.priors.gaussian import Gaussian, Mixture
from vae.latents.priors.prior import KINDS, Prior
from vae.latents.priors.standardizer import fit_standardizer
from vae.models import AutoEncoder


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
    frame, points = fit_standardizer(means.flatten(1), stds.flatten(1))
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
