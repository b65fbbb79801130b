"""What the commands share: their options, and how they say what they do and have done."""

import json
import os
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

Model = Annotated[str, typer.Argument(help="A bundled name, run folder, checkpoint folder, weight file or Hub id.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, mps, …")]
TestSize = Annotated[float, typer.Option(help="Share held out for test, where the data have no test split.")]
ValueRange = Annotated[
    str | None,
    typer.Option(help="The values over 8 bits that are black and white, such as 0:4095; by default their own."),
]
Json = Annotated[bool, typer.Option("--json", help="Print the figures as JSON, and nothing else, on stdout.")]
Seed = Annotated[int, typer.Option(help="The same seed gives the same result.")]
Prior = Annotated[str, typer.Option(help="normal is N(0, I); fit-prior adds gaussian, mixture, flow and diffusion.")]
Label = Annotated[
    str | None, typer.Option(help="Draw one class alone, by its name or number, where a prior was fitted to labels.")
]
Mode = Annotated[
    str, typer.Option(help="slerp, along the great circle; lerp, straight; prior, through the space of a fitted prior.")
]


def say(facts: dict, as_json: bool) -> None:
    if as_json:
        print(json.dumps(facts))
        return
    facts = dict(_flat(facts))
    width = max(len(key) for key in facts)
    for key, value in facts.items():
        text = f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) and "seed" not in key else value
        print(f"{key:<{width}}  {text:.4g}" if isinstance(value, float) else f"{key:<{width}}  {text}")


def say_rows(rows: list[dict], as_json: bool) -> None:
    """Several of what `say` says one of: a table, a column a figure; what consists of several is in the JSON alone."""
    if as_json:
        print(json.dumps(rows))
        return
    keys = [key for key in rows[0] if not isinstance(rows[0][key], dict | list)]
    cells = [keys] + [[_short(row.get(key)) for key in keys] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for line in cells:
        first, *others = zip(line, widths, strict=True)
        print("  ".join([first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in others)]))


def _short(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return "–" if value is None else f"{value:,}" if isinstance(value, int) else str(value)


def remark(sentences: list[str]) -> None:
    """What a user should know beside the result, on stderr."""
    for sentence in sentences:
        print(sentence, file=sys.stderr)


def _flat(facts: dict, prefix: str = ""):
    for key, value in facts.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


@contextmanager
def phases():
    """A bar that is told (what, done, total), and starts again where another thing is done."""
    bar = None

    def report(what: str, done: int, total: int) -> None:
        nonlocal bar
        if bar is None or bar.desc != f"{what}: ":
            if bar is not None:
                bar.close()
            bar = bar_of(total, "")
            bar.set_description(what)
        bar.total = total or None
        bar.update(done - bar.n)

    try:
        yield report
    finally:
        if bar is not None:
            bar.close()


def bar_of(total: int, unit: str):
    from tqdm import tqdm

    return tqdm(total=total, unit=unit, file=sys.stderr, disable=not sys.stderr.isatty(), leave=False)


@contextmanager
def fit_prior_advised(model: str):
    """Where a prior is missing, how to fit it to this model is said after what is wrong."""
    from vae.errors import InputError
    from vae.latents.priors import PriorNotFitted

    try:
        yield
    except PriorNotFitted as error:
        advice = f"Fit it with `python -m vae fit-prior {model} --data DATA --prior {error.prior}`."
        raise InputError(f"{error.fact} {advice}") from error


def output_path(path: Path, suffixes: tuple[str, ...]) -> Path:
    """`path`, if a file with one of those endings can be written there; asked before the work, not after it."""
    from vae.errors import InputError
    from vae.files import check_writable

    if path.suffix.lower() not in suffixes:
        raise InputError(f"The output {path.name!r} must end in {' or '.join(suffixes)}.")
    if not os.path.isdir(path.parent):  # noqa: PTH112 (Path.is_dir raises where one may not look)
        raise InputError(f"There is no folder {str(path.parent)!r} to write to.")
    check_writable(path)
    if path.is_dir():
        raise InputError(f"The output {str(path)!r} is a folder; give a file.")
    return path


def output_folder(path: Path) -> Path:
    """`path`, if files can be written in the folder of that name, which need not exist yet."""
    from vae.errors import InputError
    from vae.files import check_writable

    check_writable(path)
    if path.exists() and not path.is_dir():
        raise InputError(f"The output {str(path)!r} is a file; give a folder.")
    return path
