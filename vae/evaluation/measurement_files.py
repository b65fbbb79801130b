"""The files of a measurement of several models: a row for each image, a row for each model, and, until these are whole,
what was measured so far."""

import csv
import hashlib
import json
import math
import shutil
from collections.abc import Sequence
from pathlib import Path

import torch

from vae.data.image_set import ImageSet
from vae.evaluation.measurement import LPIPS_FEATURES, Measurement
from vae.files import replacing
from vae.models.base import AutoEncoder


class Unfinished:
    """What was measured so far, in a folder beside the file that it is for: a file a model. It is removed once that
    file is whole."""

    def __init__(self, csv_file: Path):
        self.folder = csv_file.with_name(f"{csv_file.name}.unfinished")

    def path(self, model: AutoEncoder, data: ImageSet, metrics: Sequence[str], features: str | None) -> Path:
        """Where this model's measurement is kept: known by the model's weights, the images' names and some of their
        pixels, and what is measured."""
        digest = hashlib.sha256(json.dumps([data.name, len(data), data.shape, list(metrics), features]).encode())
        for name, tensor in model.state_dict().items():
            digest.update(f"{name} {tuple(tensor.shape)}".encode())
            digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
        for name in data.names or ():
            digest.update(f"{name}\n".encode("utf-8", "surrogateescape"))
        digest.update(data.preview(16).numpy().tobytes())
        return self.folder / f"{digest.hexdigest()[:16]}.safetensors"

    def load(self, path: Path) -> Measurement | None:
        """What was measured before; None if nothing was, or what is there cannot be read."""
        try:
            return Measurement.restored(path)
        except Exception:  # none there, or damaged: safetensors and json each raise their own
            return None

    def save(self, path: Path, measurement: Measurement) -> None:
        self.folder.mkdir(exist_ok=True)
        measurement.save(path)

    def remove(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)


def summary_file(csv_file: Path) -> Path:
    """Where the rows of the models lie, beside those of the images."""
    return csv_file.with_name(f"{csv_file.stem}-models{csv_file.suffix}")


def write_images(csv_file: Path, measured: Sequence[tuple[str, ImageSet, Measurement]]) -> None:
    """A row an image of each model: the model, the image's name, and its figures; a figure that there is none of is
    empty. Beside LPIPS stands its network. Written whole or not at all."""
    columns = list(dict.fromkeys(column for _, _, found in measured for column in found.columns))
    network = {"lpips_features": LPIPS_FEATURES} if "lpips" in columns else {}
    with replacing(csv_file) as part, part.open("w", newline="", encoding="utf-8", errors="replace") as file:
        writer = csv.writer(file)
        writer.writerow(["model", "image", *columns, *network])
        for model, data, found in measured:
            values = [found.column(column).tolist() for column in columns]
            for number, *figures in zip(found.numbers, *values, strict=True):
                name = data.names[number] if data.names is not None else number
                writer.writerow([model, name, *map(_cell, figures), *network.values()])


def write_models(csv_file: Path, rows: Sequence[dict]) -> None:
    """A row a model: the figures of its summary that are single ones, and the percentiles as psnr_5, …"""
    flat = []
    for row in rows:
        single = {key: value for key, value in row.items() if key not in ("percentiles", "worst")}
        for column, levels in row["percentiles"].items():
            single |= {f"{column}_{level}": value for level, value in levels.items()}
        flat.append(single)
    with replacing(csv_file) as part, part.open("w", newline="", encoding="utf-8", errors="replace") as file:
        writer = csv.DictWriter(file, list(dict.fromkeys(key for row in flat for key in row)))
        writer.writeheader()
        writer.writerows({key: _cell(value) for key, value in row.items()} for row in flat)


def _cell(value: object) -> object:
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:.6g}"
    return "" if value is None else value
