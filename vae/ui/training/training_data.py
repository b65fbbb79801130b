"""The data a visitor may train on: what is listed here, a file of their own, a Hub data set, and, on a private
machine, a folder. And how these images look to the model."""

import hashlib
import json
import re
import shutil
import threading
import time
from pathlib import Path

import torch
from gradio.utils import get_upload_folder

from vae.data.formats import ACCEPTED, kind_of
from vae.data.image_set import ImageSet, remarks_of
from vae.data.litdata_shards import is_remote
from vae.data.sets import ADDRESS, data_names, find, load_data
from vae.errors import InputError
from vae.models import build
from vae.training.config import TrainConfig
from vae.training.runs import list_runs
from vae.ui.serving.access import Audience
from vae.ui.serving.lru_cache import LruCache
from vae.ui.uploads import sprite

# Fetched when first asked for: how many images to learn from, and their channels.
KNOWN = {"mnist": (60_000, 1), "fashion": (60_000, 1), "cifar10": (50_000, 3)}
SHOWN = 16  # images before a training
LARGEST = 256  # pixels a side at which they are shown
CLASSES = 24  # class names in the answer
HELD = 256 * 2**20  # bytes of images that a preview may hold, to count those that cannot be read
AT_ONCE, WAITING = 2, 6  # previews being made, and waiting for it
KEPT = 32  # previews remembered
UPLOADED = ("archive", "npy", "npz", "csv", "idx")  # formats whose every claim is checked before it is believed
UPLOADS = ".data"  # in the runs' folder: files that runs were trained on
_HUB_ID = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*(:[^/:]+)?", re.ASCII)


def choices() -> list[str]:
    """The data sets to choose from: those that are here, then those that would be downloaded."""
    here = data_names()
    return here + [name for name in KNOWN if name not in here]


def checked(data: str, public: bool) -> str:
    """`data` as load_data takes it, if a visitor may train on it: of a Hub id its address, which can be no path.

    public: whether a stranger asks. Raises InputError for any path or brace list of theirs but an upload, for one that
    does not exist, and for what is neither listed nor a Hub id.
    """
    data = data.strip()
    if data in choices():
        return data
    uploaded = is_upload(data)
    if uploaded and kind_of(Path(data)) not in UPLOADED:
        raise InputError(
            f"{Path(data).name[:80]} is no archive of pictures; .zip, .tar and .tar.gz are accepted, and .npy, .npz, "
            ".csv and idx files."
        )
    if uploaded or (not public and (is_remote(data) or find(data) is not None)):
        return data
    if _HUB_ID.fullmatch(data.removeprefix(ADDRESS)):
        return ADDRESS + data.removeprefix(ADDRESS)
    if public:
        raise InputError(
            f"There is no data set {data[:80]!r} here; accepted are {', '.join(choices())}, an archive of yours, "
            "and a Hub data set (owner/name)."
        )
    if Path(data).is_absolute():
        raise InputError(f"There is no folder or file {data[:200]!r}.")
    raise InputError(
        f"There is no data set {data[:80]!r}; accepted are {', '.join(choices())}, {ACCEPTED}, and a Hub data set "
        "(owner/name)."
    )


def is_upload(data: str) -> bool:
    """Whether this is a file that was uploaded here; its path holds its hash, so only who has the file knows it."""
    try:
        path = Path(data).resolve()
        return path.is_absolute() and path.is_relative_to(Path(get_upload_folder()).resolve()) and path.is_file()
    except (OSError, ValueError, RuntimeError):
        return False


def kept(data: str, runs_dir: Path) -> str:
    """`data`, but an upload, which Gradio deletes after a while, copied among the runs, so that they can go on.

    Raises InputError if there is no room.
    """
    if not is_upload(data):
        return data
    source, folder = Path(data).resolve(), runs_dir / UPLOADS
    try:
        place = folder / hashlib.sha256(source.read_bytes()).hexdigest()[:16]  # uploads are bounded
        place.mkdir(parents=True, exist_ok=True)
        if not (place / source.name).exists():
            part = place / f".{source.name}.{threading.get_ident()}"
            shutil.copyfile(source, part)
            part.replace(place / source.name)
    except OSError as error:
        raise InputError(f"{source.name} cannot be kept on this server: {error.strerror}.") from error
    return str((place / source.name).resolve())


def sweep(runs_dir: Path, age: float = 3600.0) -> None:
    """Remove kept uploads older than `age` seconds that no run was trained on."""
    used = set()
    for run in list_runs(runs_dir):
        try:
            used.add(Path(str(run.config().get("data"))).parent.name)
        except InputError:
            return  # better too much kept than too little
    for place in (runs_dir / UPLOADS).glob("*"):
        try:
            if place.name not in used and time.time() - place.stat().st_mtime > age:
                shutil.rmtree(place, ignore_errors=True)
        except OSError:  # another was quicker
            continue


class Previews:
    """The images of a data set as a model would see them, made by a few threads at most, kept for all who ask."""

    def __init__(self, audience: Audience | None = None):
        """audience: who asks; those at this machine alone if left out."""
        self.audience = audience or Audience()
        self._lock = threading.Lock()
        self._turn = threading.Semaphore(AT_ONCE)
        self._waiting = 0
        self._kept: LruCache[dict] = LruCache(KEPT)

    def look(self, data: str, config: TrainConfig) -> dict:
        """{sprite, n, columns, width, height, says, classes, more, skipped, remarks, images, channels}. Raises
        InputError where load_data does.

        images: how many there are to learn from, channels: of the images as they are; None where that is not known.
        skipped: images of an upload that cannot be read; None where they were not all looked at. remarks: sentences
        about how the data were understood and what was left out, those of the command line. Of a known set that
        is not here yet there is nothing to see: it is only fetched for a training.
        """
        data = checked(data, not self.audience.may_open_paths())
        if data in KNOWN and data not in data_names():
            says = "Fetched when a training begins; until then there is nothing to show."
            images, channels = KNOWN[data]
            nothing = {"sprite": None, "n": 0, "classes": [], "more": 0, "skipped": None, "remarks": []}
            return nothing | {"says": says, "images": images, "channels": channels}
        with torch.device("meta"):  # a model without weights, for what it says of itself
            model = build(config.model)
        size, border = model.config.sample_size, model.config.border
        fitted = {"size": size, "channels": model.in_channels, "border": border, "crop": config.crop}
        if size > LARGEST:
            fitted |= {"size": LARGEST, "border": 0, "crop": "center"}
        key = json.dumps([data, fitted, size, Path(data).stat().st_mtime if is_upload(data) else 0])
        known = self._kept.get(key)
        if known is not None:
            return known
        with self._lock:
            if self._waiting >= WAITING:
                raise InputError("Too many data sets are being read right now; try again in a moment.")
            self._waiting += 1
        try:
            with self._turn, self.audience.limits():
                found = _look(data, fitted, size)
        finally:
            with self._lock:
                self._waiting -= 1
        if not Path(data).is_dir():  # a folder may change
            self._kept.put(key, found)
        return found


def _look(data: str, fitted: dict, size: int) -> dict:
    """size: in pixels, of the images as the model has them, which are shown as `fitted` says."""
    room = 4 * SHOWN * fitted["channels"] * fitted["size"] ** 2  # all but an upload are read no further than this
    limit = HELD if is_upload(data) else room
    found = load_data(data, "train", **fitted, limit_bytes=limit)
    skipped, held_back, splits = None, None, [found]
    if found.images is not None and is_upload(data):
        test = load_data(data, "test", **fitted, limit_bytes=limit)
        held_back = len(test)
        splits.append(test)
        skipped = found.skipped + test.skipped if test.images is not None else None
    classes = [str(name) for name in found.classes or []]
    return {
        **sprite(found.preview(SHOWN)),
        "says": _says(found, held_back, size),
        "classes": classes[:CLASSES],
        "more": max(0, len(classes) - CLASSES),
        "skipped": skipped,
        "remarks": remarks_of(*splits),
        "images": None if found.cut else len(found),
        "channels": found.source_channels,
    }


def _says(found: ImageSet, held_back: int | None, size: int) -> str:
    channels = found.shape[0]
    colours = {1: "grey", 2: "grey and transparent", 3: "in colour", 4: "in colour and transparent"}[channels]
    count = "Pictures" if found.cut else f"{len(found):,} pictures"
    kept_back = f" and {held_back:,} held back to test" if held_back else ""
    return f"{count} to learn from{kept_back}, {size} × {size} pixels, {colours}"
