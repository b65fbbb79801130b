"""The networks as graphs: torch.export and torch.jit.trace, each against the model itself."""

import warnings

import pytest
import torch
from small_models import FAMILIES, examples, made
from torch import nn

HALVES = ("conv", "kl", "tiny", "dc")  # whose halves alone take images and latents as they are


class Encoder(nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, x):
        return self.model.encode(x).mean


class Decoder(Encoder):
    def forward(self, z):
        return self.model.decode(z)


@pytest.mark.parametrize("gradients", [True, False])
@pytest.mark.parametrize("name", FAMILIES)
def test_an_exported_graph_takes_any_batch(name, gradients):
    model = made(FAMILIES[name])
    few, many = examples(model, 2), examples(model, 40)
    for part, example, more in zip((Encoder(model), Decoder(model)), few, many, strict=True):
        with torch.set_grad_enabled(gradients):
            graph = torch.export.export(part, (example,), dynamic_shapes=({0: torch.export.Dim("batch")},)).module()
        with torch.no_grad():  # with gradients a model does not clamp what it decodes; a graph does as without
            torch.testing.assert_close(graph(more), part(more), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", FAMILIES)
def test_tracing_the_whole_or_a_half_passes_its_check(name):
    model = made(FAMILIES[name])
    x, z = examples(model, 9)
    native = (x + 1) / 2 if model.pixel_scale == 0.5 else x
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that torch.jit is old, and that a graph has one size
        parts = [(Encoder(model), x), (Decoder(model), z)]
        if name in HALVES:
            parts += [(model.encoder, native), (model.decoder, z)]
        for part, example in parts:
            traced = torch.jit.trace(part, example)
            with torch.no_grad():
                torch.testing.assert_close(traced(example), part(example), atol=1e-5, rtol=1e-5)
