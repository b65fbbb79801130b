"""The command that measures models: evaluate."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from vae.cli.terminal import Device, Json, Seed, TestSize, ValueRange, output_folder, phases, remark, say, say_rows


def evaluate(
    models: Annotated[
        list[str],
        typer.Argument(
            metavar="MODEL...", help="Each a bundled name, run folder, checkpoint folder, weight file or Hub id."
        ),
    ],
    data: Annotated[str, typer.Option(help="As for train.")] = "digits",
    split: Annotated[
        str | None,
        typer.Option(
            help="train, val, test or all. Unless given it is test; with --metrics all images, where the data have no "
            "test split of their own."
        ),
    ] = None,
    test_size: TestSize = 0.2,
    value_range: ValueRange = None,
    metrics: Annotated[
        str | None,
        typer.Option(
            help="Measure every image's reconstruction: some of psnr,ssim,lpips,fid,delta-e,equivariance; with how "
            "large and fast the models are, percentiles and the ten worst images."
        ),
    ] = None,
    features: Annotated[
        str | None,
        typer.Option(
            help="The network of the Fréchet distances: inception, the field's (96 MB, downloaded once), or "
            "efficientnet, of a package. For --generation the data's own classifier, where they have labels."
        ),
    ] = None,
    csv: Annotated[
        Path | None,
        typer.Option(
            help="A .csv file that gets a row an image; another beside it, ending in -models.csv, gets a row a model. "
            "Interrupted, the same command goes on where it was."
        ),
    ] = None,
    size: Annotated[
        int | None,
        typer.Option(help="Pixels of an image's side, for models that take any size; others have their own.", min=1),
    ] = None,
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
            help="Also draw images from each prior and measure how near they come to the test images: by a classifier "
            "of the data, trained the first time in a minute or two, or where they have no labels by --features.",
        ),
    ] = False,
    draws: Annotated[int, typer.Option(help="Images drawn from each prior for --generation.")] = 10_000,
    seed: Seed = 0,
    device: Device = "auto",
    json_: Json = False,
) -> None:
    """Measure models on a data set: loss, reconstruction, KL, PSNR, SSIM, active units, a bound on log p(x)
    (--samples), and how good the images are that they generate (--generation); or image by image (--metrics)."""
    from vae.cli.measure import measure_models, say_measured
    from vae.errors import InputError
    from vae.evaluation.measurement import METRICS
    from vae.user_folders import cache_dir

    if samples < 0:
        raise InputError(f"The number of samples must be 0 or more, not {samples}.")
    given = {"test_size": test_size, "value_range": value_range}
    if metrics is not None or csv is not None:
        if samples or generation:
            raise InputError("--metrics measures images one by one; leave out --samples and --generation, or it.")
        names = [name.strip() for name in ("psnr,ssim" if metrics is None else metrics).split(",") if name.strip()]
        if features is not None and "fid" not in names:
            raise InputError(f"--features is for the metric fid; --metrics takes some of {', '.join(METRICS)}.")
        rows = measure_models(models, data, split, given, names, features or "inception", csv, size, device)
        say_measured(rows, json_)
        return
    else:
        if size is not None and generation:
            raise InputError("--generation compares draws of the model's own size with images of it; leave out --size.")
        if features is not None and not generation:
            raise InputError("--features goes with --metrics fid or with --generation.")
        if generation:
            output_folder(cache_dir())  # the classifier is kept there
        options = (size, samples, variance, generation, draws, features, seed, device)
        rows = [_figures(model, data, split or "test", given, *options) for model in models]
    say(rows[0], json_) if len(rows) == 1 else say_rows(rows, json_)
    if not json_ and not (samples and generation):
        print("Not measured unless asked for: --samples 64 (log p(x)), --generation, --metrics.", file=sys.stderr)


def _figures(model, data, split, given, size, samples, variance, generation, draws, features, seed, device) -> dict:
    from vae.checkpoints.store import load
    from vae.data.sets import load_data
    from vae.evaluation.bound import importance_bound
    from vae.evaluation.evaluate import evaluate as measure
    from vae.evaluation.generation import measure_generation

    loaded = load(model, device=device)
    config = loaded.config
    side = config.sample_size if config.fixed_size or size is None else size
    fitted = {"size": side, "channels": loaded.in_channels, "border": config.border, **given}
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
            figures["generation"] = measure_generation(
                loaded, *sets, draws, seed, on_progress=report, features=features
            )
    return {"model": model, "data": data, "split": split, "size": side, **figures}
