"""From one latent to another: a path, a loop through several, a grid between four."""

from collections.abc import Sequence

import torch
from torch import Tensor

from vae.checks import as_tensor, refuse_not_finite, whole_number
from vae.errors import InputError
from vae.latents.priors import Prior, PriorNotFitted

MODES = ("slerp", "lerp", "prior")
MAX_STEPS = 1000


def interpolate(a: Tensor, b: Tensor, steps: int, mode: str = "slerp", prior: Prior | None = None) -> Tensor:
    """`steps` latents on the way from a to b, both ends included and exact.

    a, b: latents of one shape, (C, h, w) or (1, C, h, w). Returns (steps, C, h, w). "lerp" is the straight line.
    "slerp" (Shoemake 1985) goes along the great circle, its length changing evenly from |a| to |b|: halfway between
    two draws from N(0, I) a straight line passes nearer the origin than any draw ever comes, the circle does not.
    "prior" goes along the circle between the noises that `prior`, one of a model's fitted priors, maps to a and b, so
    that what lies between is as likely under it as the ends.
    Raises InputError for fewer than 2 or more than MAX_STEPS steps, an unknown mode, shapes that differ, latents that
    are not floats or not finite, or "prior" without a prior that can be inverted.
    """
    a, b = _alike([a, b])
    steps = whole_number("An interpolation's number of steps", steps, 2, MAX_STEPS)
    if mode not in MODES:
        raise InputError(f"The interpolation mode must be one of {', '.join(MODES)}, not {mode!r}.")
    if mode == "prior":
        path = prior(interpolate(*_passable(prior).inverse(torch.stack([a, b])), steps))
    else:
        t = torch.linspace(0.0, 1.0, steps, device=a.device, dtype=torch.float32).view(-1, 1, 1, 1)
        path = _slerp(a.float(), b.float(), t) if mode == "slerp" else (1.0 - t) * a.float() + t * b.float()
    path = path.to(a)
    path[0], path[-1] = a, b
    return path


def loop(stops: Sequence[Tensor], steps: int, mode: str = "slerp", prior: Prior | None = None) -> Tensor:
    """A round trip through two or more latents, `steps` from each to the next: (len(stops) * steps, C, h, w).

    It begins at the first stop and ends one step before it, so that played in a circle it runs evenly.
    Raises InputError for fewer than two stops, more than MAX_STEPS latents in all, and as `interpolate` does.
    """
    if len(stops) < 2:
        raise InputError("A loop takes two or more pictures.")
    steps = whole_number("A loop's number of steps from one to the next", steps, 1)
    if len(stops) * steps > MAX_STEPS:
        raise InputError(f"A loop takes 1 to {MAX_STEPS} steps in all, not {len(stops)} times {steps}.")
    stops = _alike(stops)
    if mode == "prior":  # all at once
        path = prior(loop(_passable(prior).inverse(torch.stack(stops)), steps)).to(stops[0])
        path[::steps] = torch.stack(stops)
        return path
    legs = zip(stops, [*stops[1:], stops[0]], strict=True)
    return torch.cat([interpolate(a, b, steps + 1, mode)[:-1] for a, b in legs])


def corners(four: Sequence[Tensor], rows: int, columns: int, mode: str = "slerp", prior: Prior | None = None) -> Tensor:
    """What lies between four latents: (rows, columns, C, h, w), with them, exact, in the corners.

    four: top left, top right, bottom left, bottom right. The left and the right side are interpolated first, then each
    row between them. Raises InputError for another number of latents, and as `interpolate` does.
    """
    if len(four) != 4:
        raise InputError(f"A grid has four corners, not {len(four)}.")
    rows, columns = (whole_number("A grid's side", side, 2) for side in (rows, columns))
    if rows * columns > MAX_STEPS:
        raise InputError(f"A grid takes up to {MAX_STEPS} pictures, not {rows} times {columns}.")
    four = _alike(four)
    if mode == "prior":  # all at once
        noises = corners(_passable(prior).inverse(torch.stack(four)), rows, columns)
        grid = prior(noises.flatten(0, 1)).view(noises.shape).to(four[0])
        grid[0, 0], grid[0, -1], grid[-1, 0], grid[-1, -1] = four
        return grid
    left = interpolate(four[0], four[2], rows, mode)
    right = interpolate(four[1], four[3], rows, mode)
    return torch.stack([interpolate(a, b, columns, mode) for a, b in zip(left, right, strict=True)])


def _alike(ends: Sequence[Tensor]) -> list[Tensor]:
    """The latents, each (C, h, w) and on the first one's device. Raises InputError if they differ in shape, or are not
    floats, or not finite."""
    ends = [as_tensor("The latents", z) for z in ends]
    ends = [z[0] if z.dim() == 4 and z.shape[0] == 1 else z for z in ends]
    if ends[0].dim() != 3 or any(z.shape != ends[0].shape for z in ends):
        shapes = " and ".join(str(list(z.shape)) for z in ends)
        raise InputError(f"Latents of one shape are needed, (channels, height, width), not {shapes}.")
    for z in ends:
        if not z.is_floating_point():
            raise InputError(f"Latents are floats, not {z.dtype}.")
        refuse_not_finite("The latents", z)
    return [z.to(ends[0].device) for z in ends]


def _passable(prior: Prior | None) -> Prior:
    """The prior, if there is one."""
    if prior is None:
        raise PriorNotFitted("flow", 'The mode "prior" goes through the space of a fitted prior, and none was given.')
    return prior


def _slerp(a: Tensor, b: Tensor, t: Tensor) -> Tensor:
    length_a, length_b = a.norm(), b.norm()
    cosine = (a * b).sum() / (length_a * length_b).clamp_min(1e-12)
    angle = torch.acos(cosine.clamp(-1.0, 1.0))
    # Zero, parallel or opposite: the circle is not defined, the line is.
    if torch.sin(angle) < 1e-4 or min(length_a, length_b) == 0:
        return (1.0 - t) * a + t * b
    direction = (torch.sin((1.0 - t) * angle) * a / length_a + torch.sin(t * angle) * b / length_b) / torch.sin(angle)
    return direction * ((1.0 - t) * length_a + t * length_b)
