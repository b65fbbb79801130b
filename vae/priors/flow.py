"""A learned map of N(0, I) onto the latents, by flow matching."""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vae.errors import InputError

LARGEST = 4096  # dimensions
HARMONICS = 16


class Flow(nn.Module):
    """du/dt = v(u, t) carries noise at t = 0 to latents at t = 1, and back (Lipman et al. 2023, arXiv:2210.02747).

    v is a residual network of `width` units with `blocks` blocks, over A dimensions. The way is gone in `steps` steps
    of the midpoint rule; being a map with an inverse, it lets one go between latents through the space of the noise.
    """

    def __init__(self, dims: int, width: int = 192, blocks: int = 4, steps: int = 12):
        super().__init__()
        self.settings = {"dims": dims, "width": width, "blocks": blocks, "steps": steps}
        self.steps = steps
        self.into = nn.Linear(dims, width)
        self.time = nn.Linear(2 * HARMONICS, (blocks + 1) * width)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(blocks + 1))
        self.up = nn.ModuleList(nn.Linear(width, width) for _ in range(blocks))
        self.down = nn.ModuleList(nn.Linear(width, width) for _ in range(blocks))
        self.out = nn.Linear(width, dims)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def velocity(self, u: Tensor, t: Tensor) -> Tensor:
        """(n, A) at the places u (n, A) and the times t (n, 1)."""
        angles = t * torch.arange(1, HARMONICS + 1, device=u.device, dtype=u.dtype) * math.pi
        first, *shifts = self.time(torch.cat([angles.sin(), angles.cos()], 1)).chunk(len(self.norms), 1)
        h = self.into(u) + first
        for norm, up, down, shift in zip(self.norms, self.up, self.down, shifts, strict=False):
            h = h + down(F.silu(up(norm(h)) + shift))
        return self.out(F.silu(self.norms[-1](h)))

    def _advance(self, u: Tensor, k: int) -> Tensor:
        """What step k adds to u."""
        size, t = 1.0 / self.steps, u.new_full((len(u), 1), k / self.steps)
        half = u + 0.5 * size * self.velocity(u, t)
        return size * self.velocity(half, t + 0.5 * size)

    @torch.no_grad()
    def forward(self, noise: Tensor, temperature: float = 1.0) -> Tensor:
        u = temperature * noise
        for k in range(self.steps):
            u = u + self._advance(u, k)
        return u

    @torch.no_grad()
    def inverse(self, u: Tensor) -> Tensor:
        """The noise that comes out as u: each step undone by fixed-point iteration, so that it is the inverse of the
        map as computed and not only of the equation."""
        for k in reversed(range(self.steps)):
            before = u - self._advance(u, k)
            for _ in range(60):
                again = u - self._advance(before, k)
                done = (again - before).abs().max() < 1e-6
                before = again
                if done:
                    break
            u = before
        return u


def fit_flow(
    points: Tensor,
    seed: int = 0,
    updates: int = 8000,
    batch_size: int = 1024,
    learning_rate: float = 2e-3,
    on_progress: Callable[[int, int], None] | None = None,
) -> Flow:
    """A flow onto the distribution of points (N, A), each dimension of mean 0 and variance 1.

    Flow matching: at a place (1 - t) e + t u on the straight way from a noise e to a point u, the network learns the
    mean of u - e. Its weights' running average is kept, rounded to 16 bits so that what was fitted is what is stored.
    """
    dims = points.shape[1]
    if dims > LARGEST:
        raise InputError(f"A flow is fitted to up to {LARGEST:,} latent dimensions; this model uses {dims:,}.")
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        flow, average = Flow(dims), Flow(dims)
    flow, average = flow.to(points.device), average.to(points.device)
    average.load_state_dict(flow.state_dict())
    pairs = list(average.parameters()), list(flow.parameters())
    optimizer = torch.optim.AdamW(flow.parameters(), weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, learning_rate, updates, pct_start=0.1)

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator).to(points.device)

    for update in range(updates):
        u = points[torch.randint(len(points), (batch_size,), generator=generator).to(points.device)]
        noise, t = draw(batch_size, dims), torch.rand(batch_size, 1, generator=generator).to(points.device)
        loss = (flow.velocity(noise.lerp(u, t), t) - (u - noise)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        with torch.no_grad():
            torch._foreach_lerp_(*pairs, 1.0 / min(1000, 2 + update / 10))
        if on_progress and (update % 20 == 19 or update + 1 == updates):
            on_progress(update + 1, updates)
    return average.cpu().half().float().eval().requires_grad_(False)
