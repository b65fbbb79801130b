"""Where the page's computing runs on ZeroGPU: in a process that has a GPU for the time of a call.

That process is forked from the app's. So what was put on "cuda" while the app was being made is on the GPU when it
begins, and what was only loaded is in its memory; nothing needs to be read again. What it learns itself is lost.
"""

import logging
from collections.abc import Callable, Sequence
from typing import Any

import torch

from vae import inference
from vae.checkpoints.store import load
from vae.device import pick_device
from vae.errors import InputError
from vae.models import AutoEncoder
from vae.ui.serving.jobs import DRAWN, LIGHT, Call, answer, frames, stamp
from vae.ui.serving.loaded_models import KEPT, LoadedModels
from vae.ui.serving.lru_cache import LruCache

log = logging.getLogger(__name__)

# What a call takes, in seconds. Shorter ones come first in the queue, and what a visitor may have is counted; one that
# takes longer than it said is ended.
BEGIN, MOST = 5.0, 55.0  # for the process to begin, and what Spaces let anonymous visitors ask for at once
OPERATIONS = 0.2  # for each parameter and pixel; Stable Diffusion's network has 0.16, encoded and decoded
SPEED = 5e12  # operations in a second, a tenth of what the GPU could do
READING = 1e8  # parameters read in a second, of a model that the app does not have in memory
UNKNOWN = 100_000_000, 512  # parameters and side in pixels that such a model is taken to have
DIFFUSION = 0.012  # for each step of each draw from a diffusion prior, which is computed on a CPU


class ZeroGpuModels:
    """Models that lie ready for a GPU. Each call of `answers` takes the GPU once, for as long as its work needs.

    Made where the app is made, in its main thread: only there "cuda" can be written to before there is a GPU.
    """

    reports = False
    together = True

    def __init__(self, ready: Sequence[str]):
        """ready: what vae.load takes for the models that are to be on the GPU from the beginning."""
        import spaces  # before anything asks for CUDA

        self._ready: dict[str, tuple[AutoEncoder, int]] = {}
        for source in ready:
            try:
                model = load(source, device="cpu").to(memory_format=torch.contiguous_format)
                self._ready[source] = model.to("cuda"), stamp(source)
            except InputError as error:  # the page says it again to whoever chooses this model
                log.warning("%s is not kept ready: %s", source, error)
        self._opened: LruCache[tuple[AutoEncoder, int]] = LruCache(KEPT)  # on the CPU, until they are needed
        self._beside = LoadedModels(device="cpu")
        self._on_gpu = spaces.GPU(self._answers, duration=self._duration)

    def answers(self, calls: Sequence[Call], progress: inference.Progress | None = None) -> list[Any]:
        """As LoadedModels has it. What moving over a map or drawing asks for many times a second is computed here on
        the CPU, and so is what needs no more."""
        if all(call.job in LIGHT for call in calls):
            return self._beside.answers(calls)
        return self._on_gpu(list(calls))

    def open(self, source: str, progress: Callable[[int, int], None] | None = None) -> AutoEncoder:
        """The model, loaded here if need be, so that the GPU's process finds it in its memory."""
        found = self._find(source)
        if found is None:
            found = load(source, device="cpu", progress=progress)
            self._opened.put(source, (found, stamp(source)))
        return found

    def _find(self, source: str) -> AutoEncoder | None:
        found = self._ready.get(source) or self._opened.get(source)
        return found[0] if found is not None and found[1] == stamp(source) else None

    # From here on in the GPU's process. All that goes in and out is pickled; of exceptions Spaces keep the class only,
    # so they come back as results.
    def _answers(self, calls: list[Call]) -> list[Any]:
        results: list[Any] = []
        for call in calls:
            try:
                results.append(answer(call, self._model))
            except InputError as error:
                results.append(error)
        return results

    def _model(self, source: str) -> AutoEncoder:
        device, found = pick_device(), self._find(source)
        if found is not None and found.device.type == device.type:
            return found
        if found is None:
            found = load(source, device=device)
        else:
            found = found.to(memory_format=torch.contiguous_format).to(device)
        self._opened.put(source, (found, stamp(source)))  # for the next call, if this process gets one
        return found

    def _duration(self, calls: list[Call]) -> int:
        return round(min(MOST, BEGIN + sum(self._seconds(call) for call in calls)))

    def _seconds(self, call: Call) -> float:
        models = [self._find(source) for source in call.sources]
        parameters, side = UNKNOWN
        if models[0] is not None:
            parameters, side = models[0].parameter_count, models[0].config.sample_size
        # A call with a second model computes as much with it as with the first, or only asks for its priors.
        parameters = max([parameters, *(model.parameter_count for model in models if model is not None)])
        seconds = OPERATIONS * parameters * _pixels(call, models[0], side) / SPEED
        if call.job in ("sample", "interpolate") and models[0] is not None:
            seconds += _diffusion_steps(call, models[0]) * DIFFUSION
        return seconds + sum(UNKNOWN[0] / READING for model in models if model is None)


def _diffusion_steps(call: Call, model: AutoEncoder) -> int:
    """In how many steps in all a diffusion prior draws what the call asks for."""
    prior, told = model.fitted_priors.get("diffusion"), call.arguments
    if prior is None:
        return 0
    if call.job == "sample":
        return told["n"] * (told["steps"] or prior.steps) if told["prior"] in (None, "diffusion") else 0
    through = told["mode"] in (None, "prior") and inference.drawn_by_diffusion(told["endpoints"])
    return frames(told["kind"], told["steps"], len(told["endpoints"])) * prior.steps if through else 0


def _pixels(call: Call, model: AutoEncoder | None, side: int) -> int:
    """How many pixels a call decodes, about."""
    told, free = call.arguments, model is None or not model.config.fixed_size
    if call.job == "measured":
        return 3 * told["pixels"].shape[0] * told["pixels"].shape[-1] ** 2  # the others for what judges them
    if call.job in ("reconstruct", "across", "stressed"):
        width, height = told["image"].size
        scale = min(1.0, (told.get("max_side") or max(width, height)) / max(width, height))
        times = max(8, told.get("cycles") or 0) if call.job == "stressed" else 1
        return times * (round(width * height * scale**2) if free else side**2)
    if call.job == "spread":
        return 2 * told["side"] ** 2
    side = min(side, DRAWN) if free and told["small"] else side
    count = told["n"] if call.job == "sample" else frames(told["kind"], told["steps"], len(told["endpoints"]))
    return count * side**2
