"""All of the page's computing with models: the one owner of loaded models, of their locks and of the device."""

import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from vae import images, inference, latents
from vae.checkpoints import load
from vae.distributions import DiagonalGaussian
from vae.errors import InputError
from vae.metrics import psnr, ssim
from vae.models import AutoEncoder
from vae.ui.catalog import Catalog

KEPT = 2  # models in memory
MAX_SIDE = 1024  # pixels, for models that take any size
MAX_PIXELS = 48_000_000  # in one answer of many pictures


def quiet(what: str, share: float | None) -> None:
    """A report that nobody reads."""


@dataclass(frozen=True)
class Draw:
    """A latent from a prior: number `index` of the `n` that `vae.sample` draws with that seed."""

    seed: int
    index: int = 0
    temperature: float = 1.0
    prior: str = "normal"


Progress = Callable[[int, int], None]
Report = Callable[[str, float | None], None]
End = Draw | Image.Image  # of an interpolation: a picture's latent is its posterior's mean


@dataclass(frozen=True)
class Pictures:
    """uint8 (n, C, H, W), the seconds they took, and the model's priors."""

    pixels: Tensor
    seconds: float
    priors: tuple[str, ...]


@dataclass(frozen=True)
class Compared:
    """One model's, or one pair's, view of a picture.

    box: the region of the given picture that `original` shows: left, top, right, bottom in its pixels; it reaches
    beyond the picture where there is a border. bits_per_pixel counts 16 bits for each number of the latent.
    """

    original: Image.Image
    image: Image.Image
    box: tuple[float, float, float, float]
    psnr: float
    ssim: float
    latent_shape: tuple[int, int, int]
    bits_per_pixel: float
    encode_seconds: float
    decode_seconds: float


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
        self, name: str | None, image: Image.Image, sample: bool = False, seed: int | None = None
    ) -> inference.Reconstruction:
        """vae.reconstruct on the model of that name, everything on the CPU. Very large pictures are made smaller."""
        return self._call(_reconstruct, name, image, sample, seed)

    def compare(self, encoder: str, decoder: str, image: Image.Image, report: Report = quiet) -> Compared:
        """A picture through one model's encoder and another's, or the same one's, decoder.

        report(what is done now, which share of it or None) may raise, which ends the work.
        Raises InputError where the two do not declare the same latent space.
        """
        if encoder != decoder:
            spaces = [self.catalog.facts(name)["latent_space"] for name in (encoder, decoder)]
            if spaces[0] is None or spaces[0] != spaces[1]:
                raise InputError(
                    f"{decoder} cannot decode what {encoder} encoded: they do not declare the same latent space."
                )
        report = quiet if zero_gpu() else report
        report("Opening the model", None)
        shared = encoder != decoder
        original, box, latent, encoded = self._call(_encode, encoder, image, shared, report)
        if shared:
            report("Opening the decoder", None)
        rebuilt, decoded = self._call(_decode, decoder, latent, shared, original, report)
        before, after = images.to_tensor(original), images.to_tensor(rebuilt)
        return Compared(
            original=original,
            image=rebuilt,
            box=box,
            psnr=psnr(before, after).item(),
            ssim=ssim(before, after).item(),
            latent_shape=tuple(latent.shape[1:]),
            bits_per_pixel=16 * latent.numel() / (original.width * original.height),
            encode_seconds=encoded,
            decode_seconds=decoded,
        )

    def sample(self, name: str | None, n: int, seed: int, temperature: float, prior: str) -> Pictures:
        """n new pictures; InputError beyond MAX_PIXELS in all."""
        return self._call(_sample, name, n, seed, temperature, prior)

    def interpolate(self, name: str | None, a: End, b: End, steps: int, mode: str) -> Pictures:
        """`steps` pictures on the way from a to b."""
        return self._call(_interpolate, name, a, b, steps, mode)


def zero_gpu() -> bool:
    """Whether each call gets a GPU for its own duration only, in a process of its own."""
    return bool(os.environ.get("SPACES_ZERO_GPU"))


def on_gpu(function: Callable) -> Callable:
    """On ZeroGPU `function` wrapped so that it gets a GPU for its duration; elsewhere itself."""
    if not zero_gpu():
        return function
    import spaces

    return spaces.GPU(function)


def _reconstruct(model: AutoEncoder, image: Image.Image, sample: bool, seed: int | None) -> inference.Reconstruction:
    found = inference.reconstruct(model, _within(model, image), sample=sample, seed=seed)
    moments = found.posterior
    if moments.is_point:
        posterior = DiagonalGaussian.point(moments.mean.cpu())
    else:
        posterior = DiagonalGaussian(moments.mean.cpu(), moments.logvar.cpu())
    return replace(found, posterior=posterior)


def _encode(
    model: AutoEncoder, image: Image.Image, shared: bool, report: Report
) -> tuple[Image.Image, tuple, Tensor, float]:
    """The picture as the model sees it, which box of the given one that is, its latent on the CPU, and the seconds.
    A latent to be shared is scaled as diffusion models see it, which is what latent spaces agree on."""
    report("Encoding", None)
    original = inference.prepare(model, _within(model, image))
    x = images.to_tensor(original).to(model.device)
    start = time.perf_counter()
    latent = inference.encode(model, x).mode().float().cpu()
    seconds = time.perf_counter() - start
    return original, _box(model, image.size, original.size), latents.scale(model, latent) if shared else latent, seconds


def _decode(
    model: AutoEncoder, latent: Tensor, shared: bool, original: Image.Image, report: Report
) -> tuple[Image.Image, float]:
    """The picture that a latent of `original`, as _encode gives it, decodes to, and the seconds."""
    report("Decoding", None)
    size, channels = (original.height, original.width), 1 if original.mode == "L" else 3
    if (model.latent_channels, model.in_channels) != (latent.shape[1], channels):
        raise InputError("The decoder takes other latents, or paints in other colours, than the encoder.")
    start = time.perf_counter()
    x = inference.decode(model, latents.unscale(model, latent) if shared else latent, size).float().cpu()
    seconds = time.perf_counter() - start
    if x.shape[-2:] != size:
        raise InputError("The decoder paints pictures of another size than the encoder read.")
    return images.to_image(x[0]), seconds


def _within(model: AutoEncoder, image: Image.Image) -> Image.Image:
    """The picture, for a model that takes any size made smaller where it is larger than the page shows."""
    if model.config.fixed_size or max(image.size) <= MAX_SIDE:
        return image
    image = image.copy()
    image.thumbnail((MAX_SIDE, MAX_SIDE), Image.Resampling.LANCZOS)
    return image


def _box(model: AutoEncoder, given: tuple[int, int], seen: tuple[int, int]) -> tuple[float, float, float, float]:
    """Which region of a picture of the size given the model sees as its own picture: see images.fit."""
    (width, height), border = given, model.config.border
    if not model.config.fixed_size or given == seen:
        return 0.0, 0.0, float(width), float(height)
    scale = min(given) / (seen[0] - 2 * border)  # pixels given for each pixel seen
    left, top = (width - min(given)) / 2 - border * scale, (height - min(given)) / 2 - border * scale
    return left, top, left + seen[0] * scale, top + seen[1] * scale


def _sample(model: AutoEncoder, n: int, seed: int, temperature: float, prior: str) -> Pictures:
    if isinstance(n, int):
        _room(model, n)
    start = time.perf_counter()
    pictures = inference.sample(model, n, seed=seed, temperature=temperature, prior=prior)
    return Pictures(images.to_uint8(pictures), time.perf_counter() - start, tuple(model.priors))


def _interpolate(model: AutoEncoder, a: End, b: End, steps: int, mode: str) -> Pictures:
    if isinstance(steps, int):
        _room(model, steps)
    start = time.perf_counter()
    path = latents.interpolate(_latent(model, a), _latent(model, b), steps, mode)
    frames = torch.cat([images.to_uint8(inference.decode(model, part)).cpu() for part in path.split(16)])
    return Pictures(frames, time.perf_counter() - start, tuple(model.priors))


def _latent(model: AutoEncoder, end: End) -> Tensor:
    """(C, h, w) on the CPU, of the model's own picture size, so that any two ends fit together."""
    if isinstance(end, Draw):
        return inference.sample_latents(model, end.index + 1, end.seed, end.temperature, end.prior)[end.index]
    config = model.config
    fitted = images.fit(end, config.sample_size, model.in_channels, border=config.border)
    return inference.encode(model, images.to_tensor(fitted).to(model.device)).mode()[0].cpu()


def _room(model: AutoEncoder, n: int) -> None:
    most = max(1, MAX_PIXELS // model.config.sample_size**2)
    if n > most:
        raise InputError(f"{n} pictures of this model are too many at once; up to {min(most, 4096)} are accepted.")


def runs_folder() -> Path:
    """Where the page's runs live, as an absolute path."""
    from vae.runs import runs_dir

    return runs_dir().resolve()
