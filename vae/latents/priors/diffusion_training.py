"""Training a diffusion prior: flow matching on encoded images, in a state that can be stored and taken up again."""

import copy
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from vae import sidecar
from vae.device import has_bfloat16
from vae.errors import InputError
from vae.latents.priors.diffusion import Diffusion

FILE = "diffusion-prior.unfinished"  # no weight file's suffix, for it lies among them
POSITIONS = 1024  # of a latent; attention over more is another network's work
SMALL, NARROW, WIDE = 128, 96, 192  # numbers of a small latent; a network's width for it, and for others
BATCH_SIZE = 256
HELD_OUT, MOST_HELD_OUT = 20, 256  # every so many-th image is held out, up to so many
UNTOLD = 0.1  # share of updates' images whose class is not told
WHOLE = 0.25  # share of updates' images that are whole, not parts
TIMES = 8  # at which each image held out is tried
TESTS = 40  # in a training
HALFWAY = 0.25  # weight of the first head's loss
SAVE_EVERY, LOOK_EVERY = 60.0, 10.0  # seconds


@dataclass(frozen=True)
class Encoded:
    """Standardised latents of N images, each in V views: the image, its mirror image, or where left is not like right
    the image again, and parts of it (see views.py).

    latents: (V, N, C, h, w). where: (V, N, 3), what tells the views apart; 0 for the first two. labels: (N,) their
    classes, if they have some. mirrored: whether the second views are mirror images.
    """

    latents: Tensor
    where: Tensor
    labels: Tensor | None = None
    mirrored: bool = True

    def to(self, device: torch.device) -> "Encoded":
        labels = None if self.labels is None else self.labels.to(device)
        return replace(self, latents=self.latents.to(device), where=self.where.to(device), labels=labels)

    def split(self) -> tuple["Encoded", Tensor]:
        """Those to learn from, and of those held out the images and their mirror images, (2 M, C, h, w)."""
        count = self.latents.shape[1]
        every = min(count, max(HELD_OUT, count // MOST_HELD_OUT))
        held = torch.arange(count) % every == every - 1
        labels = None if self.labels is None else self.labels[~held]
        learned = replace(self, latents=self.latents[:, ~held], where=self.where[:, ~held], labels=labels)
        return learned, self.latents[:2, held].flatten(0, 1)


class Training:
    """One training. `progress` runs from 0 to 1 and sets the learning rate: a short rise to its peak, a cosine to 0.

    What is kept is a running average of the weights, as it was when the images held out were told from noise best: a
    few thousand images are soon known by heart.
    """

    def __init__(
        self,
        data: Encoded,
        device: torch.device,
        seed: int = 0,
        batch_size: int | None = None,
        learning_rate: float = 1e-3,
        **network,
    ):
        learned, held = data.split()
        self.data, self.held = learned.to(device), held.to(device).float()
        self.device, self.batch_size, self.peak = device, batch_size or BATCH_SIZE, learning_rate
        self.fast = has_bfloat16(device)
        self.updates, self.best_loss, self.whole = 0, math.inf, True
        network.setdefault("width", WIDE if held[0].numel() > SMALL else NARROW)
        if data.labels is not None:
            network.setdefault("classes", int(data.labels.max()) + 1)
        with forked(device):
            torch.manual_seed(seed)
            self.network = Diffusion(tuple(held.shape[1:]), **network).to(device)
            self._rng = RandomState(device)
        self.average = copy.deepcopy(self.network).eval().requires_grad_(False)
        self.best = copy.deepcopy(self.average)
        self._pairs = list(self.average.parameters()), list(self.network.parameters())
        decayed = [p for p in self.network.parameters() if p.dim() == 2]
        others = [p for p in self.network.parameters() if p.dim() != 2]
        self.optimizer = torch.optim.AdamW(
            [{"params": decayed, "weight_decay": 0.05}, {"params": others, "weight_decay": 0.0}],
            learning_rate,
            betas=(0.9, 0.99),
            fused=device.type == "cuda",
        )
        n = len(self.held)  # the same noise at every test
        generator = torch.Generator().manual_seed(0)
        self._test_noise = torch.randn((TIMES, *self.held.shape), generator=generator).to(device)
        self._test_times = ((torch.arange(TIMES) + 0.5) / TIMES)[:, None, None].expand(TIMES, n, 1).to(device)

    def step(self, progress: float) -> None:
        """One update of the weights. What interrupts it before it changes them leaves everything as it was; `whole`
        tells."""
        rate = self.peak * min(1.0, progress / 0.02 + 1e-3) * 0.5 * (1.0 + math.cos(math.pi * min(1.0, progress)))
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.zero_grad()
        random = self._rng.state
        try:
            self._loss().backward()
        except BaseException:
            self._rng.state = random
            raise
        self.whole = False
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimizer.step()
        with torch.no_grad():
            torch._foreach_lerp_(*self._pairs, 1.0 / min(1000, 2 + self.updates / 10))
        self.updates += 1
        self.whole = True

    def _loss(self) -> Tensor:
        with self._rng:
            u, where, label = self._batch()
            noise = torch.randn_like(u)
            t = torch.randn(len(u), 1, device=self.device).sigmoid()  # most of it in between (Esser et al. 2024)
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self.fast):
                half, end = self.network.velocities(noise.lerp(u, t[..., None, None]), t, where, label)
        target = u - noise
        return (end.float() - target).square().mean() + HALFWAY * (half.float() - target).square().mean()

    def _batch(self) -> tuple[Tensor, Tensor, Tensor | None]:
        views, n = self.data.latents.shape[:2]
        image = torch.randint(n, (self.batch_size,), device=self.device)
        view = torch.randint(2, (self.batch_size,), device=self.device)
        if views > 2:
            part = torch.randint(2, views, (self.batch_size,), device=self.device)
            view = torch.where(torch.rand(self.batch_size, device=self.device) < WHOLE, view, part)
        label = None
        if self.data.labels is not None:
            untold = torch.rand(self.batch_size, device=self.device) < UNTOLD
            label = self.data.labels[image].masked_fill(untold, self.network.classes)
        return self.data.latents[view, image].float(), self.data.where[view, image], label

    @torch.no_grad()
    def test(self) -> float:
        """The loss on the images held out, of the average; it is kept as the best if it is."""
        total = 0.0
        for noise, t in zip(self._test_noise, self._test_times, strict=True):
            _, v = self.average.velocities(noise.lerp(self.held, t[..., None, None]), t)
            total += (v - (self.held - noise)).square().mean().item() / TIMES
        if total < self.best_loss or self.best_loss == math.inf:
            self.best_loss = total
            self.best.load_state_dict(self.average.state_dict())
        return total

    def result(self) -> Diffusion:
        """The best, as it is stored: on the CPU and rounded to 16 bits."""
        return _stored(self.best)

    def now(self) -> Diffusion:
        """The average as it is by now, likewise."""
        return _stored(self.average)

    def save(self, path: Path, weights: str, made_of: dict) -> None:
        """The whole state. weights: fingerprint of the auto-encoder's. made_of: what else must be the same to go on."""
        names = [name for name, _ in self.network.named_parameters()]
        tensors = {"random": self._rng.state}
        for part in ("network", "average", "best"):
            tensors |= {f"{part}.{name}": value for name, value in getattr(self, part).state_dict().items()}
        for name, parameter in zip(names, self.network.parameters(), strict=True):
            for moment in ("exp_avg", "exp_avg_sq") if self.optimizer.state else ():
                tensors[f"{moment}.{name}"] = self.optimizer.state[parameter][moment]
        content = {"made_of": made_of, "updates": self.updates, "best_loss": self.best_loss}
        sidecar.write(path, weights, content, tensors)

    def resume(self, path: Path, weights: str, made_of: dict) -> bool:
        """Take up the state stored at `path`; False, and nothing changed, if there is none or it is another's."""
        if not path.is_file():
            return False
        try:
            content, tensors = sidecar.read(path, weights, "it is made anew")
        except InputError:
            return False
        if content["made_of"] != made_of:
            return False
        for part in ("network", "average", "best"):
            values = {name: tensors[f"{part}.{name}"] for name in self.network.state_dict()}
            getattr(self, part).load_state_dict(values)
        self.updates, self.best_loss = content["updates"], content["best_loss"]
        self._rng.state = tensors["random"]
        for name, parameter in self.network.named_parameters():
            self.optimizer.state[parameter] = {
                "step": torch.tensor(float(self.updates), device=self.device if self.device.type == "cuda" else "cpu"),
                **{moment: tensors[f"{moment}.{name}"].to(self.device) for moment in ("exp_avg", "exp_avg_sq")},
            }
        return True


def _stored(network: Diffusion) -> Diffusion:
    return copy.deepcopy(network).cpu().half().float()


def forked(device: torch.device):
    """A context that leaves PyTorch's global generators as they were."""
    return torch.random.fork_rng(devices=[device] if device.type == "cuda" else [])


class RandomState:
    """The device's global generator as it is now, to be gone on with inside `with`; outside it is as if it were not."""

    def __init__(self, device: torch.device):
        self._cuda = device.type == "cuda"
        self.state = self._get()

    def _get(self) -> Tensor:
        return torch.cuda.get_rng_state() if self._cuda else torch.get_rng_state()

    def _set(self, state: Tensor) -> None:
        (torch.cuda.set_rng_state if self._cuda else torch.set_rng_state)(state)

    def __enter__(self) -> None:
        self._outside = self._get()
        self._set(self.state)

    def __exit__(self, *_) -> None:
        self.state = self._get()
        self._set(self._outside)


def fit_diffusion(
    data: Encoded,
    device: torch.device,
    seed: int = 0,
    updates: int = 20_000,
    on_progress: Callable[[int, int], None] | None = None,
    unfinished: tuple[Path, str] | None = None,
    on_look: Callable[[Diffusion], None] | None = None,
    **training,
) -> Diffusion:
    """A diffusion prior of the latents of those images. training: what `Training` takes besides.

    on_progress(done, updates) is called after each update. What it raises, or else interrupts the training, passes
    through; the training is stored first.
    unfinished: a file, and the fingerprint of the weights that it belongs to. The training is stored there once a
    minute and at its end, and one that was interrupted there goes on, if it was of the same images, seed and settings.
    The file is the caller's to remove, once the prior is stored.
    on_look is given the prior as it is by then, after the first update and every LOOK_EVERY seconds.
    Raises InputError for latents of more than POSITIONS positions.
    """
    check_positions(data.latents.shape)
    run = Training(data, device, seed, **training)
    made_of = {"seed": seed, "updates": updates, "shape": list(data.latents.shape), "mirrored": data.mirrored}
    made_of |= {**run.network.settings, **training}
    saved, looked = time.monotonic(), -math.inf

    def test() -> None:
        if run.updates % max(1, updates // TESTS) == 0 or run.updates == updates:
            run.test()

    try:
        if unfinished and run.resume(*unfinished, made_of):
            test()  # which it may have been interrupted before
        while run.updates < updates:
            run.step(run.updates / updates)
            test()
            if unfinished and (time.monotonic() - saved > SAVE_EVERY or run.updates == updates):
                run.save(*unfinished, made_of)
                saved = time.monotonic()
            if on_progress:
                on_progress(run.updates, updates)
            if on_look and time.monotonic() - looked > LOOK_EVERY:
                on_look(run.now())
                looked = time.monotonic()
    except BaseException:
        if unfinished and run.updates and run.whole:
            run.save(*unfinished, made_of)
        raise
    return run.result()


def check_positions(shape: Sequence[int]) -> None:
    """InputError for latents (..., h, w) of more than POSITIONS positions."""
    height, width = shape[-2:]
    if height * width > POSITIONS:
        raise InputError(
            f"A diffusion prior is fitted to latents of up to {POSITIONS:,} positions; "
            f"this model's have {height} x {width}."
        )
