"""Pictures from latents: drawn from a prior, or on the way between some of them. Jobs as in jobs.py."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from PIL import Image
from torch import Tensor

from vae import images, inference
from vae.errors import InputError
from vae.latents import interpolation, priors
from vae.models import AutoEncoder
from vae.ui.points import Point
from vae.ui.serving.jobs import no_report
from vae.ui.serving.tasks import Report

DRAWN = 256  # side in pixels of what is drawn from noise on the page, for models that take any size and are large
MAX_PIXELS = 48_000_000  # in one answer of many pictures
BATCH = 16 * 64**2  # pixels that are decoded at once
KINDS = {"path": (2, 2), "grid": (4, 4), "loop": (3, 6)}  # of ways, and how many ends they have, at least and at most


@dataclass(frozen=True)
class Draw:
    """A latent from a prior: number `index` of those that `vae.sample` draws with that seed. Without a prior it comes
    from the one whose space the way leads through, or from N(0, I)."""

    seed: int
    index: int = 0
    temperature: float = 1.0
    prior: str | None = None


Endpoint = Draw | Point | Image.Image  # of a way: a picture's latent is its posterior's mean


@dataclass(frozen=True)
class Pictures:
    """uint8 (n, C, H, W), and the seconds they took.

    prior: the one that they were drawn from, or whose space the way leads through, None if through none. priors: all
    that the model has; passable: whether a way leads through one of them; refused: why some beside it were not taken.
    """

    pixels: Tensor
    seconds: float
    prior: str | None
    priors: tuple[str, ...]
    passable: bool
    refused: str | None


def sample(model: AutoEncoder, n: int, seed: int, temperature: float, prior: str | None, small: bool) -> Pictures:
    """n new pictures from that prior, or from the best the model has. small: at most DRAWN wide, if the model can."""
    prior = prior or priors.best(model)
    size = _side(model, small, [prior])
    if isinstance(n, int):
        _room(n, size)
    start = time.perf_counter()
    z = inference.sample_latents(model, n, seed, temperature, prior, size)
    return _decoded(model, z, size, start, prior, no_report)


def travel(
    model: AutoEncoder, kind: str, ends: Sequence[Endpoint], steps: int, mode: str | None, small: bool, report: Report
) -> Pictures:
    """The pictures of a way of that kind (see KINDS), all in one row: path, `steps` from end to end; grid, `steps` rows
    of as many, the ends in its corners; loop, `steps` from each end to the next and back to the first.

    mode: as vae.interpolate has it; None for "prior" where the model has one to go through, else "slerp".
    """
    least, most = KINDS[kind]
    if not least <= len(ends) <= most:
        raise InputError(f"A {kind} has {least if least == most else f'{least} to {most}'} ends, not {len(ends)}.")
    mode = mode or ("prior" if _passable(model) else "slerp")
    prior = priors.for_paths(model) if mode == "prior" else None
    drawn_from = prior.kind if prior else "normal"
    names = [end.prior or drawn_from for end in ends if isinstance(end, Draw)]
    points = any(isinstance(end, Point) for end in ends)  # these are of the model's own size
    size = _side(model, small and not points, names + ([drawn_from] if prior else []))
    if isinstance(steps, int):
        _room({"path": steps, "grid": steps**2, "loop": steps * len(ends)}[kind], size)
    report("Encoding", None)
    start = time.perf_counter()
    stops = [_latent(model, end, size, drawn_from) for end in ends]
    if kind == "path":
        z = interpolation.interpolate(*stops, steps, mode, prior)
    elif kind == "grid":
        z = interpolation.corners(stops, steps, steps, mode, prior).flatten(0, 1)
    else:
        z = interpolation.loop(stops, steps, mode, prior)
    return _decoded(model, z, size, start, prior.kind if prior else None, report)


def _decoded(model: AutoEncoder, z: Tensor, size: int, start: float, prior: str | None, report: Report) -> Pictures:
    """Decoded in batches that bound the memory and how long the next report takes; the pictures are the same."""
    batch = max(1, min(64, BATCH // size**2))
    parts = []
    for part in z.split(batch):
        report("Decoding", batch * len(parts) / len(z))
        parts.append(images.to_uint8(inference.decode(model, part)).cpu())
    seconds = time.perf_counter() - start
    return Pictures(torch.cat(parts), seconds, prior, tuple(model.priors), _passable(model), model.refused_priors)


def _passable(model: AutoEncoder) -> bool:
    return not model.refused_priors and priors.for_paths(model) is not None


def _latent(model: AutoEncoder, end: Endpoint, size: int, prior: str) -> Tensor:
    """(C, h, w) on the CPU, of a picture size x size, so that any two ends fit together."""
    if isinstance(end, Point):
        return end.latent(model.latent_shape(size, size))
    if isinstance(end, Draw):
        drawn_from = end.prior or prior
        return inference.sample_latents(model, end.index + 1, end.seed, end.temperature, drawn_from, size)[end.index]
    fitted = images.fit(end, size, model.in_channels, border=model.config.border)
    return inference.encode(model, images.to_tensor(fitted).to(model.device)).mode()[0].float().cpu()


def _side(model: AutoEncoder, small: bool, names: Sequence[str]) -> int:
    """Side in pixels of what is drawn; fitted priors know only the model's own size."""
    side = model.config.sample_size
    free = small and not model.config.fixed_size and all(name == "normal" for name in names)
    return min(side, DRAWN) if free else side


def _room(n: int, size: int) -> None:
    most = max(1, MAX_PIXELS // size**2)
    if n > most:
        raise InputError(f"{n} pictures of this model are too many at once; up to {min(most, 4096)} are accepted.")
