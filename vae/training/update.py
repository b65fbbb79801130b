"""One update of the weights, operation by operation. `cuda_graph` has the same as one launch, for small networks."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from accelerate import Accelerator
from torch import Tensor

from vae.training.batches import TrainingImages
from vae.training.config import TrainConfig
from vae.training.discriminator import Adversary
from vae.training.ema import EMA
from vae.training.objective import CustomObjective, Objective
from vae.training.schedule import Plan, learning_rate, seeded
from vae.training.stopping import Stopped, Stopper
from vae.training.sums import Sums


class Update:
    """`self(step)` is update `step` of a run, from this process's share of the update's images.

    model, optimizer: as Accelerate prepared them. sums: of the terms of the objective and of the adversary, if there is
    one; every batch is added to them. An update that raises Stopped leaves everything as it was before.
    """

    def __init__(
        self,
        config: TrainConfig,
        plan: Plan,
        accelerator: Accelerator,
        model: torch.nn.Module,
        optimizer: torch.optim.Optimizer,
        ema: EMA,
        objective: Objective | CustomObjective,
        adversary: Adversary | None,
        feed: TrainingImages,
        sums: Sums,
        stopper: Stopper,
    ):
        self.config, self.plan, self.accelerator = config, plan, accelerator
        self.model, self.optimizer, self.ema = model, optimizer, ema
        self.objective, self.adversary = objective, adversary
        self.feed, self.sums, self.device = feed, sums, accelerator.device
        self.stopper = stopper
        self.batches: Iterator[Tensor] | None = None
        self.terms: dict[str, Tensor] = {}  # of the last batch
        self.last: tuple[Tensor, Tensor | None] | None = None  # that batch and its noise, on a CPU

    def __call__(self, step: int) -> None:
        if self.batches is not None:
            self._update(step)
            return
        self.batches = self.feed.batches(self.plan, self.accelerator.process_index, step)
        with tuned(self.device):
            self._update(step)

    def _update(self, step: int) -> None:
        plan, process = self.plan, self.accelerator.process_index
        rate = learning_rate(self.config, step, plan.steps)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        noise, flips = (drawn and drawn[0].to(self.device) for drawn in self.draw(step, step + 1))
        put_back = self._bookmark() if self.stopper.slow or plan.accumulate > 1 else self._drop_gradients
        try:
            for micro in range(plan.accumulate):
                self.stopper.before_batch()
                x = next(self.batches)
                mirrored = None if flips is None else plan.share(flips, micro, process)
                mine = None if noise is None else plan.share(noise, micro, process)
                self.learn(x, mine, mirrored, step, micro)
        except Stopped:
            put_back()
            raise
        self.ema.update((step + 1) * plan.update_images, plan.update_images)

    def _bookmark(self) -> Callable[[], None]:
        """What brings back all that an update changes before the weights: batch norm's statistics, sums, gradients."""
        kept = [(tensor, tensor.clone()) for tensor in (*self.model.buffers(), self.sums.table)]
        errors = self.adversary and self.adversary.errors
        errors = errors if errors is None else errors.clone()

        def put_back() -> None:
            for tensor, before in kept:
                tensor.copy_(before)
            if self.adversary:
                self.adversary.errors = errors
            self._drop_gradients()

        return put_back

    def _drop_gradients(self) -> None:
        for network in (self.model, *([self.adversary.network] if self.adversary else [])):
            network.zero_grad()

    def learn(self, x: Tensor, noise: Tensor | None, mirrored: Tensor | None, step: int = 0, micro: int = 0) -> None:
        """Forward and backward of one batch (N, C, H, W), and the optimizer's step if it is the update's last.

        step, micro: the update's number and the batch's in it, which matter to those terms alone that a graph has not.
        """
        if mirrored is not None:
            x = torch.where(mirrored[:, None, None, None], x.flip(-1), x)
        self.last = (x, noise) if self.device.type == "cpu" else None  # a GPU's memory is let go of
        with self.accelerator.accumulate(self.model):
            with self.stopper.inside_batch():
                x_hat, posterior = self.model(x, noise)
                terms = self.objective(x, x_hat, posterior, step)
                if self.adversary:
                    terms = self.adversary.judge(terms, x, x_hat, step)
                self.accelerator.backward(terms["loss"])
            if self.config.clip and self.accelerator.sync_gradients:
                self.accelerator.clip_grad_norm_(self.model.parameters(), self.config.clip)
            self.optimizer.step()
            self.optimizer.zero_grad()
        if self.adversary:
            terms["discriminator"] = self.adversary.learn(x, x_hat, step, micro, self.plan.accumulate)
        self.sums.add(terms)
        self.terms = {name: term.detach() for name, term in terms.items()}

    def rehearse(self) -> None:
        """Forward and backward of the last batch, on a CPU, of which nothing stays: what an update takes is measured
        so."""
        kept = [(buffer, buffer.clone()) for buffer in self.model.buffers()]
        weights = [weight for weight in self.model.parameters() if weight.requires_grad]
        with torch.random.fork_rng(devices=[]):
            x_hat, _ = self.model(*self.last)
            torch.autograd.grad(x_hat.float().square().mean(), weights, allow_unused=True)
        for buffer, before in kept:
            buffer.copy_(before)

    def draw(self, start: int, stop: int) -> tuple[list[Tensor] | None, list[Tensor] | None]:
        """The posterior noise and the mirrorings of whole updates, `start` to before `stop`, the same in all processes;
        on the CPU, so that they are the same on every device."""
        model, count = self.ema.model, self.plan.update_images
        noise, flips = [], []
        for step in range(start, stop):
            generator = seeded(self.config.seed, 2, step)
            if model.is_variational:
                noise.append(torch.randn((count, *model.latent_shape()), generator=generator))
            if self.config.flip:
                flips.append(torch.rand(count, generator=generator) < 0.5)
        return noise or None, flips or None

    def close(self) -> None:
        """Let go of the batches read ahead."""
        self.batches = None


@contextmanager
def tuned(device: torch.device):
    """While inside, cuDNN tries its ways of computing each convolution it meets and keeps to the fastest from then on.

    For a training's first update only: the setting is the whole process's, and others in it see images of all sizes.
    """
    before = torch.backends.cudnn.benchmark
    torch.backends.cudnn.benchmark = before or device.type == "cuda"
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark = before
