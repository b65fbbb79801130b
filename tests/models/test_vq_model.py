import math

import pytest
import torch
from peers import randomise
from PIL import Image
from tiny_runs import tiny

from vae import tiling
from vae.checkpoints.diffusers_config import read_config
from vae.checkpoints.store import load, save
from vae.data.sets import load_data
from vae.errors import InputError
from vae.evaluation.evaluate import evaluate
from vae.evaluation.measure import Judges, batch_figures
from vae.inference import reconstruct
from vae.models import build, config_to_dict
from vae.models.vq_model import VQConfig, codebook_use
from vae.training.loop import fit
from vae.ui.tabs.reconstruct import codebook_text

SMALL = VQConfig(
    sample_size=8,
    in_channels=1,
    out_channels=1,
    block_out_channels=(8, 8),
    layers_per_block=1,
    norm_num_groups=4,
    latent_channels=2,
    num_vq_embeddings=20,
)


@torch.inference_mode()
def test_the_posterior_is_a_point_on_the_codebook():
    model = randomise(build(SMALL))
    posterior = model.encode(torch.rand(3, 1, 8, 8))
    codes = model.codes(posterior.mean)
    assert codes.shape == (3, 4, 4) and codes.max() < 20 == model.codebook_size
    assert torch.equal(model.quantize.embedding.weight[codes].movedim(-1, 1), posterior.mode())
    assert not posterior.kl().any() and torch.equal(posterior.sample(), posterior.mode())
    moved = posterior.mean + 1e-4
    torch.testing.assert_close(model.decode(moved), model.decode(posterior.mean))


def test_a_latent_takes_as_many_bits_as_its_indices():
    model = randomise(build(SMALL)).eval()
    found = reconstruct(model, Image.new("L", (8, 8), 90))
    batch = batch_figures(model, torch.zeros(2, 1, 8, 8, dtype=torch.uint8), ("psnr",), Judges())
    assert found.bits_per_pixel == pytest.approx(4 * 4 * math.log2(20) / 64)
    assert batch.latent_bits == pytest.approx(4 * 4 * math.log2(20))


@torch.inference_mode()
def test_tiles_too_give_entries_of_the_codebook():
    model = randomise(build(SMALL))
    mean = tiling.tiled_encode(model, torch.rand(1, 1, 40, 40), 16).mean
    assert torch.equal(mean, model.settled(mean))


@pytest.mark.parametrize("gradients", [False, True])
def test_a_fresh_codebook_decodes_as_exactly_as_it_would_in_pytorchs_order(gradients):
    """Its entries hardly differ, and the norms after it divide by how little they do."""
    torch.manual_seed(0)
    shape = {"sample_size": 8, "block_out_channels": (32, 64), "layers_per_block": 2, "num_vq_embeddings": 64}
    model = build(VQConfig(**shape, latent_channels=3)).eval()
    exact = build(model.config).eval().double()
    exact.load_state_dict(model.state_dict())
    model.to(memory_format=torch.channels_last)
    with torch.set_grad_enabled(gradients):
        z = model.quantize(torch.randn(2, 3, 36, 20)).contiguous()
        torch.testing.assert_close(model.decode(z).double(), exact.decode(z.double()), atol=2e-5, rtol=0)


def test_codebook_and_encoder_move_towards_each_other():
    model = build(SMALL)
    x = torch.rand(4, 1, 8, 8)
    posterior = model(x)[1]
    posterior.codebook_loss.sum().backward()
    z = model.quant_conv(model.encoder(x)).detach()
    point = model.quantize(z)
    used = model.codes(z).unique()
    expected = torch.zeros_like(model.quantize.embedding.weight)
    expected.index_add_(0, model.codes(z).flatten(), (2 * (point - z)).movedim(1, -1).flatten(0, 2).detach())
    gradient = model.quantize.embedding.weight.grad
    torch.testing.assert_close(gradient, expected)
    assert gradient[used].abs().min() > 0
    # The encoder's share is a quarter: of quant_conv's bias the gradient is the sum over all latent pixels.
    torch.testing.assert_close(model.quant_conv.bias.grad, 0.25 * (2 * (z - point)).sum((0, 2, 3)).detach())
    torch.testing.assert_close(posterior.codebook_loss, 1.25 * (z - point).square().flatten(1).sum(1).detach())


def test_a_training_says_the_codebooks_loss_and_its_use(tmp_path):
    run = fit(tiny(model=config_to_dict(SMALL), epochs=2, learning_rate=2e-3), tmp_path / "run", device="cpu")
    epochs = [line for line in run.metrics() if line["kind"] == "epoch"]
    for line in epochs:
        assert line["codebook"] > 0 == line["kl"]
        assert line["loss"] == pytest.approx(line["reconstruction"] + line["codebook"], rel=1e-4)
    figures = evaluate(load(run.folder), load_data("digits", "test", 8, 1))
    assert 0 < figures["codebook_usage"] <= 1 <= figures["codebook_perplexity"] <= 20
    assert load(save(load(run.folder), tmp_path / "saved")).config.num_vq_embeddings == 20


def test_usage_and_perplexity():
    assert codebook_use(torch.tensor([5, 5, 0, 0])) == pytest.approx(
        {"codebook_usage": 0.5, "codebook_perplexity": 2.0}
    )
    uneven = codebook_use(torch.tensor([3, 1]))["codebook_perplexity"]
    assert uneven == pytest.approx(math.exp(-0.75 * math.log(0.75) - 0.25 * math.log(0.25)))
    latent = torch.tensor([0.0, 0.0, 1.0, 1.0]).view(1, 1, 2, 2)
    assert "one of the 4,096 entries" in (text := codebook_text(latent, 4096))
    assert "uses 2 of them, as unevenly as 2 used equally" in text


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"num_vq_embeddings": 0}, "num_vq_embeddings must be from 1 to 1,048,576, not 0"),
        ({"num_vq_embeddings": 10**12}, "num_vq_embeddings must be from 1"),
        ({"num_vq_embeddings": None, "vq_embed_dim": 0}, "latent_channels must be from 1 to 1024, not 0"),
        ({"norm_type": "ada"}, "norm_type must be group or spatial, not 'ada'"),
        ({"down_block_types": ["DownBlock2D"]}, "down_block_types is .* known are DownEncoderBlock2D and Attn"),
        ({"down_block_types": "DownEncoderBlock2D"}, "down_block_types is"),
        (
            {"down_block_types": ["AttnDownEncoderBlock2D"] * 2},
            "must say yes or no for each of the 1 levels",
        ),
        ({"block_out_channels": [48], "norm_type": "spatial"}, "multiples of 32"),
    ],
)
def test_configs_that_are_none(entries, message):
    with pytest.raises(InputError, match=message):
        build(read_config({"_class_name": "VQModel", "norm_num_groups": 16} | entries))


def test_a_codebook_of_another_size_than_the_config_says(tmp_path):
    from safetensors.torch import load_file, save_file

    save(build(SMALL).eval(), tmp_path)
    state = load_file(tmp_path / "model.safetensors")
    save_file(state | {"quantize.embedding.weight": torch.zeros(21, 2)}, tmp_path / "model.safetensors")
    with pytest.raises(InputError, match=r"quantize\.embedding\.weight has the shape \[21, 2\].*\[20, 2\]"):
        load(tmp_path)
