"""What was measured of a model over a data set: kept a batch at a time, saved, gone on with, summed up."""

import json
import math
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from vae.evaluation.frechet import Moments, frechet
from vae.files import replacing

# The columns that a metric has in the figures of each image, in their order.
METRICS = {
    "psnr": ("psnr",),
    "ssim": ("ssim",),
    "lpips": ("lpips",),
    "delta-e": ("delta_e",),
    "fid": (),
    "equivariance": ("equivariance_turn", "equivariance_scale"),
}
COLUMNS = tuple(column for columns in METRICS.values() for column in columns)
LPIPS_FEATURES = "VGG16"  # the network that LPIPS is computed by
LESS_IS_BETTER = ("lpips", "delta_e")
LEVELS = (5, 25, 50, 75, 95)  # percentiles
WORST = 10  # images


class Measurement:
    """Figures of images one by one, by the numbers they have in their data set, and what is needed for those of all.

    features: the name of the network whose features `originals` and `rebuilt` are moments of; None without a Fréchet
    distance. done: how many images of the set were looked at, `count` of them read. seconds: of encoding and decoding
    all but the first batch, which warms up, of `timed` images. pixels, latent_bits: of one image and its latent.
    """

    def __init__(self, metrics: Sequence[str], features: str | None):
        self.metrics, self.features = tuple(metrics), features
        self.numbers: list[int] = []
        self._parts: dict[str, list[Tensor]] = {column: [] for metric in self.metrics for column in METRICS[metric]}
        self.originals, self.rebuilt = Moments(), Moments()
        self.done, self.pixels, self.latent_bits, self.peak_bytes = 0, 0, 0.0, 0
        self.seconds, self.timed = 0.0, 0
        self._first: tuple[float, int] | None = None

    @property
    def count(self) -> int:
        return len(self.numbers)

    def add(
        self,
        numbers: Sequence[int],
        columns: dict[str, Tensor],
        features: tuple[Tensor | None, Tensor] | None,
        seconds: float,
    ) -> None:
        """A batch's figures, see measure.Batch."""
        self.numbers.extend(numbers)
        for column, parts in self._parts.items():
            parts.append(columns[column])
        if features is not None:
            if features[0] is not None:
                self.originals.add(features[0])
            self.rebuilt.add(features[1])
        if self._first is None:
            self._first = seconds, len(numbers)
        else:
            self.seconds, self.timed = self.seconds + seconds, self.timed + len(numbers)

    def column(self, name: str) -> Tensor:
        """float64 (count,): that figure of each image, in the order of `numbers`. PSNR is infinite where an image comes
        back as it was."""
        self._parts[name] = [torch.cat(self._parts[name])] if self._parts[name] else [torch.empty(0).double()]
        return self._parts[name][0]

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(self._parts)

    @property
    def milliseconds(self) -> float:
        """Of encoding and decoding, an image."""
        seconds, images = (self.seconds, self.timed) if self.timed else self._first or (0.0, 1)
        return 1000.0 * seconds / images

    def worst(self, column: str, most: int = WORST) -> list[tuple[int, float]]:
        """The numbers of the images that fare worst, the worst first, and their figures; those without one left out."""
        values = self.column(column)
        known = (~values.isnan()).nonzero().flatten()
        order = values[known].argsort(descending=column in LESS_IS_BETTER, stable=True)[:most]
        return [(self.numbers[i], values[i].item()) for i in known[order].tolist()]

    def summary(self, names: Sequence[str] | None = None) -> dict:
        """The figures of all, for people and for JSON: the mean of each column (PSNR's of the images that do not come
        back as they were, the number of which is `exact`); `fid` and `fid_features`, `lpips_features`: the networks
        these depend on; percentiles and the ten worst images, by name, of each column; what the latent takes, where
        each of its numbers takes 16 bits, or of a codebook each pixel its index; milliseconds an image, and the memory
        taken at the height, in MB.

        names: of the set's images; their numbers if left out. Raises InputError for a Fréchet distance of fewer than
        two images.
        """
        row: dict = {"images": self.count, "unreadable": self.done - self.count}
        for column in self.columns:
            values = self.column(column)
            known = values[values.isfinite()]
            row[column] = known.mean().item() if len(known) else None
            if column == "psnr" and values.isinf().any():
                row["exact"] = int(values.isinf().sum())
            if column == "lpips":
                row["lpips_features"] = LPIPS_FEATURES
        if self.features is not None:
            row["fid"] = frechet(self.rebuilt, self.originals)
            row["fid_features"] = self.features
        row["bits_per_pixel"] = self.latent_bits / self.pixels
        row["milliseconds"] = self.milliseconds
        row["peak_memory_mb"] = self.peak_bytes / 1e6
        row["percentiles"] = {column: self._percentiles(column) for column in self.columns}
        row["worst"] = {
            column: [
                {"image": names[number] if names is not None else str(number), column: _finite(value)}
                for number, value in self.worst(column)
            ]
            for column in self.columns
        }
        return row

    def _percentiles(self, column: str) -> dict[str, float | None]:
        values = self.column(column)
        values = values[~values.isnan()].sort().values
        if not len(values):
            return {}
        # The nearest rank, since between a number and infinity there is nothing to interpolate.
        at = [min(len(values) - 1, max(0, math.ceil(level / 100 * len(values)) - 1)) for level in LEVELS]
        return {str(level): _finite(values[i].item()) for level, i in zip(LEVELS, at, strict=True)}

    def save(self, path: Path) -> None:
        """Written whole or not at all."""
        tensors = {f"column.{name}": self.column(name) for name in self.columns}
        tensors["numbers"] = torch.tensor(self.numbers, dtype=torch.int64)
        for name, moments in (("originals", self.originals), ("rebuilt", self.rebuilt)):
            tensors |= {f"{name}.{part}": getattr(moments, part) for part in ("shift", "total", "squares")}
        scalars = {name: getattr(self, name) for name in _SCALARS} | {
            "metrics": self.metrics,
            "features": self.features,
            "first": self._first,
            "counts": [self.originals.count, self.rebuilt.count],
        }
        with replacing(path, durable=False) as part:
            save_file(
                {name: x.contiguous().clone() for name, x in tensors.items()}, part, {"state": json.dumps(scalars)}
            )

    @classmethod
    def restored(cls, path: Path) -> "Measurement":
        """What `save` wrote. Raises what safetensors, json and Python raise for another file."""
        with safe_open(path, "pt") as file:
            scalars = json.loads(file.metadata()["state"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        found = cls(scalars["metrics"], scalars["features"])
        for name in _SCALARS:
            setattr(found, name, scalars[name])
        found._first = tuple(scalars["first"]) if scalars["first"] else None
        found.numbers = tensors["numbers"].tolist()
        found._parts = {name: [tensors[f"column.{name}"]] for name in found.columns}
        for name, count in zip(("originals", "rebuilt"), scalars["counts"], strict=True):
            moments = getattr(found, name)
            moments.count = count
            moments.shift, moments.total, moments.squares = (
                tensors[f"{name}.{part}"] for part in ("shift", "total", "squares")
            )
        return found


_SCALARS = ("done", "pixels", "latent_bits", "peak_bytes", "seconds", "timed")


def _finite(value: float) -> float | None:
    """JSON knows no infinity; None is that of an image that came back as it was."""
    return value if math.isfinite(value) else None
