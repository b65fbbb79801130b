"""The commands that turn a data set into latents and back: encode, decode."""

import os
import time
from pathlib import Path
from typing import Annotated

import typer

from vae.cli.terminal import Device, Json, Model, Seed, TestSize, ValueRange, bar_of, output_folder, remark, say

Tile = Annotated[
    int | None,
    typer.Option(help="Side in pixels of the tiles of large images; 0: never. As the memory needs unless given."),
]
BatchSize = Annotated[int | None, typer.Option(help="Images computed at once; by their size unless given.", min=1)]


def encode(
    model: Model,
    data: Annotated[str, typer.Option(help="As for train.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="The folder for the latents: new, or to go on with.")],
    split: Annotated[str, typer.Option(help="train, val, test or all.")] = "all",
    size: Annotated[
        int | None,
        typer.Option(
            help="Fit and crop each image to a square of so many pixels. Unless given, models of any size see images "
            "as large as they are.",
            min=1,
        ),
    ] = None,
    keep: Annotated[
        str, typer.Option(help="What is written, comma-separated: latents, and the posterior's mean and logvar.")
    ] = "latents,mean,logvar",
    sample: Annotated[
        bool, typer.Option("--sample", help="Let latents be a sample of the posterior, not its mean.")
    ] = False,
    seed: Seed = 0,
    scaled: Annotated[
        bool,
        typer.Option("--scaled", help="Scale latents as a diffusion model wants them; else the factors are recorded."),
    ] = False,
    dtype: Annotated[str, typer.Option(help="Of the stored numbers: float32, float16 or bfloat16.")] = "float32",
    shard_size: Annotated[int, typer.Option(help="Images in each file.", min=1)] = 512,
    batch_size: BatchSize = None,
    tile: Tile = None,
    test_size: TestSize = 0.2,
    value_range: ValueRange = None,
    device: Device = "auto",
    json_: Json = False,
) -> None:
    """Encode the images of a data set, and write their latents as safetensors, which vae.latents.open reads.

    Interrupted, the same command goes on where it was. Under torchrun the processes share the work.
    """
    from vae.checkpoints.find_model import bundled
    from vae.checkpoints.store import load
    from vae.data.sets import load_data
    from vae.data.source import unread
    from vae.errors import InputError
    from vae.latents.encoding import encode_set
    from vae.latents.latent_set import open as open_latents

    output_folder(output)
    process, processes = (int(os.environ.get(name) or fallback) for name, fallback in (("RANK", 0), ("WORLD_SIZE", 1)))
    loaded = load(model, device=_device(device, processes))
    config = loaded.config
    if config.fixed_size and size not in (None, config.sample_size):
        raise InputError(f"{model} takes images of {config.sample_size} pixels alone; leave --size out.")
    own_sizes = size is None and not config.fixed_size
    images = load_data(
        data,
        split,
        size or config.sample_size,
        loaded.in_channels,
        config.border,
        limit_bytes=0,
        test_size=test_size,
        value_range=value_range,
        crop="none" if own_sizes else "center",
    )
    remark([*images.remarks, *([images.describe()] if images.cut else [])])
    start, counts = time.perf_counter(), []
    with bar_of(len(images), "image") as bar:

        def progress(done: int, total: int) -> None:
            counts[min(len(counts), 1) :] = [done]  # the first, which others had made, and the last
            bar.total = total
            bar.update(done - bar.n)

        complete = encode_set(
            loaded,
            images,
            output,
            model if model in bundled() or not Path(model).exists() else str(Path(model).absolute()),
            split,
            keep=tuple(part.strip() for part in keep.split(",")),
            sample=sample,
            seed=seed,
            scaled=scaled,
            dtype=dtype,
            batch_size=batch_size,
            tile=tile,
            shard_size=shard_size,
            process=process,
            processes=processes,
            on_progress=progress,
        )
    encoded = counts[-1] - counts[0]
    facts = {"model": model, "output": str(output), "complete": complete, "encoded": encoded}
    seconds = time.perf_counter() - start
    facts |= {"seconds": seconds, "images_per_second": encoded / seconds}
    if complete:
        found = open_latents(output)
        remark([unread(len(found.left_out), found.left_out)] if found.left_out else [])
        facts |= {"images": len(found), "left_out": len(found.left_out)}
        facts["shapes"] = [list(shape) for shape in sorted({tuple(shape) for shape in found.shapes})[:8]]
    say(facts, json_)


def _device(device: str, processes: int) -> str:
    """The device of this process; of several on one machine each has a GPU of its own."""
    import torch

    count = torch.cuda.device_count() if device == "auto" and processes > 1 else 0
    return f"cuda:{int(os.environ.get('LOCAL_RANK') or 0) % count}" if count else device


def decode(
    latents: Annotated[Path, typer.Argument(help="A folder that encode has written.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="The folder for the images, PNG.")],
    model: Annotated[
        str | None, typer.Option(help="The decoder; that of the model they were encoded by unless given.")
    ] = None,
    batch_size: BatchSize = None,
    tile: Tile = None,
    device: Device = "auto",
    json_: Json = False,
) -> None:
    """Decode latents that encode has written, each to an image named like the one it came from."""
    from vae.checkpoints.store import load
    from vae.latents.decoding import decode_set
    from vae.latents.latent_set import open as open_latents

    output_folder(output)
    found = open_latents(latents)
    loaded = load(model or found.model, device=device)
    start = time.perf_counter()
    with bar_of(len(found), "image") as bar:
        decode_set(loaded, found, output, batch_size, tile, on_progress=lambda done, total: bar.update(done - bar.n))
    seconds = time.perf_counter() - start
    say({"model": model or found.model, "output": str(output), "images": len(found), "seconds": seconds}, json_)
