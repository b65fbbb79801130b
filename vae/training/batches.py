"""The images of one training: loaded, held on the device where they fit into memory, dealt out in batches."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import Tensor

from vae import images
from vae.data.crops import Crops, CropSet
from vae.data.image_set import remarks_of, unchecked
from vae.data.own_set import AnySet
from vae.data.sets import load_data
from vae.errors import InputError
from vae.models import AutoEncoder
from vae.training import same_data
from vae.training.config import TrainConfig
from vae.training.resume import is_place
from vae.training.schedule import Plan, seeded

PASSES = 8  # over the set, each evenly spread, in which all of its images are looked at
BATCH_PIXELS = 2**18  # at once


class TrainingImages:
    """train_set: what is learned from; val_set: what the model is judged by. Both as the model wants its images.

    layout: the memory format of the batches; it may be changed until the first. check: called often while images are
    read, until `close`; what it raises ends that. process, processes: see vae.data.sets.load_data. train_set, val_set:
    in place of the config's data.

    Raises InputError if the config's data cannot be read.
    """

    def __init__(
        self,
        config: TrainConfig,
        model: AutoEncoder,
        device: torch.device,
        check: Callable[[], None] = unchecked,
        process: int = 0,
        processes: int = 1,
        train_set: AnySet | None = None,
        val_set: AnySet | None = None,
    ):
        self.seed, self.device, self.layout = config.seed, device, torch.channels_last
        fitted = {
            "size": model.config.sample_size,
            "channels": model.in_channels,
            "border": model.config.border,
            "test_size": None if config.val_data else config.test_size,
            "crop": config.crop,
            "progress": lambda done, count: check(),
        }
        part = {"value_range": config.value_range, "process": process, "processes": processes}
        self.train_set = train_set or load_data(config.data, "train", **fitted, **part)
        span = config.value_range or self.train_set.value_range
        self.val_set = val_set or load_data(config.val_data or config.data, "val", value_range=span, **fitted)
        self._check_channels(config, model.in_channels)
        self.cropped = isinstance(self.train_set, CropSet)
        self._train = None if self.train_set.transform else self._resident(self.train_set)
        self._val = self._resident(self.val_set)
        self._looks: dict | None = None
        self.val_set.check = check
        if processes == 1:  # several wait for one another in the middle of an update, and stop between two
            self.train_set.check = check

    def close(self) -> None:
        """The sets may be a caller's, who goes on to read them: nothing stops that."""
        self.train_set.check = self.val_set.check = unchecked

    @property
    def remarks(self) -> list[str]:
        """Sentences about how the data were understood, and what of them was left out."""
        return remarks_of(self.train_set, self.val_set)

    def _check_channels(self, config: TrainConfig, wanted: int) -> None:
        """InputError unless the images have the transparency that the model takes and, where the run goes on from a
        model, the colours that this one knows."""
        found = self.train_set.source_channels
        if found is None:
            return
        if wanted in images.TRANSPARENT and found not in images.TRANSPARENT:
            raise InputError(
                f"The images of {self.train_set.name} are not transparent anywhere, so they have {found} channel"
                f"{'' if found == 1 else 's'}, not {wanted}."
            )
        if config.init and (found > 2) != (wanted > 2):
            takes, are = ("colour images (RGB)" if channels > 2 else "grey images" for channels in (wanted, found))
            raise InputError(
                f"{Path(config.init).name} takes {takes}, and those of {self.train_set.name} are {are}; "
                "give it such data as it takes."
            )

    @property
    def is_resident(self) -> bool:
        """Whether the training images lie on the device, as they are learned from."""
        return self._train is not None

    def _resident(self, data: AnySet) -> Tensor | None:
        """The whole set on the device, as bytes, where it is small enough to be in memory at all."""
        return None if data.images is None else data.images.to(self.device)

    def looks(self, config: TrainConfig) -> dict | None:
        """What both sets are known by where they lie elsewhere later, looked at once; None if they are no files."""
        if self._looks is None and is_place(config.data):
            self._looks = {"train": same_data.looks(self.train_set), "val": same_data.looks(self.val_set)}
        return self._looks

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
        if self.train_set.transform:
            in_bytes = map(self.train_set.augmented, in_bytes, self._seeds(plan, process, step))
        return map(self._float, in_bytes)

    def _seeds(self, plan: Plan, process: int, first: int) -> Iterator[Tensor]:
        """For each image of each batch the seed of its transform, the same however many processes share an update."""
        for step in range(first, plan.steps):
            seeds = torch.randint(2**62, (plan.update_images,), generator=seeded(self.seed, 9, step))
            for micro in range(plan.accumulate):
                yield plan.share(seeds, micro, process)

    def order(self, epoch: int) -> Tensor:
        """The indices of all training images as `epoch` takes them, on the device where the images are."""
        order = torch.randperm(len(self.train_set), generator=seeded(self.seed, 1, epoch))
        return order.to(self.device) if self.is_resident else order

    def resident_batch(self, indices: Tensor) -> Tensor:
        """The training images at `indices`, float in [-1, 1]; all on the device, without a word to the CPU."""
        return self._float(self._train.index_select(0, indices))

    def _parts(self, plan: Plan, process: int, first: int) -> Iterator[Tensor | Crops]:
        order = None
        for step in range(first, plan.steps):
            epoch, place = divmod(step, plan.epoch_steps)
            if order is None or place == 0:
                order = self.order(epoch)
            update = order[place * plan.update_images : (place + 1) * plan.update_images]
            places = torch.rand(len(update), 2, generator=seeded(self.seed, 7, step)) if self.cropped else None
            for micro in range(plan.accumulate):
                part = plan.share(update, micro, process)
                yield part if places is None else Crops(part, plan.share(places, micro, process))

    def spread(self, count: int) -> Tensor:
        """Training images spread evenly over the set, float in [-1, 1]."""
        return self._float(self.train_set.preview(count))

    def all_spread(self, seconds: float) -> Iterator[Tensor]:
        """All training images, as `spread` gives some, in batches; after so many seconds no more, and those that came
        before are nearly evenly spread."""
        end, count, size = time.monotonic() + seconds, len(self.train_set), self.train_set.shape[-1]
        for first in range(min(PASSES, count)):
            for part in torch.arange(first, count, PASSES).split(max(1, BATCH_PIXELS // size**2)):
                self.train_set.check()
                yield self._float(self.train_set.batch(part))
                if time.monotonic() > end:
                    return

    def validation(self, start: int, stop: int) -> Tensor:
        """The validation images from `start` to before `stop`, float in [-1, 1]."""
        if self._val is not None:
            return self._float(self._val[start:stop])
        return self._float(self.val_set.batch(torch.arange(start, stop)))

    def _float(self, pixels: Tensor) -> Tensor:
        pixels = pixels.to(self.device)
        x = pixels if pixels.is_floating_point() else images.to_float(pixels)
        return x.contiguous(memory_format=self.layout)
