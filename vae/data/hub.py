"""Images from a data set on the Hugging Face Hub, through the optional library `datasets`."""

import queue
import re
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import chain, islice

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from vae.data.image_set import LOOK, ImageSet, read_ahead
from vae.data.splits import split_of
from vae.depth import Range
from vae.errors import InputError
from vae.images import TRANSPARENT, open_image

WINDOW = 8192  # images a set too large to hold is shuffled within
LARGEST = 64 * 2**20  # bytes of one image's file


def load(
    name: str,
    split: str,
    as_wanted: Callable[[Image.Image], np.ndarray],
    shape: tuple[int, int, int],
    limit_bytes: int,
    progress: Callable[[int, int], None] | None = None,
    test_size: float | None = 0.2,
    span: Range | None = None,
    window: int = WINDOW,
    process: int = 0,
    processes: int = 1,
) -> ImageSet:
    """The images of `name`, "owner/name" or "owner/name:column", as vae.data.sets.load_data gives them.

    Without a column the first one with images is taken; labels are those of the first column with classes. Without a
    split for testing, `test_size` of the images are for testing, every so many of them. Images are streamed, nothing is
    written to disk. A set that fits into limit_bytes is held; of a larger one, training gets a StreamedSet and all else
    the first ones that fit. Several processes divide a stream among them: this one, of so many, gets images that no
    other gets, and a window that is its share of one. as_wanted: an image as uint8 of `shape`.

    Raises InputError if `datasets` is not installed, or the set cannot be had or has no such column.
    """
    try:
        import datasets
    except ImportError:
        raise InputError("Data sets from the Hub need the library datasets: pip install datasets.") from None
    from huggingface_hub import HfApi

    repository, _, column = name.partition(":")
    try:
        info = HfApi().dataset_info(repository, timeout=10)  # fails at once where datasets would try for half a minute
        _refuse_other_files(repository, getattr(info, "card_data", None) or {}, datasets)
        splits = datasets.get_dataset_split_names(repository)
        parts, own = _parts(splits, split)
        streams = [datasets.load_dataset(repository, split=part, streaming=True) for part in parts]
        stream = streams[0]
        known = [(each.info.splits or {}).get(part) for each, part in zip(streams, parts, strict=True)]
        features = stream.features or _guess_features(stream, datasets)
        column = column or next((k for k, f in features.items() if isinstance(f, datasets.Image)), "")
        if not isinstance(features.get(column), datasets.Image):
            raise InputError(f"{repository} has no images in a column {column!r}; it has {', '.join(features)}.")
        label = next((k for k, f in features.items() if isinstance(f, datasets.ClassLabel)), None)
        streams = [each.cast_column(column, datasets.Image(decode=False)) for each in streams]
        share = None if own or split == "all" else test_size

        def rows(first: int = 0, step: int = 1) -> Iterator[tuple[np.ndarray | None, int, str]]:
            """Fitted images, labels and names, of every step-th one from `first` on; None for an image that cannot be
            read."""
            numbered = enumerate(chain.from_iterable(streams))
            ours = ((i, row) for i, row in numbered if share is None or _is_held_out(i, share) == (split != "train"))
            for i, row in islice(ours, first, None, step):
                try:
                    file = _bytes(row[column], repository)
                    pixels = as_wanted(open_image(file, shape[-1], span, transparency=shape[0] in TRANSPARENT))
                except InputError:
                    pixels = None
                yield pixels, row[label] if label else -1, str(i)

        count = sum(each.num_examples for each in known) if all(known) else None
        if count and share is not None:
            held_out = int(count * share)
            count = count - held_out if split == "train" else held_out
        room = max(1, limit_bytes // int(np.prod(shape)))
        names = list(features[label].names) if label else None
        if split == "train" and count and count > room:
            mine = partial(rows, process, processes)
            if own and processes > 1 and getattr(stream, "num_shards", 1) % processes == 0:
                # Whole files for each: nobody downloads what is another's.
                streams, mine = [streams[0].shard(processes, process)], rows
            return StreamedSet(name, shape, mine, count, max(1, min(window, room) // processes), progress)
        return _held(name, shape, rows(), room, names, lambda done: progress and progress(done, count or room))
    except InputError:
        raise
    except Exception as error:  # the Hub's client, its network library and the formats' readers each raise their own
        raise InputError(
            f"{name!r} is no folder or archive here, and the Hub does not give it: {_reason(error)}."
        ) from error


def _parts(splits: Sequence[str], split: str) -> tuple[list[str], bool]:
    """The Hub splits that a split of load_data means, and whether the set has splits of its own."""
    for_train = next((s for s in splits if split_of(s) == "train"), splits[0])
    others: dict[str, str] = {}
    for each in splits:
        if each != for_train and split_of(each) in ("val", "test"):
            others.setdefault(str(split_of(each)), each)
    if not others:
        return [for_train], False
    if split == "all":
        return [for_train, *others.values()], True
    return [for_train if split == "train" else others.get(split) or next(iter(others.values()))], True


def _is_held_out(i: int, share: float) -> bool:
    """Whether image i is for testing: evenly spread, of any first n images int(n * share) are."""
    return int((i + 1) * share) > int(i * share)


def _refuse_other_files(repository: str, card: Mapping, datasets) -> None:
    """InputError for a repository whose card says that its data lie elsewhere: `datasets` would read them from there,
    this machine and its network included."""
    pending = [
        value
        for config in card.get("configs") or ()
        if isinstance(config, Mapping)
        for value in (config.get("data_files"), config.get("data_dir"))
    ]
    while pending:
        value = pending.pop()
        if isinstance(value, Mapping | list | tuple):
            pending += value.values() if isinstance(value, Mapping) else value
        elif isinstance(value, str) and re.search(r"://|::|^[/\\~]|^[A-Za-z]:|(^|[/\\])\.\.([/\\]|$)", value):
            raise InputError(f"{repository} has its data at {value[:80]!r}, outside of it, which is not opened.")
    files = datasets.load_dataset_builder(repository).config.data_files or {}  # as the library itself understood it
    if not all(_is_own(str(file), repository) for split in files.values() for file in split):
        raise InputError(f"{repository} has data outside of it, which are not opened.")


def _reason(error: Exception) -> str:
    status = getattr(getattr(error, "response", None), "status_code", None)
    if status in (401, 404):
        return "there is no public data set of that name"
    if status == 403:
        return "its owner wants its terms accepted first"
    return f"{type(error).__name__}; the network may be down" if status is None else f"it answered {status}"


def _guess_features(stream, datasets) -> dict:
    """Features of a stream that declares none: a column is of images if its first cell is one."""
    first = next(iter(stream))
    return {k: datasets.Image() if isinstance(v, Image.Image) else None for k, v in first.items()}


def _bytes(cell: dict | None, repository: str) -> bytes:
    """The undecoded file in an image cell: in the row itself, or at an address within the repository.

    Raises InputError for any other address: a cell could name a file of this machine or of its network."""
    if not cell:
        return b""
    if cell.get("bytes"):
        return cell["bytes"]
    path = str(cell.get("path"))
    if not _is_own(path, repository):
        raise InputError(f"A row of {repository} names a file outside of it, which is not opened.")
    import fsspec

    with fsspec.open(path, "rb") as file:
        content = file.read(LARGEST + 1)
    if len(content) > LARGEST:
        raise InputError(f"An image of {repository} has over {LARGEST // 2**20} MB.")
    return content


def _is_own(path: str, repository: str) -> bool:
    """Whether the address is that of a file of the repository, or of one inside an archive there."""
    *within, outer = path.split("::")
    own = re.fullmatch(rf"hf://datasets/{re.escape(repository)}(@[^/]+)?/.+", outer)
    return bool(own) and ".." not in path and all(part.startswith(("zip://", "tar://", "gzip://")) for part in within)


def _held(name, shape, rows, room: int, classes: list[str] | None, progress) -> ImageSet:
    pictures, labels, found, unreadable = [], [], [], []
    for pixels, label, row in islice(rows, room):
        if pixels is None:
            unreadable.append(row)
            continue
        pictures.append(pixels)
        labels.append(label)
        found.append(row)
        if len(pictures) % 16 == 0:
            progress(len(pictures))
    if not pictures:
        raise InputError(f"{name} holds no pictures that can be read.")
    data = ImageSet(name, shape, torch.tensor(labels) if classes else None, classes)
    data.images, data.names = torch.from_numpy(np.stack(pictures)), found
    data.skipped, data.unreadable = len(unreadable), unreadable
    data.cut = next(rows, None) is not None
    return data


class StreamedSet(ImageSet):
    """A set too large to hold: a window of its images, through which the rest passes as it arrives.

    batch(indices) takes images out of the window, at indices modulo its length, and lets the next of the stream in for
    each: every image that arrives is used once. At its end the stream starts anew. A run that is interrupted and goes
    on sees the images in another order. rows: called for a stream of this process's images and their labels.
    """

    def __init__(self, name: str, shape: tuple[int, int, int], rows: Callable, count: int, window: int, progress):
        super().__init__(name, shape, None, None)
        self._count = count
        self._arriving: queue.Queue = queue.Queue(maxsize=512)
        stop = threading.Event()
        weakref.finalize(self, stop.set)
        threading.Thread(target=_feed, args=(rows, self._arriving, stop), name="stream", daemon=True).start()
        self._window = np.empty((window, *shape), np.uint8)
        for i in range(window):
            self._window[i] = self._arrival()
            if progress and i % 16 == 15:
                progress(i + 1, window)

    def batch(self, indices: Tensor | Sequence[int]) -> Tensor:
        """uint8 (n, C, size, size). Raises InputError if the stream breaks off."""
        chosen = torch.as_tensor(indices).numpy() % len(self._window)
        pixels = np.empty((len(chosen), *self.shape), np.uint8)
        for i, place in enumerate(chosen):
            pixels[i] = self._window[place]
            self._window[place] = self._arrival()
        return torch.from_numpy(pixels)

    def batches(self, parts: Iterable[Tensor], ahead: int = 2) -> Iterator[Tensor]:
        """As ImageSet.batches; one after the other, since each changes the window."""
        return read_ahead(self.batch, parts, ahead)

    def preview(self, n: int = 16) -> Tensor:
        """The first n images of the window; none is used up."""
        return torch.from_numpy(self._window[:n].copy())

    def _arrival(self) -> np.ndarray:
        while (pixels := self._next()) is None:
            self.skipped += 1
        if isinstance(pixels, Exception):
            self._arriving.put(pixels)  # for whoever asks next
            raise InputError(f"The stream of {self.name} broke off ({type(pixels).__name__}).") from pixels
        return pixels

    def _next(self):
        while True:
            try:
                return self._arriving.get(timeout=LOOK)
            except queue.Empty:
                self.check()


def _feed(rows: Callable, arriving: queue.Queue, stop: threading.Event) -> None:
    """Puts images, None for unreadable ones, or the exception that ended it, until told to stop."""

    def put(item) -> None:
        while not stop.is_set():
            try:
                return arriving.put(item, timeout=0.5)
            except queue.Full:
                continue

    try:
        while not stop.is_set():
            sound = 0
            for pixels, *_ in rows():
                sound += pixels is not None
                put(pixels)
                if stop.is_set():
                    return
            if not sound:
                raise EOFError("no readable picture in the stream")
    except Exception as error:
        put(error)
