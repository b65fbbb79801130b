"""What `python -m vae serve` runs on a Ray cluster: replicas that hold models and answer calls.

A replica keeps the last few models, and a call goes to one that has its model (Ray calls that multiplexing). The passes
of several calls through a small model's network are made as one. Nothing here imports Gradio.
"""

import asyncio
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from functools import partial
from typing import Any

import torch
from ray import serve
from torch import Tensor

from vae import limits, plugins
from vae.checkpoints.store import load
from vae.distributions import DiagonalGaussian
from vae.errors import InputError
from vae.models import AutoEncoder
from vae.ui.serving import wire
from vae.ui.serving.jobs import Call, answer, stamp
from vae.ui.serving.tasks import Stopped

APP = "vae-studio"
KEPT = 3  # models in a replica
SMALL = 5_000_000, 64  # parameters, and pixels of an image's side, of models whose passes are made together, at most
AT_ONCE = 8  # calls in a replica, of which those of one large model take turns
WAITING = 256  # calls that no replica has room for, from one page's server

Pass = tuple[Callable[[Tensor], Any], Tensor]


def model_id(source: str) -> str:
    """What Ray knows a model by: another one once other priors lie beside it."""
    return f"{stamp(source)} {source}"


class Replica:
    """Answers one packed Call with its packed result, or with the InputError that refused it."""

    def __init__(self, batch: int, names: Sequence[str] = ()):
        """batch: how many passes through a small model are made together at most. names: of plugins to import."""
        for name in names:
            plugins.import_plugin(name)
        self.batch = batch
        self.joined.set_max_batch_size(batch)
        self._turn = asyncio.Lock()
        # Apart, since a job's thread waits for the thread that makes its passes.
        self._jobs, self._passes = ThreadPoolExecutor(AT_ONCE), ThreadPoolExecutor(1)

    async def __call__(self, data: bytes) -> bytes:
        call: Call = wire.unpack(data)
        try:
            with limits.for_strangers(call.strangers):
                models = {source: await self.model(model_id(source)) for source in call.sources}
            result = await self._answer(call, models)
        except InputError as error:
            result = error
        return await asyncio.to_thread(wire.pack, result)

    @serve.multiplexed(max_num_models_per_replica=KEPT)
    async def model(self, name: str) -> AutoEncoder:
        source = name.partition(" ")[2]
        model = await asyncio.to_thread(load, source)
        return self._joining(model) if self.batch > 1 and is_small(model) else model

    async def _answer(self, call: Call, models: dict[str, AutoEncoder]) -> Any:
        gone = threading.Event()

        def progress(what: str, done: int, total: int) -> None:
            if gone.is_set():
                raise Stopped

        alone = not (self.batch > 1 and all(map(is_small, models.values())))
        async with self._turn if alone else nullcontext():  # two large ones at once would only take memory
            job = partial(answer, call, models.__getitem__, progress)
            try:
                return await asyncio.get_running_loop().run_in_executor(self._jobs, job)
            except asyncio.CancelledError:  # nobody waits any more
                gone.set()
                raise

    def _joining(self, model: AutoEncoder) -> AutoEncoder:
        """The model, whose passes wait for those of other calls while one is made."""
        loop, encode, decode = asyncio.get_running_loop(), model.encode, model.decode

        def through(network: Callable[[Tensor], Any], x: Tensor) -> Any:
            found = asyncio.run_coroutine_threadsafe(self.joined((network, x)), loop).result()
            if isinstance(found, Exception):
                raise found
            return found

        model.encode = lambda x: through(encode, x)
        model.decode = lambda z: through(decode, z)
        return model

    @serve.batch(max_batch_size=1, batch_wait_timeout_s=0)  # nobody waits for others who may never come
    async def joined(self, passes: list[Pass]) -> list[Any]:
        return await asyncio.get_running_loop().run_in_executor(self._passes, join, passes)


def is_small(model: AutoEncoder) -> bool:
    return model.config.fixed_size and model.parameter_count <= SMALL[0] and model.config.sample_size <= SMALL[1]


@torch.inference_mode()
def join(passes: Sequence[Pass]) -> list[Any]:
    """The result of each pass network(x), or its exception; those of one network and shape are computed together."""
    results: list[Any] = [None] * len(passes)
    groups: dict[tuple, list[int]] = {}
    for i, (network, x) in enumerate(passes):
        groups.setdefault((network, x.shape[1:], x.dtype, x.device), []).append(i)
    for members in groups.values():
        network, inputs = passes[members[0]][0], [passes[i][1] for i in members]
        try:
            found, start = network(torch.cat(inputs) if len(inputs) > 1 else inputs[0]), 0
            for i, x in zip(members, inputs, strict=True):
                results[i] = _rows(found, slice(start, start + len(x)))
                start += len(x)
        except Exception as error:
            if len(members) == 1:
                results[members[0]] = error
            else:  # one call's mistake is not the others'
                for i in members:
                    (results[i],) = join([passes[i]])
    return results


def _rows(found: Tensor | DiagonalGaussian, rows: slice) -> Any:
    return found.map(lambda part: part[rows]) if isinstance(found, DiagonalGaussian) else found[rows]


def application(least: int, most: int, gpus: float, cpus: float, batch: int) -> serve.Application:
    """As many replicas as the calls that wait ask for, from `least` to `most`, each with that share of a GPU and so
    many processor cores."""
    deployment = serve.deployment(
        name="Replica",
        ray_actor_options={
            "num_gpus": gpus,
            "num_cpus": cpus,
            "runtime_env": {"env_vars": {"OMP_NUM_THREADS": str(max(1, int(cpus)))}},
        },
        autoscaling_config={
            "min_replicas": least,
            "initial_replicas": least,
            "max_replicas": most,
            "target_ongoing_requests": AT_ONCE / 2,
            "upscale_delay_s": 10,
            "downscale_delay_s": 300,
        },
        max_ongoing_requests=AT_ONCE,
        max_queued_requests=WAITING,
        health_check_period_s=2,
        graceful_shutdown_timeout_s=10,
    )(Replica)
    return deployment.bind(batch, tuple(plugins.imported))
