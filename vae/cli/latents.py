"""The commands about a model's latents: statistics, fit-prior."""

from pathlib import Path
from typing import Annotated

import typer

from vae.cli.terminal import Device, Json, Model, Seed, TestSize, ValueRange, bar_of, output_path, phases, remark, say


def statistics(
    model: Model,
    data: Annotated[str, typer.Option(help="As for train.")] = "digits",
    split: Annotated[str, typer.Option(help="train, val, test or all.")] = "test",
    test_size: TestSize = 0.2,
    value_range: ValueRange = None,
    device: Device = "auto",
    json_: Json = False,
) -> None:
    """Measure a model over a data set, and store beside the checkpoint what the map of its latents needs, and how its
    images fare, which tells how unusual another is."""
    from vae.checkpoints.find_model import weight_files
    from vae.checkpoints.store import load
    from vae.data.sets import load_data
    from vae.files import writing
    from vae.latents.statistics import FILE, measure, write

    weights = weight_files(model)
    output = output_path(weights[0].with_name(FILE), (".safetensors",))
    loaded = load(model, device=device)
    config = loaded.config
    fitted = config.sample_size, loaded.in_channels, config.border
    images = load_data(data, split, *fitted, test_size=test_size, value_range=value_range)
    remark(images.remarks)
    with bar_of(len(images), "image") as bar:
        found = measure(loaded, images, split, lambda done: bar.update(done - bar.n))
    with writing(output):
        write(weights, found)
    say({"model": model, "output": str(output), **found.summary()}, json_)


def fit_prior(
    model: Model,
    data: Annotated[
        str,
        typer.Option(
            help="The images the model was trained on, as for train; or the folder of their latents, which encode "
            "wrote."
        ),
    ] = "digits",
    test_size: TestSize = 0.2,
    value_range: ValueRange = None,
    prior: Annotated[str, typer.Option(help="gaussian, mixture, flow, diffusion, or all: the first three.")] = "all",
    updates: Annotated[
        int | None, typer.Option(help="Of a flow's weights (8,000) or a diffusion's (20,000).", min=1, max=1_000_000)
    ] = None,
    flip: Annotated[
        bool | None,
        typer.Option(
            "--flip/--no-flip",
            help="Let a diffusion learn from mirror images, too, where left is like right; of colour images unless "
            "given.",
        ),
    ] = None,
    seed: Seed = 0,
    device: Device = "auto",
    json_: Json = False,
) -> None:
    """Fit priors to a model's latents, beside N(0, I), and store them beside the checkpoint; `sample` then has them.

    A diffusion is a training of its own, best on a GPU, which the page shows while it goes; stopped or killed, the same
    command goes on where it was. After Ctrl-C, the exit code is 130, and what it draws by then is kept.
    """
    from vae.checkpoints.find_model import weight_files
    from vae.checkpoints.store import load
    from vae.data.image_set import ImageSet
    from vae.data.sets import load_data
    from vae.errors import InputError
    from vae.files import writing
    from vae.latents.latent_set import LatentSet, is_latents
    from vae.latents.latent_set import open as open_latents
    from vae.latents.priors import FILE, KINDS, QUICK, add, fit_priors, read

    if prior != "all" and prior not in KINDS:
        raise InputError(f"The prior to fit must be {', '.join(KINDS)} or all, not {prior!r}.")
    kinds = QUICK if prior == "all" else (prior,)
    weights = weight_files(model)
    output = output_path(weights[0].with_name(FILE), (".safetensors",))
    loaded = load(model, device=device)
    config = loaded.config
    images: ImageSet | LatentSet
    if is_latents(Path(data).expanduser()):
        images = open_latents(data)
    else:
        shape = config.sample_size, loaded.in_channels, config.border
        images = load_data(data, "train", *shape, test_size=test_size, value_range=value_range)
        remark(images.remarks)
    with phases() as report:
        if prior == "diffusion":
            from vae.training.prior_run import fit

            signal = fit(loaded, images, weights, seed, updates, on_progress=report, mirror=flip).signal
        else:
            fitted, signal = fit_priors(loaded, images, kinds, seed, updates, on_progress=report), None
            with writing(output):
                add(weights, fitted)
    there = read(weights)
    facts = {kind: there[kind].facts for kind in kinds if kind in there}
    say({"model": model, "output": str(output), "priors": facts}, json_)
    if signal:
        raise typer.Exit(128 + signal)
