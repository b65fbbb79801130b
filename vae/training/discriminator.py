"""The adversarial term: a discriminator that learns to tell reconstructions from images, and is heard by the decoder.

As in VQGAN and latent diffusion (Esser et al. 2021, arXiv:2012.09841): a patch discriminator, hinge losses, and a
weight that follows the gradients at the decoder's last layer. Such a discriminator can wreck what was learned before
it. So it first learns alone, its weight rises slowly, and a training whose images get much worse under it is stopped.
"""

import math
from collections.abc import Callable
from contextlib import AbstractContextManager

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vae.errors import InputError
from vae.models import AutoEncoder

WIDTH, GROUPS = 64, 8
LEARNING_RATE, BETAS = 2e-4, (0.5, 0.9)
MOST = 1e4  # the weight that the gradients ask for is at most this
WRECKED = 2.5  # times the squared error before the discriminator was heard: 4 dB
LATELY = 0.2  # a batch's share in the running mean of the error


def patch_discriminator(channels: int, size: int) -> nn.Sequential:
    """Images (N, channels, size, size) to a logit for each of their patches (Isola et al. 2017, arXiv:1611.07004).

    Patches of 34 pixels at a size of 64, of 70 from 128 on. Group norm in place of batch norm, so that an image's
    logits depend on no other image, and several processes need not agree.
    """
    halvings = max(1, min(3, int(math.log2(size)) - 4))
    layers: list[nn.Module] = [nn.Conv2d(channels, WIDTH, 4, stride=2, padding=1), nn.LeakyReLU(0.2)]
    width = WIDTH
    for i in range(1, halvings + 1):
        layers += [nn.Conv2d(width, 2 * width, 4, stride=2 if i < halvings else 1, padding=1, bias=False)]
        layers += [nn.GroupNorm(GROUPS, 2 * width), nn.LeakyReLU(0.2)]
        width *= 2
    return nn.Sequential(*layers, nn.Conv2d(width, 1, 4, padding=1))


class Adversary:
    """The discriminator of one training, with its optimizer.

    weight: what its gradient at the decoder's last layer is of the other terms', when it is fully heard. start: the
    update from which on it is heard; it learns from the half of that, and its weight rises over as many updates again.
    average: the mean of a tensor over all processes, in place of which one process needs none.
    Raises InputError for a model without a decoder.
    """

    terms = ("adversarial", "discriminator")

    def __init__(
        self,
        model: AutoEncoder,
        weight: float,
        start: int,
        seed: int,
        autocast: Callable[[], AbstractContextManager],
        average: Callable[[Tensor], Tensor] | None = None,
    ):
        self.last_layer = _last_layer(model)
        self.weight, self.start, self.autocast, self.average = weight, start, autocast, average
        device = self.last_layer.device
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            network = patch_discriminator(model.in_channels, model.config.sample_size)
        self.network = network.to(device, memory_format=torch.channels_last)
        self.optimizer = torch.optim.Adam(network.parameters(), lr=LEARNING_RATE, betas=BETAS)
        # The running mean of the squared error as it was when the discriminator was first heard, and as it is.
        self.errors: Tensor | None = None

    def heard(self, step: int) -> float:
        """The share of its weight that counts in an update, from 0 to 1."""
        return min(1.0, max(0.0, (step + 1 - self.start) / max(1, self.start)))

    def judge(self, terms: dict[str, Tensor], x: Tensor, x_hat: Tensor, step: int) -> dict[str, Tensor]:
        """The terms of the batch with "adversarial", the hinge loss of the decoder, and its share added to "loss"."""
        self._watch(x, x_hat, step)
        share = self.heard(step) * self.weight
        if not share:
            return terms | {"adversarial": torch.zeros_like(terms["loss"])}
        self.network.requires_grad_(False)
        adversarial = -self._logits(x_hat).mean()
        scale = self._scale(terms["loss"], adversarial)
        return terms | {"loss": terms["loss"] + share * scale * adversarial, "adversarial": adversarial}

    def learn(self, x: Tensor, x_hat: Tensor, step: int, batch: int = 0, batches: int = 1) -> Tensor:
        """Learn from one batch of an update's `batches`, and return the discriminator's hinge loss."""
        if 2 * (step + 1) <= self.start:
            return torch.zeros((), device=x.device)
        self.network.requires_grad_(True)
        real, fake = self._logits(torch.cat([x, x_hat.detach()])).chunk(2)
        loss = 0.5 * (F.relu(1.0 - real).mean() + F.relu(1.0 + fake).mean())
        (loss / batches).backward()
        if batch + 1 == batches:
            if self.average:
                for parameter in self.network.parameters():
                    parameter.grad.copy_(self.average(parameter.grad))
            self.optimizer.step()
            self.optimizer.zero_grad()
        return loss.detach()

    def check(self, step: int) -> None:
        """Raises InputError if the images have become much worse since the discriminator was heard."""
        if self.errors is None:
            return
        before, lately = self.errors.tolist()
        if lately > WRECKED * before:
            raise InputError(
                f"At step {step} the squared error is {lately / before:.1f} times what it was before the discriminator "
                f"was heard, so the training was stopped; lower the adversarial weight (it was {self.weight:g}) or let "
                "it begin later. The last good checkpoint is kept."
            )

    def state_dict(self) -> dict:
        return {"network": self.network.state_dict(), "optimizer": self.optimizer.state_dict(), "errors": self.errors}

    def load_state_dict(self, state: dict) -> None:
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.errors = None if state["errors"] is None else state["errors"].to(self.last_layer.device)

    def _logits(self, images: Tensor) -> Tensor:
        with self.autocast():
            return self.network(images).float()

    def _scale(self, loss: Tensor, adversarial: Tensor) -> Tensor:
        """How much steeper the other terms are than the discriminator, at the decoder's last layer."""
        gradients = (torch.autograd.grad(term, self.last_layer, retain_graph=True)[0] for term in (loss, adversarial))
        theirs, ours = ((self.average(g) if self.average else g).norm() for g in gradients)
        return (theirs / (ours + 1e-4)).clamp(max=MOST)

    @torch.no_grad()
    def _watch(self, x: Tensor, x_hat: Tensor, step: int) -> None:
        error = (x_hat.float() - x.float()).square().mean()
        error = self.average(error) if self.average else error
        if self.errors is None:
            self.errors = error.repeat(2)
        self.errors[1].lerp_(error, LATELY)
        if not self.heard(step):
            self.errors[0] = self.errors[1]


def _last_layer(model: AutoEncoder) -> nn.Parameter:
    weights = [p for name, p in model.named_parameters() if name.startswith(model.decoder_names[0]) and p.ndim >= 2]
    if not weights:
        raise InputError("The adversarial term is weighed at the last layer of a decoder, which this model has not.")
    return weights[-1]
