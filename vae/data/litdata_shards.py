"""Images in litdata's shards: an index.json and chunks of binary files beside it, on this disk, in an object store or
on a web server.

The format is litdata's (github.com/Lightning-AI/litData). A chunk begins with the number of its items and where each of
them begins and the last one ends (uint32); an item with the bytes that each of its fields has (uint32), and then come
the fields. An image is fetched when it is wanted, and no more than it: any order costs the same, and nothing is kept on
the disk. Fields that are no images' files or pixels, pickles among them, are never opened.
"""

import json
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import numpy as np

from vae.data.archives import Limits
from vae.data.encoded import encoded
from vae.data.image_set import WORKERS, Vanished
from vae.data.source import Numbers, Source, printable
from vae.data.stacked import numbered_classes
from vae.data.tables import LABELS
from vae.depth import Range
from vae.errors import InputError
from vae.limits import check_memory

INDEX = "index.json"
WEB = ("http://", "https://")
REMOTE = ("s3://", "gs://", *WEB)  # stores of which a part of a file can be read
HUB = "https://huggingface.co/"  # whose data sets are loaded by their names
READERS = 64  # at once from an object store: they wait for most of the time
LARGEST = Limits().file_bytes  # of one image's file
LARGEST_INDEX = 2**26  # bytes
_IMAGES = ("jpeg", "image", "pil", "file", "bytes")  # kinds of fields, those first that can be nothing else
_PPM = {"L": b"P5", "RGB": b"P6"}

Fetch = Callable[[str, int, int], bytes]  # (file, first byte, number of bytes)


def is_remote(name: str) -> bool:
    """Whether a data set's name is an address in an object store or on a web server."""
    return name.startswith(REMOTE) and not name.startswith(HUB)


def is_litdata(folder: Path) -> bool:
    """Whether a folder holds litdata's shards rather than something else with an index.json."""
    try:
        found = json.loads(_read(folder / INDEX))
    except (OSError, ValueError):
        return False
    return isinstance(found, dict) and {"chunks", "config"} <= found.keys()


def _read(index: Path) -> bytes:
    """No more of it than tells that it is too long."""
    with index.open("rb") as file:
        return file.read(LARGEST_INDEX + 1)


def from_folder(folder: Path, name: str, span: Range | None, transparency: bool) -> Source:
    """The images of a folder of shards, and their labels. span, transparency: as for `encoded`. Raises InputError if
    the index or a chunk is damaged, or in no field there are images."""

    def fetch(file: str, start: int, count: int) -> bytes:
        with (folder / file).open("rb") as chunk:
            chunk.seek(start)
            return chunk.read(count)

    shards = _Shards(name, _read(folder / INDEX), _said(fetch, name), WORKERS)
    return shards.source(span, transparency, labelled=True)


def from_store(address: str, span: Range | None, transparency: bool) -> Source:
    """The images of shards in an object store, "s3://bucket/folder" or "gs://bucket/folder", or on a web server that
    gives parts of files, "https://host/folder", through litdata.

    Who may read there, and which store of Amazon's kind is meant, is said as its client has it: AWS_ACCESS_KEY_ID,
    AWS_ENDPOINT_URL and so on. Labels are not read: they would cost as many requests as there are images.
    Raises InputError if litdata is not installed, the store does not give the index, and as `from_folder` does.
    """
    try:
        from litdata.streaming.downloader import get_downloader, register_downloader
    except ImportError:
        raise InputError(
            f"Shards in an object store need the library litdata: pip install litdata, for {address}."
        ) from None
    if address.startswith(WEB):
        from vae.data.web_store import WebDownloader

        with suppress(ValueError):  # another one was registered before
            for scheme in WEB:
                register_downloader(scheme, WebDownloader)
    address = address.rstrip("/")
    name = printable(address.rpartition("/")[2])
    held = tempfile.TemporaryDirectory(prefix="vae-data-", ignore_cleanup_errors=True)
    downloader = get_downloader(address, held.name, [], _options(address))

    def fetch(file: str, start: int, count: int) -> bytes:
        return downloader.download_bytes(f"{address}/{file}", start, count, f"{held.name}/{file}")

    try:
        index = Path(held.name, INDEX)
        try:
            downloader.download_file(f"{address}/{INDEX}", str(index))
            content = _read(index)
        except Exception as error:  # each store's client raises its own
            raise InputError(f"The index of litdata's shards at {address} cannot be had: {error}.") from error
        source = _Shards(name, content, _said(fetch, name), READERS).source(span, transparency, labelled=False)
    except BaseException:
        held.cleanup()
        raise
    source.held, source.readers = held, READERS
    return source


def _options(address: str) -> dict:
    """What litdata's client of Amazon's stores is told: to give up after some tries (of itself it makes a thousand),
    and to have as many connections as there are readers."""
    if not address.startswith("s3://"):
        return {}
    from botocore.config import Config

    retries = {"max_attempts": 5, "mode": "standard"}
    return {"config": Config(retries=retries, connect_timeout=10, read_timeout=60, max_pool_connections=READERS)}


def _said(fetch: Fetch, name: str) -> Fetch:
    """`fetch`, whose errors are sentences; one that fails in the middle of a training ends it, for what cannot be had
    now may be had later."""

    def said(file: str, start: int, count: int) -> bytes:
        try:
            found = fetch(file, start, count)
        except Exception as error:
            raise Vanished(f"{printable(file)} of {name} cannot be read: {error}.") from error
        if len(found) != count:
            raise InputError(f"{printable(file)} of {name} is cut off.")
        return found

    return said


class _Shards:
    """What the index says, and where the items lie. at_once: how many chunks are asked for it together."""

    def __init__(self, name: str, index: bytes, fetch: Fetch, at_once: int):
        self.name, self.fetch = name, fetch
        chunks, config = _index(index, name)
        self.kinds = [str(kind).partition(":")[0] for kind in config["data_format"]]
        self.image = next((self.kinds.index(kind) for kind in _IMAGES if kind in self.kinds), None)
        if self.image is None:
            raise InputError(
                f"{name} has no field of images (their files, or Pillow's images); it has {', '.join(self.kinds)}."
            )
        self.files = [chunk["filename"] for chunk in chunks]
        counts = [chunk["chunk_size"] for chunk in chunks]
        check_memory(sum(counts) * 32, f"The index of {name}")
        with ThreadPoolExecutor(at_once) as pool:
            self.places = list(pool.map(self._table, chunks))
        self.starts = np.cumsum([0, *counts])
        self.label = _label(self.kinds, config.get("data_spec"))
        self.head = 4 * len(self.kinds)  # bytes before an item's fields

    def _table(self, chunk: dict) -> np.ndarray:
        """Where the chunk's items begin and the last one ends."""
        count, length = chunk["chunk_size"], chunk["chunk_bytes"]
        table = np.frombuffer(self.fetch(chunk["filename"], 0, 4 * (count + 2)), "<u4")
        places = table[1:].astype(np.int64)
        if table[0] != count or places[0] != 4 * (count + 2) or places[-1] > length or (np.diff(places) < 0).any():
            raise InputError(f"{printable(chunk['filename'])} of {self.name} is damaged.")
        if places[0] == places[-1]:
            raise InputError(
                f"{self.name} keeps its items as Arrow's tables, as litdata does where images are plain bytes; give it "
                "each as litdata.Jpeg, litdata.Image or Pillow's."
            )
        return places

    def source(self, span: Range | None, transparency: bool, labelled: bool) -> Source:
        count = int(self.starts[-1])
        numbers, classes = None, None
        if labelled and self.label is not None:
            numbers, classes = numbered_classes([np.array([self._number(i) for i in range(count)])])
        return encoded(
            self.name, Numbers(np.arange(count)), self.get, span, transparency, labels=numbers, classes=classes
        )

    def get(self, i: int) -> bytes:
        """The file of image i."""
        file, start, length = self._item(i)
        item = self.fetch(file, start, length)
        first, last = self._field(i, self.image, item[: self.head], length)
        return _ppm(item[first:last]) if self.kinds[self.image] == "pil" else item[first:last]

    def _number(self, i: int) -> int:
        """The label of image i, without the image."""
        file, start, length = self._item(i)
        first, last = self._field(i, self.label, self.fetch(file, start, self.head), length)
        return int.from_bytes(self.fetch(file, start + first, min(8, last - first)), "little", signed=True)

    def _item(self, i: int) -> tuple[str, int, int]:
        """Item i's file, first byte and length."""
        chunk = int(np.searchsorted(self.starts, i, "right")) - 1
        k = i - int(self.starts[chunk])
        start, end = (int(place) for place in self.places[chunk][k : k + 2])
        if not self.head <= end - start <= LARGEST:
            raise InputError(f"Item {i} of {self.name} has {end - start:,} bytes, which no image's has.")
        return self.files[chunk], start, end - start

    def _field(self, i: int, field: int, head: bytes, length: int) -> tuple[int, int]:
        """Where a field of item i begins and ends in it. head: the item's beginning."""
        ends = self.head + np.frombuffer(head, "<u4").astype(np.int64).cumsum()
        if ends[-1] != length:
            raise InputError(f"Item {i} of {self.name} is damaged.")
        return int(ends[field - 1]) if field else self.head, int(ends[field])


def _index(content: bytes, name: str) -> tuple[list[dict], dict]:
    """The chunks and the config of an index.json, whose claims are sound."""
    try:
        if len(content) > LARGEST_INDEX:
            raise ValueError
        found = json.loads(content)
        chunks, config = found["chunks"], found["config"]
        sound = isinstance(config["data_format"], list) and all(
            Path(chunk["filename"]).name == chunk["filename"]
            and 0 < chunk["chunk_size"] < 2**30
            and 4 * (chunk["chunk_size"] + 2) <= chunk["chunk_bytes"] < 2**32
            for chunk in chunks
        )
    except (ValueError, KeyError, TypeError):
        sound = False
    if not sound or not chunks:
        raise InputError(f"The index of {name} is damaged, or none of litdata's.")
    packed = next((what for what in ("compression", "encryption") if config.get(what)), None)
    if packed or config.get("item_loader") not in (None, "PyTreeLoader"):
        raise InputError(
            f"The shards of {name} are in a form that is not supported ({packed or config['item_loader']}); write them "
            "without: images' files are compressed already."
        )
    return chunks, config


def _label(kinds: list[str], spec: str | None) -> int | None:
    """Which field is a label: the whole number that is named as one, or the only one where fields have no names."""
    whole = [i for i, kind in enumerate(kinds) if kind == "int"]
    try:
        tree = json.loads(spec)[1]
        names = json.loads(tree["context"]) if tree["type"] == "builtins.dict" else None
    except (TypeError, ValueError, KeyError, IndexError):
        names = None
    if names is not None and len(names) == len(kinds):
        return next((names.index(label) for label in LABELS if label in names and names.index(label) in whole), None)
    return whole[0] if len(whole) == 1 else None


def _ppm(content: bytes) -> bytes:
    """Pixels as litdata stores Pillow's images, as the simplest file there is of them."""
    width, height, length = (int(number) for number in np.frombuffer(content[:12], "<u4"))
    mode = content[12 : 12 + length].decode("ascii", "replace")
    if mode not in _PPM:
        raise InputError(f"A picture with {printable(mode)} colours is stored as pixels; L and RGB are accepted.")
    return b"%s %d %d 255\n" % (_PPM[mode], width, height) + content[12 + length :]
