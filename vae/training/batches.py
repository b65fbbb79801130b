"""The images of one training: loaded, held on the device where they fit into memory, dealt out in batches."""

from collections.abc import Iterator

import torch
from torch import Tensor

from vae import images
from vae.data.own_set import AnySet
from vae.data.sets import load_data
from vae.errors import InputError
from vae.models import AutoEncoder
from vae.training.config import TrainConfig
from vae.training.schedule import Plan, seeded


class TrainingImages:
    """train_set: what is learned from; val_set: what the model is judged by. Both as the model wants its images.

    layout: the memory format of the batches; it may be changed until the first. train_set, val_set: in place of the
    config's data.

    Raises InputError if the config's data cannot be read.
    """

    def __init__(
        self,
        config: TrainConfig,
        model: AutoEncoder,
        device: torch.device,
        train_set: AnySet | None = None,
        val_set: AnySet | None = None,
    ):
        self.seed, self.device, self.layout = config.seed, device, torch.channels_last
        fitted = {
            "size": model.config.sample_size,
            "channels": model.in_channels,
            "border": model.config.border,
            "test_size": config.test_size,
        }
        self.train_set = train_set or load_data(config.data, "train", **fitted)
        self.val_set = val_set or load_data(config.data, "test", **fitted)
        if config.init and self.train_set.source_channels not in (None, model.in_channels):
            colours = {1: "grey images", 3: "colour images (RGB)"}
            raise InputError(
                f"{config.init} takes {colours.get(model.in_channels, f'{model.in_channels} channels')}, and those of "
                f"{self.train_set.name} are {colours[self.train_set.source_channels]}; give it such data as it takes."
            )
        self._train, self._val = self._resident(self.train_set), self._resident(self.val_set)

    @property
    def is_resident(self) -> bool:
        """Whether the training images lie on the device."""
        return self._train is not None

    def _resident(self, data: AnySet) -> Tensor | None:
        """The whole set on the device, as bytes, where it is small enough to be in memory at all."""
        return None if data.images is None else data.images.to(self.device)

    def expect(self, count: int) -> None:
        """InputError unless there are so many training images, as there were when the run began."""
        if len(self.train_set) != count:
            raise InputError(
                f"{self.train_set.name} had {count} training images when this run began and has "
                f"{len(self.train_set)} now; resume it with the same data."
            )

    def batches(self, plan: Plan, process: int, step: int) -> Iterator[Tensor]:
        """A process's batches from update `step` to the last, float in [-1, 1], read ahead where not in memory."""
        parts = self._parts(plan, process, step)
        in_bytes = self.train_set.batches(parts) if self._train is None else (self._train[part] for part in parts)
        return map(self._float, in_bytes)

    def order(self, epoch: int) -> Tensor:
        """The indices of all training images as `epoch` takes them, on the device where the images are."""
        order = torch.randperm(len(self.train_set), generator=seeded(self.seed, 1, epoch))
        return order.to(self.device) if self.is_resident else order

    def resident_batch(self, indices: Tensor) -> Tensor:
        """The training images at `indices`, float in [-1, 1]; all on the device, without a word to the CPU."""
        return self._float(self._train.index_select(0, indices))

    def _parts(self, plan: Plan, process: int, first: int) -> Iterator[Tensor]:
        order = None
        for step in range(first, plan.steps):
            epoch, place = divmod(step, plan.epoch_steps)
            if order is None or place == 0:
                order = self.order(epoch)
            update = order[place * plan.update_images : (place + 1) * plan.update_images]
            for micro in range(plan.accumulate):
                yield plan.share(update, micro, process)

    def spread(self, count: int) -> Tensor:
        """Training images spread evenly over the set, float in [-1, 1]."""
        return self._float(self.train_set.preview(count))

    def validation(self, start: int, stop: int) -> Tensor:
        """The validation images from `start` to before `stop`, float in [-1, 1]."""
        if self._val is not None:
            return self._float(self._val[start:stop])
        return self._float(self.val_set.batch(torch.arange(start, stop)))

    def _float(self, pixels: Tensor) -> Tensor:
        pixels = pixels.to(self.device)
        x = pixels if pixels.is_floating_point() else images.to_float(pixels)
        return x.contiguous(memory_format=self.layout)
