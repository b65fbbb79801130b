"""When what happens in a training, as pure functions of the config and the step: nothing here has a state."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from vae.errors import InputError
from vae.training.config import TrainConfig

LINES = 400  # step lines in the metrics of a whole run
WARM_UP = 0.15  # share of a one-cycle run in which the rate rises


@dataclass(frozen=True)
class Plan:
    """How a run's images are dealt out.

    One update takes `update_images` of them: from each of `processes`, `accumulate` batches of `batch`.
    """

    batch: int
    accumulate: int
    processes: int
    epoch_steps: int
    steps: int

    @property
    def update_images(self) -> int:
        return self.batch * self.accumulate * self.processes

    @property
    def log_every(self) -> int:
        """Updates between two step lines of the metrics."""
        return max(1, self.steps // LINES)

    @property
    def epochs(self) -> int:
        """How many there are, the last of them perhaps cut short."""
        return self.epoch(self.steps)

    def epoch(self, step: int) -> int:
        """The epoch that the last of `step` updates belongs to, counted from 1; 0 before the first."""
        return -(-step // self.epoch_steps)

    def share(self, indices: Tensor, micro: int, process: int) -> Tensor:
        """Of an update's images (or their noise) those that a process has in one of its batches."""
        wide = self.batch * self.processes
        return indices[micro * wide : (micro + 1) * wide][process :: self.processes]


def plan(config: TrainConfig, images: int, processes: int, update_images: int | None = None) -> Plan:
    """The Plan for so many training images. A batch is smaller than config.batch_size where the data are few.

    update_images: of a run that is gone on with, perhaps by another number of processes. An update keeps its size and
    a batch does not grow, for the device's memory may be full: fewer processes accumulate more.

    Raises InputError if there are not images enough for one update, or its size does not divide among the processes.
    """
    if update_images is None:
        share = processes * config.accumulate
        if images < share:
            raise InputError(
                f"There are only {images} training images for {share} batches at once ({processes} processes, "
                f"accumulate {config.accumulate}); use more images, or fewer batches."
            )
        batch, accumulate = min(config.batch_size, images // share), config.accumulate
    else:
        each, rest = divmod(update_images, processes)
        if rest or not each:
            raise InputError(
                f"This run makes an update from {update_images} images, which does not divide among {processes} "
                "processes; resume it with another number of them."
            )
        accumulate = next(n for n in range(1, each + 1) if each % n == 0 and each // n <= config.batch_size)
        batch = each // accumulate
    epoch_steps = max(1, images // (batch * accumulate * processes))
    return Plan(batch, accumulate, processes, epoch_steps, config.steps or config.epochs * epoch_steps)


def learning_rate(config: TrainConfig, step: int, steps: int) -> float:
    """The rate of update `step` of `steps`, counted from 0.

    It depends on nothing else: a run gone on with at another peak or to another length has from there on the rates of
    one that began with these.
    """
    if config.schedule == "constant":
        return config.learning_rate
    warm = max(1, round(WARM_UP * steps))
    if step < warm:
        return config.learning_rate * (step + 1) / warm
    return config.learning_rate * 0.5 * (1.0 + math.cos(math.pi * (step - warm + 1) / (steps - warm + 1)))


def seeded(*numbers: int) -> torch.Generator:
    """A CPU generator that depends on all the numbers."""
    seed = 0
    for number in numbers:
        seed = (seed * 6364136223846793005 + number + 1442695040888963407) % 2**63
    return torch.Generator().manual_seed(seed)
