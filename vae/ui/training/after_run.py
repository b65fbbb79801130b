"""What a run that has ended still lacks for the other tabs: the map of its latent space, and priors to draw by."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from vae.checkpoints.find_model import weight_files
from vae.checkpoints.store import load
from vae.data.image_set import ImageSet
from vae.data.sets import load_data
from vae.errors import InputError
from vae.latents import priors, statistics
from vae.models import AutoEncoder
from vae.training.config import TrainConfig
from vae.training.runs import Run
from vae.ui.serving.access import Audience, Visitor

MOST = 5_000_000  # parameters of a model that is measured, and fitted to, while its owner waits
UPDATES = 1000  # of a flow's weights, an eighth of the usual ones, for the same reason


class AfterRun:
    """Measures the runs of this server, one at a time. All methods may be called from any thread.

    Each raises InputError if the run is not theirs, trains, has no model yet or too large a one, if another is being
    measured, or if its data cannot be read any more.
    """

    def __init__(self, audience: Audience):
        self.audience = audience
        self._turn = threading.Lock()

    def map(self, run: Run, who: Visitor) -> None:
        """Have the run's map beside its model, as `python -m vae statistics` stores it; one that is there stays."""
        weights = self._weights(run, who, "map")
        if statistics.read(weights) is None:
            with self._alone():
                model, images = self._opened(run, "test")
                statistics.write(weights, statistics.measure(model, images, "test"))

    def fit(self, run: Run, who: Visitor) -> None:
        """Have the quick priors beside the run's model; those that are there stay."""
        weights = self._weights(run, who, "fit priors to")
        with self._alone():
            model, images = self._opened(run, "train")
            kinds = [kind for kind in priors.QUICK if kind not in model.fitted_priors]
            if kinds:
                priors.add(weights, priors.fit_priors(model, images, kinds, updates=UPDATES))

    def opened(self, run: Run, who: Visitor, verb: str, split: str) -> tuple[AutoEncoder, ImageSet, Sequence[Path]]:
        """The run's model, the images of that split, and the model's weight files."""
        weights = self._weights(run, who, verb)
        return *self._opened(run, split), weights

    def _weights(self, run: Run, who: Visitor, verb: str) -> Sequence[Path]:
        who.check(run, verb)
        if run.active():
            raise InputError(f"The run {run.name} is still training.")
        folder = run.model_folder()
        if folder is None:
            raise InputError(f"The run {run.name} has no model yet.")
        return weight_files(folder)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        if not self._turn.acquire(blocking=False):
            raise InputError("Another model is being measured here; try again in a moment.")
        try:
            yield
        finally:
            self._turn.release()

    def _opened(self, run: Run, split: str) -> tuple[AutoEncoder, ImageSet]:
        config = TrainConfig.from_dict(run.config())
        with self.audience.limits():
            model = load(run.model_folder())
            if model.parameter_count > MOST:
                raise InputError(
                    f"{run.name} has {model.parameter_count:,} parameters; up to {MOST:,} are measured on this page, "
                    "larger models on the command line."
                )
            fitted = model.config.sample_size, model.in_channels, model.config.border
            return model, load_data(
                config.data, split, *fitted, test_size=config.test_size, value_range=config.value_range
            )
