"""A latent changed channel by channel, to see what each of them does."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from vae.checks import as_tensor, real_number, refuse_not_finite, whole_number
from vae.errors import InputError

MOST = 1000.0  # a scale, and the noise's size


@dataclass(frozen=True)
class ChannelEdit:
    """What becomes of one channel: it is taken from the channel `source` (None: itself), multiplied by `scale` (0: it
    is empty), and gets Gaussian noise, `noise` times as large as the values of the latent vary in that channel."""

    source: int | None = None
    scale: float = 1.0
    noise: float = 0.0


def edit_channels(z: Tensor, edits: Sequence[ChannelEdit], seed: int = 0) -> Tensor:
    """The latents (N, C, h, w) with an edit for each of their C channels. The noise is that of the seed, for a channel
    the same whatever is done to others.

    A channel of one number, or without any variation, gets noise of the size that the whole latent varies by. Raises
    InputError for latents of another shape or not finite, and for edits that are not one for each channel.

    >>> z = torch.tensor([1.0, 2.0]).view(1, 2, 1, 1)
    >>> edit_channels(z, [ChannelEdit(source=1), ChannelEdit(scale=-0.5)]).flatten().tolist()
    [2.0, -1.0]
    """
    z = as_tensor("The latents", z)
    if z.ndim != 4 or not z.is_floating_point():
        raise InputError(f"Latents are floats of the shape (N, channels, h, w), not {list(z.shape)}.")
    refuse_not_finite("The latents", z)
    count = z.shape[1]
    if len(edits) != count:
        raise InputError(f"A latent of {count} channels takes {count} edits, not {len(edits)}.")
    sources = [
        whole_number("A channel", i if e.source is None else e.source, 0, count - 1) for i, e in enumerate(edits)
    ]
    scales = [real_number("A scale", edit.scale, -MOST, MOST) for edit in edits]
    sizes = [real_number("The noise", edit.noise, 0.0, MOST) for edit in edits]
    generator = torch.Generator().manual_seed(whole_number("A seed", seed, 0, 2**63 - 1))
    noise = torch.randn(count, len(z), *z.shape[2:], generator=generator).transpose(0, 1).to(z)
    std = z.flatten(2).std(2, unbiased=False)[..., None, None]
    std = torch.where(std > 0, std, z.flatten(1).std(1, unbiased=False)[:, None, None, None])
    factors, spreads = (z.new_tensor(values).view(1, -1, 1, 1) for values in (scales, sizes))
    return z[:, sources] * factors + noise * std * spreads
