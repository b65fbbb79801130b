"""What a training would take of the memory, known before it begins: from its model, run once without any numbers."""

from dataclasses import replace

import torch
from torch import Tensor, nn

from vae import limits
from vae.errors import InputError
from vae.models import AutoEncoder, build, is_own
from vae.training.config import TrainConfig

COPIES = 5  # of the weights: themselves, their gradients, Adam's two averages, the averaged model
ON_GPU = 0.8  # of what is counted here: bfloat16 and kernels that keep less take less, convolutions' work space more
OTHER_TERMS = 2  # times what is counted, for a perceptual, adversarial or equivariance term's networks
LARGEST = 256  # images of a batch that is as large as fits: nothing gets faster beyond


def check(config: TrainConfig, device: torch.device) -> None:
    """Raises InputError if an update on the device would take more memory than whoever asks may have. Of a
    network of one's own that is not known before."""
    if is_own(config.model):
        return
    batch, side = of_one(config).batch_size, config.model["sample_size"]
    limits.check_memory(
        needed(config, device),
        f"A batch of {batch:,} image{'' if batch == 1 else 's'} of {side}x{side} pixels",
        "a smaller batch size, smaller images or gradient checkpointing will do",
        _room(device),
    )


def fitting_batch(config: TrainConfig, device: torch.device) -> int:
    """How many images a batch may have: the largest power of 2 that fits, up to LARGEST. InputError if not one does, or
    if the network is one's own, of which nothing is known before."""
    if is_own(config.model):
        raise InputError(
            "What a network of your own takes of the memory is not known before; give batch_size a number."
        )
    config = of_one(config)
    check(config, device)
    one, two = (needed(replace(config, batch_size=count), device) for count in (1, 2))
    most = 1 + int((_room(device) - one) / (two - one))
    return 1 << (min(LARGEST, most).bit_length() - 1)


def of_one(config: TrainConfig) -> TrainConfig:
    """The config, with a batch of one image where that is left to the machine."""
    return replace(config, batch_size=1) if config.batch_size == "auto" else config


def _room(device: torch.device) -> float:
    """Bytes that whoever asks may have of the device's memory."""
    if device.type != "cuda":
        return limits.budget()
    return limits.share().memory * torch.cuda.get_device_properties(device).total_memory


def needed(config: TrainConfig, device: torch.device) -> int:
    """Bytes, roughly, that one update takes in a process: weights, what the network keeps for its gradients, noise."""
    config = of_one(config)
    with torch.device("meta"):  # shapes without numbers
        model = build(config.model).train()
        side = model.config.sample_size
        x, noise = torch.zeros(1, model.in_channels, side, side), torch.zeros(1, *model.latent_shape())
    kept = _Kept(model, config.gradient_checkpointing)
    with torch.autograd.graph.saved_tensors_hooks(kept.keep, lambda tensor: tensor):
        x_hat, posterior = model(x, noise)
    an_image = kept.total() + 4 * (x.numel() + x_hat.numel() + posterior.mean.numel())
    all_noise = config.batch_size * config.accumulate * noise.numel() * 4
    terms = OTHER_TERMS if config.perceptual or config.adversarial or config.equivariance else 1
    total = COPIES * 4 * model.parameter_count + config.batch_size * an_image * terms + all_noise
    return int(total * (ON_GPU if device.type == "cuda" else 1))


class _Kept:
    """The bytes that a network keeps for its gradients. Where its blocks are computed again, of each its input, and of
    one of them at a time all that it keeps itself."""

    def __init__(self, model: AutoEncoder, again: bool):
        self.weights = {weight.untyped_storage()._cdata for weight in model.parameters()}
        self.storages: dict[nn.Module | None, dict[int, torch.UntypedStorage]] = {None: {}}
        self.block: nn.Module | None = None
        for chain in model.modules() if again else ():
            for block in chain.blocks() if hasattr(chain, "checkpointing") else ():
                block.register_forward_pre_hook(self._enter)
                block.register_forward_hook(self._leave)

    def keep(self, tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in self.weights:
            self.storages[self.block][storage._cdata] = storage
        return tensor

    def total(self) -> int:
        sizes = {block: sum(s.nbytes() for s in storages.values()) for block, storages in self.storages.items()}
        return sizes.pop(None) + max(sizes.values(), default=0)

    def _enter(self, block: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        self.keep(inputs[0])
        self.block, self.storages[block] = block, {}

    def _leave(self, block: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        self.block = None
