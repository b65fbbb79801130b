"""Images in tables: Parquet files, and the Arrow files that the library `datasets` saves (pyarrow reads both).

A column of images has each image's file in its cells, alone or beside its name, as data sets on the Hugging Face Hub
have it. Names in cells are never opened.
"""

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from vae import limits
from vae.data.encoded import encoded
from vae.data.source import Source, listed
from vae.data.splits import split_numbers
from vae.data.stacked import numbered_classes
from vae.depth import Range
from vae.errors import InputError

HELD = 2**30  # bytes of images, as their files have them, that are held in memory; more is kept on the disk
SLACK = 2**26  # bytes that a file may unpack to beyond twice what it says
ROWS = 256  # read at once
_IMAGES = ("image", "img", "picture", "photo", "pixel_values")
LABELS = ("label", "labels", "class", "target", "fine_label", "coarse_label", "y")


def from_tables(files: list[Path], name: str, others: list[str], span: Range | None, transparency: bool) -> Source:
    """The images of .parquet and .arrow files, with the labels beside them. span, transparency: as for `encoded`.

    Files named like a training set and like a test set are the splits. What they hold is held in memory, or copied to
    a temporary folder where it is much. Raises InputError if pyarrow is not installed, a file is damaged or has no
    column of images, or there is no room.
    """
    try:
        import pyarrow as pa
    except ImportError:
        raise InputError("Parquet and Arrow files need the library pyarrow: pip install pyarrow.") from None

    common = os.path.commonpath([file.parent for file in files])
    with _reading(name):
        schemas = [_schema(file, pa) for file in files]
        images, label, classes = _columns(schemas[0], name, pa)
        columns = [images, label] if label else [images]
        if any(not set(columns) <= set(schema.names) for schema in schemas):
            raise InputError(f"The files of {name} differ in their columns.")
        held, parts, origins, rows = None, [], [], []
        claimed = sum(_claim(file, columns, pa) for file in files if file.suffix.lower() == ".parquet")
        if claimed > min(HELD, limits.budget()):
            held = _temporary(claimed, name)
        for file in files:
            tables = _arrow(file, pa) if file.suffix.lower() != ".parquet" else _parquet(file, columns, held, pa)
            row, origin = 0, os.path.relpath(file, common)
            for table in tables:
                parts.append(table.select(columns))
                origins += [origin] * table.num_rows
                rows += [f"{origin}:{number}" for number in range(row, row + table.num_rows)]
                row += table.num_rows
    if not origins:
        raise InputError(f"{name} has no rows.")
    starts = np.cumsum([0, *(part.num_rows for part in parts)])

    def cell(i: int) -> tuple[bytes, str]:
        part = int(np.searchsorted(starts, i, "right")) - 1
        value = parts[part].column(0)[i - int(starts[part])].as_py()
        if isinstance(value, dict):
            return value.get("bytes") or b"", str(value.get("path") or "")
        return value or b"", ""

    numbers, names = _labels([part.column(1) for part in parts], classes) if label else (None, None)
    splits, unused = split_numbers(origins)
    return encoded(
        name,
        rows,
        lambda i: cell(i)[0],
        span,
        transparency,
        labels=numbers,
        classes=names,
        splits=splits,
        left_out=[each for each in others if not each.endswith((".json", ".md", ".lock"))] + unused,
        held=held,
    )


def _columns(schema, name: str, pa) -> tuple[str, str | None, list[str] | None]:
    """The column of images, that of labels, and the classes' names, as the metadata or the columns' names say."""
    try:
        features = json.loads(schema.metadata[b"huggingface"])["info"]["features"]
    except (TypeError, KeyError, ValueError):
        features = {}
    kinds = {key: each.get("_type") for key, each in features.items() if isinstance(each, dict)}
    images = [key for key in schema.names if kinds.get(key) == "Image" and _holds_files(schema.field(key).type, pa)]
    if not images:
        images = [key for key in schema.names if _holds_files(schema.field(key).type, pa)]
        images.sort(key=lambda key: key.lower() not in _IMAGES)
    if not images:
        raise InputError(f"{name} has no column of images (their files, in bytes); it has {listed(schema.names)}.")
    labels = [key for key in schema.names if kinds.get(key) == "ClassLabel"]
    if labels:
        names = features[labels[0]].get("names")
        return images[0], labels[0], [str(each) for each in names] if isinstance(names, list) else None
    labels = [key for key in LABELS if key in schema.names and _is_class(schema.field(key).type, pa)]
    return images[0], labels[0] if labels else None, None


def _holds_files(kind, pa) -> bool:
    if pa.types.is_struct(kind):
        return any(kind.field(i).name == "bytes" for i in range(kind.num_fields))
    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind)


def _is_class(kind, pa) -> bool:
    return pa.types.is_integer(kind) or pa.types.is_string(kind) or pa.types.is_large_string(kind)


def _labels(columns: list, classes: list[str] | None) -> tuple[np.ndarray | None, list[str] | None]:
    values = [value for column in columns for value in column.to_pylist()]
    if classes and all(isinstance(value, int) and 0 <= value < len(classes) for value in values):
        return np.array(values, np.int64), classes
    if any(value is None or (isinstance(value, int) and value < 0) for value in values):
        return None, None  # unlabelled, as many a test set is
    return numbered_classes([np.array(values)])


def _schema(file: Path, pa):
    if file.suffix.lower() == ".parquet":
        import pyarrow.parquet as pq

        return pq.read_schema(file)
    return next(_arrow(file, pa)).schema


def _arrow(file: Path, pa) -> Iterator[Any]:
    """The file's record batches, mapped into memory rather than read."""
    source = pa.memory_map(str(file))
    try:
        reader = pa.ipc.open_stream(source)
    except pa.ArrowInvalid:
        source.seek(0)
        reader = pa.ipc.open_file(source)
        yield from (reader.get_batch(i) for i in range(reader.num_record_batches))
        return
    yield from reader


def _claim(file: Path, columns: list[str], pa) -> int:
    """Bytes that the columns have once they are unpacked, as the file says."""
    import pyarrow.parquet as pq

    facts = pq.read_metadata(file)
    chunks = (facts.row_group(i).column(k) for i in range(facts.num_row_groups) for k in range(facts.num_columns))
    return sum(
        max(0, chunk.total_uncompressed_size) for chunk in chunks if chunk.path_in_schema.split(".")[0] in columns
    )


def _parquet(file: Path, columns: list[str], held: tempfile.TemporaryDirectory | None, pa) -> Iterator[Any]:
    """The file's record batches: in memory, or copied into the folder `held` and mapped from there."""
    import pyarrow.parquet as pq

    most, taken = 2 * _claim(file, columns, pa) + SLACK, 0

    def batches() -> Iterator[Any]:
        nonlocal taken
        for batch in pq.ParquetFile(file).iter_batches(ROWS, columns=columns, use_threads=False):
            taken += batch.nbytes
            if taken > most:
                raise InputError(f"{file.name} unpacks to more than it says.")
            yield batch

    if held is None:
        yield from batches()
        return
    copy = Path(held.name) / f"{len(os.listdir(held.name))}.arrow"  # noqa: PTH208
    with pa.OSFile(str(copy), "wb") as sink:
        writer = None
        for batch in batches():
            writer = writer or pa.ipc.new_stream(sink, batch.schema)
            writer.write_batch(batch)
        if writer:
            writer.close()
    if writer:
        yield from _arrow(copy, pa)


def _temporary(size: int, name: str) -> tempfile.TemporaryDirectory:
    folder = tempfile.TemporaryDirectory(prefix="vae-data-", ignore_cleanup_errors=True)
    if shutil.disk_usage(folder.name).free < size + 2**26:
        folder.cleanup()
        raise InputError(f"{name} needs {size / 1e6:,.0f} MB of disk, more than there is.")
    return folder


@contextmanager
def _reading(name: str):
    """Turns what pyarrow raises on damaged files, and the disk on a full one, into a sentence."""
    try:
        yield
    except (InputError, MemoryError):
        raise
    except Exception as error:  # pyarrow's own, OSError, and on bad metadata whatever its parsers raise
        raise InputError(f"{name} is damaged, cut off, or no Parquet or Arrow file.") from error
