"""The networks as graphs: torch.export, torch.jit.trace and ONNX, each against the model itself."""

import warnings
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from vae.models import build
from vae.models.autoencoder_dc import DCConfig
from vae.models.autoencoder_kl import KLConfig
from vae.models.conv import ConvConfig
from vae.models.own import OwnConfig, OwnModel
from vae.models.tiny import TinyConfig

KL = {"block_out_channels": (8, 16), "norm_num_groups": 4, "layers_per_block": 1}
TINY = {"encoder_block_out_channels": (8,) * 2, "decoder_block_out_channels": (8,) * 2}
TINY |= {"num_encoder_blocks": (1, 1), "num_decoder_blocks": (1, 1)}
DC = {
    "latent_channels": 4,
    "attention_head_dim": 2,
    "decoder_norm_types": ("rms_norm",) * 3,
    "decoder_act_fns": ("silu",) * 3,
}
for half in ("encoder", "decoder"):
    DC |= {f"{half}_block_types": ("ResBlock", "ResBlock", "EfficientViTBlock"), f"{half}_block_out_channels": (8,) * 3}
    DC |= {f"{half}_layers_per_block": (0, 1, 1), f"{half}_qkv_multiscales": ((), (), ())}
FAMILIES = {
    "conv": ConvConfig(features=(1, 4, 8, 2), sample_size=16, border=0),
    "kl": KLConfig(**KL),
    "tiny": TinyConfig(**TINY, mid_block_pool=True),
    "dc": DCConfig(**DC, sample_size=16),  # rounds sizes up; many a pixel's queries are all 0 after the ReLU
}
FREE = {name: config for name, config in FAMILIES.items() if not config.fixed_size}


class Encoder(nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, x):
        return self.model.encode(x).mean


class Decoder(Encoder):
    def forward(self, z):
        return self.model.decode(z)


def made(config):
    torch.manual_seed(0)
    return build(config).eval().requires_grad_(False).to(memory_format=torch.channels_last)


def examples(model, n, height=16, width=16):
    """Images and latents, n of each: more pixels than the networks' short cuts for the CPU begin at, from 9 on."""
    generator = torch.Generator().manual_seed(n)
    x = torch.rand(n, model.in_channels, height, width, generator=generator) * 2 - 1
    return x, torch.randn(n, *model.latent_shape(height, width), generator=generator)


@pytest.mark.parametrize("gradients", [True, False])
@pytest.mark.parametrize("name", FAMILIES)
def test_an_exported_graph_takes_any_batch(name, gradients):
    model = made(FAMILIES[name])
    few, many = examples(model, 2), examples(model, 40)
    for part, example, more in zip((Encoder(model), Decoder(model)), few, many, strict=True):
        with torch.set_grad_enabled(gradients):
            graph = torch.export.export(part, (example,), dynamic_shapes=({0: torch.export.Dim("batch")},)).module()
            torch.testing.assert_close(graph(more), part(more), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", FAMILIES)
def test_tracing_the_whole_or_a_half_passes_its_check(name):
    model = made(FAMILIES[name])
    x, z = examples(model, 9)
    native = (x + 1) / 2 if model.pixel_scale == 0.5 else x
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that torch.jit is old, and that a graph has one size
        for part, example in ((Encoder(model), x), (Decoder(model), z), (model.encoder, native), (model.decoder, z)):
            torch.testing.assert_close(torch.jit.trace(part, example)(example), part(example), atol=1e-5, rtol=1e-5)


class Averages(nn.Module):
    """A network of one's own: a node has the name of what the encoder gives, and a division a guard against 0."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))

    def encode(self, x):
        mean = torch.mean(x, dim=(2, 3), keepdim=True)
        return mean / (mean.abs() + 1e-15) * self.weight

    def decode(self, z):
        return z.expand(-1, 1, 8, 8) + self.weight


def test_an_onnx_file_has_its_outputs_names_and_every_constant(tmp_path):
    pytest.importorskip("onnxscript")
    runtime = pytest.importorskip("onnxruntime")
    from vae.checkpoints.onnx_format import write

    model = OwnModel(Averages(), OwnConfig(sample_size=8, in_channels=1), "averages").eval()
    write(model, tmp_path / "onnx")
    encoder = runtime.InferenceSession(tmp_path / "onnx" / "encoder.onnx", providers=["CPUExecutionProvider"])
    x = torch.tensor([0.0, 0.4, -0.2]).view(3, 1, 1, 1).expand(3, 1, 8, 8)
    (mean,) = encoder.run(["mean"], {"images": x.numpy()})
    assert mean.flatten().tolist() == [0.0, 1.0, -1.0]


@pytest.mark.parametrize("name", FAMILIES)
def test_onnx_files_give_what_the_model_gives_at_any_batch_and_size(name, tmp_path):
    pytest.importorskip("onnxscript")
    runtime = pytest.importorskip("onnxruntime")
    from vae.checkpoints.store import export

    model = made(FAMILIES[name])
    folder = export(model, tmp_path / "onnx", "onnx")
    assert sorted(path.name for path in folder.iterdir()) == ["config.json", "decoder.onnx", "encoder.onnx"]
    encoder, decoder = (
        runtime.InferenceSession(folder / f"{half}.onnx", providers=["CPUExecutionProvider"])
        for half in ("encoder", "decoder")
    )
    close = partial(np.testing.assert_allclose, atol=1e-4, rtol=1e-4)
    for n, height, width in ((1, 16, 16), (3, 16, 16), (2, 34, 22), (1, 50, 34))[: 4 if name in FREE else 2]:
        x, z = examples(model, n, height, width)
        posterior = model.encode(x)
        moments = encoder.run(None, {"images": x.numpy()})
        assert len(moments) == len(posterior.parameters)
        for found, wanted in zip(moments, posterior.parameters, strict=True):
            close(found, wanted.numpy())
        close(decoder.run(["images"], {"latents": z.numpy()})[0], model.decode(z).numpy())
    names = [each.name for each in encoder.get_outputs()]
    assert names == (["mean", "logvar"] if model.is_variational else ["mean"])
