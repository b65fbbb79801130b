"""The command line: `python -m vae COMMAND`. Each command's own imports stay inside it, so that --help is instant."""

import json
import os
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    help="Variational auto-encoders: look into them, use them, train them.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)

Model = Annotated[str, typer.Argument(help="A bundled name, run folder, checkpoint folder, weight file or Hub id.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, mps, …")]
Json = Annotated[bool, typer.Option("--json", help="Print the figures as JSON, and nothing else, on stdout.")]
Seed = Annotated[int, typer.Option(help="The same seed gives the same result.")]
Prior = Annotated[str, typer.Option(help="normal is N(0, I); fit-prior adds gaussian, mixture and flow.")]
Mode = Annotated[
    str, typer.Option(help="slerp, along the great circle; lerp, straight; prior, through the space of a fitted prior.")
]


def main() -> None:
    """Run the command line. Input that cannot be used ends with one sentence and exit code 2."""
    from vae.errors import InputError

    try:
        app()
    except InputError as error:
        print(f"Error: {error}", file=sys.stderr)
        raise SystemExit(2) from None


def _say(facts: dict, as_json: bool) -> None:
    if as_json:
        print(json.dumps(facts))
        return
    facts = dict(_flat(facts))
    width = max(len(key) for key in facts)
    for key, value in facts.items():
        text = f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) and "seed" not in key else value
        print(f"{key:<{width}}  {text:.4g}" if isinstance(value, float) else f"{key:<{width}}  {text}")


def _flat(facts: dict, prefix: str = ""):
    for key, value in facts.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


@contextmanager
def _phases():
    """A bar that is told (what, done, total), and starts again where another thing is done."""
    bar = None

    def report(what: str, done: int, total: int) -> None:
        nonlocal bar
        if bar is None or bar.desc != f"{what}: ":
            if bar is not None:
                bar.close()
            bar = _bar(total, "")
            bar.set_description(what)
        bar.update(done - bar.n)

    try:
        yield report
    finally:
        if bar is not None:
            bar.close()


def _bar(total: int, unit: str):
    from tqdm import tqdm

    return tqdm(total=total, unit=unit, file=sys.stderr, disable=not sys.stderr.isatty(), leave=False)


def _output(path: Path, suffixes: tuple[str, ...]) -> Path:
    from vae.errors import InputError

    if path.suffix.lower() not in suffixes:
        raise InputError(f"The output {path.name!r} must end in {' or '.join(suffixes)}.")
    if not path.parent.is_dir():
        raise InputError(f"There is no folder {str(path.parent)!r} to write to.")
    return path


@app.command()
def info(model: Model, json_: Json = False, device: Device = "auto") -> None:
    """Print a model's facts: family, parameters, latent shape, priors."""
    from vae.checkpoints import load
    from vae.info import describe

    loaded = load(model, device=device)
    facts = describe(loaded) | {"name": model, "priors": loaded.priors, "device": str(loaded.device)}
    if loaded.refused_priors:
        facts["priors_refused"] = loaded.refused_priors
    _say(facts, json_)


@app.command()
def reconstruct(
    model: Model,
    images: Annotated[list[Path], typer.Argument(help="Pictures.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="A .png file, or a folder for several pictures.")],
    sample: Annotated[
        bool, typer.Option("--sample", help="Decode a posterior sample, not the posterior's mean.")
    ] = False,
    seed: Seed = 0,
    device: Device = "auto",
    json_: Json = False,
) -> None:
    """Encode pictures, decode them again, and say how near the result is."""
    from vae.checkpoints import load
    from vae.files import replacing
    from vae.images import open_image, png_bytes
    from vae.inference import reconstruct as rebuild

    into_folder = len(images) > 1 or output.is_dir() or not output.suffix
    if not into_folder:
        _output(output, (".png",))
    loaded = load(model, device=device)
    opened = [open_image(path) for path in images]  # all of them first: a bad one leaves nothing half-done
    if into_folder:
        output.mkdir(parents=True, exist_ok=True)
    facts, names = [], set()
    with _bar(len(images), "image") as bar:
        for path, picture in zip(images, opened, strict=True):
            result = rebuild(loaded, picture, sample=sample, seed=seed if sample else None)
            name = _free_name(path.stem, names)
            target = output / f"{name}.png" if into_folder else output
            with replacing(target) as part:
                part.write_bytes(png_bytes(result.image))
            facts.append(
                {
                    "image": str(path),
                    "output": str(target),
                    "psnr": result.psnr,
                    "ssim": result.ssim,
                    "latent_shape": list(result.latent_shape),
                    "compression": result.compression,
                    "seconds": result.seconds,
                    "seed": result.seed,
                }
            )
            bar.update()
    if json_:
        print(json.dumps(facts))
    else:
        for row in facts:
            print(f"{row['output']}  {row['psnr']:.2f} dB  SSIM {row['ssim']:.3f}  {row['seconds']:.2f} s")


def _free_name(stem: str, names: set[str]) -> str:
    """`stem`, with a number where another picture of the same name came before."""
    name = next(n for n in (stem, *(f"{stem}-{i}" for i in range(2, 10**6))) if n not in names)
    names.add(name)
    return name


@app.command()
def sample(
    model: Model,
    n: Annotated[int, typer.Option("-n", help="How many.")] = 64,
    seed: Seed = 0,
    prior: Prior = "normal",
    temperature: Annotated[float, typer.Option(help="Scales the standard deviation; 1 is the prior itself.")] = 1.0,
    output: Annotated[Path, typer.Option("-o", "--output", help="The grid, a .png file.")] = Path("grid.png"),
    scale: Annotated[int, typer.Option(help="Enlarge each picture by this whole factor.")] = 1,
    device: Device = "auto",
    json_: Json = False,
) -> None:
    """Draw new pictures from a model, and save them as one grid."""
    import time

    from vae.checkpoints import load
    from vae.files import replacing
    from vae.images import grid, png_bytes
    from vae.inference import sample as draw

    _output(output, (".png",))
    loaded = load(model, device=device)
    start = time.perf_counter()
    pictures = draw(loaded, n, seed=seed, temperature=temperature, prior=prior)
    seconds = time.perf_counter() - start
    with replacing(output) as part:
        part.write_bytes(png_bytes(grid(pictures, scale=max(1, scale))))
    _say({"output": str(output), "n": n, "seed": seed, "prior": prior, "seconds": seconds}, json_)


@app.command()
def interpolate(
    model: Model,
    ends: Annotated[
        list[str],
        typer.Argument(
            metavar="A B [C]",
            help="Each a picture's path, or a whole number: the seed of a latent from N(0, I), or in the mode prior "
            "from that. More than two are gone through in a circle.",
        ),
    ],
    steps: Annotated[
        int,
        typer.Option(
            help="Frames from A to B, both included; in a circle, from each to the next; with --grid, pictures a side."
        ),
    ] = 16,
    grid: Annotated[bool, typer.Option("--grid", help="What lies between four, as one .png sheet.")] = False,
    mode: Mode = "slerp",
    output: Annotated[Path, typer.Option("-o", "--output", help="morph.gif, .mp4, or .png for a strip.")] = Path(
        "morph.gif"
    ),
    fps: Annotated[int, typer.Option(help="Frames a second.", min=1, max=50)] = 12,
    scale: Annotated[int, typer.Option(help="Enlarge each frame by this whole factor.", min=1, max=64)] = 1,
    device: Device = "auto",
    json_: Json = False,
) -> None:
    """Decode what lies between latents: the way from one to another, a loop through several, or a grid."""
    import time

    from vae import latents
    from vae.animation import write_animation
    from vae.checkpoints import load
    from vae.errors import InputError
    from vae.images import enlarge
    from vae.inference import decode_path, latent_of
    from vae.priors import for_paths

    _output(output, (".png",) if grid else (".gif", ".mp4", ".png"))
    if len(ends) < 2 or (grid and len(ends) != 4):
        raise InputError(f"{'A grid takes four' if grid else 'An interpolation takes two or more'}, not {len(ends)}.")
    opened = [_end(text) for text in ends]
    loaded = load(model, device=device)
    start = time.perf_counter()
    prior = for_paths(loaded) if mode == "prior" else None
    stops = [latent_of(loaded, end, prior.kind if prior else "normal") for end in opened]
    if grid:
        path = latents.corners(stops, steps, steps, mode, prior).flatten(0, 1)
    elif len(stops) > 2:
        path = latents.loop(stops, steps, mode, prior)
    else:
        path = latents.interpolate(*stops, steps, mode, prior)
    with _bar(len(path), "frame") as bar:
        frames = decode_path(loaded, path, on_progress=lambda done: bar.update(done - bar.n))
    frames = [enlarge(frame, scale) for frame in frames]
    write_animation([_sheet(frames, steps)] if grid else frames, output, fps=fps)
    seconds = time.perf_counter() - start
    _say({"output": str(output), "steps": steps, "mode": mode, "seconds": seconds}, json_)


def _sheet(frames: list, columns: int):
    """Pictures of one size in rows of `columns`, without gaps."""
    from PIL import Image

    width, height = frames[0].size
    sheet = Image.new(frames[0].mode, (columns * width, len(frames) // columns * height))
    for i, frame in enumerate(frames):
        sheet.paste(frame, (i % columns * width, i // columns * height))
    return sheet


def _end(text: str):
    from vae.images import open_image

    return int(text) if text.isdigit() and not Path(text).exists() else open_image(text)


@app.command()
def train(
    preset: Annotated[
        str | None,
        typer.Option(help="The recipe: mnist-vae (the default), mnist-vae-large, mnist-ae, sd-small, sd, sd-notebook."),
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
    with _bar(1, "step") as bar:

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
    _say({"run": str(done.folder), "state": done.state()["state"], **last}, json_)


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


@app.command()
def evaluate(
    model: Model,
    data: Annotated[str, typer.Option(help="As for train.")] = "digits",
    split: Annotated[str, typer.Option(help="train or test.")] = "test",
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
    fitted = {"size": config.sample_size, "channels": loaded.in_channels, "border": config.border}
    images = load_data(data, split, **fitted)
    with _phases() as report:
        figures = measure(loaded, images, seed=seed, on_progress=lambda done: report("images", done, len(images)))
        if samples:
            figures["bound"] = importance_bound(
                loaded, images, samples, variance, seed=seed, on_progress=lambda *at: report("bound", *at)
            )
        if generation:
            sets = [images if split == part else load_data(data, part, **fitted) for part in ("train", "test")]
            figures["generation"] = measure_generation(loaded, *sets, draws, seed, on_progress=report)
    _say({"model": model, "data": data, "split": split, **figures}, json_)
    if not json_ and not (samples and generation):
        print("Not measured unless asked for: --samples 64 (log p(x)), --generation.", file=sys.stderr)


@app.command()
def statistics(
    model: Model,
    data: Annotated[str, typer.Option(help="As for train.")] = "digits",
    split: Annotated[str, typer.Option(help="train or test.")] = "test",
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
    images = load_data(data, split, config.sample_size, loaded.in_channels, config.border)
    with _bar(len(images), "image") as bar:
        found = measure(loaded, images, split, lambda done: bar.update(done - bar.n))
    _say({"model": model, "output": str(write(weights, found)), **found.summary()}, json_)


@app.command("fit-prior")
def fit_prior(
    model: Model,
    data: Annotated[str, typer.Option(help="The pictures the model was trained on, as for train.")] = "digits",
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
    images = load_data(data, "train", config.sample_size, loaded.in_channels, config.border)
    with _phases() as report:
        fitted = fit_priors(loaded, images, kinds, seed, updates, on_progress=report)
    kept = {**loaded.fitted_priors, **fitted}  # others fitted before, to these weights, stay
    path = write(weights, {kind: kept[kind] for kind in KINDS if kind in kept})
    _say({"model": model, "output": str(path), "priors": {kind: kept[kind].facts for kind in fitted}}, json_)


@app.command()
def export(
    model: Model,
    folder: Annotated[Path, typer.Argument(help="Where to write it.")],
    format_: Annotated[str, typer.Option("--format", help="diffusers.")] = "diffusers",
    device: Device = "cpu",
    json_: Json = False,
) -> None:
    """Write a model as another library opens it: diffusers' AutoencoderKL.from_pretrained, say."""
    from vae.checkpoints import export as write
    from vae.checkpoints import load

    written = write(load(model, device=device), folder, format_)
    _say({"model": model, "folder": str(written), "format": format_}, json_)


@app.command()
def push(
    model: Model,
    repository: Annotated[str, typer.Argument(help="org/name on the Hugging Face Hub.")],
    private: Annotated[bool, typer.Option("--private", help="If the repository is made, make it private.")] = False,
    json_: Json = False,
) -> None:
    """Publish a model, with its card, on the Hugging Face Hub. Needs `hf auth login` or HF_TOKEN."""
    from vae.checkpoints import push as publish

    _say({"model": model, "address": publish(model, repository, private=private)}, json_)
