import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from peers import randomise

import vae
from vae.errors import InputError
from vae.models import build, precision
from vae.models.autoencoder_kl import KLConfig
from vae.models.layers import Attention, EnlargingConv, attend

SMALL = KLConfig(block_out_channels=(8, 16, 16), layers_per_block=1, norm_num_groups=4)


def decibels(a, b):
    return -10 * math.log10((a.float() - b.float()).square().mean().item() / 4)


@pytest.mark.parametrize("batch", [1, 2])
def test_enlarging_in_one_step_equals_two(batch):
    conv = randomise(EnlargingConv(6, 6, 3, padding=1))
    x = torch.randn(batch, 6, 40, 33, generator=torch.Generator().manual_seed(0))
    expected = F.conv2d(F.interpolate(x, scale_factor=2.0), conv.weight, conv.bias, padding=1)
    with torch.no_grad():
        torch.testing.assert_close(conv(x), expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(conv(x), expected, atol=1e-5, rtol=0)  # the way that records gradients


def test_attention_by_rows_equals_the_fused_kernel():
    q, k, v = torch.randn(3, 2, 700, 16, generator=torch.Generator().manual_seed(0)).unbind()
    expected = F.scaled_dot_product_attention(q, k, v)
    with torch.no_grad():
        ours = attend(q.bfloat16(), k.bfloat16(), v.bfloat16())
    assert decibels(ours, expected) > 50


def test_in_part_bfloat16_stays_near_and_leaves_the_weights_alone(monkeypatch):
    monkeypatch.setattr(precision, "has_bfloat16", lambda device: True)
    plain = randomise(build(SMALL))
    fast = precision.use_mixed_precision(precision.to_fast_layout(randomise(build(SMALL))))
    assert fast.dtype == torch.float32
    assert all(torch.equal(tensor, fast.state_dict()[name]) for name, tensor in plain.state_dict().items())
    x = torch.rand(1, 3, 160, 176, generator=torch.Generator().manual_seed(0)) * 2 - 1
    with torch.inference_mode():
        z = plain.encode(x).mean
        whole, quick = plain.decode(z), fast.decode(z)
        assert not torch.equal(whole, quick)  # it is used
        scale = whole.abs().max()
        assert decibels(quick / scale, whole / scale) > 40
        assert decibels(fast.encode(x).mean, z) > 40
    torch.testing.assert_close(fast.decode(z.clone()), plain.decode(z.clone()), atol=1e-4, rtol=1e-4)  # with gradients


@torch.inference_mode()
@pytest.mark.parametrize(
    "shape",
    [
        {"block_out_channels": (8,)},
        {"block_out_channels": (8, 16)},
        {"encoder_attention": (True, False, True), "decoder_attention": (True, True, False)},
    ],
)
def test_attention_computes_in_its_own_format_wherever_it_stands(monkeypatch, shape):
    monkeypatch.setattr(precision, "has_bfloat16", lambda device: True)
    plain = randomise(build(replace(SMALL, **shape)))
    fast = precision.use_mixed_precision(randomise(build(replace(SMALL, **shape))))
    x = torch.rand(1, 3, 32, 48, generator=torch.Generator().manual_seed(0)) * 2 - 1
    z = plain.encode(x).mean
    assert decibels(fast.encode(x).mean, z) > 30
    assert decibels(fast.decode(z) / (scale := plain.decode(z).abs().max()), plain.decode(z) / scale) > 30


def test_without_bfloat16_nothing_changes(monkeypatch):
    monkeypatch.setattr(precision, "has_bfloat16", lambda device: False)
    model = precision.use_mixed_precision(build(SMALL))
    assert not any(getattr(module, "in_bfloat16", False) for module in model.modules())


def test_auto_is_a_choice_of_load(tmp_path, monkeypatch):
    monkeypatch.setattr(precision, "has_bfloat16", lambda device: device.type == "cpu")
    vae.save(randomise(build(SMALL)), tmp_path / "m")
    found = [vae.load(tmp_path / "m", "cpu", dtype) for dtype in (None, "auto")]
    in_bfloat16 = [[m.in_bfloat16 for m in model.modules() if isinstance(m, Attention)] for model in found]
    assert in_bfloat16 == [[False, False], [True, True]]
    with pytest.raises(InputError, match=r"The dtype must be .* not 'half'"):
        vae.load(tmp_path / "m", dtype="half")
