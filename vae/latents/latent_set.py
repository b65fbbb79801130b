"""The latents of a data set as files: safetensors shards and an index.json, and the Dataset that reads them.

Shard k holds images k * shard_size to (k + 1) * shard_size of the data set, less those that could not be read, in its
order: a tensor (n, C, h, w) for each of the parts that are kept, `latents`, `mean` and `logvar`. Where its images are
of several sizes there is one for each shape, `mean.8x12` of height and width. Its header says the rest, so that each
shard is whole in itself; index.json has the same of all together.
"""

import hashlib
import json
from collections import OrderedDict
from dataclasses import dataclass, field
from itertools import pairwise
from os import PathLike
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.utils.data import Dataset

from vae import sidecar
from vae.checks import whole_number
from vae.errors import InputError
from vae.files import replacing, write_text
from vae.models.base import AutoEncoder, as_model

INDEX, FORMAT, VERSION = "index.json", "vae-latents", 1
PARTS = ("latents", "mean", "logvar")
OPEN = 128  # shards that are kept mapped into memory
AGAIN = "the same `vae encode` again makes what is missing"


def shard_name(number: int) -> str:
    return f"shard-{number:05d}.safetensors"


@dataclass
class Rows:
    """What is known of the images of a shard, or of all, in the data set's order. sizes: height and width of the image
    that was encoded; shapes: its latent's; left_out: names of images that could not be read."""

    names: list[str] = field(default_factory=list)
    labels: list[int] | None = None
    sizes: list[list[int]] = field(default_factory=list)
    shapes: list[list[int]] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)

    def add(self, other: "Rows") -> None:
        for name, values in vars(other).items():
            mine = getattr(self, name)
            setattr(self, name, values if mine is None else mine + (values or []))


def plan_hash(plan: dict) -> str:
    """What says whether two encodings are the same: of the model, whatever it was called, of the data, with the same
    settings."""
    same = {key: value for key, value in plan.items() if key != "model"}
    return hashlib.sha256(json.dumps(same, sort_keys=True).encode()).hexdigest()[:32]


def write_shard(folder: Path, plan: dict, number: int, rows: Rows, tensors: dict[str, list[Tensor]]) -> None:
    """tensors: for each part the images' (C, h, w), in the order of rows. The file appears whole or not at all."""
    several = len({tuple(shape) for shape in rows.shapes}) > 1
    groups: dict[str, list[Tensor]] = {}
    for part, values in tensors.items():
        for value in values:
            groups.setdefault(_tensor_name(part, value.shape, several), []).append(value)
    said = json.dumps({"plan": plan_hash(plan), "number": number, **vars(rows)})
    with replacing(folder / shard_name(number)) as path:
        save_file({name: torch.stack(group) for name, group in groups.items()}, path, metadata={"content": said})


def read_shard(folder: Path, plan: dict, number: int) -> Rows | None:
    """What a shard says of its images; None if there is no such file. Raises InputError for one that is damaged, or
    belongs to other latents or another place."""
    path = folder / shard_name(number)
    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            said = json.loads(file.metadata()["content"])
        found, of = said.pop("number"), said.pop("plan")
        rows = Rows(**said)
    except (SafetensorError, OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(f"{path.name} of {str(folder)!r} is damaged; remove it, and {AGAIN}.") from error
    if of != plan_hash(plan):
        raise InputError(f"{path.name} of {str(folder)!r} belongs to other latents; remove it, and {AGAIN}.")
    if found != number:
        raise InputError(f"{path.name} of {str(folder)!r} is a copy of {shard_name(found)}; remove it, and {AGAIN}.")
    return rows


def write_index(folder: Path, plan: dict, complete: bool) -> None:
    """index.json of the shards there are. Raises InputError as `read_shard` does."""
    shards, rows = [], Rows(labels=[] if plan["labelled"] else None)
    for number in range(shard_count(plan)):
        found = read_shard(folder, plan, number) if complete else None
        if found is not None:
            shards.append({"file": shard_name(number), "images": len(found.names)})
            rows.add(found)
    entries = {"format": FORMAT, "version": VERSION, "complete": complete, **plan, "shards": shards, **vars(rows)}
    write_text(folder / INDEX, json.dumps(entries))


def shard_count(plan: dict) -> int:
    return -(-plan["images"] // plan["shard_size"])


def read_index(folder: Path) -> tuple[dict, dict] | None:
    """The plan by which the latents in a folder are made, and all entries of its index; None where there is no index.
    Raises InputError for one that is damaged or of another version."""
    path = folder / INDEX
    if not path.is_file():
        return None
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
        kind, version = entries["format"], entries["version"]
        of_images = ("format", "version", "complete", "shards", *vars(Rows()))
        plan = {name: value for name, value in entries.items() if name not in of_images}
        sound = all(isinstance(entries[name], list) for name in ("shards", "names", "sizes", "shapes"))
        sound &= whole_number("", plan["images"], 1) and whole_number("", plan["shard_size"], 1) > 0
        sound &= set(plan["keep"]) <= set(PARTS) and "applied" in plan["scaling"]
        sound &= len(entries["names"]) == len(entries["sizes"]) == len(entries["shapes"])
        sound &= sum(shard["images"] for shard in entries["shards"]) == len(entries["names"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(f"{str(path)!r} is damaged, or no index of latents.") from error
    if kind != FORMAT or version != VERSION or not sound:
        raise InputError(f"{str(path)!r} is damaged, or of another version of this library.")
    return plan, entries


def is_latents(folder: Path) -> bool:
    """Whether `python -m vae encode` wrote what lies there; other programs leave an index.json in folders, too."""
    try:
        return json.loads((folder / INDEX).read_text(encoding="utf-8"))["format"] == FORMAT
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return False


class LatentSet(Dataset):
    """The latents of a data set's images, read from memory-mapped files as they are asked for.

    An item is a dict: of the kept parts "latents", "mean" and "logvar" each (C, h, w) in the type they are stored in,
    "name", the image's file below the data set's folder, "size", the height and width of the encoded image, and "label"
    if the data have classes. names, sizes, shapes: lists of these of all images. labels: int64 (N,), indices into
    `classes`, or None. scaling: the model's factors, and whether they are `applied` to "latents"; "mean" and "logvar"
    are always as the encoder gave them. model: the name the encoder was loaded by. left_out: names of images that could
    not be read. folder, and its `name`: where they lie.
    """

    def __init__(self, folder: Path, plan: dict, entries: dict):
        self.folder, self.plan, self.name = folder, plan, folder.resolve().name
        self.parts, self.scaling, self.model = tuple(plan["keep"]), plan["scaling"], plan["model"]
        self.names, self.sizes, self.shapes = entries["names"], entries["sizes"], entries["shapes"]
        self.classes, self.left_out = plan["classes"], entries["left_out"]
        self.labels = None if entries["labels"] is None else torch.tensor(entries["labels"], dtype=torch.int64)
        self._starts = np.cumsum([0, *(shard["images"] for shard in entries["shards"])])
        self._rows, self._several = self._places()
        self._mapped: OrderedDict[int, dict[str, Tensor]] = OrderedDict()

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, i: int) -> dict:
        i = range(len(self))[i]
        item = {part: self._mapped_part(part, i).clone() for part in self.parts}
        item |= {"name": self.names[i], "size": tuple(self.sizes[i])}
        return item if self.labels is None else item | {"label": int(self.labels[i])}

    def stack(self, part: str = "latents") -> Tensor:
        """All images' `part` as one tensor (N, C, h, w) in memory. Raises InputError for a part that is not kept, and
        for latents of several shapes."""
        if part not in self.parts:
            raise InputError(f"Of these latents {', '.join(self.parts)} are kept, not {part!r}.")
        if len({tuple(shape) for shape in self.shapes}) > 1:
            raise InputError("These latents are of several shapes; encode with --size to have them of one.")
        if not len(self):
            raise InputError("There are no latents to stack.")
        filled = np.flatnonzero(np.diff(self._starts)).tolist()
        return torch.cat([self._shard(k)[part] for k in filled])

    def __getstate__(self) -> dict:
        return self.__dict__ | {"_mapped": OrderedDict()}  # another process maps the files for itself

    def _places(self) -> tuple[np.ndarray, list[bool]]:
        """Each image's row in its tensor, and whether a shard has several tensors of each part."""
        rows, several = np.zeros(len(self), np.int64), []
        for start, stop in pairwise(self._starts.tolist()):
            counts: dict[tuple, int] = {}
            for i in range(start, stop):
                shape = tuple(self.shapes[i])
                rows[i] = counts.get(shape, 0)
                counts[shape] = counts.get(shape, 0) + 1
            several.append(len(counts) > 1)
        return rows, several

    def _mapped_part(self, part: str, i: int) -> Tensor:
        k = int(np.searchsorted(self._starts, i, side="right")) - 1
        return self._shard(k)[_tensor_name(part, self.shapes[i], self._several[k])][self._rows[i]]

    def _shard(self, k: int) -> dict[str, Tensor]:
        if k in self._mapped:
            self._mapped.move_to_end(k)
            return self._mapped[k]
        path = self.folder / shard_name(k)
        try:
            with safe_open(path, framework="pt") as file:
                found = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except (SafetensorError, OSError) as error:
            raise InputError(f"{path.name} of {str(self.folder)!r} cannot be read; {AGAIN}.") from error
        self._mapped[k] = found
        if len(self._mapped) > OPEN:
            self._mapped.popitem(last=False)
        return found


def _tensor_name(part: str, shape, several: bool) -> str:
    return f"{part}.{shape[-2]}x{shape[-1]}" if several else part


def open(folder: str | PathLike, model: AutoEncoder | None = None) -> LatentSet:
    """The latents that `python -m vae encode` wrote into a folder, as a torch Dataset.

    model: one that they must be the latents of. Raises InputError for a folder without an index, an encoding that is
    not complete, shards that are missing, doubled or damaged, and latents of other weights than the model's.

    >>> from vae import latents
    >>> found = latents.open("latents/")                                            # doctest: +SKIP
    >>> torch.utils.data.DataLoader(found, batch_size=64, shuffle=True)             # doctest: +SKIP
    """
    folder = Path(folder).expanduser()
    found = read_index(folder) if folder.is_dir() else None
    if found is None:
        raise InputError(f"There are no latents in {str(folder)!r}: it has no {INDEX}, which `vae encode` writes.")
    plan, entries = found
    there, count = {path.name for path in folder.glob("*.safetensors")}, shard_count(plan)
    missing = [name for name in map(shard_name, range(count)) if name not in there]
    if missing:
        raise InputError(f"The latents in {str(folder)!r} lack {len(missing)} of {count} shards; {AGAIN}.")
    if not entries["complete"] or len(entries["shards"]) != count:
        raise InputError(f"The latents in {str(folder)!r} are not complete; {AGAIN}.")
    more = sorted(there - set(map(shard_name, range(count))))
    if more:
        raise InputError(f"{str(folder)!r} holds {more[0]}, which is none of its {count} shards; move it elsewhere.")
    for number, shard in enumerate(entries["shards"]):
        rows = read_shard(folder, plan, number)
        if rows is None or len(rows.names) != shard["images"]:
            raise InputError(f"{shard_name(number)} of {str(folder)!r} is not the one in its index; {AGAIN}.")
    if model is not None:
        check_model(plan, model)
    return LatentSet(folder, plan, entries)


def check_model(plan: dict, model: AutoEncoder) -> None:
    """InputError unless the latents are those of that model, by the hash of its weights."""
    if plan["fingerprint"] != fingerprint_of(model):
        raise InputError(f"These are latents of another model, {plan['model']!r}, whose weights are not this one's.")


def fingerprint_of(model: AutoEncoder) -> str:
    """The hash of the files that a model was loaded from. Raises InputError for one that was not loaded from files."""
    files = as_model(model).weight_files
    if not files:
        raise InputError("The model was not loaded from files; vae.save it and vae.load it, so that it can be told.")
    return sidecar.fingerprint(files)
