"""Processes forked from a server that has imported all that is heavy, so that starting one takes no time."""

import multiprocessing
import time
from multiprocessing.context import ForkServerContext

# There is one such server for all tests, so that it has what any of them wants.
PRELOADED = ["vae.ui.app", "vae.training.loop", "vae.data.builtin", "sklearn.datasets", "torch._dynamo", "tiny_runs"]


def forking() -> ForkServerContext:
    """Starts processes; the imports are done."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    first = context.Process(target=time.time)
    first.start()  # the server imports now, not while something is timed
    first.join()
    return context
