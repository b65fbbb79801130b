"""A run's metrics as they grow, read once however many pages watch."""

import json
from bisect import bisect_left

from vae.training.runs import Run

FIRST_VIEW = 1500  # rows of a long run in the first answer
TERMS = ("loss", "reconstruction", "kl")
STEP_FIELDS = ("step", *TERMS)  # of a row, in its order; the page is sent these names with the rows
EPOCH_FIELDS = (*STEP_FIELDS, *(f"val_{name}" for name in TERMS))
MORE = 8  # terms of a run's own that are told besides TERMS: perceptual, or those of an objective in Python
_NO_TERMS = ("kind", "step", "epoch", "learning_rate", "images_per_second", "seconds")

Cursor = list[int]  # the metrics file's inode, and the offset in it after the last line that is known


class Tail:
    """The rows of one run. Not safe for threads: its owner has a lock.

    per_epoch: steps in an epoch, as the rows say.
    more: the names of the run's other terms, which stand in a row after TERMS, and their "val_…" at its end.
    """

    def __init__(self, run: Run):
        self.run = run
        self._forget(0)

    def _forget(self, inode: int) -> None:
        self.inode, self.rows, self.ends = inode, [], [0]
        self.last_epoch: dict = {}
        self.more: tuple[str, ...] | None = None

    @property
    def per_epoch(self) -> float:
        return self.last_epoch["step"] / self.last_epoch["epoch"] if self.last_epoch else 1

    def refresh(self) -> "Tail":
        """Read what has come. A resumed run replaces its file by a shorter one, which is read anew."""
        try:
            status = (self.run.folder / "metrics.jsonl").stat()
        except OSError:
            self._forget(0)
            return self
        if status.st_ino != self.inode or status.st_size < self.ends[-1]:
            self._forget(status.st_ino)
        if status.st_size > self.ends[-1]:
            with (self.run.folder / "metrics.jsonl").open("rb") as file:
                file.seek(self.ends[-1])
                whole, newline, _ = file.read().rpartition(b"\n")
            for line in whole.split(b"\n") if newline else ():
                self._add(json.loads(line), self.ends[-1] + len(line) + 1)
        return self

    def _add(self, entry: dict, end: int) -> None:
        self.ends.append(end)
        epoch = entry.get("kind") == "epoch"
        if self.more is None and entry.get("kind") != "start":  # a training's first line has all that the others have
            known = {*_NO_TERMS, *TERMS}
            self.more = tuple(name for name in entry if name not in known and not name.startswith("val_"))[:MORE]
        fields = row_fields(self.more or ())
        self.rows.append([short(entry.get(name)) for name in (fields if epoch else fields[: len(fields) // 2 + 1])])
        if epoch:
            self.last_epoch = entry

    def since(self, cursor: object) -> tuple[list[list], Cursor, bool]:
        """The rows after the cursor, the next cursor, and whether all that was known before is to be forgotten.

        A cursor that is none of ours counts as none: everything is told, thinned if it is long.
        """
        at = self._place(cursor)
        rows = self.rows[at or 0 :]
        return (
            thinned(rows, len(row_fields(self.more or ()))),
            [self.inode, self.ends[-1]],
            cursor is not None and at is None,
        )

    def _place(self, cursor: object) -> int | None:
        if not (isinstance(cursor, list) and len(cursor) == 2 and all(type(part) is int for part in cursor)):
            return None
        at = bisect_left(self.ends, cursor[1])
        ours = cursor[0] == self.inode and at < len(self.ends) and self.ends[at] == cursor[1]
        return at if ours else None


def row_fields(more: tuple[str, ...]) -> tuple[str, ...]:
    """The names of an epoch's row; a step's has its first half, with the step."""
    return (*STEP_FIELDS, *more, *(f"val_{name}" for name in (*TERMS, *more)))


def thinned(rows: list[list], epoch_length: int = len(EPOCH_FIELDS)) -> list[list]:
    """At most about FIRST_VIEW rows, evenly, the last of each kind kept. epoch_length: of an epoch's row."""
    step = -(-len(rows) // FIRST_VIEW)
    if step <= 1:
        return rows
    kinds = ([row for row in rows if (len(row) == epoch_length) == epoch] for epoch in (False, True))
    return sorted((row for kind in kinds for row in kind[::-1][::step]), key=lambda row: (row[0], len(row)))


def short(value: object) -> object:
    """Five significant digits are more than a screen shows."""
    return float(f"{value:.5g}") if isinstance(value, float) else value
