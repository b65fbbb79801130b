import pytest
import torch
from peers import randomise

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
