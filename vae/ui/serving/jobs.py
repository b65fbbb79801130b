"""What is computed with models for the page, as functions of loaded models.

They run where the models are: in the app's own process, in ZeroGPU's, or in a replica on another machine. So a call is
data, and nothing here knows of pages, names of models, or Gradio.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from vae import inference, limits, sidecar
from vae.errors import InputError
from vae.evaluation.unusual import Unusual, if_measured
from vae.images import MODES, to_uint8
from vae.inference import Draw, Endpoint, Generated, Reconstruction
from vae.latents import priors
from vae.models import AutoEncoder
from vae.tiling import decode
from vae.ui.serving.bench_jobs import measured, stressed
from vae.ui.serving.latent_spread import spread
from vae.ui.serving.overview import overview

DRAWN = 256  # side in pixels of what is drawn from noise on the page, for models that take any size and are large
MAX_PIXELS = 48_000_000  # in one answer of many images
MAX_STEPS = 32_768  # of a diffusion prior in all, in one answer
ENDPOINTS = {"path": (2, 2), "grid": (4, 4), "loop": (3, 6)}  # of an interpolation on the page, at least and at most


@dataclass(frozen=True)
class Call:
    """One call: the job's name in JOBS; what vae.load takes for each of its models; and its other arguments.

    strangers: whether it is held to a stranger's share of the machine."""

    job: str
    sources: tuple[str, ...]
    arguments: dict[str, Any] = field(default_factory=dict)
    strangers: bool = False


@dataclass(frozen=True)
class Drawn(Generated):
    """Also, of the model: all its priors, whether one can be interpolated through between such ends, why some beside it
    were not taken or why none can, and the classes that can be drawn alone. label: the one they are of, if of one.
    usual: the steps that the prior takes unless told otherwise, if it takes any."""

    priors: tuple[str, ...] = ()
    passable: bool = False
    refused: str | None = None
    classes: tuple[str, ...] = ()
    label: str | None = None
    usual: int | None = None


@dataclass(frozen=True)
class Seen(Reconstruction):
    """Also, how unusual the image is for the model; None for a model whose test images were not measured."""

    unusual: Unusual | None = None


def answer(
    call: Call,
    open_model: Callable[[str], AutoEncoder],
    progress: inference.Progress | None = None,
) -> Any:
    """What the job returns, with the models that open_model gives for the call's sources, within the caller's share of
    the machine. Raises InputError, also where the device's memory is too small."""
    told = {"progress": progress} if call.job in TELLING else {}
    try:
        with limits.for_strangers(call.strangers), torch.inference_mode():
            return JOBS[call.job](*map(open_model, call.sources), **call.arguments, **told)
    except torch.OutOfMemoryError:
        raise InputError("The device has too little memory for this; try a smaller image or number.") from None


def stamp(source: str) -> int:
    """When the priors beside a model's weights were written; 0 if there are none, or it is not on this machine."""
    try:
        return _priors_file(source).stat().st_mtime_ns
    except (OSError, ValueError):
        return 0


def fitted(source: str) -> tuple[str, ...]:
    """The names of the priors beside a model's weights, as their file has them; () if there are none on this machine,
    or none that can be read."""
    try:
        kinds = sidecar.content(_priors_file(source)).get("priors")
    except (OSError, ValueError):
        return ()
    return tuple(kinds) if isinstance(kinds, dict) else ()


def _priors_file(source: str) -> Path:
    place = Path(source).expanduser()
    return (place if place.is_dir() else place.parent) / priors.FILE


def reconstruct(model: AutoEncoder, image: Image.Image, *, clean_photo: bool = True, **options) -> Seen:
    """An image encoded and decoded again, and how unusual it is for the model."""
    found = inference.reconstruct(model, image, clean_photo=clean_photo, **options)
    return Seen(**vars(found), unusual=if_measured(model, image, clean_photo))


def across(encoder: AutoEncoder, decoder: AutoEncoder, image: Image.Image, **options) -> Reconstruction:
    """An image through one model's encoder and another's decoder."""
    return inference.reconstruct(encoder, image, decoder=decoder, **options)


def pixels(model: AutoEncoder, z: Tensor) -> Tensor:
    """uint8 images (n, C, H, W) that latents (n, C, h, w) decode to."""
    return to_uint8(decode(model, z)).cpu()


def latent(
    model: AutoEncoder, *, z: Tensor, height: int, width: int, progress: inference.Progress | None = None
) -> Tensor:
    """The uint8 image (C, height, width) that one latent (C, h, w) decodes to, in tiles where it is large."""
    _check_shown(model)
    told = None if progress is None else (lambda done, total: progress("Decoding", done, total))
    return to_uint8(decode(model, z[None], (height, width), progress=told))[0].cpu()


def sample(
    model: AutoEncoder,
    beside: AutoEncoder | None = None,
    *,
    n: int,
    seed: int,
    temperature: float,
    prior: str | None,
    small: bool,
    instead: bool,
    label: str | None = None,
    steps: int | None = None,
) -> Drawn:
    """n new images from the prior of that name, or the best there is if none is named; of one class, if label says so.

    instead: the best, too, where the one named is not fitted, and of all classes where there is no such label. beside:
    another model, whose priors decide which it is. steps: let be where the prior was not insisted on and takes none.
    small: at most DRAWN pixels wide, if the model can. Raises InputError beyond MAX_PIXELS in all.
    """
    chooser, given = model if beside is None else beside, prior is not None and not instead
    if instead and label not in _classes(chooser):
        label = None
    if label is not None:
        prior = prior or "normal"
    elif not prior or (instead and prior not in chooser.priors):
        prior = priors.best(chooser)
    size = _side(model, small, [prior if label is None else "mixture"])
    _check_shown(model)
    _check_room(n, size)
    drawing, _ = priors.chosen(model, prior, label)
    if steps is not None and (given or (drawing and drawing.kind == "diffusion")):
        drawing, _ = priors.chosen(model, prior, label, steps)
    else:
        steps = None
    usual = priors.of(model, drawing.kind).steps if drawing else None
    if usual and n * drawing.steps > MAX_STEPS:
        most = MAX_STEPS // drawing.steps
        raise InputError(f"{n} images in {drawing.steps} steps each are too many at once; up to {most} are accepted.")
    found = inference.generate(model, n, seed, temperature, prior, size, label=label, steps=steps)
    return _with_priors(model, found, model.refused_priors, label=label, usual=usual)


def interpolate(
    model: AutoEncoder,
    *,
    endpoints: Sequence[Endpoint],
    steps: int,
    mode: str | None,
    kind: str,
    small: bool,
    instead: bool,
    clean_photo: bool = True,
    progress: inference.Progress | None = None,
) -> Drawn:
    """The images between latents. mode: None for "prior" where the model has one to go through, else "slerp"; instead:
    the same where "prior" is asked for. small: as in `sample`. clean_photo: as inference.reconstruct has it."""
    least, most = ENDPOINTS[kind]
    if not least <= len(endpoints) <= most:
        wanted = least if least == most else f"{least} to {most}"
        raise InputError(f"A {kind} takes {wanted} endpoints, not {len(endpoints)}.")
    drawn = inference.drawn_by_diffusion(endpoints)
    passable = priors.can_pass(model, drawn)
    if not mode or (instead and mode == "prior" and not passable):
        mode = "prior" if passable else "slerp"
    through = priors.for_paths(model, drawn) if mode == "prior" else None
    drawn_from = through.kind if through else "normal"
    names = [end.prior or drawn_from for end in endpoints if isinstance(end, Draw)]
    points = any(isinstance(end, Tensor) for end in endpoints)  # these are of the model's own size
    size = _side(model, small and not points, names + ([drawn_from] if through else []))
    _check_shown(model)
    if isinstance(steps, int):
        _check_room(frames(kind, steps, len(endpoints)), size)
    found = inference.interpolate(model, endpoints, steps, mode, kind, size, progress, clean_photo)
    lacking = model.refused_priors or (priors.no_path(model) if "diffusion" in model.priors and not passable else None)
    return _with_priors(model, found, lacking, passable=passable)


def frames(kind: str, steps: int, stops: int) -> int:
    """How many images an interpolation has."""
    return {"path": steps, "grid": steps**2, "loop": steps * stops}[kind]


def opened(model: AutoEncoder) -> None:
    """Nothing: the model is loaded by then."""


def _classes(model: AutoEncoder) -> tuple[str, ...]:
    return next((prior.classes for prior in model.fitted_priors.values() if prior.classes), ())


def _with_priors(model: AutoEncoder, found: Generated, refused: str | None, **facts) -> Drawn:
    return Drawn(**vars(found), priors=tuple(model.priors), refused=refused, classes=_classes(model), **facts)


def _side(model: AutoEncoder, small: bool, names: Sequence[str]) -> int:
    """Side in pixels of what is drawn; fitted priors know only the model's own size."""
    side = model.config.sample_size
    free = small and not model.config.fixed_size and all(name == "normal" for name in names)
    return min(side, DRAWN) if free else side


def _check_shown(model: AutoEncoder) -> None:
    channels = getattr(model.config, "out_channels", model.in_channels)
    if channels not in MODES:
        raise InputError(f"This model makes images of {channels} channels; those of 1 to 4 can be shown.")


def _check_room(n: int, size: int) -> None:
    most = MAX_PIXELS // size**2
    if most < 1:
        raise InputError(
            f"An image of this model has {size}x{size} pixels; up to {math.isqrt(MAX_PIXELS)} a side are drawn here."
        )
    if n > most:
        raise InputError(f"{n} images of this model are too many at once; up to {min(most, 4096)} are accepted.")


JOBS: dict[str, Callable] = {
    "reconstruct": reconstruct,
    "sketch": inference.reconstruct,
    "across": across,
    "spread": spread,
    "pixels": pixels,
    "latent": latent,
    "sample": sample,
    "interpolate": interpolate,
    "overview": overview,
    "measured": measured,
    "stressed": stressed,
    "opened": opened,
}
MOVING = ("pixels", "sketch")  # jobs asked for many times a second, whose results are seen once
LIGHT = (*MOVING, "overview")  # and of small models or few images, for which no GPU is taken where it is lent
UNKEPT = (*MOVING, "measured", "stressed")  # whose results are not asked for again
TELLING = ("reconstruct", "across", "interpolate", "stressed", "latent")  # jobs that say how far they are
