"""How much memory a training takes: estimated, made less, and filled."""

import json

import pytest
import torch
from tiny_runs import tiny, tiny_kl

from vae import limits
from vae.errors import InputError
from vae.models import TinyConfig, build, config_to_dict
from vae.training import memory
from vae.training.hardware import checkpoint_blocks
from vae.training.loop import fit
from vae.training.presets import preset

CPU, GPU = torch.device("cpu"), torch.device("cuda")
SMALL = TinyConfig(
    sample_size=8,
    in_channels=1,
    out_channels=1,
    encoder_block_out_channels=(8, 8),
    decoder_block_out_channels=(8, 8),
    num_encoder_blocks=(1, 1),
    num_decoder_blocks=(1, 1),
    mid_block_pool=True,
)


@pytest.fixture
def machine(monkeypatch):
    return lambda size: monkeypatch.setattr(limits, "memory", lambda: int(size))


def gradients(model) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(3, 1, 8, 8, generator=generator) * 2 - 1
    model.zero_grad()
    x_hat, posterior = model(x, torch.randn(3, *model.latent_shape(), generator=generator))
    ((x_hat - x).square().mean() + posterior.kl().mean()).backward()
    return [parameter.grad.clone() for parameter in model.parameters() if parameter.grad is not None]


@pytest.mark.parametrize("config", [tiny_kl().model, config_to_dict(SMALL)], ids=["kl", "tiny"])
@pytest.mark.parametrize("frozen", [False, True])
def test_blocks_computed_again_have_the_same_gradients(config, frozen):
    model = build(config)
    model.encoder.requires_grad_(not frozen)
    before = gradients(model)
    runs = []
    block = model.decoder.up_blocks[0].resnets[0] if hasattr(model.decoder, "up_blocks") else model.decoder.layers[2]
    block.register_forward_pre_hook(lambda *_: runs.append(1))
    checkpoint_blocks(model)
    assert all(torch.equal(*pair) for pair in zip(before, gradients(model), strict=True))
    assert len(runs) == 2
    with torch.no_grad():
        model(torch.zeros(1, 1, 8, 8))
    assert len(runs) == 3


def test_blocks_computed_again_may_be_compiled():
    model = build(tiny_kl().model)
    before = gradients(model)
    checkpoint_blocks(model)
    for block in (model.decoder.mid_block.attentions[0], model.encoder.mid_block.resnets[0]):
        block.compile(fullgraph=True, dynamic=False, backend="aot_eager")
    for pair in zip(before, gradients(model), strict=True):
        torch.testing.assert_close(*pair)


def test_a_training_that_computes_blocks_again_is_the_same(tmp_path):
    plain, again = (
        fit(tiny_kl(epochs=1, gradient_checkpointing=on), tmp_path / f"{on}", device="cpu").metrics()[-1]["loss"]
        for on in (False, True)
    )
    assert plain == again
    with pytest.raises(InputError, match=r"networks of residual blocks.*ConvVAE has none"):
        fit(tiny(gradient_checkpointing=True), tmp_path / "conv", device="cpu")


def test_the_estimate_follows_size_batch_and_checkpointing():
    asked = preset("sd", size=256, batch_size=16)
    assert 25e9 < memory.needed(asked, GPU) < 35e9
    assert memory.needed(preset("sd", size=128, batch_size=64), GPU) == pytest.approx(
        memory.needed(asked, GPU), rel=0.1
    )
    again = preset("sd", size=256, batch_size=16, gradient_checkpointing=True)
    assert memory.needed(again, GPU) < 0.5 * memory.needed(asked, GPU)


def test_as_many_images_as_fit(machine):
    config = preset("sd-small", batch_size="auto")
    one, two = (memory.needed(preset("sd-small", batch_size=n), CPU) for n in (1, 2))
    for room, batch in ((one, 1), (two, 2), (one + 6.9 * (two - one), 4), (one + 7 * (two - one), 8), (1e12, 256)):
        machine(room / limits.share().memory + 16)
        assert memory.fitting_batch(config, CPU) == batch
    machine(one)
    with pytest.raises(InputError, match=r"A batch of 1 image of 64x64 pixels would take about .* GB of memory"):
        memory.fitting_batch(config, CPU)


def test_the_batch_that_was_found_is_kept(tmp_path, machine):
    machine(memory.needed(tiny(batch_size=128), CPU) / limits.share().memory + 16)
    run = fit(tiny(batch_size="auto", epochs=1), tmp_path / "run", device="cpu")
    assert run.config()["batch_size"] == 128
    machine(1e12)
    resumed = fit(tiny(batch_size="auto", epochs=2), tmp_path / "run", resume=True, device="cpu")
    assert json.loads((run.folder / "config.json").read_text())["batch_size"] == 128
    assert resumed.metrics()[-1]["step"] == 2 * (1437 // 128)


def test_what_is_too_large_is_refused_before_anything_is_written(tmp_path, machine):
    machine(1e4)
    with pytest.raises(InputError, match="would take about") as caught:
        fit(tiny_kl(batch_size="auto"), tmp_path / "run", device="cpu")
    assert "\n" not in str(caught.value) and not (tmp_path / "run").exists()
