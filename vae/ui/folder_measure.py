"""Measuring models on a folder for the page: a row a model, a figure an image, as they come."""

import math
import time
from collections.abc import Iterator

import torch

from vae.checkpoints.find_model import load_config
from vae.errors import InputError
from vae.evaluation.features import FEATURES
from vae.evaluation.frechet import Moments
from vae.evaluation.measure import Batch, check_enough, checked_metrics, measure_by
from vae.evaluation.measurement import Measurement
from vae.ui.components import error_text, whole
from vae.ui.folder_sets import FolderSets, Shape, name_of
from vae.ui.serving.models import ModelServer
from vae.ui.serving.tasks import Done, Report, Tasks

MODELS = 6
OWNERS, STRANGERS = 10_000, 200  # images
PATIENCE = 120.0  # seconds that a stranger's measurement of all its models may take
SIDE = 1024  # pixels at most, for models that take any size
IN_A_CALL = 16  # images at most, so that others get the model in between
TOGETHER = 8  # times as many, where each call waits for a GPU


class FolderMeasure:
    """Each answer has the ticket; `what` is done and the `share` of it; or of a model its `row` and `images`; or an
    `error` in one sentence. The last is `done`. What was measured before a visitor stops it is told, too."""

    def __init__(self, server: ModelServer, tasks: Tasks, sets: FolderSets):
        self.server, self.tasks, self.sets = server, tasks, sets

    def answers(self, asked: dict) -> Iterator[dict]:
        """asked: {ticket, models, data, images, size, metrics, features}."""
        ticket = {"ticket": str(asked.get("ticket"))[:80]}
        try:
            yield from (ticket | news for news in self._measured(ticket["ticket"], asked))
        except Exception as error:
            yield ticket | {"error": error_text(error, "measuring")}
        yield ticket | {"done": True}

    def _measured(self, ticket: str, asked: dict) -> Iterator[dict]:
        models = asked.get("models")
        models = list(dict.fromkeys(models)) if isinstance(models, list) and all(map(_is_name, models)) else []
        if not 1 <= len(models) <= MODELS:
            raise InputError(f"One to {MODELS} models are measured at a time.")
        metrics = asked.get("metrics")
        metrics = checked_metrics([str(metric) for metric in metrics] if isinstance(metrics, list) else [])
        features = str(asked.get("features") or "efficientnet")
        if features not in FEATURES:
            raise InputError(f"The features are {' or '.join(FEATURES)}.")
        stranger = self.sets.audience.asked_by_stranger()
        most = whole("The number of images", asked.get("images"), 1, STRANGERS if stranger else OWNERS)
        ends = time.monotonic() + PATIENCE if stranger else math.inf
        originals: dict[Shape, Moments] = {}
        for name in models:
            try:
                shape = self._shape(name, asked.get("size"))
                yield {"what": f"Reading the images for {name}", "share": None}
                data = self.sets.open(asked.get("data"), shape, anew=True)
                count = min(len(data), most)
                check_enough(metrics, data.name, count)
                numbers = torch.arange(count) * len(data) // count
                title = FEATURES[features] if "fid" in metrics else None
                found = Measurement(metrics, title)
                work = self._work(name, data, found, numbers, features, originals.get(shape), ends)
                stopped = True
                for step in self.tasks.watch(ticket, work):
                    if isinstance(step, Done):
                        stopped = False
                    else:
                        yield {"what": f"{name}: {step.what or 'opening the model'}", "share": step.share}
            except InputError as error:
                yield {"model": name, "error": str(error)}  # the others are measured all the same
                continue
            if found.count and (title is None or found.count > 1):
                if title and not stopped and found.done == count:
                    originals.setdefault(shape, found.originals)
                yield {"model": name, **self._row(name, found, data, shape, count)}
            if stopped:
                return
        if time.monotonic() > ends:
            minutes = f"{PATIENCE / 60:.0f} minutes"
            raise InputError(f"A measurement may take {minutes} on this server; what was measured by then is shown.")

    def _work(self, name, data, found: Measurement, numbers, features: str, originals: Moments | None, ends: float):
        # LocalContext's request goes along into the task's thread, so that the call counts as the visitor's.
        def work(report: Report) -> None:
            def compute(pixels) -> Batch:
                options = {"metrics": found.metrics, "features": features, "originals": originals is None}
                answer = self.server.answer(self.server.measured_call(name, pixels, **options))
                columns = {column: values.double() for column, values in answer["columns"].items()}
                return Batch(columns, answer["features"], answer["seconds"], answer["latent_bits"])

            def told(done: int, total: int) -> None:
                report(f"{done:,} of {total:,} images", done / total)
                if time.monotonic() > ends:
                    raise _OutOfTime

            # On a GPU that each call waits for, more of them.
            size = max(1, min(IN_A_CALL, 2**20 // data.shape[-1] ** 2)) * (
                TOGETHER if self.server.backend.together else 1
            )
            try:
                measure_by(compute, data, found, numbers=numbers, most=size, originals=originals, on_progress=told)
            except _OutOfTime:
                if originals is not None:
                    found.originals = originals

        return work

    def _row(self, name: str, found: Measurement, data, shape: Shape, count: int) -> dict:
        row = found.summary() | {"parameters": self.server.catalog.facts(name)["parameters"]}
        del row["worst"], row["peak_memory_mb"]
        columns = {column: [_short(value) for value in found.column(column).tolist()] for column in found.columns}
        images = {"numbers": found.numbers, "names": [name_of(data, i) for i in found.numbers], "columns": columns}
        return {"row": row, "images": images, "shape": list(shape), "wanted": count, "of": len(data)}

    def _shape(self, name: str, size: object) -> Shape:
        """What the model sees. size: for models that take any, None for their own."""
        facts = self.server.catalog.facts(name)
        side = facts["image_size"]
        if not facts["fixed_size"]:
            side = min(SIDE, side) if size is None else whole("The images' side", size, 16, SIDE)
        with self.sets.audience.limits():
            return side, facts["in_channels"], load_config(self.server.catalog.source(name)).border


class _OutOfTime(Exception):
    pass


def _is_name(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) < 1000


def _short(value: float) -> float | None:
    """Five digits are enough for a page; None for what JSON has no number for."""
    return float(f"{value:.5g}") if math.isfinite(value) else None
