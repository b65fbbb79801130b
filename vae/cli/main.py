"""The command line: `python -m vae COMMAND`. Each command's own imports stay inside it, so that --help is instant."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from vae.cli.evaluate import evaluate
from vae.cli.latents import fit_prior, statistics
from vae.cli.terminal import Device, Json, Mode, Model, Prior, Seed, bar_of, output_path, say
from vae.cli.train import train

app = typer.Typer(
    help="Variational auto-encoders: look into them, use them, train them.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)


def main() -> None:
    """Run the command line. Input that cannot be used ends with one sentence and exit code 2."""
    from vae.errors import InputError

    try:
        app()
    except InputError as error:
        print(f"Error: {error}", file=sys.stderr)
        raise SystemExit(2) from None


@app.command()
def info(model: Model, json_: Json = False, device: Device = "auto") -> None:
    """Print a model's facts: family, parameters, latent shape, priors."""
    from vae.checkpoints.describe import describe
    from vae.checkpoints.store import load

    loaded = load(model, device=device)
    facts = describe(loaded) | {"name": model, "priors": loaded.priors, "device": str(loaded.device)}
    if loaded.refused_priors:
        facts["priors_refused"] = loaded.refused_priors
    say(facts, json_)


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
    from vae.checkpoints.store import load
    from vae.files import replacing
    from vae.images import open_image, png_bytes
    from vae.inference import reconstruct as rebuild

    into_folder = len(images) > 1 or output.is_dir() or not output.suffix
    if not into_folder:
        output_path(output, (".png",))
    loaded = load(model, device=device)
    opened = [open_image(path) for path in images]  # all of them first: a bad one leaves nothing half-done
    if into_folder:
        output.mkdir(parents=True, exist_ok=True)
    facts, names = [], set()
    with bar_of(len(images), "image") as bar:
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

    from vae.checkpoints.store import load
    from vae.files import replacing
    from vae.images import grid, png_bytes
    from vae.inference import sample as draw

    output_path(output, (".png",))
    loaded = load(model, device=device)
    start = time.perf_counter()
    pictures = draw(loaded, n, seed=seed, temperature=temperature, prior=prior)
    seconds = time.perf_counter() - start
    with replacing(output) as part:
        part.write_bytes(png_bytes(grid(pictures, scale=max(1, scale))))
    say({"output": str(output), "n": n, "seed": seed, "prior": prior, "seconds": seconds}, json_)


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

    import torch

    from vae.animation import write_animation
    from vae.checkpoints.store import load
    from vae.errors import InputError
    from vae.images import enlarge, to_tensor
    from vae.images import grid as sheet_of
    from vae.inference import decode_path, latent_of
    from vae.latents import interpolation
    from vae.latents.priors import for_paths

    output_path(output, (".png",) if grid else (".gif", ".mp4", ".png"))
    if len(ends) < 2 or (grid and len(ends) != 4):
        raise InputError(f"{'A grid takes four' if grid else 'An interpolation takes two or more'}, not {len(ends)}.")
    opened = [_end(text) for text in ends]
    loaded = load(model, device=device)
    start = time.perf_counter()
    prior = for_paths(loaded) if mode == "prior" else None
    stops = [latent_of(loaded, end, prior.kind if prior else "normal") for end in opened]
    if grid:
        path = interpolation.corners(stops, steps, steps, mode, prior).flatten(0, 1)
    elif len(stops) > 2:
        path = interpolation.loop(stops, steps, mode, prior)
    else:
        path = interpolation.interpolate(*stops, steps, mode, prior)
    with bar_of(len(path), "frame") as bar:
        frames = decode_path(loaded, path, on_progress=lambda done: bar.update(done - bar.n))
    if grid:
        frames = [sheet_of(torch.cat([to_tensor(frame) for frame in frames]), columns=steps, gap=0)]
    write_animation([enlarge(frame, scale) for frame in frames], output, fps=fps)
    seconds = time.perf_counter() - start
    say({"output": str(output), "steps": steps, "mode": mode, "seconds": seconds}, json_)


def _end(text: str):
    from vae.images import open_image

    return int(text) if text.isdigit() and not Path(text).exists() else open_image(text)


for command in (train, evaluate, statistics, fit_prior):
    app.command()(command)


@app.command()
def export(
    model: Model,
    folder: Annotated[Path, typer.Argument(help="Where to write it.")],
    format_: Annotated[str, typer.Option("--format", help="diffusers or taesd.")] = "diffusers",
    device: Device = "cpu",
    json_: Json = False,
) -> None:
    """Write a model as another library opens it: diffusers' AutoencoderKL.from_pretrained, say."""
    from vae.checkpoints.store import export as write
    from vae.checkpoints.store import load

    written = write(load(model, device=device), folder, format_)
    say({"model": model, "folder": str(written), "format": format_}, json_)


@app.command()
def push(
    model: Model,
    repository: Annotated[str, typer.Argument(help="org/name on the Hugging Face Hub.")],
    private: Annotated[bool, typer.Option("--private", help="If the repository is made, make it private.")] = False,
    json_: Json = False,
) -> None:
    """Publish a model, with its card, on the Hugging Face Hub. Needs `hf auth login` or HF_TOKEN."""
    from vae.checkpoints.store import push as publish

    say({"model": model, "address": publish(model, repository, private=private)}, json_)
