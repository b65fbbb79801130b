"""Priors fitted to the posteriors of a data set."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from vae import images, sidecar
from vae.errors import InputError
from vae.latents.latent_set import LatentSet, check_model
from vae.latents.priors import diffusion_training, views
from vae.latents.priors.diffusion_training import Encoded, fit_diffusion
from vae.latents.priors.flow import fit_flow
from vae.latents.priors.gaussian import Gaussian, Mixture
from vae.latents.priors.prior import KINDS, QUICK, WITH_CLASSES, Prior
from vae.latents.priors.standardizer import Standardizer, fit_channels, fit_standardizer
from vae.latents.scaling import unscale
from vae.models import AutoEncoder

MOST_CLASSES = 100  # that a mixture tells apart
PARTS, ENOUGH = 16, 120_000  # views of an image's parts that a diffusion learns from; fewer of many images
UPDATES = {"flow": 8000, "diffusion": 20_000}

Progress = Callable[[str, int, int], None]


def encode_all(
    model: AutoEncoder, data, on_progress: Callable[[int], None] | None = None, batch_size: int = 256
) -> tuple[Tensor, Tensor]:
    """Means and standard deviations (N, C, h, w), on the CPU, of the posteriors of all images of an ImageSet, or of a
    LatentSet, whose images are encoded already."""
    if isinstance(data, LatentSet):
        return _encoded(model, data)
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


def check_latents(model: AutoEncoder, data: LatentSet, mirror: bool | None = None) -> None:
    """Raises InputError for latents of another model, of other sizes than it draws, without the parts that are needed,
    or that should be mirrored."""
    check_model(data.plan, model)
    shape = model.latent_shape()
    other = next((found for found in data.shapes if tuple(found) != shape), None)
    if other:
        raise InputError(
            f"{data.name} holds latents of {'x'.join(map(str, other))} (channels x height x width), and a prior draws "
            f"those of {'x'.join(map(str, shape))}; encode with --size {model.config.sample_size}."
        )
    if not {"mean", "latents"} & set(data.parts):
        raise InputError(f"{data.name} holds only {', '.join(data.parts)}; encode with --keep mean,logvar.")
    if mirror:
        raise InputError("Latents cannot be mirrored as images can; give the images to learn from mirror images.")


def _encoded(model: AutoEncoder, data: LatentSet) -> tuple[Tensor, Tensor]:
    """`encode_all` of a LatentSet."""
    check_latents(model, data)
    means = data.stack("mean" if "mean" in data.parts else "latents").float()
    if "mean" not in data.parts and data.scaling["applied"]:
        means = unscale(model, means)
    return means, data.stack("logvar").float().mul(0.5).exp() if "logvar" in data.parts else torch.zeros_like(means)


def encode_views(
    model: AutoEncoder,
    data,
    seed: int = 0,
    parts: int | None = None,
    on_progress: Progress | None = None,
    mirror: bool | None = None,
) -> tuple[Standardizer, Encoded]:
    """What a diffusion prior learns from: the frame of the posteriors of an ImageSet, and their means in it, in 16 bits
    on the CPU, of the images, their mirror images and `parts` views of parts of them each; with their classes.

    mirror: whether left is like right; unless given, in colour images, and not in grey ones, where a digit would not be
    one any more. Of a LatentSet there are no views."""
    count = len(data)
    if isinstance(data, LatentSet):
        check_latents(model, data, mirror)
        mirror, parts = False, 0
    mirror = model.in_channels > 2 if mirror is None else mirror
    parts = min(PARTS, ENOUGH // count) if parts is None else parts
    report = on_progress or (lambda what, done, total: None)
    means, stds = encode_all(model, data, lambda done: report("encode", done, (2 + parts) * count))
    frame, spread = fit_channels(means, stds)

    def standardised(z: Tensor) -> Tensor:
        z = (z.cpu().flatten(1) - frame.mean) / spread
        return z[:, frame.used].unflatten(1, (-1, *means.shape[2:])).half()

    latents = [standardised(means)]
    where = [torch.zeros(count, 3)]
    generator = torch.Generator().manual_seed(seed)
    with torch.inference_mode():
        for number in range(1, 2 + parts):
            if number == 1 and not mirror:
                latents, where = latents * 2, where * 2
                continue
            seen, told = [], []
            for pixels in data.batches(torch.arange(count).split(256)):
                x = images.to_float(pixels.to(model.device))
                x, place = (x.flip(3), torch.zeros(len(x), 3)) if number == 1 else views.view(x, generator, mirror)
                seen.append(standardised(model.encode(x).mean))
                told.append(place)
                report("encode", number * count + sum(map(len, seen)), (2 + parts) * count)
            latents.append(torch.cat(seen))
            where.append(torch.cat(told))
    labels = data.labels.long() if _classes(data) else None
    return frame, Encoded(torch.stack(latents).clone(), torch.stack(where), labels, mirror)


def fit_priors(
    model: AutoEncoder,
    data,
    kinds: Sequence[str] = QUICK,
    seed: int = 0,
    updates: int | None = None,
    on_progress: Progress | None = None,
    weights: Sequence[Path] | None = None,
    on_look: Callable[[Prior], None] | None = None,
    mirror: bool | None = None,
) -> dict[str, Prior]:
    """Priors of those kinds, fitted to the posteriors of an ImageSet (the training images) under the model, or to a
    LatentSet of it, of which a diffusion then knows neither mirror images nor parts. Where it has labels, of 2 to
    MOST_CLASSES classes, the mixture and the diffusion can draw each class alone.

    updates: of the weights of a flow or a diffusion; UPDATES if left out. on_progress(what, done, total) is called now
    and then; what it raises ends the work. weights: the model's weight files; beside them a diffusion's training is
    stored while it goes on, and taken up again where it was interrupted. on_look: is given the diffusion as it is by
    then, now and then. See diffusion_training.fit_diffusion. mirror: whether it learns from mirror images, too, see
    encode_views.
    Raises InputError for an unknown kind, too few images, latents of another model, or latents that are not finite or
    do not depend on the image.
    """
    for kind in kinds:
        if kind not in KINDS:
            raise InputError(f"A prior to fit is one of {', '.join(KINDS)}, not {kind!r}.")
    shape, classes = tuple(model.latent_shape()), _classes(data)
    if len(data) < 2:
        raise InputError(f"{data.name} has {len(data)} picture; a prior is fitted to two or more.")
    if "diffusion" in kinds:
        diffusion_training.check_positions(shape)
    report = on_progress or (lambda what, done, total: None)
    fitted = {}

    def made(kind: str, frame: Standardizer, core, start: float) -> Prior:
        facts = {"data": data.name, "images": len(data), "seed": seed, "seconds": round(time.perf_counter() - start, 1)}
        return Prior(kind, shape, frame, core, facts, tuple(classes or ()) if kind in WITH_CLASSES else ())

    def keep(kind: str, frame: Standardizer, fit: Callable) -> None:
        start = time.perf_counter()
        report(kind, 0, 1)
        core = fit()
        report(kind, 1, 1)
        fitted[kind] = made(kind, frame, core, start)

    def steps(kind: str) -> dict:
        done = {"updates": updates or UPDATES[kind]}
        return done | {"seed": seed, "on_progress": lambda done, total: report(kind, done, total)}

    if set(kinds) & set(QUICK):
        means, stds = encode_all(model, data, lambda done: report("encode", done, len(data)))
        frame, points = fit_standardizer(means.flatten(1), stds.flatten(1))
        if "gaussian" in kinds:
            keep("gaussian", frame, lambda: Gaussian.fit(points))
        if "mixture" in kinds:
            keep("mixture", frame, lambda: Mixture.fit(points, seed, data.labels if classes else None))
        if "flow" in kinds:
            keep("flow", frame, lambda: fit_flow(points.to(model.device), **steps("flow")))
    if "diffusion" in kinds:
        frame, encoded = encode_views(model, data, seed, on_progress=report, mirror=mirror)
        place = weights and (weights[0].parent / diffusion_training.FILE, sidecar.fingerprint(weights))
        begun = time.perf_counter()
        look = on_look and (lambda core: on_look(made("diffusion", frame, core, begun)))
        options = {"unfinished": place, "on_look": look, **steps("diffusion")}
        keep("diffusion", frame, lambda: fit_diffusion(encoded, model.device, **options))
    return fitted


def _classes(data) -> list[str] | None:
    """The names of an ImageSet's classes, if there are as many as a mixture tells apart and images of each."""
    if data.labels is None:
        return None
    count = int(data.labels.max()) + 1
    if not 2 <= count <= MOST_CLASSES or len(data.labels.unique()) < count or len(data.labels) != len(data):
        return None
    return list(data.classes[:count]) if data.classes else [str(label) for label in range(count)]
