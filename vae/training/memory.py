"""What a training would take of the memory, known before it begins: from its model, run once without any numbers."""

import torch

from vae import limits
from vae.models import build, is_own
from vae.training.config import TrainConfig

COPIES = 5  # of the weights: themselves, their gradients, Adam's two averages, the averaged model


def check(config: TrainConfig) -> None:
    """Raises InputError if an update would take more memory than whoever asks may have. Of a network of one's own that
    is not known before."""
    if is_own(config.model):
        return
    limits.check_memory(needed(config), f"A batch of {config.batch_size:,} images", "a smaller batch size will do")


def needed(config: TrainConfig) -> int:
    """Bytes that one update takes in a process: weights, what the network keeps for its gradients, and noise."""
    with torch.device("meta"):  # shapes without numbers
        model = build(config.model).train()
        side = model.config.sample_size
        x, noise = torch.zeros(1, model.in_channels, side, side), torch.zeros(1, *model.latent_shape())
    weights = {weight.untyped_storage()._cdata for weight in model.parameters()}
    kept: dict[int, torch.UntypedStorage] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in weights:
            kept[storage._cdata] = storage
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        x_hat, posterior = model(x, noise)
    an_image = sum(storage.nbytes() for storage in kept.values()) + 4 * (x.numel() + x_hat.numel())
    an_image += posterior.mean.numel() * 4
    all_noise = config.batch_size * config.accumulate * noise.numel() * 4
    return COPIES * 4 * model.parameter_count + config.batch_size * an_image + all_noise
