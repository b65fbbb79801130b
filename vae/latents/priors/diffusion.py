"""A diffusion model of spatial latents: a small transformer over their positions."""

import copy
import itertools
import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vae.checks import whole_number

HARMONICS = 16
VIEW = 3  # numbers that describe a view of an image, see views.py
BATCH = 64  # latents drawn at a time
MOST_STEPS = 64


class Diffusion(nn.Module):
    """du/dt = v(u, t) carries noise at t = 0 to latents at t = 1 (flow matching, Lipman et al. 2023, arXiv:2210.02747).

    v is a transformer whose tokens are the positions of the latent, with adaptive layer norms (DiT, Peebles & Xie 2023,
    arXiv:2212.09748) whose modulation all blocks share but for a table of their own (PixArt-alpha, arXiv:2310.00426),
    which saves a third of the weights. The `depth` blocks are gone through `repeats` times. As in `flow.py`, it learns
    only what tells latents from noise.

    Two heads read v, one halfway and one at the end. Drawing goes beyond the second, away from the first, which is what
    the same network knew with less thought: v = v_half + guidance (v_end - v_half) (Zhou et al. 2025, arXiv:2512.24176;
    after Karras et al. 2024, arXiv:2406.02507). guidance 1 is the second head alone.

    With classes, the network is told the class of an image, or nothing (the number `classes`). One class alone is drawn
    beyond v of that class, away from v of all: v = v_all + class_guidance (v_class - v_all), which is classifier-free
    guidance (Ho & Salimans 2022, arXiv:2207.12598), in two evaluations of v a step.

    shape: (C, h, w) of the latents. A draw takes `steps` evaluations of v, by the Adams-Bashforth rule of second order;
    shift above 1 puts more of them near the noise.
    """

    def __init__(
        self,
        shape: tuple[int, int, int],
        width: int = 192,
        depth: int = 6,
        repeats: int = 1,
        steps: int = 16,
        guidance: float = 1.0,
        shift: float = 1.0,
        dropout: float = 0.0,
        classes: int = 0,
        class_guidance: float = 1.5,
    ):
        super().__init__()
        self.settings = {
            **{"shape": list(shape), "width": width, "depth": depth, "repeats": repeats},
            **{"steps": steps, "guidance": guidance, "shift": shift},
            **({"classes": classes, "class_guidance": class_guidance} if classes else {}),
        }
        for name, value, most in (("width", width, 2**14), ("depth", depth, 64), ("repeats", repeats, 64)):
            whole_number(f"The diffusion's {name}", value, 1, most)  # they may come from a file
        whole_number("The diffusion's steps", steps, 1, MOST_STEPS)
        whole_number("The diffusion's classes", classes, 0, 10_000)
        self.shape, self.repeats = tuple(shape), repeats
        self.steps, self.guidance, self.shift = steps, guidance, shift
        self.classes, self.class_guidance = classes, class_guidance
        channels, positions = shape[0], shape[1] * shape[2]
        self.into = nn.Linear(channels, width)
        self.place = nn.Parameter(0.02 * torch.randn(positions, width))
        self.time = nn.Sequential(nn.Linear(2 * HARMONICS + VIEW, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU())
        self.modulation = nn.Linear(width, 8 * width)  # six parts for a block, two for a head
        self.tables = nn.Parameter(torch.zeros(depth * repeats, 6, width))
        self.blocks = nn.ModuleList(Block(width, dropout) for _ in range(depth))
        self.heads = nn.ModuleList(nn.Linear(width, channels) for _ in range(2))
        for layer in (self.modulation, *self.heads):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)
        self.label = nn.Embedding(classes + 1, width) if classes else None
        if self.label is not None:
            nn.init.zeros_(self.label.weight)

    def velocities(
        self, u: Tensor, t: Tensor, view: Tensor | None = None, label: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """v halfway and at the end, (n, C, h, w) each, at the places u (n, C, h, w) and the times t (n, 1).

        view: (n, VIEW) of the images, see views.py; that of whole images if left out. label: (n,) of a network with
        classes, of any if left out.
        """
        angles = t * torch.arange(1, HARMONICS + 1, device=u.device, dtype=u.dtype) * math.pi
        view = u.new_zeros(len(u), VIEW) if view is None else view
        told = self.time(torch.cat([angles.sin(), angles.cos(), view], 1))
        if self.label is not None:
            label = torch.full((len(u),), self.classes, device=u.device) if label is None else label
            told = told + self.label(label)
        parts = self.modulation(told).unflatten(1, (8, 1, -1))
        x = self.into(u.flatten(2).transpose(1, 2)) + self.place
        halfway, read = len(self.tables) // 2, []
        for number, table in enumerate(self.tables):
            if number == halfway:
                read.append(x)
            x = self.blocks[number % len(self.blocks)](x, parts[:, :6] + table[:, None])
        read.append(x)
        towards = ((2 * t - 1) / ((1 - t).square() + t.square()))[..., None, None] * u  # what carries noise to noise
        return tuple(
            head(_modulated(x, parts[:, 6], parts[:, 7])).transpose(1, 2).reshape(u.shape) + towards
            for head, x in zip(self.heads, read, strict=True)
        )

    def velocity(self, u: Tensor, t: Tensor, label: int | None = None) -> Tensor:
        half, end = self.velocities(u, t)
        if label is None:
            return half.lerp(end, self.guidance)
        of_class = self.velocities(u, t, label=torch.full((len(u),), label, device=u.device))[1]
        return end.lerp(of_class, self.class_guidance)

    def in_steps(self, steps: int) -> "Diffusion":
        """The same network, which draws in so many steps. Raises InputError unless they are 1 to MOST_STEPS."""
        other = copy.copy(self)  # its weights are this one's
        other.steps = whole_number("The number of steps", steps, 1, MOST_STEPS)
        other.settings = self.settings | {"steps": other.steps}
        return other

    @torch.no_grad()
    def forward(self, noise: Tensor, temperature: float = 1.0, label: int | None = None) -> Tensor:
        """Latents (n, C h w) for noise of that shape, drawn from N(0, I); of one class, if label says so."""
        return torch.cat([self._go(part, self._times, label) for part in (temperature * noise).split(BATCH)])

    def of_class(self, noise: Tensor, temperature: float, label: int) -> Tensor:
        return self(noise, temperature, label)

    @property
    def _times(self) -> list[float]:
        grid = torch.linspace(0.0, 1.0, self.steps + 1, dtype=torch.float64)
        return (grid / (grid + self.shift * (1.0 - grid))).tolist()

    def _go(self, u: Tensor, grid: list[float], label: int | None) -> Tensor:
        """u (n, C h w) carried along the times of the grid."""
        u = u.unflatten(1, self.shape)
        before = size_before = None
        for t, following in itertools.pairwise(grid):
            v, size = self.velocity(u, u.new_full((len(u), 1), t), label), following - t
            u = u + size * (v if before is None else v + (0.5 * size / size_before) * (v - before))
            before, size_before = v, size
        return u.flatten(1)


class Block(nn.Module):
    def __init__(self, width: int, dropout: float):
        super().__init__()
        self.heads, self.dropout = max(1, width // 32), dropout
        self.qkv = nn.Linear(width, 3 * width)
        self.mix = nn.Linear(width, width)
        self.up = nn.Linear(width, 4 * width)
        self.down = nn.Linear(4 * width, width)

    def forward(self, x: Tensor, parts: Tensor) -> Tensor:
        """x: (n, positions, width); parts: (n, 6, 1, width), scale, shift and gate of both halves."""
        scale, shift, gate, scale2, shift2, gate2 = parts.unbind(1)
        q, k, v = self.qkv(_modulated(x, scale, shift)).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        size = q.shape[-1:]  # queries and keys of one length keep training in 16 bits from running away
        y = F.scaled_dot_product_attention(F.layer_norm(q, size).to(v), F.layer_norm(k, size).to(v), v)
        x = x + gate * self.mix(y.transpose(1, 2).flatten(2))
        y = F.dropout(F.gelu(self.up(_modulated(x, scale2, shift2))), self.dropout, self.training)
        return x + gate2 * self.down(y)


def _modulated(x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    return F.layer_norm(x, x.shape[-1:]) * (1.0 + scale) + shift
