"""The training of a diffusion prior: watched, stopped and gone on with as a run is, in a folder beside the weights."""

import copy
import math
import shutil
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

from vae import images
from vae.data.image_set import ImageSet
from vae.errors import InputError
from vae.files import writing
from vae.inference import sample
from vae.latents import priors
from vae.latents.latent_set import LatentSet
from vae.latents.priors import diffusion_training
from vae.latents.priors.fitting import UPDATES, check_latents, fit_priors
from vae.models import AutoEncoder
from vae.training.process import give_way
from vae.training.recorder import STATE_SECONDS
from vae.training.runs import Run, RunWriter
from vae.training.stopping import REASONS, Stopped, Stopper, sentence

FOLDER = "diffusion-prior"
SEED = 0  # of the noise that is looked at


class PriorRun(RunWriter):
    """The folder of the prior's training beside a model's weights, there until it has finished.

    Its state.json has, besides a run's `state`, `reason` and `seconds_left`: step and steps, updates done and to do;
    share, of the images that are encoded. previews/ has the newest draws alone.
    """

    def __init__(self, model: Path):
        """model: the folder of the weights."""
        super().__init__(model / FOLDER)

    def _refuse_foreign(self) -> None:
        """What lies in a folder of this name is a prior's."""

    def look(self, step: int, png: bytes) -> None:
        """Keep these draws in the place of those before."""
        before = self.previews()
        self.preview("prior", step, 0, png)
        for preview in before:
            if preview["step"] != step:
                preview["path"].unlink(missing_ok=True)


def of(run: Run) -> PriorRun | None:
    """The prior's training beside the newest weights of a run; None if there is none that has not finished."""
    folder = run.model_folder()
    prior = folder and PriorRun(folder)
    return prior if prior and prior.exists() else None


def fit(
    model: AutoEncoder,
    data: ImageSet | LatentSet,
    weights: Sequence[Path],
    seed: int = 0,
    updates: int | None = None,
    max_minutes: float | None = None,
    background: bool = False,
    on_progress: Callable[[str, int, int], None] | None = None,
    mirror: bool | None = None,
) -> Stopper:
    """Fit a diffusion prior to a model's latents of an ImageSet, or a LatentSet, and store it beside the weights. One
    that was stopped or killed goes on where it was, at most a minute before.

    Stopped, by a request in its folder, after max_minutes or by a signal, it leaves the prior as it is by then, unless
    the model had one; `found` of what is returned, an index of stopping.REASONS, tells. seed, updates, on_progress
    and mirror: as fit_priors has them. background: as vae.fit has it.
    Raises InputError as fit_priors does, where the folder cannot be written, and while another trains there.
    """
    if isinstance(data, LatentSet):
        check_latents(model, data, mirror)
    updates = updates or UPDATES["diffusion"]
    writer = PriorRun(weights[0].parent)
    begun_before = (weights[0].parent / diffusion_training.FILE).is_file()
    if background:
        give_way()
    stopper = Stopper(writer, max_minutes)
    with writing(writer.folder), writer.locked(), stopper.listening():
        (writer.folder / "stop").unlink(missing_ok=True)
        step = writer.state().get("step", 0) if writer.exists() and begun_before else 0
        writer.update(state="starting", reason=None, step=step, steps=updates, share=0.0, started=time.time())
        writer.write_config({"prior": "diffusion", "data": data.name, "seed": seed, "updates": updates})
        watch = Watch(model, writer, stopper, updates, on_progress)
        try:
            # On a CPU an update may take seconds, so the stop is looked for in its middle, too.
            with stopper.looking() if model.device.type == "cpu" else nullcontext():
                fitted = fit_priors(
                    model, data, ["diffusion"], seed, updates, watch.report, weights, watch.look, mirror
                )
            priors.add(weights, fitted)
        except Stopped as stop:
            if watch.latest and _replaceable(weights):
                priors.add(weights, {"diffusion": watch.latest})
            writer.end(state="stopped", reason=REASONS[stop.reason], step=watch.step or step, seconds_left=0)
        except BaseException as error:
            writer.end(state="failed", reason=sentence(error), seconds_left=0)
            raise
        else:
            (weights[0].parent / diffusion_training.FILE).unlink(missing_ok=True)
            shutil.rmtree(writer.folder, ignore_errors=True)
    return stopper


def _replaceable(weights: Sequence[Path]) -> bool:
    """Whether the model has no diffusion prior, or one whose training was stopped."""
    try:
        known = priors.read(weights).get("diffusion")
    except InputError:
        return True
    return known is None or "unfinished" in known.facts


class Watch:
    """Tells the folder how far the training is, and puts there what it draws by now; raises Stopped when asked to."""

    def __init__(
        self,
        model: AutoEncoder,
        writer: PriorRun,
        stopper: Stopper,
        updates: int,
        on_progress: Callable[[str, int, int], None] | None,
    ):
        self.model, self.writer, self.stopper, self.updates = copy.copy(model), writer, stopper, updates
        self.on_progress = on_progress
        self.latest: priors.Prior | None = None
        self._told = -math.inf
        self._first: tuple[int, float] | None = None  # update that was told of first, and when
        self.step = 0

    def report(self, what: str, done: int, total: int) -> None:
        self.stopper.check()
        if self.on_progress:
            self.on_progress(what, done, total)
        now = time.monotonic()
        if what == "diffusion" and total == self.updates:
            self.step, self._first = done, self._first or (done, now)
        if now - self._told < STATE_SECONDS:
            return
        self._told = now
        if self._first is None:
            self.writer.update(share=done / total)
        else:
            first, since = self._first
            left = (now - since) / (self.step - first) * (self.updates - self.step) if self.step > first else None
            self.writer.update(state="running", step=self.step, seconds_left=left)

    def look(self, prior: priors.Prior) -> None:
        self.latest = replace(prior, facts=prior.facts | {"unfinished": self.step})
        self.model.fitted_priors = {"diffusion": prior}
        columns = max(2, min(8, 512 // self.model.config.sample_size))
        drawn = sample(self.model, 2 * columns, SEED, prior="diffusion")
        self.writer.look(self.step, images.png_bytes(images.grid(drawn, columns=columns)))
