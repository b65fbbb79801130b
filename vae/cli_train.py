"""The command line's commands that train and measure: train, evaluate, statistics, fit-prior."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from vae.terminal import Device, Json, Model, Seed, TestSize, bar_of, phases, say


def train(
    preset: Annotated[
        str | None,
        typer.Option(
            help="The recipe: mnist-vae (the default), mnist-vae-large, mnist-ae, sd-small, sd-small-16, sd, "
            "sd-notebook."
        ),
    ] = None,
    data: Annotated[
        str | None, typer.Option(help="digits, mnist, fashion, cifar10, a folder, archive or Hub id.")
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the training images.")] = None,
    run: Annotated[Path | None, typer.Option(help="The run folder; by default the next free one in runs/.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the run's newest checkpoint.")] = False,
    seed: Annotated[int | None, typer.Option(help="Of weights, order and noise.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Images at once in each process.")] = None,
    accumulate: Annotated[int | None, typer.Option(help="Batches to one update of the weights.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="The highest, for one-cycle.")] = None,
    beta2: Annotated[float | None, typer.Option(help="Adam's second decay rate.")] = None,
    schedule: Annotated[str | None, typer.Option(help="one-cycle or constant.")] = None,
    reconstruction: Annotated[str | None, typer.Option(help="sum, mean, l1 or sigma.")] = None,
    beta: Annotated[float | None, typer.Option(help="Weight of the KL.")] = None,
    ema_images: Annotated[
        int | None, typer.Option(help="Half-life of the weights' average, in images; 0: off.")
    ] = None,
    clip: Annotated[float | None, typer.Option(help="Greatest norm of the gradients; 0: off.")] = None,
    flip: Annotated[bool | None, typer.Option(help="Mirror half of the training images.")] = None,
    test_size: Annotated[float | None, typer.Option(help="Share held out, where the data have no test split.")] = None,
    precision: Annotated[str | None, typer.Option(help="auto, fp32, bf16 or fp16.")] = None,
    max_minutes: Annotated[float | None, typer.Option(help="Stop after so long.", min=0.01)] = None,
    log_with: Annotated[str | None, typer.Option(help="Also log to tensorboard, trackio or wandb.")] = None,
    device: Device = "auto",
    json_: Json = False,
) -> None:
    """Train a model; the app shows the run while it goes. Ctrl-C stops it and keeps what it has learned."""
    from vae.errors import InputError
    from vae.runs import new_run_folder
    from vae.train import fit

    changes = {
        "data": data,
        "epochs": epochs,
        "seed": seed,
        "batch_size": batch_size,
        "accumulate": accumulate,
        "learning_rate": learning_rate,
        "beta2": beta2,
        "schedule": schedule,
        "reconstruction": reconstruction,
        "beta": beta,
        "ema_images": ema_images,
        "clip": clip,
        "flip": flip,
        "test_size": test_size,
        "precision": precision,
    }
    config = _settings(preset, changes, run if resume else None)
    run = run or new_run_folder(config.preset)
    first, new = int(os.environ.get("RANK", 0)) == 0, not run.exists()  # of several processes one speaks
    with bar_of(1, "step") as bar:

        def show(progress: dict) -> None:
            bar.total = progress["steps"]
            bar.update(progress["step"] - bar.n)

        try:
            done = fit(
                config, run, resume=resume, device=device, max_minutes=max_minutes, on_progress=show, log_with=log_with
            )
        except InputError:
            if new and first:
                _forget(run)
            raise
    if not first:
        return
    epochs_done = [entry for entry in done.metrics() if entry["kind"] == "epoch"]
    last = {key: value for key, value in (epochs_done[-1] if epochs_done else {}).items() if key != "kind"}
    say({"run": str(done.folder), "state": done.state()["state"], **last}, json_)


def _settings(preset: str | None, changes: dict, run: Path | None):
    """The TrainConfig of the recipe with its changes, or that of the run gone on with, which takes more epochs only."""
    from dataclasses import replace

    from vae.errors import InputError
    from vae.presets import TrainConfig
    from vae.presets import preset as recipe
    from vae.runs import Run

    if run is None or not Run(run).begun():
        return recipe(preset or "mnist-vae", **changes)
    config = TrainConfig.from_dict(Run(run).config())
    for name, value in (changes | {"preset": preset}).items():
        kept = getattr(config, name)
        if name != "epochs" and value is not None and value != kept:
            raise InputError(
                f"The run {run.name!r} has {name} {kept}, and a resumed run keeps its settings but for the epochs; "
                f"leave out --{name.replace('_', '-')}, or begin a new run."
            )
    return replace(config, epochs=changes["epochs"] or config.epochs)


def _forget(folder: Path) -> None:
    """Remove a run that this command created and that failed before it had learned anything."""
    from vae.runs import Run

    run = Run(folder)
    if run.exists() and not run.begun():
        run.delete()


def evaluate(
    model: Model,
    data: Annotated[str, typer.Option(help="As for train.")] = "digits",
    split: Annotated[str, typer.Option(help="train or test.")] = "test",
    test_size: TestSize = 0.2,
    samples: Annotated[
        int, typer.Option(help="Importance samples for the bound on log p(x), of 1,000 pictures; 0: not measured.")
    ] = 0,
    variance: Annotated[
        float | None,
        typer.Option(help="Of the bound's likelihood, for pixels in [0, 1]; the best one unless given. SSE + KL: 0.5."),
    ] = None,
    generation: Annotated[
        bool,
        typer.Option(
            "--generation",
            help="Also draw pictures from each prior and measure how near they come to the test pictures; "
            "the first time, a classifier is trained on the data for it, which takes a minute or two.",
        ),
    ] = False,
    draws: Annotated[int, typer.Option(help="Pictures drawn from each prior for --generation.")] = 10_000,
    seed: Seed = 0,
    device: Device = "auto",
    json_: Json = False,
) -> None:
    """Measure a model on a data set: loss, reconstruction, KL, PSNR, SSIM, active units, a bound on log p(x)
    (--samples), and how good the pictures are that it generates (--generation)."""
    from vae.bound import importance_bound
    from vae.checkpoints import load
    from vae.data import load_data
    from vae.errors import InputError
    from vae.evaluate import evaluate as measure
    from vae.generation import measure_generation

    if samples < 0:
        raise InputError(f"The number of samples must be 0 or more, not {samples}.")
    loaded = load(model, device=device)
    config = loaded.config
    fitted = {
        "size": config.sample_size,
        "channels": loaded.in_channels,
        "border": config.border,
        "test_size": test_size,
    }
    images = load_data(data, split, **fitted)
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


def statistics(
    model: Model,
    data: Annotated[str, typer.Option(help="As for train.")] = "digits",
    split: Annotated[str, typer.Option(help="train or test.")] = "test",
    test_size: TestSize = 0.2,
    device: Device = "auto",
    json_: Json = False,
) -> None:
    """Measure a model's latents over a data set, and store what the map of them needs beside the checkpoint."""
    from vae.checkpoints import load, weight_files
    from vae.data import load_data
    from vae.statistics import measure, write

    weights = weight_files(model)
    loaded = load(model, device=device)
    config = loaded.config
    images = load_data(data, split, config.sample_size, loaded.in_channels, config.border, test_size=test_size)
    with bar_of(len(images), "image") as bar:
        found = measure(loaded, images, split, lambda done: bar.update(done - bar.n))
    say({"model": model, "output": str(write(weights, found)), **found.summary()}, json_)


def fit_prior(
    model: Model,
    data: Annotated[str, typer.Option(help="The pictures the model was trained on, as for train.")] = "digits",
    test_size: TestSize = 0.2,
    prior: Annotated[str, typer.Option(help="gaussian, mixture, flow, or all of them.")] = "all",
    updates: Annotated[int, typer.Option(help="Of the flow's weights.", min=1, max=1_000_000)] = 8000,
    seed: Seed = 0,
    device: Device = "auto",
    json_: Json = False,
) -> None:
    """Fit priors to a model's latents, beside N(0, I), and store them beside the checkpoint; `sample` then has them."""
    from vae.checkpoints import load, weight_files
    from vae.data import load_data
    from vae.errors import InputError
    from vae.priors import KINDS, fit_priors, write

    if prior != "all" and prior not in KINDS:
        raise InputError(f"The prior to fit must be {', '.join(KINDS)} or all, not {prior!r}.")
    kinds = KINDS if prior == "all" else (prior,)
    weights = weight_files(model)
    loaded = load(model, device=device)
    config = loaded.config
    images = load_data(data, "train", config.sample_size, loaded.in_channels, config.border, test_size=test_size)
    with phases() as report:
        fitted = fit_priors(loaded, images, kinds, seed, updates, on_progress=report)
    kept = {**loaded.fitted_priors, **fitted}  # others fitted before, to these weights, stay
    path = write(weights, {kind: kept[kind] for kind in KINDS if kind in kept})
    say({"model": model, "output": str(path), "priors": {kind: kept[kind].facts for kind in fitted}}, json_)
