"""A digit on bright paper, drawn or photographed, made into what MNIST's digits are: white on black, cropped, centred.

MNIST's own preparation (LeCun, Bottou, Bengio & Haffner 1998, "Gradient-based learning applied to document
recognition", section III.A): the digit is scaled to fit 20x20 pixels, its proportions kept, and placed in 28x28 so that
its centre of mass is in the middle.
"""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from vae.images import flatten

SEEN = 480  # pixels of the longer side at which a photograph is looked at
LARGE, MARGINS = 100, (0.0, 0.1, 0.2)  # pixels; shares of the sides around the middle in which paper is looked for then
COARSE = 4  # of those pixels make one where light and connected strokes are looked for
SHARES = {"mnist": 20 / 28, "digits": 1.0}  # of the image's side, without border, that a digit's longer side takes
STROKE = 0.11  # least width of a stroke, in longer sides of the digit; a pen's is often less
PAPER = 90  # grey level from which on paper counts as bright
CONTRAST = 0.25  # least share of the paper's light that ink takes away
MOST_INK = 0.3  # share of the image
BARE = 0.055, 0.25  # bare paper is no darker, on average and at its 95th percentile, in shares of the ink's darkness
SPECK = 0.05  # strokes with a smaller share of the largest's area are dust
SAYS = (
    "This looks like a digit on paper, so shadows were taken out, contrast was set, and it was inverted, cropped and "
    "centred."
)


@dataclass(frozen=True)
class DigitPhoto:
    """image: mode "L", white on black. box: the region of the photograph that it shows, left, top, right and bottom in
    its pixels, which may reach beyond it. says: what was done, in one sentence."""

    image: Image.Image
    box: tuple[float, float, float, float]
    says: str = SAYS


def share_of(trained_on: str | None) -> float | None:
    """The entry of SHARES for a model trained on this (the config's `trained_on`); None if it was not on digits."""
    return SHARES.get((trained_on or "").split(",")[0].casefold())


def clean_digit(photo: Image.Image, side: int, share: float = SHARES["mnist"]) -> DigitPhoto | None:
    """A dark digit on bright paper as a model of digits knows them; None for any other image, which stays as it is.

    photo: any PIL image, most of it paper. side: of the result, in pixels. share: of it, which the digit's longer side
    takes.
    """
    grey = flatten(photo).convert("L")
    grey.thumbnail((SEEN, SEEN), Image.Resampling.BOX)
    light = torch.from_numpy(np.array(grey, np.float32))
    found = _found(light)
    if found is None:
        return None
    (left, top), ink = found
    ink = _thickened(ink)
    box, scale = _square(ink, share), photo.width / grey.width
    corners = tuple((edge + shift) * scale for edge, shift in zip(box, (left, top, left, top), strict=True))
    return DigitPhoto(_cut(ink, box, side), corners)


def _found(light: Tensor) -> tuple[tuple[int, int], Tensor] | None:
    """The ink (see `_ink`) of the whole image or, of a photograph with a table around the paper, of its middle;
    and where that begins."""
    height, width = light.shape
    for margin in MARGINS if min(height, width) > LARGE else (0.0,):
        top, left = int(margin * height), int(margin * width)
        ink = _ink(light[top : height - top, left : width - left])
        if ink is not None:
            return (left, top), ink
    return None


def _ink(light: Tensor) -> Tensor | None:
    """How much ink (0 to 1) each pixel has, if the image is strokes on paper and nothing else."""
    rim = torch.cat([light[0], light[-1], light[:, 0], light[:, -1]])
    if min(light.median(), rim.median()) < PAPER or rim.quantile(0.33) < 0.3 * light.median():
        return None
    dark = (1.0 - light / _paper(light).clamp_min(1.0)).clamp(0.0, 1.0)
    strokes = dark > _otsu(dark)
    if not 0.0 < strokes.float().mean() < MOST_INK:
        return None
    full, bare = dark[strokes].quantile(0.75), dark[~strokes]
    noise = bare.quantile(0.95)
    if full < CONTRAST or bare.mean() > BARE[0] * full or noise > BARE[1] * full:
        return None
    low = torch.maximum(noise, 0.1 * full).clamp_max(0.3 * full)
    kept = _dilated(_without_dust(strokes), 5)  # with their soft edges
    ink = ((dark - low) / (full - low)).clamp(0.0, 1.0) * kept
    return ink if ink.max() > 0.5 else None


def _paper(light: Tensor) -> Tensor:
    """The light of bare paper at each pixel: a morphological closing, which fills what is narrower than a third of the
    image, and a blur."""
    coarse = F.avg_pool2d(light[None, None], _cell(light), ceil_mode=True)[0, 0]
    reach = max(3, min(coarse.shape) // 3) | 1
    closed = -_dilated(-_dilated(coarse, reach), reach)
    blur = reach // 4
    closed = F.avg_pool2d(F.pad(closed[None, None], [blur] * 4, mode="replicate"), 2 * blur + 1, 1)
    return F.interpolate(closed, light.shape, mode="bilinear")[0, 0]


def _cell(x: Tensor) -> int:
    return COARSE if min(x.shape) > 100 else 1


def _dilated(x: Tensor, reach: int) -> Tensor:
    """The greatest value within a square of `reach` (odd) pixels around each."""
    x = F.max_pool2d(x[None, None].float(), (reach, 1), 1, (reach // 2, 0))
    return F.max_pool2d(x, (1, reach), 1, (0, reach // 2))[0, 0]


def _otsu(dark: Tensor) -> float:
    """The value that parts ink and paper (Otsu 1979, "A threshold selection method from gray-level histograms")."""
    counts = torch.histc(dark, 256, 0.0, 1.0).double()
    sums = (counts * torch.arange(256)).cumsum(0)
    below = counts.cumsum(0)
    above = below[-1] - below
    gap = sums / below.clamp_min(1) - (sums[-1] - sums) / above.clamp_min(1)
    return ((below * above * gap.square()).argmax().item() + 1) / 256


def _without_dust(strokes: Tensor) -> Tensor:
    """The strokes that are no specks and do not lead out of the image, as the table beside the paper does."""
    cell, (height, width) = _cell(strokes), strokes.shape
    small = F.max_pool2d(strokes[None, None].float(), cell, ceil_mode=True)[0, 0]
    # Connected cells come to have the greatest number among them.
    parts, before = small * (torch.arange(small.numel()).view(small.shape) + 1), None
    while before is None or not torch.equal(parts, before):
        before, parts = parts, _dilated(parts, 3) * small
    parts = parts.long()
    areas = torch.bincount(parts.flatten())
    areas[0] = 0
    out = torch.cat([parts[0], parts[-1], parts[:, 0], parts[:, -1]]).unique()
    inner = areas.clone()
    inner[out] = 0
    areas = inner if inner.max() > SPECK * areas.max() else areas
    kept = (areas > SPECK * areas.max())[parts].repeat_interleave(cell, 0).repeat_interleave(cell, 1)
    return kept[:height, :width] & strokes


def _thickened(ink: Tensor) -> Tensor:
    """Strokes thinner than MNIST's made as thick as those, or little would be left of them in so few pixels."""
    full = ink > 0.5
    edge = full & ((-_dilated(-full.float(), 3)) < 0.5)
    width = 2.0 * full.sum() / edge.sum().clamp_min(1)
    rows, columns = full.any(1).nonzero(), full.any(0).nonzero()
    longest = max(rows[-1] - rows[0], columns[-1] - columns[0]) + 1
    missing = int((STROKE * longest - width).round())
    return _dilated(ink, missing | 1) if missing > 0 else ink


def _square(ink: Tensor, share: float) -> tuple[float, float, float, float]:
    """The square around the digit that becomes the image, left, top, right and bottom."""
    spans = [[i.min().item(), i.max().item() + 1] for i in ((ink > 0.3).any(d).nonzero() for d in (0, 1))]
    side = max(high - low for low, high in spans) / share
    box = []
    for axis, (low, high) in enumerate(spans):
        mass = ink.sum(axis)
        centre = ((mass * (torch.arange(len(mass)) + 0.5)).sum() / mass.sum()).item()
        centre = min(max(centre, high - side / 2), low + side / 2)  # all of it stays inside
        box.append((centre - side / 2, centre + side / 2))
    (left, right), (top, bottom) = box
    return left, top, right, bottom


def _cut(ink: Tensor, box: tuple[float, float, float, float], side: int) -> Image.Image:
    """That part of the image in side x side pixels, its strokes white."""
    margin = int(box[2] - box[0]) + 1  # the square may reach beyond the image, by no more than its side
    padded = Image.fromarray(F.pad(ink * 255, [margin] * 4).numpy())
    small = padded.resize((side, side), Image.Resampling.BOX, box=tuple(edge + margin for edge in box))
    values = np.asarray(small)
    bright = np.quantile(values[values > 0.5 * values.max()], 0.75)
    return Image.fromarray((values * (255 / bright)).clip(0, 255).round().astype(np.uint8))
