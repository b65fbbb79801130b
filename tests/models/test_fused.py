import copy

import pytest
import torch
from torch import nn

from vae.models import ConvConfig, build, fused
from vae.models.conv import ConvBlock


@pytest.fixture
def fuse(monkeypatch):
    """Switches it on or off whatever the size."""

    def switch(on: bool):
        monkeypatch.setattr("vae.models.conv.is_faster", lambda x, conv, norm: on and norm.training)

    return switch


def losses(model, x):
    y, posterior = model(x, torch.ones(len(x), *model.latent_shape(), dtype=x.dtype) * 0.3)
    return (y - x).square().sum() + posterior.kl().sum()


def test_it_computes_what_the_modules_do_and_the_same_gradients_and_statistics(fuse):
    torch.manual_seed(0)
    modules = build(ConvConfig(features=(1, 4, 6, 2), sample_size=8)).double().train()
    for bias in (p for name, p in modules.named_parameters() if name.endswith("bias")):
        nn.init.normal_(bias)  # a bias before batch norm must come into the running mean
    one = copy.deepcopy(modules)
    x = torch.rand(5, 1, 8, 8, dtype=torch.float64) * 2 - 1
    fuse(False)
    expected = losses(modules, x)
    expected.backward()
    fuse(True)
    found = losses(one, x)
    found.backward()
    torch.testing.assert_close(found, expected)
    for (name, ours), theirs in zip(one.named_parameters(), modules.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-6, atol=1e-8, msg=name)
    for (name, ours), theirs in zip(one.named_buffers(), modules.buffers(), strict=True):
        # The modules' own statistics are float64; the moments of the posterior are float32 in both.
        torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-8, msg=name)


@pytest.mark.parametrize("enlarge", [False, True])
def test_its_gradients_are_those_of_differences(enlarge):
    torch.manual_seed(0)
    block = ConvBlock(2, 3).double().train()
    x = torch.randn(2, 2, 4, 4, dtype=torch.float64, requires_grad=True)

    def function(x, weight, gamma, beta):
        return fused._ConvNormAct.apply(x, weight, block[0].bias, gamma, beta, 1e-5, 0.01, enlarge)[0]

    assert torch.autograd.gradcheck(function, (x, block[0].weight, block[1].weight, block[1].bias))


def test_bfloat16_is_as_near_to_the_truth_as_the_modules_are(fuse):
    torch.manual_seed(0)
    block = ConvBlock(8, 8).train()
    x = torch.randn(64, 8, 16, 16).contiguous(memory_format=torch.channels_last)
    errors = {}
    exact = nn.Sequential.forward(copy.deepcopy(block).double(), x.double())
    for on in (False, True):
        fuse(on)
        with torch.autocast("cpu", torch.bfloat16):
            y = block(x)
        assert y.dtype == torch.bfloat16
        errors[on] = (y - exact).norm() / exact.norm()
    assert errors[True] < 1.5 * errors[False] < 0.02


def test_it_is_used_in_training_on_the_cpu_with_many_pixels_and_few_channels_only():
    block, x = ConvBlock(1, 8), torch.zeros(16, 1, 32, 32)
    assert fused.is_faster(x, block[0], block[1])
    assert not fused.is_faster(x[:1], block[0], block[1])
    wide = ConvBlock(1, 16)
    assert not fused.is_faster(x, wide[0], wide[1])
    with torch.no_grad():
        assert not fused.is_faster(x, block[0], block[1])
    block.eval()
    assert not fused.is_faster(x, block[0], block[1])


def test_the_names_in_a_state_dict_are_the_modules():
    names = build(ConvConfig()).state_dict().keys()
    assert {"encoder.1.1.0.weight", "encoder.4.weight", "decoder.1.1.1.running_mean", "decoder.3.3.bias"} <= names
