"""The command that measures a model: evaluate."""

import sys
from typing import Annotated

import typer

from vae.cli.terminal import Device, Json, Model, Seed, TestSize, ValueRange, output_folder, phases, remark, say


def evaluate(
    model: Model,
    data: Annotated[str, typer.Option(help="As for train.")] = "digits",
    split: Annotated[str, typer.Option(help="train, val, test or all.")] = "test",
    test_size: TestSize = 0.2,
    value_range: ValueRange = None,
    samples: Annotated[
        int, typer.Option(help="Importance samples for the bound on log p(x), of 1,000 images; 0: not measured.")
    ] = 0,
    variance: Annotated[
        float | None,
        typer.Option(help="Of the bound's likelihood, for pixels in [0, 1]; the best one unless given. SSE + KL: 0.5."),
    ] = None,
    generation: Annotated[
        bool,
        typer.Option(
            "--generation",
            help="Also draw images from each prior and measure how near they come to the test images; "
            "the first time, a classifier is trained on the data for it, which takes a minute or two.",
        ),
    ] = False,
    draws: Annotated[int, typer.Option(help="Images drawn from each prior for --generation.")] = 10_000,
    seed: Seed = 0,
    device: Device = "auto",
    json_: Json = False,
) -> None:
    """Measure a model on a data set: loss, reconstruction, KL, PSNR, SSIM, active units, a bound on log p(x)
    (--samples), and how good the images are that it generates (--generation)."""
    from vae.checkpoints.store import load
    from vae.data.sets import load_data
    from vae.errors import InputError
    from vae.evaluation.bound import importance_bound
    from vae.evaluation.evaluate import evaluate as measure
    from vae.evaluation.generation import measure_generation
    from vae.user_folders import cache_dir

    if samples < 0:
        raise InputError(f"The number of samples must be 0 or more, not {samples}.")
    if generation:
        output_folder(cache_dir())  # the classifier is kept there
    loaded = load(model, device=device)
    config = loaded.config
    fitted = {
        "size": config.sample_size,
        "channels": loaded.in_channels,
        "border": config.border,
        "test_size": test_size,
        "value_range": value_range,
    }
    images = load_data(data, split, **fitted)
    remark(images.remarks)
    with phases() as report:
        figures = measure(loaded, images, seed=seed, on_progress=lambda done: report("images", done, len(images)))
        if samples:
            figures["bound"] = importance_bound(
                loaded, images, samples, variance, seed=seed, on_progress=lambda *at: report("bound", *at)
            )
        if generation:
            sets = [images if split == part else load_data(data, part, **fitted) for part in ("train", "test")]
            figures["generation"] = measure_generation(loaded, *sets, draws, seed, on_progress=report)
    say({"model": model, "data": data, "split": split, **figures}, json_)
    if not json_ and not (samples and generation):
        print("Not measured unless asked for: --samples 64 (log p(x)), --generation.", file=sys.stderr)
