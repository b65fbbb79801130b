"""Data sets by name, folder, archive or Hub id, fitted to a model's size, as bytes in memory or read on demand."""

import os
import re
import shutil
import tempfile
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from math import ceil
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from vae import archives, known
from vae.errors import InputError
from vae.images import fit, open_image, to_array

LIMIT_BYTES = 2 * 2**30  # of fitted pictures held in memory
WORKERS = min(16, os.cpu_count() or 1)
SUFFIXES = frozenset(
    [".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif", ".jp2", ".ppm", ".pgm"]
)
_TEST_FOLDERS = ("test", "val", "valid", "validation")
_HUB_ID = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*(:[^/:]+)?", re.ASCII)


class Vanished(InputError):
    """A picture's file was there when the set was loaded and is not now."""


class ImageSet:
    """N square pictures of one size, as bytes.

    images: uint8 (N, C, size, size), or None if they are too many to hold; batch() then reads them from their source.
    labels: int64 (N,) with indices into `classes`, or None. skipped: pictures left out because they could not be read.
    """

    def __init__(self, name: str, shape: tuple[int, int, int], labels: Tensor | None, classes: list[str] | None):
        self.name, self.shape, self.labels, self.classes = name, shape, labels, classes
        self.images: Tensor | None = None
        self.skipped = 0
        self.cut = False  # whether these are only the first pictures of a larger set
        self._read: Callable[[int], np.ndarray] | None = None
        self._count = 0
        self._broken: set[int] = set()
        self._pool: ThreadPoolExecutor | None = None
        self._unpacked: tempfile.TemporaryDirectory | None = None  # an archive's files, removed with this set

    def __len__(self) -> int:
        return self._count if self.images is None else len(self.images)

    def batch(self, indices: Tensor | Sequence[int]) -> Tensor:
        """uint8 (n, C, size, size): the pictures at `indices`, in their order.

        Raises InputError if a picture's file has gone since the set was loaded. One that turns out to be damaged is
        counted in `skipped` and gives way to the next that is sound.
        """
        if self.images is not None:
            return self.images[torch.as_tensor(indices)]
        if self._pool is None:
            self._pool = ThreadPoolExecutor(WORKERS, thread_name_prefix="pictures")
        chosen = torch.as_tensor(indices).tolist()
        if any(not -len(self) <= i < len(self) for i in chosen):
            raise IndexError(f"{self.name} has {len(self)} pictures")
        return torch.from_numpy(np.stack(list(self._pool.map(self._read_sound, chosen))))

    def _read_sound(self, index: int) -> np.ndarray:
        for step in range(min(len(self), 100)):
            i = (index + step) % len(self)
            try:
                if i not in self._broken:
                    return self._read(i)
            except Vanished:
                raise
            except InputError:
                self._broken.add(i)
                self.skipped = len(self._broken)
        raise InputError(f"{self.name} has too many pictures in a row that cannot be read.")

    def batches(self, parts: Iterable[Tensor], ahead: int = 2) -> Iterator[Tensor]:
        """batch(indices) for each of `parts`, in order; up to `ahead` are read in the background before asked for."""
        if self.images is not None:
            yield from map(self.batch, parts)
            return
        with ThreadPoolExecutor(1) as reader:
            coming: deque[Future] = deque()
            for indices in parts:
                coming.append(reader.submit(self.batch, indices))
                if len(coming) > ahead:
                    yield coming.popleft().result()
            while coming:
                yield coming.popleft().result()

    def preview(self, n: int = 16) -> Tensor:
        """uint8 (n, C, size, size): pictures spread evenly over the set, all of them if there are fewer."""
        n = min(n, len(self))
        return self.batch(torch.arange(n) * len(self) // n)

    def describe(self) -> str:
        """One line for people: how many pictures, of what size, in how many classes, and how many were left out."""
        channels, height, width = self.shape
        parts = [f"{len(self):,} pictures", f"{width} x {height} {'grey' if channels == 1 else 'RGB'}"]
        if self.classes:
            parts.append(f"{len(self.classes)} classes")
        if self.images is None:
            parts.append("read on demand")
        if self.cut:
            parts.append("the first of a larger set")
        if self.skipped:
            parts.append(f"{self.skipped:,} unreadable left out")
        return f"{self.name}: {', '.join(parts)}"


def load_data(
    name: str | os.PathLike,
    split: str = "train",
    size: int = 32,
    channels: int = 1,
    border: int = 0,
    root: str | os.PathLike | None = None,
    limit_bytes: int = LIMIT_BYTES,
    test_size: float = 0.2,
    progress: Callable[[int, int], None] | None = None,
) -> ImageSet:
    """The pictures called `name`, fitted as vae.images.fit does with size, channels and border.

    name: "digits", "mnist", "fashion" or "cifar10"; the name of a folder or archive in the data root; a folder; a
      .zip or .tar archive; or a data set on the Hugging Face Hub, "owner/name" or "owner/name:column". A folder's
      subfolders are its classes; if it holds folders "train" and "test" (or "val"), these are its splits.
    split: "train" or "test". A set without its own split gives `test_size` of its pictures, always the same, to test.
    root: where data sets lie, read only; by default the environment's VAE_DATA_DIR.
    limit_bytes: a larger set is not held in memory but read batch by batch.
    progress: called with the pictures done so far and their total, now and then.

    Raises InputError if there is no such set, it cannot be had, or holds no picture that can be read.
    """
    if split not in ("train", "test"):
        raise InputError(f"The split is train or test, not {split!r}.")
    if not 0.0 < test_size < 1.0:
        raise InputError(f"test_size is a share between 0 and 1, not {test_size}.")
    shape = (channels, size, size)
    fitting = partial(fit, size=size, channels=channels, border=border)
    fitting(Image.new("L", (1, 1)))  # refuses a size, border or channels that cannot be before anything is read
    fill = partial(_fill, limit_bytes=limit_bytes, progress=progress)
    name = str(name)
    if name in known.NAMES:
        pixels, labels, classes = known.load(name, split, data_root(root))
        if name not in known.SPLIT:
            chosen = split_indices(len(pixels), test_size)[split == "test"]
            pixels, labels = pixels[chosen.numpy()], labels[chosen]
        data = ImageSet(name, shape, labels, classes)
        if pixels.shape[1:] == (size - 2 * border,) * 2 and len(pixels) * channels * size * size <= limit_bytes:
            # Nothing to resize: the same pixels that fit gives, all at once and five times as fast.
            data.images = torch.zeros(len(pixels), *shape, dtype=torch.uint8)
            data.images[..., border : size - border, border : size - border] = torch.tensor(pixels).unsqueeze(1)
            return data
        return fill(data, len(pixels), lambda i: to_array(fitting(Image.fromarray(pixels[i]))))

    path = _find(name, root)
    if path is None and _HUB_ID.fullmatch(name):
        from vae import hub_data

        return hub_data.load(name, split, fitting, shape, limit_bytes, progress)
    if path is None:
        raise InputError(
            f"There is no data set {name!r}; {', '.join(known.NAMES)}, a folder of pictures, a .zip or .tar archive, "
            "or a Hub data set (owner/name) are accepted."
        )
    if path.is_dir():
        return _from_folder(path, path.name, split, fitting, shape, test_size, fill)
    unpacked = tempfile.TemporaryDirectory(prefix="vae-data-", ignore_cleanup_errors=True)
    try:
        archives.unpack(path, unpacked.name, SUFFIXES)
        data = _from_folder(Path(unpacked.name), path.name, split, fitting, shape, test_size, fill)
    except BaseException:
        unpacked.cleanup()
        raise
    if data.images is None:
        data._unpacked = unpacked
    else:
        unpacked.cleanup()
    return data


def data_root(root: str | os.PathLike | None = None) -> Path | None:
    """The folder data sets are looked up in: `root`, or what VAE_DATA_DIR names, or None."""
    root = root or os.environ.get("VAE_DATA_DIR")
    return Path(root).expanduser() if root else None


def data_names(root: str | os.PathLike | None = None) -> list[str]:
    """Names load_data takes that are here already, needing no network: known sets first, then the root's folders."""
    folder = data_root(root)
    names = [name for name in known.NAMES if known.present(name, folder)]
    if folder is None or not folder.is_dir():
        return names
    return names + sorted(
        entry.name
        for entry in folder.iterdir()
        if entry.name not in known.NAMES
        and (archives.is_archive(entry) if entry.is_file() else next(_walk(entry, depth=3), None) is not None)
    )


def _find(name: str, root: str | os.PathLike | None) -> Path | None:
    """The folder or archive meant by `name`: the plain name of something in the data root, or a path."""
    path, folder = Path(name).expanduser(), data_root(root)
    try:
        if folder is not None and path.name == name != ".." and (folder / name).exists():
            path = folder / name
        found = name != "" and path.exists()
    except (OSError, ValueError):  # a name no disk takes
        return None
    if found and not path.is_dir() and not archives.is_archive(path):
        raise InputError(f"{name!r} is neither a folder of pictures nor a .zip or .tar archive.")
    return path if found else None


def _walk(folder: Path, depth: int = 32):
    """Paths of the picture files under `folder`, unsorted; hidden files and macOS's shadow files left out."""
    try:
        entries = list(os.scandir(folder))
    except OSError as error:
        raise InputError(f"The folder {str(folder)!r} cannot be read: {error.strerror}.") from error
    for entry in entries:
        if entry.name.startswith((".", "__MACOSX")):
            continue
        if entry.is_dir(follow_symlinks=False):
            if depth > 1:
                yield from _walk(Path(entry.path), depth - 1)
        elif os.path.splitext(entry.name)[1].lower() in SUFFIXES and entry.is_file():  # noqa: PTH122
            yield Path(entry.path)


def list_images(folder: str | os.PathLike) -> list[Path]:
    """All picture files under a folder, by their endings, sorted by path. Raises InputError if it has none."""
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"There is no folder {str(folder)!r}.")
    files = sorted(_walk(folder), key=lambda path: path.relative_to(folder).parts)
    if not files:
        raise InputError(f"The folder {folder.name!r} holds no pictures; files ending in .png, .jpg, … are looked for.")
    return files


def _from_folder(folder: Path, name: str, split: str, fitting, shape, test_size: float, fill) -> ImageSet:
    try:
        files = list_images(folder)
    except InputError as error:
        raise InputError(f"{name} holds no pictures; files ending in .png, .jpg, … are looked for.") from error
    tops = _tops(files, folder)
    while len(tops) == 1 and None not in tops:  # a folder that only wraps another says nothing
        folder = folder / next(iter(tops))
        tops = _tops(files, folder)
    test_folder = next((t for t in _TEST_FOLDERS if t in tops), None)
    if test_folder and "train" in tops:
        folder = folder / ("train" if split == "train" else test_folder)
        files = [file for file in files if file.is_relative_to(folder)]
        tops = _tops(files, folder)
    else:
        if len(files) < 2:
            raise InputError(f"{name} holds a single picture; two or more are needed to train and to test.")
        files = [files[i] for i in split_indices(len(files), test_size)[split == "test"].tolist()]
    classes = sorted(tops) if None not in tops and len(tops) > 1 else None
    labels = None
    if classes:
        number = {c: i for i, c in enumerate(classes)}
        labels = torch.tensor([number[file.relative_to(folder).parts[0]] for file in files])

    def read(i: int) -> np.ndarray:
        try:
            return to_array(fitting(open_image(files[i], size_hint=shape[-1])))
        except InputError as error:
            if not files[i].exists():
                raise Vanished(f"{files[i].name} of {name} has vanished since the data were loaded.") from error
            raise

    return fill(ImageSet(name, shape, labels, classes), len(files), read)


def _tops(files: list[Path], folder: Path) -> set[str | None]:
    """First-level subfolders the files lie in; None among them for files directly in the folder."""
    parts = (file.relative_to(folder).parts for file in files)
    return {p[0] if len(p) > 1 else None for p in parts}


def _fill(
    data: ImageSet,
    count: int,
    read: Callable[[int], np.ndarray],
    limit_bytes: int,
    progress: Callable[[int, int], None] | None,
) -> ImageSet:
    """Read all `count` pictures into data.images if they fit into limit_bytes; else have data read them on demand."""
    if count * int(np.prod(data.shape)) > limit_bytes:
        data._read, data._count = read, count
        return data
    pixels, sound = np.empty((count, *data.shape), np.uint8), np.zeros(count, bool)

    def work(first: int) -> None:
        for i in range(first, min(first + step, count)):
            try:
                pixels[i] = read(i)
                sound[i] = True
            except InputError:
                continue

    step, done = 64, 0
    with ThreadPoolExecutor(WORKERS) as pool:
        for _ in pool.map(work, range(0, count, step)):
            done = min(done + step, count)
            if progress:
                progress(done, count)
    data.skipped = count - int(sound.sum())
    if data.skipped == count:
        raise InputError(f"None of the {count:,} pictures of {data.name} can be read.")
    if data.skipped:
        pixels = pixels[sound]
        if data.labels is not None:
            data.labels = data.labels[torch.from_numpy(sound)]
    data.images = torch.from_numpy(pixels)
    return data


def split_indices(n: int, test_size: float = 0.2, seed: int = 42) -> tuple[Tensor, Tensor]:
    """(train, test): int64 indices below n, each ascending; the sets scikit-learn's train_test_split chooses."""
    order = torch.from_numpy(np.random.RandomState(seed).permutation(n)).long()
    n_test = ceil(n * test_size)
    return order[n_test:].sort().values, order[:n_test].sort().values


def split_dataset(
    source_dir: str | os.PathLike,
    train_dir: str | os.PathLike,
    test_dir: str | os.PathLike,
    test_size: float = 0.2,
    random_state: int = 42,
) -> tuple[int, int]:
    """Copy the pictures lying in source_dir into train_dir and test_dir, which are created; returns how many each got.

    Only .png, .jpg and .jpeg files are taken, in the order of their names, so that the same files give the same split
    on every machine. load_data splits a folder without copying it; this is for tools that want two folders.
    Raises InputError if source_dir holds fewer than two pictures or test_size is no share of them.
    """
    source = Path(source_dir)
    if not source.is_dir():
        raise InputError(f"There is no folder {str(source)!r}.")
    names = sorted(f.name for f in source.iterdir() if f.suffix.lower() in (".png", ".jpg", ".jpeg") and f.is_file())
    if not 0.0 < test_size < 1.0:
        raise InputError(f"test_size is a share between 0 and 1, not {test_size}.")
    train, test = split_indices(len(names), test_size, random_state)
    if not len(train) or not len(test):
        raise InputError(f"The folder {source.name!r} holds {len(names)} pictures: too few to split in two.")
    for folder, chosen in ((Path(train_dir), train), (Path(test_dir), test)):
        folder.mkdir(parents=True, exist_ok=True)
        for i in chosen.tolist():
            shutil.copy(source / names[i], folder / names[i])
    return len(train), len(test)
