"""All of the page's computing with models: the one owner of loaded models, of their locks and of the device."""

import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from vae import images, inference, latents
from vae.checkpoints import load
from vae.errors import InputError
from vae.metrics import psnr, ssim
from vae.models import AutoEncoder
from vae.ui import jobs
from vae.ui.catalog import Catalog
from vae.ui.jobs import Box, Size, Spread
from vae.ui.progress import Report

KEPT = 2  # models in memory
DRAWN = 256  # side in pixels of what is drawn from noise on the page, for models that take any size and are large
MAX_PIXELS = 48_000_000  # in one answer of many pictures


@dataclass(frozen=True)
class Draw:
    """A latent from a prior: number `index` of the `n` that `vae.sample` draws with that seed."""

    seed: int
    index: int = 0
    temperature: float = 1.0
    prior: str = "normal"


Progress = Callable[[int, int], None]
End = Draw | Image.Image  # of an interpolation: a picture's latent is its posterior's mean


@dataclass(frozen=True)
class Pictures:
    """uint8 (n, C, H, W), the seconds they took, and the model's priors."""

    pixels: Tensor
    seconds: float
    priors: tuple[str, ...]


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


class Engine:
    """Loads models when they are first asked for and keeps the last two. One call at a time computes with a model."""

    def __init__(self, catalog: Catalog):
        self.catalog = catalog
        self._models: OrderedDict[str, AutoEncoder] = OrderedDict()
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
        """The model, loaded if need be. A live run's newest checkpoint is another source than its last one."""
        with self._lock:
            if source in self._models:
                self._models.move_to_end(source)
                return self._models[source]
        self._make_room(KEPT - 1)
        model = load(source, progress=progress)
        with self._lock:
            self._models[source] = model
        self._make_room(KEPT)
        return model

    def _make_room(self, most: int) -> None:
        with self._lock:
            while len(self._models) > most:
                gone, _ = self._models.popitem(last=False)
                self._locks.pop(gone, None)

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
                "The device has too little memory for this; a smaller picture or number will do."
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
        report, size = _heard(report), size or Size()
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
        report, size = _heard(report), Size()
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
        self, name: str | None, n: int, seed: int, temperature: float, prior: str, small: bool = False
    ) -> Pictures:
        """n new pictures; InputError beyond MAX_PIXELS in all. small: at most DRAWN pixels wide, if the model can."""
        return self._call(_sample, name, n, seed, temperature, prior, small)

    def interpolate(self, name: str | None, a: End, b: End, steps: int, mode: str, small: bool = False) -> Pictures:
        """`steps` pictures on the way from a to b. small as in `sample`, so that its samples are found again."""
        return self._call(_interpolate, name, a, b, steps, mode, small)


def zero_gpu() -> bool:
    """Whether each call gets a GPU for its own duration only, in a process of its own."""
    return bool(os.environ.get("SPACES_ZERO_GPU"))


def on_gpu(function: Callable) -> Callable:
    """On ZeroGPU `function` wrapped so that it gets a GPU for its duration; elsewhere itself."""
    if not zero_gpu():
        return function
    import spaces

    return spaces.GPU(function)


def _heard(report: Report | None) -> Report:
    """The report, where it can reach the page from where the work is done."""
    return report if report is not None and not zero_gpu() else jobs.unheard


def _sample(model: AutoEncoder, n: int, seed: int, temperature: float, prior: str, small: bool) -> Pictures:
    size = _side(model, small, prior)
    if isinstance(n, int):
        _room(n, size)
    start = time.perf_counter()
    z = inference.sample_latents(model, n, seed, temperature, prior, size)
    batch = max(1, min(64, 64 * 64**2 // size**2))  # bounds the memory; the pictures are the same
    pictures = torch.cat([images.to_uint8(inference.decode(model, part)).cpu() for part in z.split(batch)])
    return Pictures(pictures, time.perf_counter() - start, tuple(model.priors))


def _interpolate(model: AutoEncoder, a: End, b: End, steps: int, mode: str, small: bool) -> Pictures:
    size = _side(model, small, *(end.prior for end in (a, b) if isinstance(end, Draw)))
    if isinstance(steps, int):
        _room(steps, size)
    start = time.perf_counter()
    path = latents.interpolate(_latent(model, a, size), _latent(model, b, size), steps, mode)
    batch = max(1, min(16, 64 * 64**2 // size**2))
    frames = torch.cat([images.to_uint8(inference.decode(model, part)).cpu() for part in path.split(batch)])
    return Pictures(frames, time.perf_counter() - start, tuple(model.priors))


def _latent(model: AutoEncoder, end: End, size: int) -> Tensor:
    """(C, h, w) on the CPU, of a picture size x size, so that any two ends fit together."""
    if isinstance(end, Draw):
        return inference.sample_latents(model, end.index + 1, end.seed, end.temperature, end.prior, size)[end.index]
    fitted = images.fit(end, size, model.in_channels, border=model.config.border)
    return inference.encode(model, images.to_tensor(fitted).to(model.device)).mode()[0].cpu()


def _side(model: AutoEncoder, small: bool, *priors: str) -> int:
    """Side in pixels of what is drawn; fitted priors know only the model's own size."""
    side = model.config.sample_size
    free = small and not model.config.fixed_size and all(prior == "normal" for prior in priors)
    return min(side, DRAWN) if free else side


def _room(n: int, size: int) -> None:
    most = max(1, MAX_PIXELS // size**2)
    if n > most:
        raise InputError(f"{n} pictures of this model are too many at once; up to {min(most, 4096)} are accepted.")


def runs_folder() -> Path:
    """Where the page's runs live, as an absolute path."""
    from vae.runs import runs_dir

    return runs_dir().resolve()
