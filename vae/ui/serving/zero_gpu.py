"""Where the page's computing runs on ZeroGPU: in a process that has a GPU for the time of a call."""

from collections.abc import Callable


def on_zero_gpu(function: Callable) -> Callable:
    """`function`, wrapped so that it gets a GPU for its duration."""
    import spaces

    return spaces.GPU(function)
