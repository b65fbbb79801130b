"""The images of a whole data set through a model's encoder: into memory, or into the files of latent_set.py."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import repeat
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vae.checks import whole_number
from vae.computing import computed, shared_threads
from vae.data.image_set import WORKERS, ImageSet, read_ahead
from vae.data.size_batches import AHEAD, SizeBatch, size_batches
from vae.distributions import DiagonalGaussian
from vae.errors import InputError
from vae.files import writing
from vae.latents.latent_set import (
    INDEX,
    PARTS,
    Rows,
    fingerprint_of,
    plan_hash,
    read_index,
    read_shard,
    shard_count,
    shard_name,
    write_index,
    write_shard,
)
from vae.latents.scaling import factor_of, scale
from vae.models.base import AutoEncoder, as_model
from vae.tiling import encode, pad

DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
SHARD = 512  # images
IMAGES, PIXELS, GPU_PIXELS = 64, 16 * 64**2, 64 * 16 * 64**2  # in a batch at most, unless told otherwise

Progress = Callable[[int, int], None]


def encode_set(
    model: AutoEncoder,
    data: ImageSet,
    folder: Path,
    name: str,
    split: str = "all",
    *,
    keep: Sequence[str] = PARTS,
    sample: bool = False,
    seed: int = 0,
    scaled: bool = False,
    dtype: str = "float32",
    batch_size: int | None = None,
    tile: int | None = None,
    shard_size: int = SHARD,
    process: int = 0,
    processes: int = 1,
    on_progress: Progress | None = None,
) -> bool:
    """Write the latents of all images of `data` into a folder, which `vae.latents.open` reads; return whether all are
    there, and not only this process's part.

    The same call goes on where an earlier one was ended: shards that are there are not made again. Images are read in
    threads while the model computes, and encoded in batches of one size, several at once as vae.computing has it.

    name: what the model was loaded by; it must have been loaded from files, by whose hash its latents are told. keep:
    of "latents", "mean" and "logvar" those to be written. "latents" are the posterior's mean, or with `sample` one
    sample of it, the same for an image whatever the batch; with `scaled` as `vae.latents.scale` has them. A plain
    auto-encoder has no "logvar". dtype: of the stored numbers. tile: as vae.tiling has it. shard_size: images of a
    shard. process, processes: this one's number among those that share the work, of which each makes every
    `processes`-th shard.
    Raises InputError for a folder with other latents or other files in it, for a streamed set, for latents that are not
    finite in that type, and if no image can be read.
    """
    model = as_model(model)
    if not data.has_places:
        raise InputError(f"{data.name} is too large to hold and is streamed; download it, and give its folder.")
    plan = _plan(model, data, name, split, keep, sample, seed, scaled, dtype, shard_size)
    process, processes = whole_number("process", process, 0), whole_number("processes", processes, 1)
    with writing(folder):
        _begin(folder, plan)
        for part in folder.glob(".shard-*.part") if processes == 1 else ():
            part.unlink()  # what a killed process was writing
    numbers = range(process, shard_count(plan), processes)
    missing = [number for number in numbers if read_shard(folder, plan, number) is None]
    total = sum(len(_range(plan, number)) for number in numbers)
    done = total - sum(len(_range(plan, number)) for number in missing)
    most = images_at_once(model, batch_size)
    with shared_threads(model) as threads, ThreadPoolExecutor(1, thread_name_prefix="shards") as writer:
        written: Future | None = None
        found = _encoded(model, data, plan, missing, most, tile, on_progress, done, total, threads)
        for number, results, refused in found:
            if written is not None:
                written.result()
            written = writer.submit(_write, folder, plan, number, data, results, refused)
        if written is not None:
            written.result()
    if any(not (folder / shard_name(number)).is_file() for number in range(shard_count(plan))):
        return False
    with writing(folder):
        _finish(folder, plan)
    return True


def images_at_once(model: AutoEncoder, batch_size: int | None) -> Callable[[int, int], int]:
    """(height, width) -> how many images of that size are computed together: batch_size, or what a CPU's caches hold, a
    GPU is kept busy by. The memory is vae.tiling's to look after."""
    at_once = PIXELS if model.device.type == "cpu" else GPU_PIXELS
    if batch_size is not None:
        batch_size = whole_number("The batch size", batch_size, 1)
    return lambda height, width: batch_size or max(1, min(IMAGES, at_once // (height * width)))


def _plan(model, data, name, split, keep, sample, seed, scaled, dtype, shard_size) -> dict:
    """All that decides what the latents will be, as index.json has it."""
    wanted = [part for part in PARTS if part in keep and (model.is_variational or part != "logvar")]
    if not wanted or not set(keep) <= set(PARTS):
        raise InputError(f"What is kept is one or more of {', '.join(PARTS)}; a plain auto-encoder has no logvar.")
    if dtype not in DTYPES:
        raise InputError(f"The dtype is {', '.join(DTYPES)}, not {dtype!r}.")
    if scaled:
        factor_of(model)  # refused before anything is written
    config = model.config
    factors = ("scaling_factor", "shift_factor", "latents_mean", "latents_std")
    digest = hashlib.sha256()
    for each in data.names or map(str, range(len(data))):
        digest.update(each.encode("utf-8", "surrogateescape") + b"\n")
    return {
        "model": name,
        "fingerprint": fingerprint_of(model),
        "latent_space": config.latent_space,
        "data": data.name,
        "split": split,
        "names_hash": digest.hexdigest()[:32],
        "images": whole_number("The number of images", len(data), 1),
        "image_size": None if data.shape[-1] == 0 else data.shape[-1],
        "keep": wanted,
        "sample": bool(sample),
        "seed": whole_number("A seed", seed, 0, 2**63 - 1) if sample else None,
        "dtype": dtype,
        "scaling": {key: _plain(getattr(config, key, None)) for key in factors} | {"applied": bool(scaled)},
        "labelled": data.labels is not None,
        "classes": data.classes,
        "shard_size": whole_number("The size of a shard", shard_size, 1),
    }


def _plain(value):
    return list(value) if isinstance(value, tuple) else value


def _begin(folder: Path, plan: dict) -> None:
    """The folder with an index that says what will be in it, unless there is one that says the same."""
    files = [path for path in folder.iterdir() if not path.name.startswith(".")] if folder.is_dir() else []
    found = read_index(folder)  # after the files were listed: another process may be writing it
    if found is None:
        if files:
            raise InputError(f"The folder {str(folder)!r} holds other files; give a new one.")
        folder.mkdir(parents=True, exist_ok=True)
        write_index(folder, plan, complete=False)
    elif plan_hash(found[0]) != plan_hash(plan):
        before = found[0]
        differ = [key for key in plan if before.get(key) != plan[key] and key != "model"]
        other = before.get("fingerprint") != plan["fingerprint"]
        what = "another model" if other else f"other data or settings ({', '.join(differ)})"
        raise InputError(f"The folder {str(folder)!r} holds latents of {what}; give a new folder.")


def _finish(folder: Path, plan: dict) -> None:
    found = [read_shard(folder, plan, number) for number in range(shard_count(plan))]
    if not any(rows.names for rows in found if rows):
        for name in (*map(shard_name, range(shard_count(plan))), INDEX):
            (folder / name).unlink(missing_ok=True)
        if not any(folder.iterdir()):
            folder.rmdir()
        raise InputError(f"None of the {plan['images']:,} images of {plan['data']} can be read.")
    index = read_index(folder)
    if index is None or not index[1]["complete"]:
        write_index(folder, plan, complete=True)


def _range(plan: dict, number: int) -> range:
    """The places, among the data set's images, of a shard's."""
    return range(number * plan["shard_size"], min((number + 1) * plan["shard_size"], plan["images"]))


def _encoded(
    model, data, plan, missing, most, tile, on_progress, done, total, threads
) -> Iterator[tuple[int, dict, dict]]:
    """For each missing shard its number, its images' results by their places and those that could not be read. The
    images of the next are read while the last ones of the one before are computed."""

    def read(i: int) -> tuple[np.ndarray, tuple[int, int]]:
        pixels = data.read(i)
        height, width = pixels.shape[1:]
        if not model.config.fixed_size and (height % model.downscale or width % model.downscale):
            pixels = pad(torch.from_numpy(np.require(pixels, requirements="CW"))[None], model.downscale)[0].numpy()
        return pixels, (height, width)

    def batches() -> Iterator[tuple[int, SizeBatch | None, dict]]:
        for number in missing:
            refused: dict[int, InputError] = {}
            reading = threads if data.readers == WORKERS else None  # a network is waited for by threads of its own
            for batch in size_batches(_range(plan, number), read, most, refused, data.readers, threads=reading):
                yield number, batch, refused
            yield number, None, refused

    def compute(one: tuple[int, SizeBatch | None, dict]) -> tuple[int, SizeBatch | None, dict, dict[str, Tensor]]:
        batch = one[1]
        return *one, _parts(model, encode(model, batch.pixels, tile), plan, batch.items) if batch else {}

    coming, results = batches(), {}
    if threads is None:
        following = coming
        coming = iter(read_ahead(lambda _: next(following, None), repeat(None), AHEAD, name="batches").__next__, None)
    if on_progress:
        on_progress(done, total)
    for number, batch, refused, parts in computed(model, compute, coming, _pixels, threads):
        if batch is None:
            yield number, results, {_range(plan, number)[i] for i in refused}
            results, done = {}, done + len(refused)
        else:
            for row, (i, size) in enumerate(zip(batch.items, batch.about, strict=True)):
                results[i] = size, {part: values[row] for part, values in parts.items()}
            done += len(batch)
        if on_progress:
            on_progress(done, total)


def _pixels(one: tuple[int, SizeBatch | None, dict]) -> int:
    batch = one[1]
    return batch.pixels[0, 0].numel() if batch else 0


def _parts(model: AutoEncoder, posterior: DiagonalGaussian, plan: dict, places: Sequence[int]) -> dict[str, Tensor]:
    """What is kept of a batch's posteriors, on the CPU, in the type it is stored in."""
    found = {}
    for part in plan["keep"]:
        values = posterior.logvar if part == "logvar" else posterior.mean
        if part == "latents":
            values = _sampled(posterior, plan["seed"], places) if plan["sample"] else values
            values = scale(model, values) if plan["scaling"]["applied"] else values
        found[part] = values.to(DTYPES[plan["dtype"]]).cpu()
        if not torch.isfinite(found[part]).all():
            raise InputError(f"The {part} of some images of {plan['data']} are not finite in {plan['dtype']}.")
    return found


def _sampled(posterior: DiagonalGaussian, seed: int, places: Sequence[int]) -> Tensor:
    """A sample of each posterior whose noise depends on the seed and the image's place in the data set alone."""
    shape, noise = posterior.mean.shape[1:], []
    for place in places:
        mixed = int.from_bytes(hashlib.sha256(f"{seed} {place}".encode()).digest()[:8], "little") >> 1
        noise.append(torch.randn(shape, generator=torch.Generator().manual_seed(mixed)))
    return posterior.sample(noise=torch.stack(noise))


def _write(folder: Path, plan: dict, number: int, data: ImageSet, results: dict, refused: set[int]) -> None:
    order, named = sorted(results), data.names.__getitem__ if data.names else str
    rows = Rows(
        names=[named(i) for i in order],
        labels=[int(data.labels[i]) for i in order] if plan["labelled"] else None,
        sizes=[list(results[i][0]) for i in order],
        shapes=[list(results[i][1][plan["keep"][0]].shape) for i in order],
        left_out=[named(i) for i in sorted(refused)],
    )
    tensors = {part: [results[i][1][part] for i in order] for part in plan["keep"]}
    with writing(folder):
        write_shard(folder, plan, number, rows, tensors)
