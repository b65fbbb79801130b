"""The kernels for a GPU, run by Triton's interpreter on the CPU, against PyTorch's modules in float64.

The interpreter is chosen when Triton is imported, so test_fused_residual.py runs this file in a process of its own.
"""

import copy

import pytest
import torch
from torch import nn

from vae.models import fused_residual
from vae.models.conv import ConvBlock
from vae.models.group_norm import SHARED_STATISTICS
from vae.models.layers import ResBlock

LINED = torch.channels_last


def results(module, function, x, weights):
    """The value, and the gradients of x and of the module's parameters."""
    x = x.clone(memory_format=torch.preserve_format).requires_grad_()
    module.zero_grad()
    y = function(x)
    (y.double() * weights).sum().backward()
    return {"y": y.detach(), "x": x.grad} | {name: p.grad.clone() for name, p in module.named_parameters()}


def assert_close(found, truth, share):
    assert found.keys() == truth.keys()
    for name, value in truth.items():
        error = (found[name].double() - value).norm() / value.norm()
        assert error < share, f"{name}: {error:.2g} of it"


def block_and_input(fan_in, fan_out, groups, size, act, act_twice):
    torch.manual_seed(0)
    block = ResBlock(fan_in, fan_out, groups, 1e-6, act, act_twice).to(memory_format=LINED)
    for parameter in block.parameters():
        nn.init.normal_(parameter, std=0.3)
    # A mean that is not 0, where a variance loses digits.
    x = torch.randn(2, fan_in, *size).mul(2).add(1).bfloat16().float().contiguous(memory_format=LINED)
    return block, x, torch.randn(2, fan_out, *size, dtype=torch.float64)


def fused(block, x):
    shortcut = None if block.conv_shortcut is None else block.conv_shortcut(x)
    acts = block.act, block.act if block.act_twice else None
    return fused_residual.residual_block(x, shortcut, (block.norm1, block.norm2), (block.conv1, block.conv2), acts)


@pytest.mark.parametrize(
    ("fan_in", "fan_out", "groups", "size", "act", "act_twice"),
    [
        (8, 8, 4, (5, 7), "silu", True),
        (12, 24, 3, (9, 7), "silu", True),  # widths that are no powers of two, and a shortcut
        (12, 24, 3, (5, 4), "selu", False),  # the notebook's
        (8, 8, 2, (40, 33), "relu", True),  # several rows of tiles
        (8, 8, 2, (1, 2), "silu", True),
    ],
)
def test_a_block_and_its_gradients_are_the_modules(fan_in, fan_out, groups, size, act, act_twice):
    block, x, weights = block_and_input(fan_in, fan_out, groups, size, act, act_twice)
    found = results(block, lambda x: fused(block, x), x, weights)
    with torch.no_grad():  # as in validation
        torch.testing.assert_close(fused(block, x), found["y"], rtol=0, atol=0)
    assert_close(found, results(block.double(), block, x.double(), weights), 1e-5)


def test_tiles_share_their_statistics_as_with_the_modules():
    block, x, _ = block_and_input(12, 24, 3, (9, 7), "silu", True)
    found = []
    for compute in (lambda x: fused(block, x), block):
        token = SHARED_STATISTICS.set({})
        try:
            with torch.no_grad():
                found.append(
                    [compute(part) for part in (x, x[:1] * 3 - 1)]
                )  # measured in the first, used in the second
        finally:
            SHARED_STATISTICS.reset(token)
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-3)


def test_under_autocast_it_is_as_near_to_the_truth_as_the_modules():
    block, x, weights = block_and_input(16, 16, 4, (8, 9), "silu", True)

    def cast(function):
        def call(x):
            with torch.autocast("cpu", torch.bfloat16):
                return function(x)

        return call

    found = results(block, cast(lambda x: fused(block, x)), x, weights)
    known = results(block, cast(lambda x: block(x)), x, weights)
    truth = results(block.double(), block, x.double(), weights)
    assert found["y"].dtype == torch.bfloat16
    for name, value in truth.items():
        ours, theirs = ((each[name].double() - value).norm() / value.norm() for each in (found, known))
        assert ours < max(1.5 * theirs, 0.006), f"{name}: {ours:.2g} against {theirs:.2g}"


@pytest.mark.parametrize("act", ["silu", None])
def test_a_norm_alone(act):
    torch.manual_seed(0)
    norm = nn.GroupNorm(3, 12)
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    x = torch.randn(3, 12, 6, 5).add(3).contiguous(memory_format=LINED)
    weights = torch.randn(3, 12, 6, 5, dtype=torch.float64)
    found = results(norm, lambda x: fused_residual.norm_act(x, norm, act), x, weights)
    assert found["y"].is_contiguous(memory_format=LINED)
    plain = nn.functional.silu if act else nn.Identity()
    assert_close(found, results(norm.double(), lambda x: plain(norm(x)), x.double(), weights), 1e-5)


def test_a_block_with_batch_norm_and_its_running_statistics():
    torch.manual_seed(0)
    block = ConvBlock(6, 12).to(memory_format=LINED)
    for parameter in block.parameters():
        nn.init.normal_(parameter, std=0.5)
    exact = copy.deepcopy(block).double()
    x = torch.randn(3, 6, 20, 30).mul(2).add(1).contiguous(memory_format=LINED)
    weights = torch.randn(3, 12, 20, 30, dtype=torch.float64)
    conv, norm, _ = block
    found = results(block, lambda x: fused_residual.conv_norm_act(x, conv, norm), x, weights)
    truth = results(exact, exact, x.double(), weights)
    assert not found.pop("0.bias").any() and truth.pop("0.bias").norm() < 1e-9
    assert_close(found, truth, 1e-5)
    for name, value in exact[1].named_buffers():
        torch.testing.assert_close(dict(norm.named_buffers())[name], value, check_dtype=False, rtol=1e-5, atol=1e-5)
