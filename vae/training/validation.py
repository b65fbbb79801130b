"""How good a model in training is on the validation set."""

from contextlib import contextmanager

import torch
from accelerate import Accelerator

from vae.metrics import psnr
from vae.models import AutoEncoder
from vae.training.batches import BATCH_PIXELS, TrainingImages
from vae.training.config import TrainConfig
from vae.training.objective import CustomObjective, Objective
from vae.training.schedule import seeded
from vae.training.stopping import Stopper
from vae.training.sums import Sums


@torch.no_grad()
def validate(
    model: AutoEncoder,
    feed: TrainingImages,
    objective: Objective | CustomObjective,
    config: TrainConfig,
    accelerator: Accelerator,
    stopper: Stopper,
) -> dict[str, float]:
    """The objective's terms over the validation set with one posterior sample each, as "val_…"; where the run goes on
    from a model also "val_psnr" in dB, through the posterior's mean and in float32, as `evaluate` has it.

    Raises Stopped, in all processes, if the run is to stop.
    """
    count, device = len(feed.val_set), accelerator.device
    batch = min(count, max(config.batch_size, BATCH_PIXELS // model.config.sample_size**2))
    sums = Sums((*objective.val_terms, *(["psnr"] if config.init else [])), 1, device)
    with stopper.together(), stopper.looking():
        for number, start in enumerate(range(0, count, batch)):
            if number % accelerator.num_processes != accelerator.process_index:
                continue
            x = feed.validation(start, min(start + batch, count))
            noise = torch.randn((len(x), *model.latent_shape()), generator=seeded(config.seed, 3, number))
            x_hat, posterior = model(x, noise.to(device))
            terms = objective(x, x_hat, posterior, None)
            if config.init:
                with torch.autocast(device.type, enabled=False):
                    terms["psnr"] = psnr(x, model.decode(model.encode(x).mode())).mean()
            sums.add(terms, len(x))
    return {f"val_{name}": value for name, value in sums.mean(0, accelerator).items()}


@contextmanager
def evaluating(model: AutoEncoder):
    """The model in evaluation mode; afterwards every module is as it was, so that what is frozen stays in it."""
    training = [module for module in model.modules() if module.training]
    try:
        yield model.eval()
    finally:
        for module in training:
            module.training = True
