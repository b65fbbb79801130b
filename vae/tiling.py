"""Images of any size in bounded memory: encode and decode tile by tile, with overlap.

A tile is not computed as it would be within the whole image, for three reasons. Here is what is done about each.

- Normalisation looks at the whole image. All tiles share one set of statistics, measured beforehand on a sample:
  crops spread evenly over the image, computed together as if they were one (about the cost of one more tile).
- Convolutions look past a tile's edge. Tiles overlap; the outer quarter of an overlap is dropped and the rest blended.
- Attention looks at the whole image. Here it looks at the tile alone; nothing is done about that.

So the result is exact only for a network without normalisation and attention (TAESD) whose reach is within the dropped
part, and otherwise close.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from itertools import pairwise, product
from typing import TypeVar

import torch
from torch import Tensor

from vae import limits
from vae.checks import as_images, as_latents, whole_number
from vae.distributions import DiagonalGaussian
from vae.errors import InputError
from vae.models.base import AutoEncoder, pad
from vae.models.group_norm import SHARED_STATISTICS
from vae.threads import at_most, each, unused_cores

T = TypeVar("T")

TILE, OVERLAP = 768, 64  # pixels
SMALLEST_TILE = 192
PER_PIXEL = 32  # bytes of an image and what is made of it, beside the network
ATTENDED = 128**2  # latent pixels that attend to one another on a CPU: from about there on tiles are quicker
GPU_TILES = (1536, 1024)  # the first for which there is memory: of larger tiles less is computed twice
PART, PART_FLOATS = 4, 2 * 10**6  # images that one thread computes at once: at least so many, else of so many floats
SHARED = 10**7  # floats of the largest layer of an image; one that has more is computed by all threads together
ALONE = 300_000  # the same; up to here one thread is as fast
CROPS, CROP = 4, 24  # a sample: up to CROPS x CROPS crops, of a quarter of a tile but at least CROP latent pixels


@dataclass(frozen=True)
class Span:
    """One tile's extent along one axis, and how far it overlaps the tiles before and after it."""

    start: int
    stop: int
    before: int
    after: int

    def at(self, scale: int) -> slice:
        return slice(self.start * scale, self.stop * scale)

    def shares(self, scale: int) -> Tensor:
        """The tile's weight, 0 to 1, in each of the result's pixels, of which there are `scale` to one of the tile's;
        over all tiles the weights sum to 1. In the outer quarter of an overlap it is 0."""
        share = torch.ones((self.stop - self.start) * scale)
        for overlap in (self.before * scale, self.after * scale):
            share[:overlap] *= ((torch.arange(overlap) + 0.5) / max(overlap, 1) * 2 - 0.5).clamp(0, 1)
            share = share.flip(0)
        return share


def spans(length: int, tile: int, overlap: int) -> list[Span]:
    """Cover `length` with as few equal tiles of at most `tile` as overlap by `overlap` or a little more."""
    if length <= tile:
        return [Span(0, length, 0, 0)]
    count = -(-(length - overlap) // (tile - overlap))
    size = -(-(length + (count - 1) * overlap) // count)
    starts = [round(i * (length - size) / (count - 1)) for i in range(count)]
    shared = [0, *(start + size - following for start, following in pairwise(starts)), 0]
    return [Span(start, start + size, shared[i], shared[i + 1]) for i, start in enumerate(starts)]


def tile_for(model: AutoEncoder, height: int, width: int, tile: int | None = None) -> int:
    """The side in pixels of the tiles in which `encode` and `decode` compute an image of that size; 0: it is whole.

    tile: what was asked for: None, which is to tile only where the memory asks for it (about 3 GiB are taken on a CPU,
    and on a GPU half of what is free but no more than about 12 GiB), or on a CPU attention over more than ATTENDED
    latent pixels; a side in pixels; or 0, which is never. An image no larger than one tile is computed whole.
    """
    if tile is None:
        whole = model.config.fixed_size or (_at_once(model, height, width) and not _attends_far(model, height, width))
        tile = 0 if whole else _largest_tile(model)
    tile = whole_number("A tile's side", tile, 0)
    tile = tile if max(height, width) > tile else 0
    if model.device.type == "cpu":
        pixels = tile**2 if tile else height * width
        limits.check_memory(
            pixels * _bytes_per_pixel(model) + height * width * PER_PIXEL,
            f"An image of {width}x{height} pixels with this model",
            "a smaller image or tile will do" if not model.config.fixed_size else "",
        )
    return tile


def _attends_far(model: AutoEncoder, height: int, width: int) -> bool:
    """Whether most of the time on a CPU would go into attention."""
    return model.config.attends and model.device.type == "cpu" and height * width > ATTENDED * model.downscale**2


def _largest_tile(model: AutoEncoder) -> int:
    """Unless told otherwise: TILE, more on a GPU, or less where the memory is small."""
    if model.device.type == "cuda":
        return next((side for side in GPU_TILES if _at_once(model, side, side, most=4 * 2**30)), TILE)
    tile = TILE
    while tile > SMALLEST_TILE and not _at_once(model, tile, tile):
        tile //= 2
    return tile


def _at_once(model: AutoEncoder, height: int, width: int, most: int = 8 * 2**30) -> int:
    """How many images of that size the memory allows to compute together; 0 if not even one. The count is of what is
    held for the largest layer, of which a GPU takes half as much again; there it may be `most` bytes."""
    return int(min(1024, _room(model, most) // (height * width * _bytes_per_pixel(model))))


def _bytes_per_pixel(model: AutoEncoder) -> int:
    return model.config.floats_per_pixel * model.dtype.itemsize


def _room(model: AutoEncoder, most: int) -> int:
    """Bytes that activations may take."""
    if model.device.type == "cuda":
        return min(torch.cuda.mem_get_info(model.device)[0] // 2, most)
    return min(3 * 2**30, limits.budget())


@torch.no_grad()
def encode(
    model: AutoEncoder, x: Tensor, tile: int | None = None, progress: Callable[[int, int], None] | None = None
) -> DiagonalGaussian:
    """The posterior of images (N, C, H, W) of any size, in tiles where `tile_for` says so.

    x: in [-1, 1], or uint8, which is converted no sooner than needed. Sides that are no multiples of the model's factor
    are padded by reflection; `decode` with `size` crops that back. Tiled, the posterior is on x's device, else on the
    model's. progress(done, total) counts tiles. Raises InputError as `model.encode` does.
    """
    in_bytes = isinstance(x, Tensor) and x.dtype == torch.uint8 and x.ndim == 4
    x = x if in_bytes else as_images(x, model.in_channels, look=False)
    if not model.config.fixed_size:
        x = pad(x, model.downscale)
    side = tile_for(model, *x.shape[-2:], tile)
    if side:
        return tiled_encode(model, x, side, progress=progress)
    return DiagonalGaussian.cat(_computed(model, model.encode, x, *x.shape[-2:]))


@torch.no_grad()
def decode(
    model: AutoEncoder,
    z: Tensor,
    size: tuple[int, int] | None = None,
    tile: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Tensor:
    """Images of latents (N, C, h, w), clamped to [-1, 1]: cropped to `size` = (height, width), tiled as in `encode`.

    Raises InputError as `model.decode` does.
    """
    z = as_latents(z, model.latent_channels, look=False)
    height, width = (side * model.downscale for side in z.shape[-2:])
    side = tile_for(model, height, width, tile)
    if side:
        x = tiled_decode(model, z, side, progress=progress).clamp_(-1.0, 1.0)
    else:
        parts = _computed(model, lambda part: model.decode(part.to(model.device)).clamp_(-1.0, 1.0), z, height, width)
        x = torch.cat(parts)
    return x if size is None else x[..., : size[0], : size[1]]


def few_threads(model: AutoEncoder, height: int, width: int, images: int = 1) -> AbstractContextManager[None]:
    """Inside, no more threads share an operation on such images, together, than compute them sooner: on a CPU, of what
    is very small one, and of what is not large as many as find a core unused at this moment."""
    floats = images * height * width * model.config.floats_per_pixel
    if model.device.type != "cpu" or floats > SHARED:
        return nullcontext()
    unused = 0 if floats <= ALONE else unused_cores()
    return nullcontext() if unused is None else at_most(1 + unused)


def _computed(model: AutoEncoder, compute: Callable[[Tensor], T], x: Tensor, height: int, width: int) -> list[T]:
    """compute() of the images or latents `x` of images of that size, in parts that the memory allows.

    On a CPU small images are divided among threads that compute alone, see vae.threads, if there are enough to keep
    half of them busy.
    """
    at_once, floats = max(1, _at_once(model, height, width)), height * width * model.config.floats_per_pixel
    threads = torch.get_num_threads()
    if model.device.type == "cpu" and not torch.is_autocast_enabled("cpu") and threads * PART <= at_once:
        rounds = -(-len(x) // (threads * max(PART, PART_FLOATS // floats)))
        parts = x.split(max(PART, -(-len(x) // (threads * max(1, rounds)))))
        if floats <= SHARED and len(parts) >= max(2, threads // 2):
            return each(compute, parts)
    with few_threads(model, height, width, len(x)):
        return [compute(part) for part in x.split(at_once)]


@torch.no_grad()
def tiled_encode(
    model: AutoEncoder,
    x: Tensor,
    tile: int = TILE,
    overlap: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> DiagonalGaussian:
    """The posterior of images (N, C, H, W), computed in tiles of tile x tile pixels; on x's device.

    overlap: pixels that neighbouring tiles share, at most half a tile; unless given half a tile, and no more than 64.
    progress(done, total) counts tiles; what it raises ends the work.
    Raises InputError for sizes that make no tiling.
    """
    x = pad(x, model.downscale)
    cut = _Cut.of(x.shape[-2] // model.downscale, x.shape[-1] // model.downscale, tile, overlap, model.downscale)

    def compute(patch: Tensor) -> tuple[Tensor, ...]:
        return model.encode(patch).parameters

    mean, *logvar = _in_tiles(x, cut, model.downscale, 1, compute, progress)
    return DiagonalGaussian.from_parameters([model.settled(mean), *logvar])  # between two entries there is none


@torch.no_grad()
def tiled_decode(
    model: AutoEncoder,
    z: Tensor,
    tile: int = TILE,
    overlap: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Tensor:
    """Images of latents (N, C, h, w), not clamped, on z's device. tile, overlap in image pixels; as `tiled_encode`."""
    cut = _Cut.of(*z.shape[-2:], tile, overlap, model.downscale)
    return _in_tiles(z, cut, 1, model.downscale, lambda patch: (model.decode(patch.to(model.device)),), progress)[0]


@dataclass(frozen=True)
class _Cut:
    """How an image is cut, in latent pixels."""

    rows: list[Span]
    columns: list[Span]
    side: int  # the most that a tile may have
    height: int
    width: int

    @classmethod
    def of(cls, height: int, width: int, tile: int, overlap: int | None, factor: int) -> "_Cut":
        overlap = min(OVERLAP, tile // 2) if overlap is None else overlap
        side, shared = tile // factor, overlap // factor
        if side < 4 or not 0 <= 2 * overlap <= tile:
            raise InputError(
                f"Tiles must be at least {4 * factor} pixels wide, and overlap by at most half of that; "
                f"{tile} with an overlap of {overlap} cannot be used."
            )
        return cls(spans(height, side, shared), spans(width, side, shared), side, height, width)


def _in_tiles(
    source: Tensor,
    cut: _Cut,
    scale: int,
    scale_out: int,
    compute: Callable[[Tensor], tuple[Tensor, ...]],
    progress: Callable[[int, int], None] | None,
) -> list[Tensor]:
    """compute() of every image of `source`, patched together on source's device in float32.

    A latent pixel is `scale` pixels of the source and `scale_out` of the result.
    """
    tiles, done = list(product(cut.rows, cut.columns)), 0
    total = len(source) * (1 if len(tiles) == 1 else 1 + len(tiles))

    def step(patch: Tensor) -> tuple[Tensor, ...]:
        nonlocal done
        parts = compute(patch)
        done += 1
        if progress is not None:
            progress(done, total)
        return parts

    if len(tiles) == 1:  # nothing to share or to blend
        wholes = [step(image) for image in source.split(1)]
        return [torch.cat(parts).to(source.device) for parts in zip(*wholes, strict=True)]
    outputs: list[Tensor] = []
    for n in range(len(source)):
        token = SHARED_STATISTICS.set({})
        try:
            sampled = step(_sample(source[n], cut, scale))  # leaves the statistics that the tiles then share
            if not outputs:
                shapes = [
                    (len(source), part.shape[1], cut.height * scale_out, cut.width * scale_out) for part in sampled
                ]
                outputs = [torch.zeros(shape, device=source.device) for shape in shapes]
            del sampled
            for row, column in tiles:
                parts = step(source[n : n + 1, :, row.at(scale), column.at(scale)])
                share = row.shares(scale_out)[:, None] * column.shares(scale_out)
                for output, part in zip(outputs, parts, strict=True):
                    weighted = part[0].to(output.device, torch.float32) * share.to(output.device)
                    output[n, :, row.at(scale_out), column.at(scale_out)] += weighted
        finally:
            SHARED_STATISTICS.reset(token)
    return outputs


def _sample(image: Tensor, cut: _Cut, scale: int) -> Tensor:
    """Crops (n, C, s, s) spread evenly over one image (C, H, W), edges included; together no larger than a tile, unless
    a tile is small: in a small crop too much lies near an edge, where a convolution sees nothing beyond."""
    side = min(max(cut.side // CROPS, CROP), cut.height, cut.width)
    places = []
    for length in (cut.height, cut.width):
        count = min(CROPS, -(-length // side))
        places.append([round(i * (length - side) / max(count - 1, 1)) * scale for i in range(count)])
    side *= scale
    return torch.stack([image[:, top : top + side, left : left + side] for top, left in product(*places)])
