"""A stand-in for the library `spaces`, which runs what ZeroGPU would: in another process, forked, its arguments and
results pickled, of an exception its class alone; and remembers what was asked for."""

import multiprocessing
import pickle
import sys
from collections.abc import Callable
from functools import partial, wraps
from types import ModuleType

import torch


class Spaces(ModuleType):
    """acquisitions: the seconds each call said it would take. dry: whether calls are noted only; each is refused."""

    def __init__(self):
        super().__init__("spaces")
        self.acquisitions: list[float] = []
        self.dry = False

    def GPU(self, task: Callable | None = None, *, duration=60):
        if task is None:
            return partial(self.GPU, duration=duration)

        @wraps(task)
        def call(*arguments, **named):
            self.acquisitions.append(duration(*arguments, **named) if callable(duration) else duration)
            if self.dry:
                raise RuntimeError("dry")
            return _elsewhere(task, pickle.dumps((arguments, named)))

        return call


def _elsewhere(task: Callable, data: bytes):
    fork = multiprocessing.get_context("fork")
    ours, theirs = fork.Pipe()
    worker = fork.Process(target=_work, args=(task, data, theirs), daemon=True)
    worker.start()
    theirs.close()
    try:
        kind, result = pickle.loads(ours.recv_bytes())
    except EOFError:
        raise RuntimeError("ZeroGPU worker error: GPU task aborted") from None
    finally:
        worker.join()
    if kind == "error":
        raise RuntimeError(f"ZeroGPU worker error: {result}")
    return result


def _work(task: Callable, data: bytes, pipe) -> None:
    torch.set_num_threads(1)  # OpenMP's threads do not outlive a fork
    arguments, named = pickle.loads(data)
    try:
        answer = pickle.dumps(("result", task(*arguments, **named)))
    except Exception as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        answer = pickle.dumps(("error", type(error).__name__))
    pipe.send_bytes(answer)
