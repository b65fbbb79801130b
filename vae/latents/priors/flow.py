"""A learned map of N(0, I) onto the latents, by flow matching."""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import jacrev, vmap

from vae.checks import whole_number
from vae.device import has_bfloat16
from vae.errors import InputError

LARGEST = 4096  # dimensions
HARMONICS = 16
NARROWEST, WIDEST = 192, 400  # units of a layer
MANY = 20_000  # points; for fewer, the narrowest network came out as good
CLOSE = 1e-5  # how far off, in standard deviations, an inverse may be


class Flow(nn.Module):
    """du/dt = v(u, t) carries noise at t = 0 to latents at t = 1, and back (Lipman et al. 2023, arXiv:2210.02747).

    v is what would carry noise to noise, which leaves it as it is in the end, plus a residual network of `width` units
    with `blocks` blocks, over A dimensions: it learns only what tells latents from noise, and may be narrower than they
    are. The way is gone in `steps` steps of the midpoint rule; being a map with an inverse, it lets one go between
    latents through the space of the noise.
    """

    def __init__(self, dims: int, width: int, blocks: int = 4, steps: int = 16):
        super().__init__()
        self.settings = {"dims": dims, "width": width, "blocks": blocks, "steps": steps}
        self.steps = steps
        for name, value, most in (("dims", dims, LARGEST), ("width", width, 2**14), ("blocks", blocks, 64)):
            whole_number(f"The flow's {name}", value, 1, most)  # they may come from a file
        whole_number("The flow's steps", steps, 1, 1024)
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
        return self.out(F.silu(self.norms[-1](h))) + (2 * t - 1) / ((1 - t).square() + t.square()) * u

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

    @torch.inference_mode(False)
    def inverse(self, u: Tensor) -> Tensor:
        """The noise that comes out as u: of the map as computed, not only of the equation."""
        u = u.clone()  # a tensor made in inference mode takes no part in derivatives
        with torch.no_grad():
            for k in reversed(range(self.steps)):
                u = self._undo(u, k)
        return u

    def _undo(self, after: Tensor, k: int) -> Tensor:
        """The x (n, A) with x + _advance(x, k) = after: by fixed-point iteration and, where the step stretches too
        much for that to converge (between clusters it does), by Newton's method, its steps halved while too long."""
        x = after - self._advance(after, k)
        for _ in range(12):
            residual = x + self._advance(x, k) - after
            if residual.abs().max() < CLOSE:
                return x
            x = x - residual
        start = after - self._advance(after, k)
        residual = x + self._advance(x, k) - after
        x = torch.where((residual.abs().amax(1, keepdim=True) < CLOSE), x, start)
        identity = torch.eye(x.shape[1], device=x.device)
        for _ in range(25):
            residual = x + self._advance(x, k) - after
            far = (residual.abs().amax(1) >= CLOSE).nonzero()[:, 0]
            if not len(far):
                break
            y, target, error = x[far], after[far], residual[far]
            jacobian = vmap(jacrev(lambda row: self._advance(row[None], k)[0]), chunk_size=64)(y) + identity
            step = torch.linalg.lstsq(jacobian, error[..., None]).solution[..., 0]
            size = torch.ones(len(far), 1, device=x.device)
            for _ in range(8):
                trial = y - size * step
                worse = (trial + self._advance(trial, k) - target).norm(dim=1) > error.norm(dim=1)
                if not worse.any():
                    break
                size[worse] *= 0.5
            x[far] = y - size * step
        return x


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
        width = min(WIDEST, max(NARROWEST, 15 * dims)) if len(points) > MANY else NARROWEST
        flow, average = Flow(dims, width), Flow(dims, width)
    flow, average = flow.to(points.device), average.to(points.device)
    average.load_state_dict(flow.state_dict())
    pairs = list(average.parameters()), list(flow.parameters())
    fast = has_bfloat16(points.device)
    optimizer = torch.optim.AdamW(flow.parameters(), weight_decay=0.01)
    # With 10 updates a rise over 0.1 of them would have no length, by which PyTorch divides.
    rise = 0.1 if updates > 10 else 0.15
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, learning_rate, updates, pct_start=rise)

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator).to(points.device)

    for update in range(updates):
        u = points[torch.randint(len(points), (batch_size,), generator=generator).to(points.device)]
        noise, t = draw(batch_size, dims), torch.rand(batch_size, 1, generator=generator).to(points.device)
        with torch.autocast(points.device.type, torch.bfloat16, enabled=fast):
            velocity = flow.velocity(noise.lerp(u, t), t)
        loss = (velocity.float() - (u - noise)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        with torch.no_grad():
            torch._foreach_lerp_(*pairs, 1.0 / min(1000, 2 + update / 10))
        if on_progress and (update % 20 == 19 or update + 1 == updates):
            on_progress(update + 1, updates)
    return average.cpu().half().float().eval().requires_grad_(False)
