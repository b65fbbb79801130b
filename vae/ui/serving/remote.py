"""The page's computing sent to replicas on a Ray cluster; see ray_app.py for what runs there."""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from vae import inference
from vae.checkpoints.find_model import bundled
from vae.errors import InputError
from vae.models import AutoEncoder
from vae.ui.serving import wire
from vae.ui.serving.jobs import Call
from vae.ui.settings import guard_ray

BEAT = 0.25  # seconds between two looks whether anybody still waits
TRIES = 6  # of a call that lost its replica; it may be what killed it
PAUSE = 0.2  # seconds before the second, doubled each time
log = logging.getLogger(__name__)
NO_RAY = "VAE_SERVE=ray needs the library Ray: pip install 'ray[serve]'."
NO_ANSWER = "None of the machines that compute answered; try again in a minute, or with something smaller."


class RemoteModels:
    """A backend of ModelServer. Calls are functions of what they say, so one whose replica dies is made again."""

    reports = True  # that it is waited for, which is when one can stop
    together = False

    def __init__(self):
        """Raises InputError where there is no Ray, no cluster, or no application on it."""
        guard_ray()
        try:
            import ray
            from ray import serve
        except ModuleNotFoundError:
            raise InputError(NO_RAY) from None
        from vae.ui.serving.ray_app import APP, model_id

        self._model_id, self._lock = model_id, threading.Lock()
        try:
            if not ray.is_initialized():
                ray.init(address="auto", log_to_driver=False, configure_logging=False)
            self._handle = serve.get_app_handle(APP)
        except Exception as error:
            raise InputError(
                "VAE_SERVE=ray finds no models on a Ray cluster; start them with `python -m vae serve`, and say in "
                "RAY_ADDRESS where that is."
            ) from error

    def answers(self, calls: Sequence[Call], progress: inference.Progress | None = None) -> list[Any]:
        """As LoadedModels has it."""
        return [self._answer(call, progress) for call in calls]

    def open(self, source: str, progress: Callable[[int, int], None] | None = None) -> AutoEncoder | None:
        """Have a replica load the model; how far that is does not come back."""
        found = self._answer(Call("opened", (source,)), None)
        if isinstance(found, InputError):
            raise found
        return None

    def _answer(self, call: Call, progress: inference.Progress | None) -> Any:
        from ray.exceptions import RayActorError, RayTaskError
        from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError, ReplicaUnavailableError

        call = Call(call.job, tuple(map(_portable, call.sources)), call.arguments, call.strangers)
        data = wire.pack(call)
        for tries in range(1, TRIES + 1):
            response = self._handle.options(multiplexed_model_id=self._model_id(call.sources[0])).remote(data)
            try:
                return wire.unpack(self._wait(response, progress))
            except BackPressureError:
                raise InputError("Too many calls are waiting already; try again in a minute.") from None
            except RayTaskError:  # a mistake of ours there; another replica would make it again
                raise
            except (RayActorError, DeploymentUnavailableError, ReplicaUnavailableError) as error:
                if tries == TRIES:
                    log.error("no replica answered %s", call.job, exc_info=error)
                    raise InputError(NO_ANSWER) from None
                time.sleep(PAUSE * 2 ** (tries - 1))

    def _wait(self, response, progress: inference.Progress | None) -> bytes:
        try:
            while True:
                try:
                    return response.result(timeout_s=BEAT if progress else None)
                except TimeoutError:
                    if progress is None:
                        raise
                    progress("Computing", 0, 0)
        except BaseException:
            response.cancel()
            raise


def _portable(source: str) -> str:
    """The source as it is known on any machine: a bundled model by its name."""
    return next((name for name, folder in bundled().items() if folder == Path(source)), source)
