"""The command line: `python -m vae COMMAND`. Each command's own imports stay inside it, so that --help is instant."""

import errno
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from vae.cli.encode import decode, encode
from vae.cli.evaluate import evaluate
from vae.cli.latents import fit_prior, statistics
from vae.cli.options import with_plugins
from vae.cli.page import page
from vae.cli.serve import serve
from vae.cli.terminal import (
    Device,
    Json,
    Label,
    Mode,
    Model,
    Prior,
    Seed,
    bar_of,
    fit_prior_advised,
    output_folder,
    output_path,
    phases,
    say,
)
from vae.cli.train import train


class Commands(typer.Typer):
    """Commands, each of which knows --plugin: all of them load a model, or train one."""

    def command(self, *arguments, **options):
        register = super().command(*arguments, **options)
        return lambda command: register(with_plugins(command))


app = Commands(
    help="Variational auto-encoders: look into them, use them, train them.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)


def main() -> None:
    """Run the command line. Input that cannot be used ends with one sentence and exit code 2."""
    from vae.errors import InputError
    from vae.threads import wait_asleep
    from vae.user_folders import provide_home

    if "train" not in sys.argv[1:2]:
        wait_asleep()
    try:
        provide_home()
        try:
            app()
        finally:
            sys.stdout.flush()
    except InputError as error:
        raise _refused(error) from None
    except OSError as error:
        if error.filename is not None:  # a file that no command foresaw
            raise _refused(f"{str(error.filename)!r} cannot be read or written: {error.strerror}.") from None
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EPIPE):
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python would try once more at its end
        if error.errno == errno.EPIPE:  # whoever read the output has had enough
            raise SystemExit(1) from None
        raise _refused(f"The output cannot be written: {error.strerror}.") from None


def _refused(why: object) -> SystemExit:
    print(f"Error: {why}", file=sys.stderr)
    return SystemExit(2)


@app.command()
def info(model: Model, json_: Json = False, device: Device = "auto") -> None:
    """Print a model's facts: family, parameters, latent shape, priors."""
    from vae.checkpoints.describe import describe
    from vae.checkpoints.store import load

    loaded = load(model, device=device)
    facts = describe(loaded) | {"name": model, "priors": loaded.priors, "device": str(loaded.device)}
    if loaded.refused_priors:
        facts["priors_refused"] = loaded.refused_priors
    if not json_:  # as people read it
        if loaded.config.scaling_factor is None:
            facts |= {"scaling_factor": "unknown", "latent_space": "unknown"}
        if getattr(loaded.config, "latents_std", None) is not None and loaded.config.scaling_factor is not None:
            facts["scaling_factor"] = f"{loaded.config.scaling_factor:g}, after each channel's own mean and spread"
        if not loaded.codebook_size:
            del facts["codebook_size"]
    say(facts, json_)


@app.command()
def reconstruct(
    model: Model,
    images: Annotated[list[Path], typer.Argument(help="Image files, and folders of them.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="A .png file, or a folder for several images.")],
    sample: Annotated[
        bool, typer.Option("--sample", help="Decode a posterior sample, not the posterior's mean.")
    ] = False,
    seed: Seed = 0,
    max_side: Annotated[
        int | None, typer.Option(help="Make a longer side so many pixels, if the model takes any size.", min=1)
    ] = None,
    tile: Annotated[
        int | None,
        typer.Option(help="Side in pixels of the tiles of large images; 0: never. As the memory needs unless given."),
    ] = None,
    clean_photo: Annotated[
        bool,
        typer.Option(
            "--clean-photo/--no-clean-photo",
            help="Show a model of digits a dark digit on bright paper in white on black, cropped and centred.",
        ),
    ] = True,
    device: Device = "auto",
    json_: Json = False,
) -> None:
    """Encode images, decode them again, and say how near the result is, and how unusual the image for the model."""
    from vae.checkpoints.store import load
    from vae.cli.files import named, rebuilt_file, rebuilt_files

    into_folder = len(images) > 1 or images[0].is_dir() or output.is_dir() or not output.suffix
    output_folder(output) if into_folder else output_path(output, (".png",))
    loaded = load(model, device=device)
    paths = named(images)
    options = {"sample": sample, "seed": seed if sample else None, "max_side": max_side}
    options |= {"tile": tile, "clean_photo": clean_photo}
    if len(images) == 1 and not images[0].is_dir():
        facts = [rebuilt_file(loaded, paths[0], output / f"{paths[0].stem}.png" if into_folder else output, options)]
    else:
        facts = rebuilt_files(loaded, paths, output, options)
    if json_:
        print(json.dumps(facts))
    else:
        for row in facts:
            word = f"  {row['unusual']['word']}" if row["unusual"] else ""
            print(f"{row['output']}  {row['psnr']:.2f} dB  SSIM {row['ssim']:.3f}  {row['seconds']:.2f} s{word}")
            if row["cleaned"]:
                print(f"  {row['cleaned']}")


@app.command()
def sample(
    model: Model,
    n: Annotated[int, typer.Option("-n", help="How many.")] = 64,
    seed: Seed = 0,
    prior: Prior = "normal",
    label: Label = None,
    temperature: Annotated[float, typer.Option(help="Scales the standard deviation; 1 is the prior itself.")] = 1.0,
    steps: Annotated[
        int | None, typer.Option(help="That a diffusion prior takes for a draw, 1 to 64; its own unless given.")
    ] = None,
    output: Annotated[
        Path,
        typer.Option("-o", "--output", help="The grid, a .png file; or a folder, which gets each image as a file."),
    ] = Path("grid.png"),
    scale: Annotated[int, typer.Option(help="Enlarge each image by this whole factor.", min=1, max=64)] = 1,
    device: Device = "auto",
    json_: Json = False,
) -> None:
    """Draw new images from a model, and save them as one grid."""
    import time

    import torch

    from vae.checkpoints.store import load
    from vae.files import replacing, writing
    from vae.images import enlarge, grid, png_bytes, to_image, to_uint8
    from vae.inference import sample_batches
    from vae.latents.priors import chosen

    into_folder = not output.suffix or (output.is_dir() and output.suffix.lower() != ".png")
    output_folder(output) if into_folder else output_path(output, (".png",))
    loaded = load(model, device=device)
    start = time.perf_counter()
    with fit_prior_advised(model), bar_of(n, "image") as bar:
        used, _ = chosen(loaded, prior, label, steps)
        pixels, done = [], 0
        for batch in sample_batches(loaded, n, seed, temperature, prior, label=label, steps=steps):
            for image in to_uint8(batch):
                if into_folder:
                    with writing(output), replacing(output / f"{done:06d}.png", durable=False) as part:
                        output.mkdir(parents=True, exist_ok=True)
                        part.write_bytes(png_bytes(enlarge(to_image(image), scale)))
                else:
                    pixels.append(image)
                done += 1
                bar.update()
    seconds = time.perf_counter() - start
    if not into_folder:
        with writing(output), replacing(output) as part:
            part.write_bytes(png_bytes(grid(torch.stack(pixels), scale=scale)))
    facts = {"output": str(output), "n": n, "seed": seed, "prior": used.kind if used else "normal", "seconds": seconds}
    facts |= {"steps": used.steps} if used and used.steps else {}
    say(facts if label is None else facts | {"label": label}, json_)


@app.command()
def interpolate(
    model: Model,
    ends: Annotated[
        list[str],
        typer.Argument(
            metavar="A B [C]",
            help="Each an image's path, or a whole number: the seed of a latent from N(0, I), or in the mode prior "
            "from that. More than two are gone through in a circle.",
        ),
    ],
    steps: Annotated[
        int,
        typer.Option(
            help="Frames from A to B, both included; in a circle, from each to the next; with --grid, images a side."
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

    from vae.animation import write_animation
    from vae.checkpoints.store import load
    from vae.errors import InputError
    from vae.images import enlarge, to_image
    from vae.images import grid as sheet_of
    from vae.inference import interpolate as between

    output_path(output, (".png",) if grid else (".gif", ".mp4", ".png"))
    if len(ends) < 2 or (grid and len(ends) != 4):
        raise InputError(f"{'A grid takes four' if grid else 'An interpolation takes two or more'}, not {len(ends)}.")
    endpoints = [_endpoint(text) for text in ends]
    loaded = load(model, device=device)
    start = time.perf_counter()
    kind = "grid" if grid else "path" if len(ends) == 2 else "loop"
    with fit_prior_advised(model), phases() as report:
        found = between(loaded, endpoints, steps, mode, kind, progress=report)
    frames = [sheet_of(found.pixels, columns=steps, gap=0)] if grid else map(to_image, found.pixels)
    write_animation([enlarge(frame, scale) for frame in frames], output, fps=fps)
    seconds = time.perf_counter() - start
    say({"output": str(output), "steps": steps, "mode": mode, "seconds": seconds}, json_)


def _endpoint(text: str):
    from vae.images import open_image

    return int(text) if text.isdigit() and not Path(text).exists() else open_image(text)


for command in (train, evaluate, encode, decode, statistics, fit_prior, serve):
    app.command()(command)
app.command("app")(page)


@app.command()
def export(
    model: Model,
    folder: Annotated[Path, typer.Argument(help="Where to write it.")],
    format_: Annotated[str, typer.Option("--format", help="diffusers, taesd or onnx.")] = "diffusers",
    device: Device = "cpu",
    json_: Json = False,
) -> None:
    """Write a model as another library opens it: diffusers' AutoencoderKL.from_pretrained, say, or onnxruntime."""
    from vae.checkpoints.store import export as write
    from vae.checkpoints.store import load
    from vae.files import writing

    output_folder(folder)
    loaded = load(model, device=device)
    with writing(folder):
        write(loaded, folder, format_)
    say({"model": model, "folder": str(folder), "format": format_}, json_)


@app.command()
def push(
    model: Model,
    repository: Annotated[str, typer.Argument(help="org/name on the Hugging Face Hub.")],
    private: Annotated[bool, typer.Option("--private", help="If the repository is made, make it private.")] = False,
    json_: Json = False,
) -> None:
    """Publish a model, with its card, on the Hugging Face Hub. Needs `hf auth login` or HF_TOKEN."""
    from vae.checkpoints.store import push as publish
    from vae.files import check_writable, writing

    place = Path(tempfile.gettempdir())  # where the files to be uploaded are put together
    check_writable(place)
    with writing(place):
        address = publish(model, repository, private=private)
    say({"model": model, "address": address}, json_)
