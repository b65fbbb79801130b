import pytest
import torch
from peers import randomise

from vae import tiling
from vae.checkpoints.diffusers_config import read_config
from vae.errors import InputError
from vae.models import build, config_from_dict, config_to_dict
from vae.models.autoencoder_dc import DCConfig

VIT, RES = "EfficientViTBlock", "ResBlock"
DEEP = {
    "encoder_block_out_channels": [128, 256, 512, 512, 1024, 1024, 2048],
    "encoder_block_types": [RES] * 3 + [VIT] * 4,
    "encoder_layers_per_block": [0, 4, 8, 2, 2, 2, 2],
    "encoder_qkv_multiscales": [[]] * 7,
    "decoder_block_out_channels": [128, 256, 512, 512, 1024, 1024, 2048],
    "decoder_block_types": [RES] * 3 + [VIT] * 4,
    "decoder_layers_per_block": [0, 5, 10, 2, 2, 2, 2],
    "decoder_qkv_multiscales": [[]] * 7,
    "decoder_norm_types": ["batch_norm"] * 3 + ["rms_norm"] * 4,
    "decoder_act_fns": ["relu"] * 3 + ["silu"] * 4,
    "latent_channels": 128,
}
SMALL = {
    **{f"{half}_block_out_channels": [8, 16, 32] for half in ("encoder", "decoder")},
    **{f"{half}_block_types": [RES, RES, VIT] for half in ("encoder", "decoder")},
    **{f"{half}_layers_per_block": [1, 1, 1] for half in ("encoder", "decoder")},
    **{f"{half}_qkv_multiscales": [[], [], [5]] for half in ("encoder", "decoder")},
    "latent_channels": 8,
    "attention_head_dim": 8,
}


def read(**entries):
    return read_config({"_class_name": "AutoencoderDC"} | entries)


def test_the_published_depths_have_diffusers_parameters():
    from diffusers import AutoencoderDC

    sana = {"encoder_block_types": [RES] * 3 + [VIT] * 3, "decoder_block_types": [RES] * 3 + [VIT] * 3}
    for entries, latent in ((sana, (32, 16, 16)), (DEEP, (128, 8, 8))):
        with torch.device("meta"):
            ours, theirs = build(read(**entries)), AutoencoderDC(**entries)
        assert ours.state_dict().keys() == theirs.state_dict().keys()
        assert ours.parameter_count == sum(p.numel() for p in theirs.parameters())
        assert ours.latent_shape(512, 512) == latent and not ours.is_variational


@torch.inference_mode()
def test_sides_that_are_no_multiples_are_padded():
    model = randomise(build(read(**SMALL)))
    x = torch.rand(1, 3, 21, 34)
    mean = model.encode(x).mean
    assert tuple(mean.shape[1:]) == model.latent_shape(21, 34) == (8, 6, 9)
    torch.testing.assert_close(mean, tiling.encode(model, x).mean)


@torch.inference_mode()
def test_attention_sees_every_position():
    model = randomise(build(read(**SMALL)))
    z = torch.zeros(1, 8, 16, 16)
    moved = z.clone()
    moved[..., 0, 0] = 3.0
    assert (model.decode(z) - model.decode(moved)).abs()[..., -4:, -4:].max() > 1e-5


def test_a_config_of_ours_comes_back():
    config = read(**SMALL, decoder_norm_types="batch_norm", decoder_act_fns="relu")
    assert config.decoder_norm_types == ("batch_norm",) * 3
    assert config_from_dict(config_to_dict(config)) == config and isinstance(config, DCConfig)


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"encoder_block_out_channels": [8]}, "2 to 9 levels, not 1"),
        ({"encoder_block_out_channels": 8}, "encoder_block_out_channels must be of type tuple"),
        ({"encoder_layers_per_block": [1, 1]}, "encoder_layers_per_block must have an entry for each of the 3"),
        ({"decoder_layers_per_block": [1, 0, 1]}, r"decoder_layers_per_block must be 1 to 64, .* not \[1, 0, 1\]"),
        ({"decoder_layers_per_block": [1, 10**9, 1]}, "decoder_layers_per_block must be 1 to 64"),
        ({"encoder_block_types": "Mamba"}, "encoder_block_types must be ResBlock or EfficientViTBlock"),
        ({"decoder_block_out_channels": [8, 20, 32]}, "must divide four times the one before"),
        ({"decoder_block_out_channels": [8, 16, 10**9]}, "multiples of 4 up to 8192"),
        ({"latent_channels": 12}, "latent_channels 12 must divide the encoder's last width 32"),
        ({"encoder_qkv_multiscales": [[], [], [4]]}, "encoder_qkv_multiscales must be up to four odd numbers"),
        ({"encoder_qkv_multiscales": [[], [], 5]}, "encoder_qkv_multiscales must be of type tuple"),
        ({"attention_head_dim": 64}, "attention_head_dim 64 is more than"),
        ({"decoder_norm_types": "layer_norm"}, "decoder_norm_types must be rms_norm or batch_norm"),
        ({"decoder_act_fns": ["silu"]}, "decoder_act_fns must be silu or relu for each of the 3"),
        ({"decoder_conv_act_fn": "gelu"}, "decoder_conv_act_fn must be one of silu, relu"),
        ({"upsample_block_type": "nearest"}, "upsample_block_type must be pixel_shuffle or interpolate"),
    ],
)
def test_configs_that_are_none(entries, message):
    shared = {"decoder_norm_types": "rms_norm", "decoder_act_fns": "silu"}
    with pytest.raises(InputError, match=message):
        read(**SMALL | shared | entries)
