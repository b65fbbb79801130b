"""Images in text: a row an image, its pixels and perhaps a label, as MNIST is often passed on (.csv)."""

import math
from pathlib import Path

import numpy as np

from vae.data.source import Source
from vae.data.stacked import one_for_each_split, stacked
from vae.depth import Range
from vae.errors import InputError
from vae.limits import check_memory

_LABELS = ("label", "labels", "class", "target", "y", "digit")  # what a column of classes is called
LABEL = 100  # characters of a class's name
_LINE = 2**20  # bytes of a row: 65,536 pixels and more


def from_csv(files: list[Path], name: str, others: list[str], span: Range | None) -> Source:
    """The images of .csv files; of several, those named like a training and a test set are its splits.

    A row has k * k pixels, with a label before or after them. Raises InputError for other files, and for files that
    need more memory than there is.
    """
    by_name = {file.name: file for file in files}
    chosen = one_for_each_split(list(by_name), name, "table")
    # A value has two characters or more, and becomes four bytes.
    check_memory(sum(2 * by_name[key].stat().st_size for key in chosen.values()), f"The numbers of {name}")
    read = {split: _read(by_name[key]) for split, key in chosen.items()}
    pixels = {split: each[0] for split, each in read.items()}
    low, high = min(array.min() for array in pixels.values()), max(array.max() for array in pixels.values())
    whole = high > 1 and all((array == array.round()).all() for array in pixels.values())  # 0 and 1 are floats' ends
    if whole and span is None and low >= 0 and high < 256:
        pixels = {split: array.astype(np.uint8) for split, array in pixels.items()}
    return stacked(name, pixels, [each[1] for each in read.values()], others, span, whole)


def _read(path: Path) -> tuple[np.ndarray, np.ndarray | None]:
    """Pixels float32 (N, k, k), and each row's label as text."""
    try:
        with path.open(encoding="utf-8-sig") as file:
            first, second = (file.readline(_LINE).rstrip("\r\n") for _ in range(2))
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path.name} is no text that can be read.") from error
    titles = [title.strip().strip('"').lower() for title in first.split(",")]
    headed = not all(_is_number(title) for title in titles)
    if headed and not second:
        raise InputError(f"{path.name} holds no images.")
    column = next((i for i, title in enumerate(titles) if title in _LABELS), None) if headed else None
    if column is None and math.isqrt(len(titles) - 1) ** 2 == len(titles) - 1 > 1:
        column = 0  # one column more than a square has
    side = math.isqrt(len(titles) - (column is not None))
    if side < 2 or side**2 != len(titles) - (column is not None):
        raise InputError(
            f"{path.name} has {len(titles)} columns; a table of images has as many as a square image has pixels "
            "(784 for 28 x 28), and one for the label."
        )
    try:
        with path.open(encoding="utf-8-sig") as file:
            rows = np.loadtxt(
                file,
                np.float32,
                delimiter=",",
                skiprows=int(headed),
                ndmin=2,
                usecols=[i for i in range(len(titles)) if i != column],
                quotechar='"',
            )
        labels = None if column is None else _column(path, column, headed)
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split()).removesuffix(".")[:120]
        raise InputError(f"{path.name} is no table of numbers: {reason}.") from error
    return rows.reshape(-1, side, side), labels


def _column(path: Path, column: int, headed: bool) -> np.ndarray:
    with path.open(encoding="utf-8-sig") as file:
        # As objects: an array of text is as wide as its longest cell in every row.
        cells = np.loadtxt(file, object, delimiter=",", skiprows=int(headed), ndmin=1, usecols=column, quotechar='"')
    return np.array([str(cell)[:LABEL] for cell in cells])


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False
