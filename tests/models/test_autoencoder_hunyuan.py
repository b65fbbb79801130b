import pytest
import torch

from vae.checkpoints.diffusers_config import read_config
from vae.errors import InputError
from vae.models import build
from vae.models.autoencoder_hunyuan import gathered, spread

PUBLISHED = {
    "_class_name": "AutoencoderKLHunyuanImage",
    "in_channels": 3,
    "out_channels": 3,
    "latent_channels": 64,
    "block_out_channels": [128, 256, 512, 512, 1024, 1024],
    "layers_per_block": 2,
    "spatial_compression_ratio": 32,
    "sample_size": 384,
    "scaling_factor": 0.75289,
}


def test_the_published_network():
    from diffusers import AutoencoderKLHunyuanImage

    with torch.device("meta"):
        ours, theirs = build(read_config(PUBLISHED)), AutoencoderKLHunyuanImage.from_config(PUBLISHED)
    assert ours.state_dict().keys() == theirs.state_dict().keys()
    assert ours.parameter_count == sum(p.numel() for p in theirs.parameters())
    assert ours.latent_shape(513, 1024) == (64, 17, 32) and ours.config.scaling_factor == 0.75289


def test_pixels_become_channels_square_by_square_and_back():
    x = torch.arange(32.0).view(1, 2, 4, 4)
    assert gathered(x)[0, :, 0, 0].tolist() == [0, 16, 1, 17, 4, 20, 5, 21]
    assert torch.equal(spread(gathered(x)), x)


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"spatial_compression_ratio": 16}, "spatial_compression_ratio is 16; 6 levels reduce an image by 32"),
        ({"downsample_match_channel": False}, "downsample_match_channel is false; only true is known"),
        ({"block_out_channels": [128]}, "2 to 8 levels, not 1"),
        ({"block_out_channels": [128, 200]}, "multiples of 32 up to 8192"),
        ({"block_out_channels": [32, 96]}, "must divide four times the one before"),
        ({"latent_channels": 48}, "Twice the latent_channels, 96, must divide the last width 1024"),
        ({"latent_channels": 0}, "latent_channels must be from 1 to 4096"),
        ({"layers_per_block": 10**6}, "layers_per_block must be from 1 to 64"),
        ({"layers_per_block": [2, 2]}, "layers_per_block must be of type int"),
    ],
)
def test_configs_that_are_none(entries, message):
    with pytest.raises(InputError, match=message):
        read_config(PUBLISHED | entries)
