"""The command that trains a model: train."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from vae.cli.options import with_settings
from vae.cli.terminal import Device, Json, bar_of, output_folder, say
from vae.errors import InputError
from vae.training.config import TrainConfig
from vae.training.presets import PRESETS
from vae.training.presets import preset as recipe
from vae.training.recipes import FIRST


@with_settings(TrainConfig)
def train(
    preset: Annotated[
        str | None,
        typer.Option(help=f"The recipe: {', '.join(PRESETS)}; without one {FIRST}, or what suits --init's model."),
    ] = None,
    run_dir: Annotated[
        Path | None,
        # torchrun takes --run for a short form of its own --run-path.
        typer.Option("--run-dir", "--run", help="The run folder; by default the next free one in runs/."),
    ] = None,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Go on from the run's newest checkpoint; epochs, steps and learning rate may be others than before, "
            "and data that have been moved are named anew.",
        ),
    ] = False,
    max_minutes: Annotated[float | None, typer.Option(help="Stop after so long.", min=0.01)] = None,
    log_with: Annotated[str | None, typer.Option(help="Also log to tensorboard, trackio or wandb.")] = None,
    device: Device = "auto",
    json_: Json = False,
    **settings,
) -> None:
    """Train a model; the app shows the run while it goes. Ctrl-C stops it and keeps what it has learned: then the exit
    code is 130, and 143 where the process was told to end."""
    from vae.training.loop import fit
    from vae.training.runs import new_run_folder

    run = run_dir and run_dir.expanduser()
    if resume and run is None:
        raise InputError("--resume goes on with the run that --run-dir names; give its folder.")
    config = _config(preset, settings, run if resume else None, device)
    run = output_folder(run or new_run_folder(config.preset))
    first = int(os.environ.get("RANK", 0)) == 0  # of several processes one speaks
    with bar_of(1, "step") as bar:
        show = Progress(run, log_with, bar) if first else None
        done = fit(
            config, run, resume=resume, device=device, max_minutes=max_minutes, on_progress=show, log_with=log_with
        )
    state = done.state()
    if first:
        epochs_done = [entry for entry in done.metrics() if entry["kind"] == "epoch"]
        last = {key: value for key, value in (epochs_done[-1] if epochs_done else {}).items() if key != "kind"}
        skipped = {"skipped": state["skipped"]} if state.get("skipped") else {}
        say({"run": str(done.folder), "state": state["state"], **last, **skipped}, json_)
    if state.get("signal"):
        raise typer.Exit(128 + state["signal"])


class Progress:
    """Called with how far a run is: says on stderr first what it is, then draws the bar, or where nobody sees that a
    line for each epoch."""

    def __init__(self, folder: Path, tracker: str | None, bar):
        self.folder, self.tracker, self.bar = folder, tracker, bar
        self.offset: int | None = None  # of what is still to be read of the metrics

    def __call__(self, progress: dict) -> None:
        from vae.training.runs import Run

        run = Run(self.folder)
        if self.offset is None:
            for line in _introduction(run, self.tracker):
                self.bar.write(line, file=sys.stderr)
            _, self.offset = run.read_metrics()  # what was there before is known
        if self.bar.disable:
            entries, self.offset = run.read_metrics(0, self.offset)
            for entry in entries:
                if entry["kind"] == "epoch":
                    print(_line(entry, run.state()["epochs"]), file=sys.stderr, flush=True)
        self.bar.total = progress["steps"]
        self.bar.update(progress["step"] - self.bar.n)


def _introduction(run, tracker: str | None) -> list[str]:
    """Where the run is, what it learns from, and where a tracker's files are, each in a sentence."""
    state = run.state()
    processes = f"{state['processes']} processes" if state["processes"] > 1 else "one process"
    said = [
        f"Run {run.folder}: {state['train_images']:,} training images, {state['val_images']:,} for validation; "
        f"{state['steps']:,} steps in {processes} on {state['device']}.",
        *state["remarks"],
    ]
    if tracker:
        from vae.training.distributed import PROJECT

        said.append(f"Logs go to {run.folder / PROJECT if tracker == 'tensorboard' else tracker}.")
    return said


def _line(entry: dict, epochs: int) -> str:
    """An epoch's metrics in one line."""
    shown = ("loss", "val_loss", "val_reconstruction", "val_kl", "images_per_second")
    figures = (f"{name} {entry[name]:.4g}" for name in shown)
    return f"epoch {entry['epoch']}/{epochs}, step {entry['step']}: {', '.join(figures)}"


def _config(preset: str | None, settings: dict, run: Path | None, device: str) -> TrainConfig:
    """The TrainConfig of the recipe with its changes, or that of the run gone on with."""
    if settings["epochs"] is not None and settings["steps"]:
        raise InputError("A run's length is given in epochs or in steps, not in both.")
    if run is None:
        return recipe(preset, device, **settings)
    from vae.training.resume import continued
    from vae.training.runs import RunWriter

    kept = TrainConfig.from_dict(RunWriter(run).resumable().config())
    return continued(run.name, kept, settings | {"preset": preset})
