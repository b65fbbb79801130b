"""Where the page's computing runs: in this process, or, on ZeroGPU, in one that has a GPU for the time of a call."""

import os
from collections.abc import Callable


def zero_gpu() -> bool:
    """Whether each call gets a GPU for its own duration only, in a process of its own."""
    return bool(os.environ.get("SPACES_ZERO_GPU"))


def on_gpu(function: Callable) -> Callable:
    """On ZeroGPU `function` wrapped so that it gets a GPU for its duration; elsewhere itself."""
    if not zero_gpu():
        return function
    import spaces

    return spaces.GPU(function)
