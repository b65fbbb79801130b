"""An update of a small network as one CUDA graph: on a GPU the launching of its kernels takes longer than they do.

The graph is captured once and replayed at every update, so it reads all that changes from tensors in fixed places: the
epoch's order of images, a block of updates' noise, and tables of the learning rate and of the average's share, each at
the row that a counter on the device says. Between replays nothing waits for the GPU: noise and mirrorings are drawn on
the CPU, as ever, by a thread that stays a block ahead.
"""

import warnings
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import torch
from torch import Tensor

from vae.models import AutoEncoder, is_own
from vae.training.config import TrainConfig
from vae.training.schedule import Plan, learning_rate
from vae.training.update import Update, tuned

SMALL = 20_000_000  # parameters; a larger network keeps the GPU busy however it is launched
WARM_UP = 3  # updates before the capture, in which libraries allocate what they keep
BLOCK = 64  # updates whose noise is copied at once
BLOCK_BYTES = 2**26


def why_not(
    config: TrainConfig,
    objective: Callable | None,
    model: AutoEncoder,
    plan: Plan,
    scaler: object | None,
    resident: bool,
    device: torch.device,
) -> str | None:
    """Why the updates of such a training cannot, or need not, be a graph; None if they can and should.

    objective: of the user's own. scaler: of float16's gradients. resident: whether the training images are on the
    device.
    """
    if device.type != "cuda":
        return "it is not on a CUDA device"
    if objective or config.perceptual or config.adversarial or config.equivariance:
        return "its loss is another at every step"
    if is_own(config.model):
        return "the network is one's own, and may do what a graph has not"
    if plan.processes > 1 or plan.accumulate > 1:
        return "an update is made of several batches"
    if config.gradient_checkpointing:
        return "its blocks are computed again"
    if scaler is not None:
        return "float16 skips updates at will"
    if not resident:
        return "its images are not on the device"
    if model.parameter_count > SMALL:
        return "the network is large"
    return None


def captured(update: Update, first: int) -> "GraphedUpdate | Update":
    """The update as a graph, from step `first` on; with a warning as it is, if the capture fails."""
    try:
        return GraphedUpdate(update, first)
    except RuntimeError as error:
        warnings.warn(f"The update cannot be one CUDA graph and is slower without: {error}", stacklevel=2)
        return update


class GraphedUpdate:
    """`self(step)` does what `update(step)` does, up to rounding. Steps must be asked for in order, from `first` on.

    The optimizer must be capturable. Raises RuntimeError, and leaves everything as it was, if the capture fails.
    """

    def __init__(self, update: Update, first: int):
        config, plan, device = update.config, update.plan, update.device
        self.update, self.plan, self.device, self.first = update, plan, device, first
        rates = [learning_rate(config, step, plan.steps) for step in range(plan.steps)]
        images = plan.update_images
        shares = [update.ema.share((step + 1) * images, images) for step in range(plan.steps)]
        self.rates, self.shares = (torch.tensor(each, dtype=torch.float32, device=device) for each in (rates, shares))
        self.rate, self.share = (torch.zeros((), dtype=torch.float32, device=device) for _ in range(2))
        for group in update.optimizer.param_groups:
            group["lr"] = self.rate
        # Adam would warn of the warm-up, which is not captured.
        getattr(update.optimizer, "optimizer", update.optimizer)._warned_capturable_if_run_uncaptured = True
        # The update, its place in the epoch, its place in the block.
        self.counters = torch.zeros(3, dtype=torch.int64, device=device)
        self.order = torch.zeros(plan.epoch_steps, images, dtype=torch.int64, device=device)
        self.block = max(1, min(BLOCK, BLOCK_BYTES // max(1, _bytes(update.draw(0, 1)))))
        self.noise, self.flips = (
            drawn and torch.stack(drawn).to(device).repeat(self.block, *(1,) * drawn[0].ndim)
            for drawn in update.draw(first, first + 1)
        )
        self._capture()
        self.reader = ThreadPoolExecutor(1, thread_name_prefix="noise")
        self.coming: Future | None = None

    def __call__(self, step: int) -> None:
        place = step % self.plan.epoch_steps
        if place == 0 or step == self.first:
            order = self.update.feed.order(step // self.plan.epoch_steps)
            self.order.copy_(order[: self.order.numel()].view_as(self.order))
            self.counters[:2] = torch.tensor([step, place])
        if (step - self.first) % self.block == 0:
            self._next_block(step)
        self.graph.replay()

    @property
    def terms(self) -> dict[str, Tensor]:
        """The update's, which the graph writes anew each time."""
        return self.update.terms

    def close(self) -> None:
        self.reader.shutdown(cancel_futures=True)

    def _next_block(self, step: int) -> None:
        """The block's noise into its place, and the next one asked for."""
        drawn = (self.coming or self.reader.submit(self._drawn, step)).result()
        self.coming = self.reader.submit(self._drawn, step + self.block)
        for target, source in zip((self.noise, self.flips), drawn, strict=True):
            if target is not None:
                # What an earlier replay may still read is overwritten when its turn comes in the stream, not before.
                target[: len(source)].copy_(source, non_blocking=True)
        self.counters[2:].zero_()

    def _drawn(self, step: int) -> list[Tensor | None]:
        stop = min(step + self.block, self.plan.steps)
        return [drawn and self._on_the_way(torch.stack(drawn)) for drawn in self.update.draw(step, stop)]

    def _on_the_way(self, drawn: Tensor) -> Tensor:
        """In memory from which the GPU copies without the CPU's waiting."""
        return drawn.pin_memory() if self.device.type == "cuda" else drawn

    # -- the capture ----------------------------------------------------------------------------------------------

    def _capture(self) -> None:
        kept = self._snapshot()
        stream = torch.cuda.Stream(self.device)
        try:
            stream.wait_stream(torch.cuda.current_stream(self.device))
            with torch.cuda.stream(stream), tuned(self.device):
                for _ in range(WARM_UP):
                    self._replayed()
            torch.cuda.current_stream(self.device).wait_stream(stream)
            self.graph = torch.cuda.CUDAGraph()
            # Other threads, as the page's, may go on using the GPU meanwhile.
            with torch.cuda.graph(self.graph, capture_error_mode="thread_local"):
                self._replayed()
        finally:
            self._restore(kept)

    def _replayed(self) -> None:
        """What the graph does."""
        number, place, slot = self.counters.split(1)
        self.rate.copy_(self.rates.index_select(0, number).view(()))
        part = self.order.index_select(0, place).view(-1)
        noise, mirrored = (
            None if drawn is None else drawn.index_select(0, slot).squeeze(0) for drawn in (self.noise, self.flips)
        )
        self.update.learn(self.update.feed.resident_batch(part), noise, mirrored)
        if self.update.ema.half_life:
            self.share.copy_(self.shares.index_select(0, number).view(()))
            self.update.ema.follow(self.share)
        self.counters += 1

    def _snapshot(self) -> tuple[list[tuple[Tensor, Tensor]], dict]:
        """Copies of all that an update changes: of tensors that are there, and of the optimizer's by parameter."""
        tensors = [*self.update.model.state_dict().values(), *self.update.ema.model.state_dict().values()]
        tensors += [self.update.sums.table, self.counters]
        state = self.update.optimizer.state
        return (
            [(tensor, tensor.clone()) for tensor in tensors],
            {p: {key: value.clone() for key, value in entries.items()} for p, entries in state.items()},
        )

    def _restore(self, kept: tuple[list[tuple[Tensor, Tensor]], dict]) -> None:
        torch.cuda.synchronize(self.device)
        tensors, state = kept
        for tensor, before in tensors:
            tensor.copy_(before)
        for parameter, entries in self.update.optimizer.state.items():
            for key, value in entries.items():  # in place: the graph has their addresses; new ones began as zeros
                value.copy_(state[parameter][key]) if parameter in state else value.zero_()


def _bytes(drawn: tuple[list[Tensor] | None, list[Tensor] | None]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensors in drawn if tensors for tensor in tensors)
