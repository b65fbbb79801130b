"""Stress tests for the page: what each model's reconstruction of one image bears, stage by stage."""

import math
import time
from collections.abc import Iterator

from vae.errors import InputError
from vae.evaluation.stress import TESTS, Stage
from vae.ui.components import error_text, whole
from vae.ui.serving.models import ModelServer
from vae.ui.serving.tasks import Done, Tasks
from vae.ui.uploads import link, read_picture

MODELS = 6
CYCLES = 50
SIDE = 1024  # pixels at most, as Compare has it
PATIENCE = 120.0  # seconds that a stranger's test of all its models may take
LATE = f"A test may take {PATIENCE:.0f} seconds on this server."
SMALL = 256  # where the whole model is computed in formats that a CPU is slow at


def answers(server: ModelServer, tasks: Tasks, asked: dict) -> Iterator[dict]:
    """asked: {ticket, picture, models, test, cycles, seed}. Each answer has the ticket; `what` is done and the `share`
    of it; or of a model its `stages`, or an `error` in one sentence. The last is `done`."""
    ticket = {"ticket": str(asked.get("ticket"))[:80]}
    try:
        models, test = asked.get("models"), asked.get("test")
        models = (
            list(dict.fromkeys(name for name in models if isinstance(name, str))) if isinstance(models, list) else []
        )
        if not 1 <= len(models) <= MODELS:
            raise InputError(f"One to {MODELS} models are tested at a time.")
        if not isinstance(test, str) or test not in TESTS:
            raise InputError(f"The test is {', '.join(TESTS)}.")
        options = {"test": test, "max_side": SMALL if test == "precision" else SIDE}
        options["cycles"] = whole("The number of round trips", asked.get("cycles", 10), 1, CYCLES)
        options["seed"] = whole("The seed", asked.get("seed", 0), 0, 2**53)
        picture = read_picture(asked.get("picture"))
        ends = time.monotonic() + PATIENCE if server.catalog.audience.asked_by_stranger() else math.inf
        works = server.together([lambda name=name: server.stress_call(name, picture, **options) for name in models])
        for name, work in zip(models, works, strict=True):
            stages = None
            try:
                for step in tasks.watch(ticket["ticket"], work):
                    if isinstance(step, Done):
                        stages = step.result
                        yield ticket | {"model": name, "stages": [_told(name, stage) for stage in stages]}
                    elif time.monotonic() > ends:
                        yield ticket | {"model": name, "error": LATE}
                        break
                    else:
                        yield ticket | {"what": f"{name}: {step.what}", "share": step.share}
            except InputError as error:
                yield ticket | {"model": name, "error": str(error)}  # the others are tested all the same
                continue
            if stages is None:
                break  # stopped
    except Exception as error:
        yield ticket | {"error": error_text(error, "testing")}
    yield ticket | {"done": True}


def _told(name: str, stage: Stage) -> dict:
    return {
        "label": stage.label,
        "at": stage.at,
        "image": link(stage.image, f"{name.split('/')[-1]}-{stage.label}"),
        "width": stage.image.width,
        "psnr": stage.psnr if stage.psnr < float("inf") else None,
        "ssim": stage.ssim,
        "delta_e": stage.delta_e,
        "drift": [round(value, 4) for value in stage.drift],
        "remark": stage.remark,
    }
