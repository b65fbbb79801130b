"""Which of the files in a folder or a Hub repository are the auto-encoder's: told from their names and config.json."""

import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from vae.checkpoints.config_text import parse
from vae.checkpoints.native_config import as_diffusers, published_name
from vae.checkpoints.run_checkpoints import CONFIG, WEIGHTS
from vae.checkpoints.weight_files import SUFFIXES
from vae.errors import InputError
from vae.models import FAMILIES, known_names

STEMS = ("model", "diffusion_pytorch_model", "pytorch_model")
TYPES = ("safetensors", "bin", "ckpt", "pt")
BESIDE = ("priors.safetensors", "statistics.safetensors")  # these belong to a model and are none
HALF = re.compile(r"(?P<stem>.*?)_?(?P<half>encoder|decoder)(?P<suffix>\.(?i:safetensors|pth|pt|bin))")


@dataclass(frozen=True)
class Found:
    """Paths within the folder. weights: one file, or all shards of one model, or with `pair` encoder and decoder."""

    config: str | None
    weights: tuple[str, ...]
    pair: bool = False

    @property
    def files(self) -> tuple[str, ...]:
        return ((self.config,) if self.config else ()) + self.weights


def find(
    files: Iterable[str],
    read_text: Callable[[str], str],
    where: str,
    subfolder: str | None = None,
    variant: str | None = None,
) -> Found:
    """The auto-encoder among `files`, relative paths with slashes: in `subfolder`, or else in the folder itself, in its
    vae/, or in another folder of it.

    A folder with a config.json of a known class comes first, then a TAESD pair, then a weight file that is alone in
    the folder itself. read_text gives the content of a config.json. variant: "fp16" prefers those weights; without it
    full precision is preferred. `where` names the folder in the InputError raised if there is none.
    """
    folders: dict[str, list[str]] = {}
    for file in files:
        path = PurePosixPath(file)
        folders.setdefault(str(path.parent), []).append(path.name)
    order = [subfolder] if subfolder else [".", "vae", *sorted(f for f in folders if f not in (".", "vae"))]

    complaints: list[str] = []
    for folder in order:
        names = folders.get(folder, [])
        if CONFIG not in names:
            continue
        config = str(PurePosixPath(folder) / CONFIG)
        complaint = _unknown(read_text(config), config)
        weights = () if complaint else _choose(names, variant)
        if weights:
            return Found(config, tuple(str(PurePosixPath(folder) / name) for name in weights))
        complaints.append(
            complaint or f"{where} has a {config} but no weights: {WEIGHTS} or a diffusers file is needed."
        )
    for folder in order[:2]:
        pair = _pair(folders.get(folder, []), where)
        if pair:
            return Found(None, tuple(str(PurePosixPath(folder) / name) for name in pair), pair=True)
    # With a config.json that is not an auto-encoder's, a weight file beside it is not one either.
    here = [name for name in folders.get(order[0], []) if name not in BESIDE]
    alone = [] if complaints else [name for name in here if PurePosixPath(name).suffix.lower() in SUFFIXES]
    if len(alone) == 1:
        return Found(None, (str(PurePosixPath(order[0]) / alone[0]),))
    if alone:
        raise InputError(
            f"{where} holds several weight files and no {CONFIG}; give one of {', '.join(sorted(alone)[:8])}."
        )
    raise InputError(complaints[0] if complaints else f"{where} holds no auto-encoder's weights.")


def _unknown(text: str, config: str) -> str | None:
    """Why the config is none of ours, or None."""
    try:
        entries = parse(text, config)
    except InputError as error:
        return str(error)
    if published_name(entries):
        return None
    entries = as_diffusers(entries)
    name = entries.get("_class_name") if isinstance(entries, dict) else None
    if name is None:
        return f"{config} has no _class_name; known are {known_names()}."
    if isinstance(name, str) and name in FAMILIES:
        return None
    return f"{config} is of the unknown class {json.dumps(name)[:80]}; known are {known_names()}."


def _choose(names: list[str], variant: str | None) -> tuple[str, ...]:
    """The one weight file, or all of its shards, that `names` offer: safetensors first, full precision first."""
    options: dict[tuple, list[str]] = {}
    for name in names:
        match = re.fullmatch(
            r"(?P<stem>\w+?)(\.(?P<v1>\w+))?(-(?P<i>\d{5})-of-(?P<n>\d{5}))?(\.(?P<v2>\w+))?\.(?P<type>\w+)",
            name,
            re.IGNORECASE,
        )
        if match and match["stem"].lower() in STEMS and match["type"].lower() in TYPES:
            kind = match["v1"] or match["v2"]
            rank = (
                kind != variant,
                kind is not None,
                STEMS.index(match["stem"].lower()),
                TYPES.index(match["type"].lower()),
                match["n"] or "",
            )
            options.setdefault((*rank, kind or "", name != name.lower()), []).append(name)
    for key in sorted(options):
        shards = options[key]
        if len(shards) == int(key[4] or 1):
            return tuple(sorted(shards))
    return ()


def _pair(names: list[str], where: str) -> tuple[str, str] | None:
    """TAESD's two files, encoder first."""
    halves: dict[tuple[str, str], dict[str, str]] = {}
    for name in names:
        match = HALF.fullmatch(name)
        if match:
            halves.setdefault((match["suffix"].lower() != ".safetensors", match["stem"]), {})[match["half"]] = name
    pairs = {key: files for key, files in halves.items() if len(files) == 2}
    if len({stem for _, stem in pairs}) > 1:
        offered = ", ".join(sorted({files["encoder"] for files in pairs.values()}))
        raise InputError(f"{where} holds several models; give one of {offered}.")
    if not pairs:
        return None
    files = pairs[min(pairs)]
    return files["encoder"], files["decoder"]


def partner(path: Path) -> tuple[Path, Path] | None:
    """For one file of a TAESD pair both, encoder first; None for any other file. InputError if the other is missing."""
    match = HALF.fullmatch(path.name)
    if not match:
        return None
    start, end = match.span("half")
    both = tuple(path.with_name(path.name[:start] + half + path.name[end:]) for half in ("encoder", "decoder"))
    for file in both:
        if not file.is_file():
            raise InputError(f"{path.name} is half of a model; {file.name} must lie beside it.")
    return both
