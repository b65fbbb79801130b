"""How a training computes on its device without its being seen: number format, memory layout, compiled or not."""

from collections.abc import Callable

import torch
from torch import nn

from vae.device import has_bfloat16
from vae.errors import InputError
from vae.models import AutoEncoder, ConvConfig, config_from_dict, fused_residual, is_own
from vae.models.layers import Attention, Downsample, ResBlock, Upsample
from vae.training.config import TrainConfig

COMPILED = (ResBlock, Attention, Downsample, Upsample)  # what is compiled, once for every shape it occurs in
SHAPES = 64  # that one of them may be compiled for; by default 8
WORTH_COMPILING = 5_000  # updates of a large network that the wait for the compiler pays for


def chosen_precision(config: TrainConfig, device: torch.device) -> str:
    """What the config's "auto" is: bfloat16 where the device has it, but not for the MNIST tutorial's network on a GPU,
    which it makes slower: there a kernel costs its launch, and the conversions are more of them."""
    if config.precision != "auto":
        return config.precision
    launches = device.type == "cuda" and isinstance(config_from_dict(config.model), ConvConfig)
    return "bf16" if has_bfloat16(device) and not launches else "fp32"


def is_compiled(config: TrainConfig, model: AutoEncoder, device: torch.device, graphed: bool, updates: int) -> bool:
    """Whether `compile_blocks` is to be used: as the config says, or for "auto" on a GPU in a long run of a large
    network of ours that has no kernels of its own, with images of one size."""
    if config.compile != "auto" or device.type != "cuda" or config.equivariance or is_own(config.model):
        return config.compile == "on"
    fused = fused_residual.is_available() and any(isinstance(module, ResBlock) for module in model.modules())
    return fused_residual.is_available() and not graphed and not fused and updates >= WORTH_COMPILING


def memory_format(model: AutoEncoder, device: torch.device, compiled: bool) -> torch.memory_format:
    """In which the model and its images train fastest: channels last, which convolutions want, but on a GPU not where
    norms would be PyTorch's own: its group norm copies there and back. One's own network may count on the usual one."""
    if is_own(model.config):
        return torch.contiguous_format
    norms = any(isinstance(module, nn.GroupNorm | nn.BatchNorm2d) for module in model.modules())
    copies = device.type == "cuda" and norms and (compiled or not fused_residual.is_available())
    return torch.contiguous_format if copies else torch.channels_last


def compile_blocks(model: AutoEncoder, check: Callable[[], None] = lambda: None) -> None:
    """In place: compile the blocks that a network repeats, which takes a fraction of what the whole would; a network
    that has none of them as a whole. check: called before each of them, so that what it raises ends the wait for the
    compiler between two blocks."""
    torch._dynamo.config.recompile_limit = max(torch._dynamo.config.recompile_limit, SHAPES)
    blocks = [module for module in model.modules() if isinstance(module, COMPILED)]
    for block in blocks:
        block.compile(fullgraph=True, dynamic=False)
        block._compiled_call_impl = _checked(block._compiled_call_impl, check)
    if not blocks:
        # What cannot be compiled of one's own network runs as it is.
        torch._dynamo.config.suppress_errors |= is_own(model.config)
        model.compile(dynamic=False)


def checkpoint_blocks(model: AutoEncoder) -> None:
    """In place: of the network's blocks only the inputs are kept in training. Raises InputError for a network that has
    none; the convolutional VAE's batch norm, computed again, would count every batch twice."""
    chains = [module for module in model.modules() if hasattr(module, "checkpointing")]
    if not chains:
        raise InputError(
            "Gradient checkpointing is for networks of residual blocks, such as those of the sd presets and TAESD; "
            f"a {type(model).__name__} has none."
        )
    for chain in chains:
        chain.checkpointing = True


def _checked(function: Callable, check: Callable[[], None]) -> Callable:
    def call(*arguments, **named):
        check()
        return function(*arguments, **named)

    return call
