"""Sums of the loss's terms over batches. They stay on the device, so that no batch waits for a figure to be read."""

import torch
from accelerate import Accelerator
from torch import Tensor


class Sums:
    """Rows of sums of the named terms, and of the batches' weights, each of which starts again from 0 when it likes.

    terms: their names, "loss" among them. table: (rows, terms + 1).
    """

    def __init__(self, terms: tuple[str, ...], rows: int, device: torch.device):
        exact = torch.float32 if device.type == "mps" else torch.float64
        self.terms = terms
        self.table = torch.zeros(rows, len(terms) + 1, dtype=exact, device=device)

    def add(self, terms: dict[str, Tensor], weight: int = 1) -> None:
        """A batch's terms, which are scalars, to all rows."""
        batch = torch.stack([*(terms[name].float() for name in self.terms), torch.ones_like(terms["loss"])])
        self.table.add_(batch.detach(), alpha=weight)

    def empty(self, row: int) -> bool:
        return not self.table[row, -1] > 0

    def mean(self, row: int, accelerator: Accelerator | None = None) -> dict[str, float]:
        """Each term's mean over what was added to the row: by all processes, given their Accelerator, or by this one.
        All of them must ask, and the row may not be empty."""
        sums = self.table[row].clone()
        *terms, weight = (sums if accelerator is None else accelerator.reduce(sums, "sum")).tolist()
        return {name: term / weight for name, term in zip(self.terms, terms, strict=True)}
