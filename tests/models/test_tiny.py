from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from peers import randomise, to_taesd

import vae
from vae.errors import InputError
from vae.models import build
from vae.models.tiny import TinyConfig

SMALL = TinyConfig(encoder_block_out_channels=(8,) * 4, decoder_block_out_channels=(8,) * 4, latent_channels=5)


def test_a_plain_auto_encoder_with_a_point_for_a_posterior():
    model = randomise(build(SMALL))
    posterior = model.encode(torch.zeros(1, 3, 16, 24))
    assert not model.is_variational and posterior.is_point
    assert torch.equal(posterior.sample(), posterior.mode())


@pytest.mark.parametrize("size", [(16, 16), (17, 31), (3, 9)])
def test_latent_shape_is_what_encode_yields(size):
    model = randomise(build(SMALL))
    assert tuple(model.encode(torch.zeros(1, 3, *size)).mean.shape[1:]) == model.latent_shape(*size)


def test_latents_are_pressed_into_three():
    model = randomise(build(SMALL))
    z = torch.full((1, 5, 4, 4), 50.0)
    torch.testing.assert_close(model.decode(z), model.decode(3 * z))


@pytest.mark.parametrize(
    "fields",
    [
        {"num_encoder_blocks": (1, 3)},
        {"encoder_block_out_channels": (8, 16, 8, 8)},
        {"num_decoder_blocks": (3, 3, 1), "decoder_block_out_channels": (8, 8, 8)},
        {"latent_channels": 0},
    ],
)
def test_configs_that_are_no_network(fields):
    with pytest.raises(InputError):
        TinyConfig(**fields)


def test_taef2_rebuilds_the_kodak_photographs(data_dir):
    from PIL import Image

    import vae
    from vae.images import to_tensor
    from vae.metrics import psnr

    model = vae.load(data_dir / "taesd")
    assert model.config.mid_block_pool and model.config.latent_channels == 32
    with torch.inference_mode():
        x = to_tensor(Image.open(sorted((data_dir / "kodak").glob("*.png"))[0]).crop((128, 128, 384, 384)))
        assert psnr(x, model.decode(model.encode(x).mean)).item() > 25.0


# The published files' layers, less those without weights, by their native numbers: TAESana's and TAEQI2.1's.
SANA = TinyConfig(
    stem="strided",
    encoder_block_out_channels=(8,) * 4,
    decoder_block_out_channels=(32, 16, 8, 8, 8, 8),
    num_decoder_blocks=(3, 3, 3, 3, 3, 1),
    latent_channels=6,
)
QWEN = TinyConfig(
    stem="patches",
    in_channels=4,
    out_channels=4,
    encoder_block_out_channels=(8, 8, 16, 32),
    decoder_block_out_channels=(32, 16, 8, 8),
    latent_channels=7,
)


def reference(half: dict, x: torch.Tensor, strides: dict[int, int], up: tuple[int, ...]) -> torch.Tensor:
    """A half's native tensors in their order, by the networks' description. strides: of convolutions, by layer, with a
    minus where a ReLU follows; up: the layers before which the image is enlarged."""

    def conv(x, name, **how):
        return F.conv2d(x, half[f"{name}.weight"], half.get(f"{name}.bias"), padding=1, **how)

    for index in sorted({int(name.split(".")[0]) for name in half}):
        if f"{index}.weight" in half:
            x = x.repeat_interleave(2, -1).repeat_interleave(2, -2) if index in up else x
            stride = strides.get(index, 1)
            x = conv(x, f"{index}", stride=abs(stride))
            x = x.relu() if stride < 0 else x
        else:
            h = conv(conv(conv(x, f"{index}.conv.0").relu(), f"{index}.conv.2").relu(), f"{index}.conv.4")
            x = (x + h).relu()
    return x


@torch.inference_mode()
@pytest.mark.parametrize(
    ("name", "config", "down", "up", "factor"),
    [
        ("taesana", SANA, {0: -2, 2: -2, 5: 2, 9: 2, 13: 2}, (7, 12, 17, 22, 27), 32),
        ("taeqi2_1", QWEN, {1: -1, 4: 2, 8: 2, 12: 2}, (7, 12, 17), 16),
    ],
)
def test_tiny_ones_of_other_networks(tmp_path, name, config, down, up, factor):
    model = randomise(build(config))
    encoder, decoder = to_taesd(model.state_dict())
    assert {int(key.split(".")[0]) for key in encoder if key.count(".") == 1} == {*down, 17 if factor == 32 else 16}
    torch.save(encoder, tmp_path / f"{name}_encoder.pth")
    torch.save(decoder, tmp_path / f"{name}_decoder.pth")
    ours = vae.load(tmp_path)
    assert replace(ours.config, latent_space=None) == config and ours.downscale == factor
    assert ours.config.latent_space == {"taesana": "sana", "taeqi2_1": "qwen21"}[name]
    x = torch.rand(1, config.in_channels, 2 * factor, 3 * factor) * 2 - 1
    pixels = (x + 1) / 2
    z = reference(encoder, F.pixel_unshuffle(pixels, 2) if config.stem == "patches" else pixels, down, ())
    torch.testing.assert_close(ours.encode(x).mean, z, atol=1e-5, rtol=1e-5)
    y = reference(decoder, (z / 3).tanh() * 3, {1: -1}, up)
    y = (F.pixel_shuffle(y, 2) if config.stem == "patches" else y) * 2 - 1
    torch.testing.assert_close(ours.decode(z), y, atol=1e-5, rtol=1e-5)
    odd = ours.encode(x[..., :-1, :-3]).mean
    assert tuple(odd.shape[1:]) == ours.latent_shape(2 * factor - 1, 3 * factor - 3)
    vae.export(ours, tmp_path / "again", format="taesd")
    again = vae.load(tmp_path / "again" / f"{name}_encoder.safetensors")
    assert all(torch.equal(tensor, again.state_dict()[key]) for key, tensor in ours.state_dict().items())
    with pytest.raises(InputError, match="first layers of TAESana"):
        vae.export(ours, tmp_path / "theirs")


@pytest.mark.parametrize(
    ("fields", "message"),
    [({"stem": "wavelets"}, "stem must be one of plain, strided, patches"), ({"stem": "strided"}, "two more")],
)
def test_stems_that_are_none(fields, message):
    with pytest.raises(InputError, match=message):
        TinyConfig(**fields)
