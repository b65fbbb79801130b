"""Whether what is computed is recorded, as a graph or for gradients: the networks take their short cuts only if not."""

import torch


def is_graphed() -> bool:
    """Whether torch.export or torch.jit.trace writes down what is computed. The plain way is taken then, whatever the
    images' size and whether gradients are wanted: the graph must hold for others, and torch.jit.trace makes it twice,
    with gradients and without."""
    if torch.compiler.is_exporting():
        return True
    return not torch.compiler.is_compiling() and torch.jit.is_tracing()


def is_inference() -> bool:
    """Whether nothing is recorded, so that activations may be overwritten and number formats changed."""
    return not torch.is_grad_enabled() and not is_graphed()
