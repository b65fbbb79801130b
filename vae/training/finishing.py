"""What a run of a small model gets at its end beside the weights: the map of its latents, and priors to draw from."""

from collections.abc import Callable

import torch

from vae.checkpoints import store
from vae.checkpoints.find_model import weight_files
from vae.data.image_set import ImageSet
from vae.errors import InputError
from vae.latents import priors, statistics
from vae.models import AutoEncoder
from vae.training.batches import TrainingImages
from vae.training.runs import RunWriter

PARAMETERS, LATENT, SIDE = 2_000_000, 512, 64  # of a model, up to which it is small
IMAGES = 10_000  # that are looked at, spread evenly over a set
UPDATES = 2000  # of a flow's weights, and no more than the training itself had


class Stopped(Exception):
    """Raised where progress is reported, once somebody wants the run to end."""


def finish(writer: RunWriter, feed: TrainingImages, steps: int, device: torch.device, stopping: Callable) -> None:
    """Measure the latents of the run's newest checkpoint and fit priors to them, where model and data are small, and
    store both beside the weights, each as soon as it is there. steps: updates that the training had. stopping() says
    whether to leave it at that. What cannot be measured or stored is a remark in the run's state, and no failure."""
    model = store.load(writer.model_folder(), device=str(device))
    train, validation = feed.train_set, feed.val_set
    if not _is_small(model) or train.images is None or validation.images is None:
        return

    def report(*_) -> None:
        if stopping():
            raise Stopped

    train, validation = _spread(train), _spread(validation)
    weights = weight_files(writer.model_folder())
    try:
        report()
        looked_at, split = (validation, "val") if len(validation) > 2 else (train, "train")
        statistics.write(weights, statistics.measure(model, looked_at, split, report))
        for kinds in (("gaussian", "mixture"), ("flow",)):
            report()
            fitted = priors.fit_priors(model, train, kinds, updates=min(UPDATES, steps), on_progress=report)
            model.fitted_priors = {**model.fitted_priors, **fitted}
            priors.write(weights, model.fitted_priors)
    except Stopped:
        return
    except (InputError, OSError) as error:
        sentence = f"The map of the latents, or their priors, could not be made at the end: {error}"
        writer.update(remarks=[*feed.remarks, sentence])


def _is_small(model: AutoEncoder) -> bool:
    numbers = torch.Size(model.latent_shape()).numel()
    return model.parameter_count <= PARAMETERS and numbers <= LATENT and model.config.sample_size <= SIDE


def _spread(data: ImageSet) -> ImageSet:
    """The set, or IMAGES of it."""
    if len(data) <= IMAGES:
        return data
    chosen = torch.arange(IMAGES) * len(data) // IMAGES
    part = ImageSet(data.name, data.shape, None if data.labels is None else data.labels[chosen], data.classes)
    part.images = data.images[chosen]
    return part
