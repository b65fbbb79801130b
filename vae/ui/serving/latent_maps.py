"""Models' latent spaces for the page: what was measured of them, and images decoded from places in them."""

import base64
import hashlib
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from vae import images
from vae.checkpoints.find_model import bundled, weight_files
from vae.errors import InputError
from vae.latents import statistics
from vae.latents.directions import nearest
from vae.latents.projections import Projection
from vae.latents.statistics import COLUMNS, Statistics
from vae.ui.components import error_text, number, whole
from vae.ui.latent_points import packed, read_point, write_point
from vae.ui.serving.catalog import FIRST, Catalog
from vae.ui.serving.latent_sets import members, moved_along
from vae.ui.serving.lru_cache import LruCache
from vae.ui.serving.models import ModelServer

KEPT = 8  # statistics in memory
FRESH = 1.0  # seconds for which the disk is not asked whether they are still the same
WAITING = 12  # decodings asked for at a time, by all visitors
NEIGHBOURS = 6  # nearest images told of each latent
SLIDERS, BARS = 8, 128  # dimensions on the page, the most active ones and those with the most KL
STEPS = 6  # decoded in one answer, of a model that is quick; else one
QUICK = 5_000_000, 64  # parameters, and pixels of an image's side, at most
REACH = 3.0  # a slider's, in standard deviations
FAR = 1e6  # no place and no number of a latent is further out


class LatentMaps:
    """Reads statistics when they are first asked for. What scripts call trusts nothing it is sent and answers at once,
    without Gradio's queue; all of it may be called from any thread."""

    def __init__(self, server: ModelServer):
        self.server = server
        # When it was looked for, its _stamp, and what was found; a refusal too, since that means to read all weights.
        self._kept: LruCache[tuple[float, tuple | None, Statistics | InputError | None]] = LruCache(KEPT)
        self._room = threading.Semaphore(WAITING)

    def find(self, name: str | None) -> Statistics | None:
        """The statistics of the model called `name`, None if it was not measured. Raises InputError if they are
        damaged or belong to another checkpoint, or there is no such model."""
        source = str(self.server.catalog.source(name))
        looked, stamp, found = self._kept.get(source) or (0.0, None, None)
        if stamp is None or time.monotonic() - looked > FRESH:
            weights = None if elsewhere(source) else weight_files(source)
            now = weights and _stamp(weights)
            if now != stamp:
                found = _read(weights) if now else None
            self._kept.put(source, (time.monotonic(), now, found))
        if isinstance(found, InputError):
            raise InputError(str(found))
        return found

    def opened(self, name: str | None) -> dict:
        """The value of the component "latent_space" for the chosen model: {spaces: one or two, unmeasured: None}.

        A model that was not measured, or whose statistics are refused, is `unmeasured`, as `missing` has it; the
        spaces are then those of bundled models. Raises InputError if there is no such model.
        """
        name = name or self.server.catalog.first()
        self.server.catalog.source(name)
        unmeasured, own = None, None
        try:
            own = self.find(name)
        except InputError as error:
            unmeasured = {"name": name, "says": str(error), "run": None, "refused": True}
        if own is None and unmeasured is None:
            unmeasured = missing(self.server.catalog, name)
        shown = name if own is not None else self._example()
        names = [] if shown is None else [shown, self.server.catalog.counterpart(shown)]
        spaces = [map_facts(other, self.server.catalog.facts(other), found) for other, found in self._measured(names)]
        return {"spaces": sorted(spaces, key=lambda space: space["variational"]), "unmeasured": unmeasured}

    def _measured(self, names: list[str | None]) -> list[tuple[str, Statistics]]:
        """Those of the models that have statistics, and these."""
        found = []
        for name in names:
            try:
                own = self.find(name) if name else None
            except InputError:
                continue
            if own is not None:
                found.append((name, own))
        return found

    def _example(self) -> str | None:
        """A bundled model to look at where the chosen one has no map."""
        names = sorted(bundled(), key=lambda name: name != FIRST)
        return next((name for name, _ in self._measured(names)), None)

    def latent_space_opened(self, asked: object) -> dict:
        """As `opened`, for a page that waits for a measurement. asked: {model}. {spaces, unmeasured} or {error}."""
        try:
            return self.opened(asked.get("model") if isinstance(asked, dict) else None)
        except Exception as error:
            return {"error": error_text(error, "space_opened")}

    def latent_space_map(self, asked: object) -> dict:
        """Where the images lie on a map. asked: {model, map}; a map is "lda", "pca" or two dimensions [i, j].

        {points: float32 in base64, two for each image, prior: {centre, spread}: mean and covariance of N(0, I) on
        this map}, or {error}.
        """
        try:
            found = self._asked(asked)
            projection = _projection(found, asked.get("map"))
            return {
                "points": packed(projection.project(found.embeddings).numpy()),
                "prior": {
                    "centre": _rounded(-projection.centre @ projection.matrix),
                    "spread": [_rounded(row) for row in projection.matrix.T @ projection.matrix],
                },
            }
        except Exception as error:
            return {"error": error_text(error, "space_map")}

    def latent_space_sheet(self, asked: object) -> dict:
        """The images themselves, small, as one. asked: {model}. {uri} or {error}."""
        try:
            sheet = self._asked(asked).sheet
            return {"uri": "data:image/webp;base64," + base64.b64encode(sheet).decode("ascii")}
        except Exception as error:
            return {"error": error_text(error, "space_sheet")}

    def latent_space_look(self, asked: object) -> dict:
        """Decode a latent, or some on the way to it. asked: {model, map, and where to begin}: at `z`, a latent as this
        function hands it back; or at the latent of image `at`; or at the mean of the images `of`, a set as
        latent_sets.py has them; or at the mean of all where none is given. From there `to` places [[x, y], …] of the
        map, or with some numbers `set`, step by step: [{dimension: value}, …], or `along` the way between two sets.

        {pictures: data URIs, one a step, and of the last one z, place: where it is on the map, values: those of the
        sliders, nearest: the points of the nearest images in the latent space}, or {error}.
        """
        if not self._room.acquire(blocking=False):
            return {"error": "The server is busy decoding for others; move again in a moment."}
        try:
            return self._look(asked)
        except Exception as error:
            return {"error": error_text(error, "space_look")}
        finally:
            self._room.release()

    def _look(self, asked: object) -> dict:
        found = self._asked(asked)
        projection = _projection(found, asked.get("map"))
        z = _start(found, asked)[None]
        if asked.get("to") is not None:
            z = projection.invert(_places(asked["to"]), z[0])
        if asked.get("set") is not None:
            z = _turned(z[0], asked["set"])
        if asked.get("along") is not None:
            z = moved_along(found, z[0], asked["along"], STEPS)
        z = z.clamp(-FAR, FAR)
        last = z[-1].flatten()
        return {
            "pictures": [images.data_uri(images.to_image(x)) for x in self.server.decode(asked["model"], z)],
            "z": write_point(last),
            "place": _rounded(projection.project(last[None])[0]),
            "values": _rounded(last[found.most_active()[:SLIDERS]]),
            "nearest": nearest(z[-1:], found.embeddings, min(NEIGHBOURS, len(found.embeddings)))[0][0].tolist(),
        }

    def _asked(self, asked: object) -> Statistics:
        if not isinstance(asked, dict) or not isinstance(asked.get("model"), str):
            raise InputError("A model is chosen by its name.")
        found = self.find(asked["model"])
        if found is None:
            raise InputError(f"{asked['model'][:80]} has not been measured yet.")
        return found


def map_facts(name: str, facts: dict, found: Statistics) -> dict:
    """What the page is told of a space before it asks for more."""
    dims, width = found.most_active()[:SLIDERS], found.std.flatten()
    kl, mean, active = found.kl.flatten(), found.mean.flatten(), found.active.flatten()
    order = (kl if facts["variational"] else width).argsort(descending=True)[:BARS].tolist()
    return {
        "name": name,
        "variational": facts["variational"],
        "data": found.data,
        "split": found.split,
        "images": found.images,
        "n": len(found.embeddings),
        "dims": kl.numel(),
        "active": int(active.sum()),
        "kl": round(kl.sum().item(), 3),
        "classes": found.classes if found.labels is not None else None,
        "labels": None if found.labels is None else found.labels.tolist(),
        "maps": [*(name for name in ("lda", "pca") if name in found.projections), "dims"],
        "first": found.most_active()[:2],
        "sheet": hashlib.sha256(found.sheet).hexdigest()[:16],
        "side": found.side,
        "columns": COLUMNS,
        "image_size": facts["image_size"],
        "steps": STEPS if facts["parameters"] <= QUICK[0] and facts["image_size"] <= QUICK[1] else 1,
        "sliders": [
            {
                "dim": dim,
                "mean": _rounded(mean[dim]),
                "low": _rounded(mean[dim] - REACH * width[dim]),
                "high": _rounded(mean[dim] + REACH * width[dim]),
            }
            for dim in dims
        ],
        "bars": [
            {"dim": dim, "kl": _rounded(kl[dim]), "std": _rounded(width[dim]), "active": bool(active[dim])}
            for dim in order
        ],
    }


def elsewhere(source: str | Path) -> bool:
    """Whether a model is on the Hub, where nothing can be stored beside it."""
    return source not in bundled() and not Path(source).expanduser().exists()


def missing(catalog: Catalog, name: str) -> dict:
    """Says that a model was not measured, and what to do about it: {name, says, run, refused: False}. run: the one that
    the Train tab measures, if it is a run."""
    kind, source = catalog.kind(name), catalog.source(name)
    if kind == "run":
        says = "The Train tab makes one: choose the run there, then Map it."
    elif kind == "live":
        says = "There can be one once its training has ended."
    elif elsewhere(source):
        says = "Nothing can be kept beside a model of the Hub: fetch it into a folder, measure it there, and open that."
    else:
        says = "Whoever keeps the model can measure it, and the map is here as soon as that is done."
    says += "" if kind in ("run", "live") else " The README says how, under “Command line”."
    return {"name": name, "says": says, "run": name if kind == "run" else None, "refused": False}


def _stamp(weights: Sequence[Path]) -> tuple | None:
    """What changes when statistics are measured anew or the weights are replaced; None if there are no statistics."""
    files = (weights[0].parent / statistics.FILE, *weights)
    return tuple((str(file), file.stat().st_mtime_ns) for file in files) if files[0].is_file() else None


def _read(weights: Sequence[Path]) -> Statistics | InputError | None:
    try:
        return statistics.read(weights)
    except InputError as error:
        return error


def _start(found: Statistics, asked: dict) -> Tensor:
    if asked.get("at") is not None:
        return found.embeddings[whole("The picture", asked["at"], 0, len(found.embeddings) - 1)]
    if asked.get("of") is not None:
        return members(found, asked["of"]).mean(0)
    if asked.get("z") is None:
        return found.mean
    z = read_point(asked["z"])
    if z.numel() != found.mean.numel():
        raise InputError(f"A latent of this model has {found.mean.numel()} numbers, not {z.numel()}.")
    return z.view(found.mean.shape)


def _projection(found: Statistics, name: object) -> Projection:
    if isinstance(name, list):
        if len(name) != 2:
            raise InputError("Two latent dimensions make a map.")
        most = found.mean.numel() - 1
        return found.plane(*(whole("The latent dimension", dim, 0, most) for dim in name))
    return found.map(str(name)[:80])


def _steps(value: object) -> list:
    if not isinstance(value, list) or not 1 <= len(value) <= STEPS:
        raise InputError(f"One step or up to {STEPS} are decoded at a time.")
    return value


def _places(value: object) -> Tensor:
    for place in _steps(value):
        if not isinstance(place, list) or len(place) != 2:
            raise InputError("A place on the map is two numbers.")
    return torch.tensor([[number("A place on the map", part, -FAR, FAR) for part in place] for place in value])


def _turned(z: Tensor, value: object) -> Tensor:
    """The latent (C, h, w) after each of those steps, (n, C, h, w)."""
    found, flat = [], z.flatten()
    for step in _steps(value):
        if not isinstance(step, dict) or len(step) > SLIDERS or not all(str(dim).isdecimal() for dim in step):
            raise InputError(f"Up to {SLIDERS} numbers are set in a step, each by its dimension.")
        flat = flat.clone()
        for dim, part in step.items():
            dim = whole("The dimension", int(dim), 0, flat.numel() - 1)
            flat[dim] = number("The value", part, -FAR, FAR)
        found.append(flat.view(z.shape))
    return torch.stack(found)


def _rounded(values: Tensor):
    """A number or a list of them, short enough for a page."""
    numbers = values.tolist()
    return [float(f"{v:.5g}") for v in numbers] if isinstance(numbers, list) else float(f"{numbers:.5g}")
