"""All of the page's computing with models: what each use case asks for, by models' names.

What is computed is in jobs.py, and where: in this process, on ZeroGPU or on a cluster, is for a backend to know.
"""

import hashlib
import threading
from collections.abc import Callable, Hashable, Sequence
from pathlib import Path
from typing import Any, Protocol

from PIL import Image
from torch import Tensor

from vae import inference, limits
from vae.errors import InputError
from vae.images import flatten
from vae.inference import Endpoint, Reconstruction
from vae.models import AutoEncoder
from vae.ui.serving.catalog import Catalog
from vae.ui.serving.jobs import DRAWN, UNKEPT, Call, Drawn, Seen, fitted, stamp
from vae.ui.serving.loaded_models import LoadedModels
from vae.ui.serving.lru_cache import LruCache
from vae.ui.serving.tasks import Report

RESULTS = 128_000_000  # bytes of the last results, for those who ask for the same again

Work = Callable[..., Any]  # work(report=None)


class Backend(Protocol):
    """Where calls are answered. reports: whether progress comes back from there. together: whether several calls are
    better made at once, and repeated ones not at all."""

    reports: bool
    together: bool

    def answers(self, calls: Sequence[Call], progress: inference.Progress | None = None) -> list[Any]:
        """The result of each call; an InputError in place of one that was refused."""

    def open(self, source: str, progress: Callable[[int, int], None] | None = None) -> AutoEncoder | None:
        """Have the model at hand there; it itself, if it is in this process. progress(bytes done, in all)."""


class ModelServer:
    """Each method that computes is one call of the backend: on ZeroGPU one acquisition of the GPU, elsewhere one turn
    of the model."""

    def __init__(self, catalog: Catalog, backend: Backend | None = None):
        """backend: this process unless given."""
        self.catalog, self.backend = catalog, backend or LoadedModels()
        self._results: LruCache[Any] = LruCache(RESULTS, _size)

    def open(self, name: str, progress: Callable[[int, int], None] | None = None) -> dict:
        """Download the model of that name if need be, load it, and return its facts. progress(bytes done, in all)."""
        with self.catalog.audience.limits():
            return self.catalog.facts(name, self.backend.open(str(self.catalog.source(name)), progress))

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
        options = {"sample": sample, "seed": seed, "max_side": max_side, "tile": tile, "clean_photo": clean_photo}
        return self.answer(self._call("reconstruct", [name], image=image, **options), report)

    def sketch(self, name: str | None, image: Image.Image, max_side: int) -> Reconstruction:
        """As `reconstruct`, of a drawing that is not finished."""
        return self.answer(self._call("sketch", [name], image=image, max_side=max_side))

    def compare_call(self, encoder: str, decoder: str, image: Image.Image, max_side: int = 1024) -> Call:
        """An image through one model's encoder and another's, or the same one's, decoder.

        Raises InputError where the two do not declare the same latent space.
        """
        if encoder == decoder:
            return self._call("reconstruct", [encoder], image=image, max_side=max_side)
        space, other = (self.catalog.facts(name)["latent_space"] for name in (encoder, decoder))
        if space is None or space != other:
            raise InputError(
                f"{decoder} cannot decode what {encoder} encoded: they do not declare the same latent space."
            )
        return self._call("across", [encoder, decoder], image=image, max_side=max_side)

    def spread_call(self, name: str | None, image: Image.Image, seed: int) -> Call:
        """How the model's latents lie, shown on an image of at most DRAWN pixels."""
        side = min(DRAWN, self.catalog.facts(name)["image_size"])
        return self._call("spread", [name], image=image, side=side, seed=seed)

    def measured_call(self, name: str | None, pixels: Tensor, **options) -> Call:
        """Figures of a batch of images, as bench_jobs.measured has them."""
        return self._call("measured", [name], pixels=pixels, **options)

    def stress_call(self, name: str | None, image: Image.Image, **options) -> Call:
        """What a reconstruction bears, as bench_jobs.stressed has it."""
        return self._call("stressed", [name], image=image, **options)

    def overview_call(self, folder: Path, **arguments) -> Call:
        """A small bundled run at a glance, as overview.py has it; no visitor names its folder."""
        return Call("overview", (str(folder),), arguments)

    def decode(self, name: str | None, z: Tensor) -> Tensor:
        """uint8 images (n, C, H, W) that latents (n, C, h, w) decode to."""
        return self.answer(self._call("pixels", [name], z=z))

    def decode_one(self, name: str | None, z: Tensor, height: int, width: int, report: Report | None = None) -> Tensor:
        """The uint8 image (C, height, width) that one latent (C, h, w) decodes to, the rest of it cut off; report as in
        `reconstruct`."""
        return self.answer(self._call("latent", [name], z=z, height=height, width=width), report)

    def sample(
        self,
        name: str | None,
        n: int,
        seed: int,
        temperature: float,
        prior: str | None,
        small: bool = False,
        label: str | None = None,
        steps: int | None = None,
    ) -> Drawn:
        """n new images, of the model's best prior if none is named; InputError beyond MAX_PIXELS in all.

        small: at most DRAWN pixels wide, if the model can. label, steps: as vae.sample has them."""
        return self.answer(self.sample_call(name, n, seed, temperature, prior, small, label=label, steps=steps))

    def sample_call(
        self,
        name: str | None,
        n: int,
        seed: int,
        temperature: float,
        prior: str | None,
        small: bool = False,
        instead: bool = False,
        beside: str | None = None,
        label: str | None = None,
        steps: int | None = None,
    ) -> Call:
        """instead, beside, label, steps: as jobs.sample has them."""
        options = {"n": n, "seed": seed, "temperature": temperature, "prior": prior}
        options |= {"small": small, "instead": instead, "label": label, "steps": steps}
        return self._call("sample", [name, beside] if beside else [name], **options)

    def fitted(self, name: str | None) -> tuple[str, ...]:
        """The priors beside the model's weights, as their file names them; nothing more is read of it."""
        return fitted(str(self.catalog.source(name)))

    def interpolate(
        self,
        name: str | None,
        endpoints: Sequence[Endpoint],
        steps: int,
        mode: str | None,
        kind: str = "path",
        small: bool = False,
        instead: bool = False,
        report: Report | None = None,
        clean_photo: bool = True,
    ) -> Drawn:
        """vae.inference.interpolate with the model of that name, for as many endpoints as ENDPOINTS says; the last
        ones are kept, so that a visitor who then wants them as a file need not wait again.

        mode: None for "prior" where the model has one to go through, else "slerp"; instead: the same where "prior" is
        asked for. small as in `sample`, so that its samples are found again; report and clean_photo as in
        `reconstruct`."""
        options = {"steps": steps, "mode": mode, "kind": kind, "small": small, "instead": instead}
        options["clean_photo"] = clean_photo
        return self.answer(self._call("interpolate", [name], endpoints=tuple(endpoints), **options), report)

    def together(self, calls: Sequence[Callable[[], Call]]) -> list[Work]:
        """What one click asks for, as work to be done in this order: work(report) returns the result or raises what
        making the call or answering it raised. On ZeroGPU the first takes the GPU, once, for all."""
        lock, found = threading.Lock(), []

        def answered() -> list[Any]:
            with lock:
                if not found:
                    found.extend(self._answers_at_once([_made(call) for call in calls]))
            return found

        def work(index: int) -> Work:
            def do(report: Report | None = None) -> Any:
                if self.backend.together:
                    return _or_raise(answered()[index])
                return self.answer(calls[index](), report)

            return do

        return [work(index) for index in range(len(calls))]

    def _answers_at_once(self, calls: Sequence[Call | InputError]) -> list[Any]:
        keys = [None if isinstance(call, InputError) else self._key(call) for call in calls]
        found = [self._results.get(key) if key is not None else None for key in keys]
        missing = [i for i, call in enumerate(calls) if isinstance(call, Call) and found[i] is None]
        if missing:
            for i, result in zip(missing, self.backend.answers([calls[i] for i in missing]), strict=True):
                found[i] = result
                self._keep(keys[i], result)
        return [call if isinstance(call, InputError) else result for call, result in zip(calls, found, strict=True)]

    def answer(self, call: Call, report: Report | None = None) -> Any:
        """What the call returns; raises what it raised. report as in `reconstruct`."""
        key = self._key(call)
        found = None if key is None else self._results.get(key)
        if found is None:
            (found,) = self.backend.answers([call], self._progress(report))
            self._keep(key, found)
        return _or_raise(found)

    def _keep(self, key: Hashable, result: Any) -> None:
        if key is not None and not isinstance(result, InputError):
            self._results.put(key, result)

    def _call(self, job: str, names: Sequence[str | None], **arguments) -> Call:
        with self.catalog.audience.limits():
            strangers = limits.share() is limits.STRANGER
        return Call(job, tuple(str(self.catalog.source(name)) for name in names), arguments, strangers)

    def _key(self, call: Call) -> Hashable:
        """What says whether two calls have the same result; None for one whose result is not kept.

        A place on a map or half a drawing is seen once, and a posterior sample without a seed is another one each time.
        Of the rest all are kept where each call costs a GPU, and else what visitors want as a file next."""
        again = call.job == "interpolate" or (self.backend.together and call.job not in UNKEPT)
        if not again or (call.arguments.get("sample") and call.arguments.get("seed") is None):
            return None
        arguments = tuple(sorted((name, _fingerprint(value)) for name, value in call.arguments.items()))
        return call.job, call.sources, tuple(map(stamp, call.sources)), arguments

    def _progress(self, report: Report | None) -> inference.Progress | None:
        """The report, where it can reach the page from where the work is done."""
        if report is None or not self.backend.reports:
            return None
        report("Opening the model", None)
        return lambda what, done, total: report(what, done / total if total else None)


def _made(call: Callable[[], Call]) -> Call | InputError:
    try:
        return call()
    except InputError as error:
        return error


def _or_raise(result: Any) -> Any:
    if isinstance(result, InputError):
        raise result
    return result


def _fingerprint(value: Any) -> Hashable:
    """What says whether two arguments are the same, without keeping their pixels."""
    if isinstance(value, Tensor):
        return hashlib.sha256(value.numpy().tobytes()).digest()
    if isinstance(value, Image.Image):
        image = flatten(value)
        return image.mode, image.size, hashlib.sha256(image.tobytes()).digest()
    return tuple(map(_fingerprint, value)) if isinstance(value, tuple) else value


def _size(result: Any) -> int:
    """Bytes that a result takes, about."""
    if isinstance(result, Drawn):
        return result.pixels.nbytes
    images = [value for value in vars(result).values() if isinstance(value, Image.Image)]
    pixels = sum(image.width * image.height * len(image.getbands()) for image in images)
    return pixels + (3 * result.latent.nbytes if isinstance(result, Reconstruction) else 0)
