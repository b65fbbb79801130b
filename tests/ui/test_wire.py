"""Calls and results as bytes."""

import pickle

import pytest
import torch
from PIL import Image

pytest.importorskip("gradio")

from vae.distributions import DiagonalGaussian
from vae.errors import InputError
from vae.inference import Draw
from vae.latents.priors import PriorNotFitted
from vae.ui.serving.jobs import Call, Drawn
from vae.ui.serving.wire import pack, unpack


def test_a_call_arrives_as_it_was():
    image = Image.effect_noise((7, 5), 60).convert("RGB")
    z = torch.randn(3, 2).bfloat16()
    ends = (Draw(3, 2, 0.5, "flow"), 7, z, image)
    sent = Call("interpolate", ("mnist-vae",), {"endpoints": ends, "steps": 4, "mode": None, "small": True}, True)
    got = unpack(pack(sent))
    assert (got.job, got.sources, got.strangers, got.arguments | {"endpoints": 0}) == (
        "interpolate",
        ("mnist-vae",),
        True,
        sent.arguments | {"endpoints": 0},
    )
    draw, seed, tensor, picture = got.arguments["endpoints"]
    assert (draw, seed) == ends[:2] and torch.equal(tensor, z) and tensor.dtype == z.dtype
    assert picture.mode == "RGB" and picture.size == (7, 5) and picture.tobytes() == image.tobytes()


def test_results_arrive_to_the_last_bit():
    pixels = torch.arange(24, dtype=torch.uint8).view(2, 3, 2, 2).transpose(2, 3)  # not contiguous
    drawn = unpack(pack(Drawn(pixels, 0.1 + 0.2, "flow", priors=("normal", "flow"), passable=True)))
    assert torch.equal(drawn.pixels, pixels) and drawn.seconds == 0.1 + 0.2 and drawn.priors == ("normal", "flow")
    for posterior in (DiagonalGaussian(torch.randn(1, 2), torch.randn(1, 2)), DiagonalGaussian.point(torch.ones(1, 2))):
        got = unpack(pack(posterior))
        assert got.is_point == posterior.is_point and torch.equal(got.std, posterior.std)
    refused = unpack(pack(PriorNotFitted("flow", "It has none.")))
    assert type(refused) is PriorNotFitted and (refused.prior, refused.fact) == ("flow", "It has none.")
    assert str(unpack(pack(InputError("No.")))) == "No."


def test_nothing_else_is_packed_and_no_pickle_is_read():
    for secret in (object(), {1, 2}, b"bytes", InputError):
        with pytest.raises(TypeError):
            pack(Call("sample", ("m",), {"n": secret}))
    with pytest.raises(Exception, match=r"codec|JSON|Expecting|unpack|buffer"):
        unpack(pickle.dumps({"a": 1}))
    with pytest.raises(ValueError, match="cut off"):
        unpack(pack(torch.ones(8))[:-1])
