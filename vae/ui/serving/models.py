"""All of the page's computing with models: the one owner of loaded models, of their locks and of the device.

What is computed is in vae/inference.py; here is what a page adds: models by name, limits, and the last results.
"""

import hashlib
import math
import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from vae import inference
from vae.checkpoints.store import load
from vae.errors import InputError
from vae.evaluation.unusual import Unusual, if_measured
from vae.images import flatten, to_uint8
from vae.inference import Draw, Endpoint, Generated, Reconstruction
from vae.latents import priors
from vae.models import AutoEncoder
from vae.tiling import decode
from vae.ui.serving.catalog import Catalog
from vae.ui.serving.latent_spread import Spread, spread
from vae.ui.serving.lru_cache import LruCache
from vae.ui.serving.tasks import Report
from vae.ui.serving.zero_gpu import on_zero_gpu

KEPT = 2  # models in memory
INTERPOLATIONS = 128_000_000  # bytes of the last ones, for those who then want them as a file
DRAWN = 256  # side in pixels of what is drawn from noise on the page, for models that take any size and are large
MAX_PIXELS = 48_000_000  # in one answer of many images
ENDPOINTS = {"path": (2, 2), "grid": (4, 4), "loop": (3, 6)}  # of an interpolation on the page, at least and at most


@dataclass(frozen=True)
class Drawn(Generated):
    """Also, of the model: all its priors, whether one can be interpolated through, and why some beside it were not
    taken."""

    priors: tuple[str, ...] = ()
    passable: bool = False
    refused: str | None = None


@dataclass(frozen=True)
class Seen(Reconstruction):
    """Also, how unusual the image is for the model; None for a model whose test images were not measured."""

    unusual: Unusual | None = None


class ModelServer:
    """Loads models when they are first asked for and keeps the last two. One call at a time computes with a model, and
    each method is one call: on ZeroGPU one acquisition of the GPU."""

    def __init__(self, catalog: Catalog, zero_gpu: bool = False):
        self.catalog, self.zero_gpu = catalog, zero_gpu
        self._models: LruCache[tuple[AutoEncoder, int]] = LruCache(KEPT)  # with the _stamp they were loaded at
        self._interpolations: LruCache[Drawn] = LruCache(INTERPOLATIONS, lambda found: found.pixels.nbytes)
        self._locks: dict[str, threading.Lock] = {}
        self._lock = threading.Lock()
        self._run = on_zero_gpu(self._compute) if zero_gpu else self._compute

    # What runs on the GPU's side on ZeroGPU: everything in and out of it can be pickled.
    def _compute(self, job: Callable, sources: Sequence[str], *arguments, **options):
        with ExitStack() as held, torch.inference_mode():
            for source in sorted(set(sources)):  # in one order, so that no two calls wait for each other
                held.enter_context(self._lock_of(source))
            return job(*(self._model(source) for source in sources), *arguments, **options)

    def _lock_of(self, source: str) -> threading.Lock:
        with self._lock:
            return self._locks.setdefault(source, threading.Lock())

    def _model(self, source: str, progress: Callable[[int, int], None] | None = None) -> AutoEncoder:
        """The model, loaded if need be, and again once other priors lie beside it. A live run's newest checkpoint is
        another source than its last one."""
        stamp = _stamp(source)
        found = self._models.get(source)
        if found is not None and found[1] == stamp:
            return found[0]
        self._models.pop(source)
        self._models.shrink(KEPT - 1)  # before it is loaded, so that there are never more in memory
        try:
            model = load(source, progress=progress)
            self._models.put(source, (model, stamp))
        finally:  # names that cannot be opened leave no locks behind
            with self._lock:
                self._locks = {s: lock for s, lock in self._locks.items() if s in self._models or lock.locked()}
        return model

    def open(self, name: str, progress: Callable[[int, int], None] | None = None) -> dict:
        """Download the model of that name if need be, load it, and return its facts. progress(bytes done, in all)."""
        source = str(self.catalog.source(name))
        with self.catalog.audience.limits():
            if self.zero_gpu:  # its workers cannot report, and forget what they load
                return self.catalog.facts(name, load(source, device="cpu", progress=progress))
            with self._lock_of(source):
                return self.catalog.facts(name, self._model(source, progress))

    def _call(self, job: Callable, names: Sequence[str | None], *arguments, **options):
        """job(models, *arguments, **options), with the models of those names."""
        try:
            with self.catalog.audience.limits():
                return self._run(job, [str(self.catalog.source(name)) for name in names], *arguments, **options)
        except torch.OutOfMemoryError:
            raise InputError("The device has too little memory for this; try a smaller image or number.") from None

    def _progress(self, report: Report | None) -> inference.Progress | None:
        """The report, where it can reach the page from where the work is done."""
        if report is None or self.zero_gpu:
            return None
        report("Opening the model", None)
        return lambda what, done, total: report(what, done / total if total else None)

    def reconstruct(
        self,
        name: str | None,
        image: Image.Image,
        sample: bool = False,
        seed: int | None = None,
        max_side: int | None = 1024,
        tile: int | None = None,
        report: Report | None = None,
        clean_photo: bool = True,
    ) -> Seen:
        """vae.reconstruct and vae.how_unusual with the model of that name. report(what is done now, which share of
        it) may raise, which ends the work."""
        options = {"max_side": max_side, "tile": tile, "progress": self._progress(report), "clean_photo": clean_photo}
        return self._call(_reconstruct, [name], image, sample, seed, **options)

    def compare(
        self, encoder: str, decoder: str, image: Image.Image, max_side: int = 1024, report: Report | None = None
    ) -> Reconstruction:
        """An image through one model's encoder and another's, or the same one's, decoder; both in one call. report as
        in `reconstruct`.

        Raises InputError where the two do not declare the same latent space.
        """
        options = {"max_side": max_side, "progress": self._progress(report)}
        if encoder == decoder:
            return self._call(inference.reconstruct, [encoder], image, **options)
        space, other = (self.catalog.facts(name)["latent_space"] for name in (encoder, decoder))
        if space is None or space != other:
            raise InputError(
                f"{decoder} cannot decode what {encoder} encoded: they do not declare the same latent space."
            )
        return self._call(_across, [encoder, decoder], image, **options)

    def spread(self, name: str | None, image: Image.Image, seed: int) -> Spread:
        """How the model's latents lie, shown on an image of at most DRAWN pixels."""
        return self._call(spread, [name], image, min(DRAWN, self.catalog.facts(name)["image_size"]), seed)

    def decode(self, name: str | None, z: Tensor) -> Tensor:
        """uint8 images (n, C, H, W) that latents (n, C, h, w) decode to."""
        return self._call(_pixels, [name], z)

    def sample(
        self, name: str | None, n: int, seed: int, temperature: float, prior: str | None, small: bool = False
    ) -> Drawn:
        """n new images, of the model's best prior if none is named; InputError beyond MAX_PIXELS in all.

        small: at most DRAWN pixels wide, if the model can."""
        return self._call(_sample, [name], n, seed, temperature, prior, small)

    def fitted(self, name: str | None) -> bool:
        """Whether priors lie beside the model's weights; nothing is read of them."""
        return _stamp(str(self.catalog.source(name))) > 0

    def interpolate(
        self,
        name: str | None,
        endpoints: Sequence[Endpoint],
        steps: int,
        mode: str | None,
        kind: str = "path",
        small: bool = False,
        report: Report | None = None,
    ) -> Drawn:
        """vae.inference.interpolate with the model of that name, for as many endpoints as ENDPOINTS says; the last
        ones are kept, so that a visitor who then wants them as a file need not wait again.

        mode: None for "prior" where the model has one to go through, else "slerp". small as in `sample`, so that its
        samples are found again; report as in `reconstruct`."""
        source = str(self.catalog.source(name))
        key = source, _stamp(source), tuple(map(_fingerprint, endpoints)), steps, mode, kind, small
        found = self._interpolations.get(key)
        if found is None:
            options = {"progress": self._progress(report)}
            found = self._call(_interpolate, [name], endpoints, steps, mode, kind, small, **options)
            self._interpolations.put(key, found)
        return found


def _reconstruct(model: AutoEncoder, image: Image.Image, sample: bool, seed: int | None, **options) -> Seen:
    found = inference.reconstruct(model, image, sample, seed, **options)
    return Seen(**vars(found), unusual=if_measured(model, image, options["clean_photo"]))


def _across(encoder: AutoEncoder, decoder: AutoEncoder, image: Image.Image, **options) -> Reconstruction:
    return inference.reconstruct(encoder, image, decoder=decoder, **options)


def _pixels(model: AutoEncoder, z: Tensor) -> Tensor:
    return to_uint8(decode(model, z)).cpu()


def _sample(model: AutoEncoder, n: int, seed: int, temperature: float, prior: str | None, small: bool) -> Drawn:
    prior = prior or priors.best(model)
    size = _side(model, small, [prior])
    _check_shown(model)
    _check_room(n, size)
    return _with_priors(model, inference.generate(model, n, seed, temperature, prior, size))


def _interpolate(
    model: AutoEncoder,
    endpoints: Sequence[Endpoint],
    steps: int,
    mode: str | None,
    kind: str,
    small: bool,
    progress: inference.Progress | None = None,
) -> Drawn:
    least, most = ENDPOINTS[kind]
    if not least <= len(endpoints) <= most:
        wanted = least if least == most else f"{least} to {most}"
        raise InputError(f"A {kind} takes {wanted} endpoints, not {len(endpoints)}.")
    mode = mode or ("prior" if priors.can_pass(model) else "slerp")
    through = priors.for_paths(model) if mode == "prior" else None
    drawn_from = through.kind if through else "normal"
    names = [end.prior or drawn_from for end in endpoints if isinstance(end, Draw)]
    points = any(isinstance(end, Tensor) for end in endpoints)  # these are of the model's own size
    size = _side(model, small and not points, names + ([drawn_from] if through else []))
    _check_shown(model)
    if isinstance(steps, int):
        _check_room({"path": steps, "grid": steps**2, "loop": steps * len(endpoints)}[kind], size)
    return _with_priors(model, inference.interpolate(model, endpoints, steps, mode, kind, size, progress))


def _with_priors(model: AutoEncoder, found: Generated) -> Drawn:
    return Drawn(
        **vars(found), priors=tuple(model.priors), passable=priors.can_pass(model), refused=model.refused_priors
    )


def _side(model: AutoEncoder, small: bool, names: Sequence[str]) -> int:
    """Side in pixels of what is drawn; fitted priors know only the model's own size."""
    side = model.config.sample_size
    free = small and not model.config.fixed_size and all(name == "normal" for name in names)
    return min(side, DRAWN) if free else side


def _check_shown(model: AutoEncoder) -> None:
    channels = getattr(model.config, "out_channels", model.in_channels)
    if channels not in (1, 3):
        raise InputError(f"This model makes images of {channels} channels; those of 1 or 3 can be shown.")


def _check_room(n: int, size: int) -> None:
    most = MAX_PIXELS // size**2
    if most < 1:
        raise InputError(
            f"An image of this model has {size}x{size} pixels; up to {math.isqrt(MAX_PIXELS)} a side are drawn here."
        )
    if n > most:
        raise InputError(f"{n} images of this model are too many at once; up to {min(most, 4096)} are accepted.")


def _fingerprint(endpoint: Endpoint) -> object:
    """What says whether two endpoints are the same, without keeping their pixels."""
    if isinstance(endpoint, Tensor):
        return hashlib.sha256(endpoint.numpy().tobytes()).digest()
    if isinstance(endpoint, Image.Image):
        image = flatten(endpoint)
        return image.mode, image.size, hashlib.sha256(image.tobytes()).digest()
    return endpoint


def _stamp(source: str) -> int:
    """When the priors beside a model's weights were written; 0 if there are none, or it is not on this machine."""
    place = Path(source).expanduser()
    try:
        return ((place if place.is_dir() else place.parent) / priors.FILE).stat().st_mtime_ns
    except (OSError, ValueError):
        return 0
