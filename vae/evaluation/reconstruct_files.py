"""Many image files reconstructed: while the model computes a batch, the next are decoded and the last one is saved."""

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from vae import images
from vae.checks import whole_number
from vae.computing import computed, shared_threads
from vae.data.image_set import WORKERS
from vae.data.size_batches import SizeBatch, size_batches
from vae.errors import InputError
from vae.evaluation.unusual import Unusual, as_tested, judged, measured
from vae.inference import draw_seed, make_generator, prepare
from vae.latents import statistics
from vae.metrics import psnr, ssim
from vae.models.base import AutoEncoder, as_model
from vae.tiling import decode, encode, pad, tile_for

IMAGES = 64  # in a batch at most
# In a batch at most: pixels, of which fewer keep a GPU waiting for launches; numbers of the largest layer, of which
# more make a CPU, with its caches, no faster.
GPU_BATCH, CPU_BATCH = 2**22, 2**21
# What one thread saves in a row, in pixels, unless it is a single image; how much waits for each thread at most.
SAVED, SAVING = 2**16, 4


@dataclass(frozen=True)
class FileReconstruction:
    """One file's figures, as vae.Reconstruction has them. number: the file's place among those given. seconds: its
    share of its batch's, beside which a CPU's other threads compute others. unusual: None where the model's test images
    were not measured."""

    number: int
    path: Path
    psnr: float
    ssim: float
    latent_shape: tuple[int, int, int]
    compression: float
    seconds: float
    seed: int | None
    tile: int
    cleaned: str | None
    unusual: Unusual | None


@dataclass(frozen=True)
class _Seen:
    """What is known of an image beside its pixels, which may be padded: its size, what was done to it, and how it looks
    among the model's test images where that is another size."""

    height: int
    width: int
    cleaned: str | None
    tested: Tensor | None


@dataclass(frozen=True)
class _Computed:
    """A batch's results, on the model's device, where they may be still to come. figures: (n, 2), PSNR and KL as
    statistics.figures has them, or None. start, end: the clock's seconds; no end while results may be to come."""

    batch: SizeBatch
    rebuilt: Tensor
    latent: Tensor
    psnr: Tensor
    ssim: Tensor
    figures: Tensor | None
    tile: int
    start: float
    end: float | None


def reconstruct_files(
    model: AutoEncoder,
    paths: Sequence[Path],
    save: Callable[[int, Image.Image], object],
    refused: dict[int, InputError],
    *,
    sample: bool = False,
    seed: int | None = None,
    max_side: int | None = None,
    tile: int | None = None,
    clean_photo: bool = True,
) -> Iterator[FileReconstruction]:
    """Encode the images in files and decode them again, each as vae.reconstruct does; figures in the order of `paths`.

    Images that the model sees in one size are computed in batches, where a pixel in [-1, 1] may differ by 1e-5 from
    what it is alone; on a CPU only where they are small, and several batches at once as vae.computing has it. Only the
    figures, not the images, grow with the number of files.
    save: called in threads with a file's place in `paths` and its reconstruction; what it raises ends the work.
    refused: filled with the places of files that cannot be used, and why; the others are kept.
    sample, seed, max_side, tile, clean_photo: as vae.reconstruct has them; every image gets the noise it gets alone.
    """
    if sample and seed is None:
        seed = draw_seed()
    work = Reconstructing(model, seed if sample else None, max_side, tile, clean_photo)

    def rows(threads: Executor | None) -> Iterator[list[tuple[FileReconstruction, Tensor]]]:
        batches = size_batches(paths, work.read, work.most, refused, threads=threads)
        found = computed(model, lambda batch: list(work.each(batch, refused)), batches, _pixels, threads)
        results = chain.from_iterable(found)
        for done in _one_behind(results) if work.on_gpu else results:
            yield list(work.rows(done))

    def all_rows() -> Iterator[FileReconstruction]:
        with shared_threads(work.model) as threads:
            yield from _saved(rows(threads), save, threads)

    return _in_order(all_rows(), refused)


class Reconstructing:
    """The steps between files and results. seed: of the posterior samples; None for the posteriors' means."""

    def __init__(
        self,
        model: AutoEncoder,
        seed: int | None = None,
        max_side: int | None = None,
        tile: int | None = None,
        clean_photo: bool = True,
    ):
        self.model, self.seed, self.tile, self.clean_photo = as_model(model), seed, tile, clean_photo
        self.max_side = max_side if max_side is None else whole_number("The longest side", max_side, 1)
        self.on_gpu, self.fixed = self.model.device.type == "cuda", self.model.config.fixed_size
        try:
            self.known = measured(self.model)
        except InputError:  # as vae.evaluation.unusual.if_measured has it
            self.known = None

    def read(self, path: Path) -> tuple[np.ndarray, _Seen]:
        """The image as the model is to see it, padded; as size_batches wants it."""
        image = images.open_image(path)
        original, _, cleaned = prepare(self.model, image, self.max_side, self.clean_photo)
        x = torch.from_numpy(images.to_array(original).copy())[None]
        tested = as_tested(self.model, image, self.clean_photo) if self.known and not self.fixed else None
        seen = _Seen(*x.shape[-2:], cleaned, tested)
        return (x if self.fixed else pad(x, self.model.downscale))[0].numpy(), seen

    def most(self, height: int, width: int) -> int:
        """How many images of that size are computed at once."""
        most = GPU_BATCH if self.on_gpu else CPU_BATCH // self.model.config.floats_per_pixel
        return max(1, min(IMAGES, most // (height * width)))

    def each(self, batch: SizeBatch, refused: dict[int, InputError]) -> Iterator[_Computed]:
        """The batch's results; one image's at a time where some cannot be computed, and these are left out."""
        try:
            yield self.compute(batch)
        except InputError as error:
            if len(batch) == 1:
                refused[batch.numbers[0]] = error
                return
            for single in batch.singly():
                yield from self.each(single, refused)

    @torch.inference_mode()
    def compute(self, batch: SizeBatch) -> _Computed:
        model, start, size = self.model, time.perf_counter(), batch.pixels.shape[-2:]
        side = tile_for(model, *size, self.tile)
        x = batch.pixels.pin_memory().to(model.device, non_blocking=True) if self.on_gpu else batch.pixels
        posterior = encode(model, x, side)
        z = posterior.mode()
        if self.seed is not None:
            noise = torch.randn(1, *z.shape[1:], generator=make_generator(self.seed))
            z = posterior.sample(noise=noise.expand(z.shape))
        rebuilt = images.to_uint8(decode(model, z, size, self.tile))
        if rebuilt.shape != x.shape:
            raise InputError("The decoder gives images of another size, or in other colours, than the encoder read.")
        x = x.to(rebuilt.device)
        by_size: dict[tuple[int, int], list[int]] = {}
        for i, seen in enumerate(batch.about):
            by_size.setdefault((seen.height, seen.width), []).append(i)
        close, alike = (torch.empty(len(batch), device=rebuilt.device) for _ in range(2))
        for (height, width), places in by_size.items():
            those = places if len(by_size) > 1 else slice(None)
            given, made = (part[those, :, :height, :width] for part in (x, rebuilt))
            close[those], alike[those] = psnr(given, made), ssim(given, made)
        figures = None
        if self.known and batch.about[0].tested is not None:
            figures = statistics.figures(model, torch.cat([seen.tested for seen in batch.about]))
        elif self.known and (self.seed is not None or side):
            figures = statistics.figures(model, batch.pixels)
        elif self.known:  # the test images were measured just so
            figures = torch.stack([close.clamp_max(statistics.MOST_PSNR), posterior.kl()], 1)
        end = None if self.on_gpu else time.perf_counter()
        return _Computed(batch, rebuilt, z, close, alike, figures, side, start, end)

    def rows(self, done: _Computed) -> Iterator[tuple[FileReconstruction, Tensor]]:
        """Each image's figures and pixels, which are waited for."""
        rebuilt, close, alike = done.rebuilt.cpu(), done.psnr.tolist(), done.ssim.tolist()
        figures = None if done.figures is None else done.figures.tolist()
        seconds = ((done.end or time.perf_counter()) - done.start) / len(done.batch)
        latent = done.latent[0]
        for i, seen in enumerate(done.batch.about):
            row = FileReconstruction(
                number=done.batch.numbers[i],
                path=done.batch.items[i],
                psnr=close[i],
                ssim=alike[i],
                latent_shape=tuple(latent.shape),
                compression=rebuilt.shape[1] * seen.height * seen.width / latent.numel(),
                seconds=seconds,
                seed=self.seed,
                tile=done.tile,
                cleaned=seen.cleaned,
                unusual=judged(self.model, self.known, *figures[i]) if figures else None,
            )
            yield row, rebuilt[i, :, : seen.height, : seen.width]


def _one_behind(results: Iterable[_Computed]) -> Iterator[_Computed]:
    """Each after the one behind it is begun: a GPU has that to do while one waits for it."""
    before = None
    for result in results:
        if before is not None:
            yield before
        before = result
    if before is not None:
        yield before


def _pixels(batch: SizeBatch) -> int:
    return batch.pixels[0, 0].numel()


def _saved(
    batches: Iterator[list[tuple[FileReconstruction, Tensor]]],
    save: Callable[[int, Image.Image], object],
    threads: Executor | None,
) -> Iterator[FileReconstruction]:
    """Those whose images are saved, which is done in threads, small ones several in a row."""
    pool = threads or ThreadPoolExecutor(WORKERS, thread_name_prefix="saving")
    saving: deque[tuple[list[tuple[FileReconstruction, Tensor]], Future]] = deque()

    def keep(rows: list[tuple[FileReconstruction, Tensor]]) -> None:
        for row, pixels in rows:
            save(row.number, images.to_image(pixels))

    def kept() -> Iterator[FileReconstruction]:
        rows, future = saving.popleft()
        future.result()
        for row, _ in rows:
            yield row

    try:
        for rows in batches:
            together = max(1, SAVED // rows[0][1][0].numel())
            for part in (rows[i : i + together] for i in range(0, len(rows), together)):
                saving.append((part, pool.submit(keep, part)))
            while len(saving) > SAVING * WORKERS:
                yield from kept()
        while saving:
            yield from kept()
    finally:
        for _, future in saving:
            future.cancel()
        if pool is not threads:
            pool.shutdown(cancel_futures=True)  # nothing half-written stays


def _in_order(rows: Iterator[FileReconstruction], refused: dict[int, InputError]) -> Iterator[FileReconstruction]:
    """The rows by their numbers, each as soon as it is known that none before it is still to come."""
    waiting: dict[int, FileReconstruction] = {}
    following = 0
    for row in rows:
        waiting[row.number] = row
        while following in waiting or following in refused:
            if following in waiting:
                yield waiting.pop(following)
            following += 1
    yield from (waiting[number] for number in sorted(waiting))
