"""A running average of the weights, which is what is validated, shown and saved."""

import copy

import torch
from torch import Tensor

from vae.models.base import AutoEncoder


class EMA:
    """Exponential moving average of parameters and of floating-point buffers (batch norm's statistics).

    half_life: in images; after so many the weights' share has halved. It shortens at the beginning, when the first
    weights deserve no such memory. 0 keeps no average: `model` is then the trained model itself.
    """

    def __init__(self, model: AutoEncoder, half_life: int):
        self.half_life = half_life
        self.source = model
        self.model = copy.deepcopy(model).requires_grad_(False) if half_life else model
        self._pairs = None

    def _tensors(self) -> tuple[list, list, list]:
        """Floating tensors of the average, those of the model, and pairs of the others (batch norm's counters).

        Looked up at the first update, for until then the model may be moved to its device.
        """
        source, target = self.source.state_dict(), self.model.state_dict()
        floating = [name for name, tensor in source.items() if tensor.is_floating_point()]
        counters = [(target[name], source[name]) for name in source if name not in floating]
        return [target[name] for name in floating], [source[name] for name in floating], counters

    def share(self, images_seen: int, images: int) -> float:
        """How much of the average the weights become after an update of `images` images, `images_seen` in all."""
        half_life = min(self.half_life, max(images_seen * 0.1, 1.0))
        return 1.0 - 0.5 ** (images / half_life) if half_life else 1.0

    @torch.no_grad()
    def update(self, images_seen: int, images: int) -> None:
        """After an update that learned from `images` more images, `images_seen` in all."""
        if not self.half_life:
            return
        self._pairs = self._pairs or self._tensors()
        averages, weights, counters = self._pairs
        torch._foreach_lerp_(averages, weights, self.share(images_seen, images))
        for target, source in counters:
            target.copy_(source)

    @torch.no_grad()
    def follow(self, share: Tensor) -> None:
        """`update` with the share in a scalar tensor on the weights' device, where a CUDA graph reads it."""
        self._pairs = self._pairs or self._tensors()
        averages, weights, counters = self._pairs
        steps = torch._foreach_sub(weights, averages)
        torch._foreach_mul_(steps, share)
        torch._foreach_add_(averages, steps)
        for target, source in counters:
            target.copy_(source)
