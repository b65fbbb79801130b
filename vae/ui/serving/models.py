"""All of the page's computing with models: the one owner of loaded models, of their locks and of the device."""

import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from vae import images, inference
from vae.checkpoints.store import load
from vae.errors import InputError
from vae.latents import priors
from vae.metrics import psnr, ssim
from vae.models import AutoEncoder
from vae.ui.serving import drawing, jobs
from vae.ui.serving.catalog import Catalog
from vae.ui.serving.drawing import DRAWN, Endpoint, Pictures
from vae.ui.serving.jobs import Box, Size, Spread
from vae.ui.serving.lru_cache import LruCache, fingerprint
from vae.ui.serving.tasks import Report

KEPT = 2  # models in memory
WAYS = 128_000_000  # bytes of the last interpolations, for those who then want them as a file

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Rebuilt(inference.Reconstruction):
    """tile: the side in pixels of the tiles it was computed in; 0 if whole."""

    tile: int = 0


@dataclass(frozen=True)
class Compared:
    """One model's, or one pair's, view of a picture. box as in jobs.Encoded, tile as in Rebuilt. bits_per_pixel counts
    16 bits for each number of the latent."""

    original: Image.Image
    image: Image.Image
    box: Box
    psnr: float
    ssim: float
    latent_shape: tuple[int, int, int]
    bits_per_pixel: float
    seconds: float
    tile: int


class ModelServer:
    """Loads models when they are first asked for and keeps the last two. One call at a time computes with a model."""

    def __init__(self, catalog: Catalog):
        self.catalog = catalog
        self._models: OrderedDict[str, AutoEncoder] = OrderedDict()
        self._stamps: dict[str, int] = {}
        self._ways = LruCache(WAYS)
        self._locks: dict[str, threading.Lock] = {}
        self._lock = threading.Lock()
        self._run = on_gpu(self._compute)

    # What runs on the GPU's side on ZeroGPU: everything in and out of it can be pickled.
    def _compute(self, job: Callable, source: str, *arguments):
        with self._lock:
            lock = self._locks.setdefault(source, threading.Lock())
        with lock, torch.inference_mode():
            return job(self._model(source), *arguments)

    def _model(self, source: str, progress: Progress | None = None) -> AutoEncoder:
        """The model, loaded if need be, and again once other priors lie beside it. A live run's newest checkpoint is
        another source than its last one."""
        stamp = _stamp(source)
        with self._lock:
            if source in self._models and self._stamps[source] == stamp:
                self._models.move_to_end(source)
                return self._models[source]
            self._models.pop(source, None)
        self._make_room(KEPT - 1)
        model = load(source, progress=progress)
        with self._lock:
            self._models[source], self._stamps[source] = model, stamp
        self._make_room(KEPT)
        return model

    def _make_room(self, kept: int) -> None:
        """Lets go of the models that were not used for longest, until there are `kept`."""
        with self._lock:
            while len(self._models) > kept:
                gone, _ = self._models.popitem(last=False)
                self._locks.pop(gone, None)
                self._stamps.pop(gone, None)

    def open(self, name: str, progress: Progress | None = None) -> dict:
        """Download the model of that name if need be, load it, and return its facts. progress(bytes done, in all)."""
        source = str(self.catalog.source(name))
        if zero_gpu():  # its workers cannot report, and forget what they load
            return self.catalog.facts(name, load(source, device="cpu", progress=progress))
        with self._lock:
            lock = self._locks.setdefault(source, threading.Lock())
        with lock:
            return self.catalog.facts(name, self._model(source, progress))

    def _call(self, job: Callable, name: str | None, *arguments):
        try:
            return self._run(job, str(self.catalog.source(name)), *arguments)
        except torch.OutOfMemoryError:
            raise InputError(
                "The device has too little memory for this; try a smaller picture or a smaller number."
            ) from None

    def reconstruct(
        self,
        name: str | None,
        image: Image.Image,
        sample: bool = False,
        seed: int | None = None,
        size: Size | None = None,
        report: Report | None = None,
    ) -> Rebuilt:
        """vae.reconstruct on the model of that name, everything on the CPU, and large pictures in tiles.

        report(what is done now, which share of it) may raise, which ends the work.
        """
        report, size = _reachable(report), size or Size()
        report("Opening the model", None)
        found = self._call(jobs.encode, name, image, size, report)
        if sample and seed is None:
            seed = inference.draw_seed()
        z = found.posterior.sample(inference.make_generator(seed)) if sample else found.posterior.mode()
        rebuilt, seconds = self._call(jobs.decode, name, z, found.original, size.tile, report)
        before, after = images.to_tensor(found.original), images.to_tensor(rebuilt)
        return Rebuilt(
            image=rebuilt,
            original=found.original,
            latent=z,
            posterior=found.posterior,
            psnr=psnr(before, after).item(),
            ssim=ssim(before, after).item(),
            latent_shape=tuple(z.shape[1:]),
            compression=before.numel() / z.numel(),
            seconds=found.seconds + seconds,
            seed=seed if sample else None,
            tile=found.tile,
        )

    def compare(self, encoder: str, decoder: str, image: Image.Image, report: Report | None = None) -> Compared:
        """A picture through one model's encoder and another's, or the same one's, decoder. report as in `reconstruct`.

        Raises InputError where the two do not declare the same latent space.
        """
        report, size = _reachable(report), Size()
        report("Opening the model", None)
        if encoder == decoder:
            found = self._call(jobs.encode, encoder, image, size, report)
            latent = found.posterior.mode()
            rebuilt, seconds = self._call(jobs.decode, decoder, latent, found.original, size.tile, report)
        else:
            spaces = [self.catalog.facts(name)["latent_space"] for name in (encoder, decoder)]
            if spaces[0] is None or spaces[0] != spaces[1]:
                raise InputError(
                    f"{decoder} cannot decode what {encoder} encoded: they do not declare the same latent space."
                )
            found, latent = self._call(jobs.encode_shared, encoder, image, size, report)
            report("Opening the decoder", None)
            rebuilt, seconds = self._call(jobs.decode_shared, decoder, latent, found.original, size.tile, report)
        before, after = images.to_tensor(found.original), images.to_tensor(rebuilt)
        return Compared(
            original=found.original,
            image=rebuilt,
            box=found.box,
            psnr=psnr(before, after).item(),
            ssim=ssim(before, after).item(),
            latent_shape=tuple(latent.shape[1:]),
            bits_per_pixel=16 * latent.numel() / (found.original.width * found.original.height),
            seconds=found.seconds + seconds,
            tile=found.tile,
        )

    def spread(self, name: str | None, image: Image.Image, seed: int) -> Spread:
        """How the model's latents lie, shown on a picture of at most DRAWN pixels."""
        side = min(DRAWN, self.catalog.facts(name)["image_size"])
        return self._call(jobs.spread, name, image, side, seed)

    def decode(self, name: str | None, z: Tensor) -> Tensor:
        """uint8 pictures (n, C, H, W) that latents (n, C, h, w) decode to."""
        return self._call(jobs.paint, name, z)

    def sample(
        self, name: str | None, n: int, seed: int, temperature: float, prior: str | None, small: bool = False
    ) -> Pictures:
        """n new pictures, of the model's best prior if none is named; InputError beyond MAX_PIXELS in all.

        small: at most DRAWN pixels wide, if the model can."""
        return self._call(drawing.sample, name, n, seed, temperature, prior, small)

    def fitted(self, name: str | None) -> bool:
        """Whether priors lie beside the model's weights; nothing is read of them."""
        return _stamp(str(self.catalog.source(name))) > 0

    def interpolate(
        self,
        name: str | None,
        ends: Sequence[Endpoint],
        steps: int,
        mode: str | None,
        kind: str = "path",
        small: bool = False,
        report: Report | None = None,
    ) -> Pictures:
        """The pictures of a way through two ends or more, as drawing.travel gives them; the last ones are kept, so that
        a visitor who then wants them as a file need not wait again. small as in `sample`, so that its samples are found
        again; report as in `reconstruct`."""
        report = _reachable(report)
        report("Opening the model", None)
        source = str(self.catalog.source(name))
        key = source, _stamp(source), fingerprint(ends), steps, mode, kind, small
        found = self._ways.get(key)
        if found is None:
            found = self._call(drawing.travel, name, kind, ends, steps, mode, small, report)
            self._ways.keep(key, found, found.pixels.nbytes)
        return found


def zero_gpu() -> bool:
    """Whether each call gets a GPU for its own duration only, in a process of its own."""
    return bool(os.environ.get("SPACES_ZERO_GPU"))


def on_gpu(function: Callable) -> Callable:
    """On ZeroGPU `function` wrapped so that it gets a GPU for its duration; elsewhere itself."""
    if not zero_gpu():
        return function
    import spaces

    return spaces.GPU(function)


def _reachable(report: Report | None) -> Report:
    """The report, where it can reach the page from where the work is done."""
    return report if report is not None and not zero_gpu() else jobs.no_report


def _stamp(source: str) -> int:
    """When the priors beside a model's weights were written; 0 if there are none, or it is not on this machine."""
    place = Path(source).expanduser()
    try:
        return ((place if place.is_dir() else place.parent) / priors.FILE).stat().st_mtime_ns
    except (OSError, ValueError):
        return 0


def runs_folder() -> Path:
    """Where the page's runs live, as an absolute path."""
    from vae.training.runs import runs_dir

    return runs_dir().resolve()
