"""The command that trains a model: train."""

import os
from pathlib import Path
from typing import Annotated

import typer

from vae.cli.terminal import Device, Json, bar_of, say


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
    compile_: Annotated[
        str | None, typer.Option("--compile", help="torch.compile: auto (on a GPU, where it pays), on or off.")
    ] = None,
    max_minutes: Annotated[float | None, typer.Option(help="Stop after so long.", min=0.01)] = None,
    log_with: Annotated[str | None, typer.Option(help="Also log to tensorboard, trackio or wandb.")] = None,
    device: Device = "auto",
    json_: Json = False,
) -> None:
    """Train a model; the app shows the run while it goes. Ctrl-C stops it and keeps what it has learned."""
    from vae.errors import InputError
    from vae.training.loop import fit
    from vae.training.runs import new_run_folder

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
        "compile": compile_,
    }
    config = _settings(preset, changes, run if resume else None, device)
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


def _settings(preset: str | None, changes: dict, run: Path | None, device: str):
    """The TrainConfig of the recipe with its changes, or that of the run gone on with, which takes more epochs only."""
    from dataclasses import replace

    from vae.errors import InputError
    from vae.training.config import TrainConfig
    from vae.training.presets import preset as recipe
    from vae.training.runs import Run

    if run is None or not Run(run).begun():
        return recipe(preset or "mnist-vae", device, **changes)
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
    from vae.training.runs import Run

    run = Run(folder)
    if run.exists() and not run.begun():
        run.delete()
