"""The command that trains a model: train."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from vae.cli.options import with_settings
from vae.cli.terminal import Device, Json, bar_of, output_folder, say
from vae.errors import InputError
from vae.training.config import TrainConfig
from vae.training.presets import PRESETS
from vae.training.presets import preset as recipe


@with_settings(TrainConfig)
def train(
    preset: Annotated[
        str | None, typer.Option(help=f"The recipe: {', '.join(PRESETS)}; without one {TrainConfig.preset}.")
    ] = None,
    run_dir: Annotated[
        Path | None,
        # torchrun takes --run for a short form of its own --run-path.
        typer.Option("--run-dir", "--run", help="The run folder; by default the next free one in runs/."),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the run's newest checkpoint.")] = False,
    max_minutes: Annotated[float | None, typer.Option(help="Stop after so long.", min=0.01)] = None,
    log_with: Annotated[str | None, typer.Option(help="Also log to tensorboard, trackio or wandb.")] = None,
    device: Device = "auto",
    json_: Json = False,
    **settings,
) -> None:
    """Train a model; the app shows the run while it goes. Ctrl-C stops it and keeps what it has learned."""
    from vae.training.loop import fit
    from vae.training.runs import new_run_folder

    run = run_dir and run_dir.expanduser()
    config = _config(preset, settings, run if resume else None, device)
    run = output_folder(run or new_run_folder(config.preset))
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


def _config(preset: str | None, settings: dict, run: Path | None, device: str) -> TrainConfig:
    """The TrainConfig of the recipe with its changes, or that of the run gone on with, which takes more epochs only."""
    from vae.training.runs import Run

    if run is None or not Run(run).begun():
        return recipe(preset or TrainConfig.preset, device, **settings)
    config = TrainConfig.from_dict(Run(run).config())
    for name, value in (settings | {"preset": preset}).items():
        kept = getattr(config, name)
        auto = name == "batch_size" and value == "auto"  # what was found then is kept
        if name != "epochs" and not auto and value is not None and value != kept:
            raise InputError(
                f"The run {run.name!r} has {name} {kept}, and a resumed run keeps its settings but for the epochs; "
                f"leave out --{name.replace('_', '-')}, or begin a new run."
            )
    return config if settings["epochs"] is None else replace(config, epochs=settings["epochs"])


def _forget(folder: Path) -> None:
    """Remove a run that this command created and that failed before it had learned anything."""
    from vae.training.runs import Run

    run = Run(folder)
    if run.exists() and not run.begun():
        run.delete()
