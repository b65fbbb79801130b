import pytest
import torch
from peers import randomise

from vae.errors import InputError
from vae.models import KL_PRESETS, build, config_from_dict, config_to_dict
from vae.models.autoencoder_kl import KLConfig

SMALL = KLConfig(block_out_channels=(8, 16, 16), layers_per_block=1, norm_num_groups=4, sample_size=32)


def on_meta(config):
    with torch.device("meta"):
        return build(config)


@pytest.mark.parametrize(("preset", "count"), [("sd", 83_653_863), ("sd-notebook", 78_636_499)])
def test_parameters_of_the_published_networks(preset, count):
    assert on_meta(KL_PRESETS[preset]).parameter_count == count


def test_sd_small_is_small_and_halves_thrice():
    model = on_meta(KL_PRESETS["sd-small"])
    assert model.parameter_count < 6_500_000
    assert model.latent_shape() == (4, 8, 8)


def test_encoder_and_decoder_of_sd_have_the_published_sizes():
    model = on_meta(KL_PRESETS["sd"])
    count = {name: sum(p.numel() for p in part.parameters()) for name, part in model.named_children()}
    assert count["encoder"] + count["quant_conv"] == 34_163_592 + 72
    assert count["decoder"] + count["post_quant_conv"] == 49_490_179 + 20


@pytest.mark.parametrize("size", [(32, 32), (33, 47), (4, 9)])
def test_latent_shape_is_what_encode_yields(size):
    model = randomise(build(SMALL))
    posterior = model.encode(torch.zeros(2, 3, *size))
    assert tuple(posterior.mean.shape[1:]) == model.latent_shape(*size)
    assert model.decode(posterior.mode()).shape[-2:] == tuple(4 * side for side in posterior.mean.shape[-2:])


def test_an_image_too_small_for_a_latent_is_refused():
    with pytest.raises(InputError, match=r"3x9 pixels.*4x4"):
        build(SMALL).encode(torch.zeros(1, 3, 9, 3))


def test_grey_images():
    model = build(KLConfig(in_channels=1, out_channels=1, block_out_channels=(8, 8), norm_num_groups=4))
    assert model(torch.zeros(1, 1, 8, 8))[0].shape == (1, 1, 8, 8)


def test_inference_in_place_equals_the_path_with_gradients():
    model = randomise(build(SMALL)).requires_grad_(True)
    x = torch.rand(2, 3, 24, 40, generator=torch.Generator().manual_seed(1)) * 2 - 1
    before = x.clone()
    recorded = model.decode(model.encode(x).mean)
    with torch.inference_mode():
        torch.testing.assert_close(model.decode(model.encode(x).mean), recorded.detach(), atol=1e-5, rtol=0)
    assert torch.equal(x, before)
    recorded.square().mean().backward()
    assert all(p.grad is not None for name, p in model.named_parameters() if not name.startswith("quant_conv"))


def test_decode_leaves_its_latent_alone():
    model = randomise(build(SMALL))
    z = torch.randn(1, 4, 6, 6)
    before = z.clone()
    with torch.inference_mode():
        model.decode(z)
    assert torch.equal(z, before)


def test_attention_sees_every_position():
    model = randomise(build(SMALL))
    z = torch.zeros(1, 4, 24, 24)
    moved = z.clone()
    moved[..., 0, 0] = 3.0
    difference = (model.decode(z) - model.decode(moved)).abs()[0, :, -8:, -8:]
    assert difference.max() > 1e-5


@pytest.mark.parametrize("name", sorted(KL_PRESETS))
def test_configs_survive_the_way_through_json(name):
    import json

    config = KL_PRESETS[name]
    assert config_from_dict(json.loads(json.dumps(config_to_dict(config)))) == config


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({}, "no _class_name; known are AutoencoderDC, AutoencoderKL"),
        ({"_class_name": "UNet2DModel"}, '"UNet2DModel"; known are'),
        ({"_class_name": "AutoencoderKL", "widths": [1]}, "no field 'widths'"),
        ({"_class_name": "AutoencoderKL", "latent_channels": "4"}, "latent_channels must be of type int"),
        ({"_class_name": "AutoencoderKL", "latent_channels": True}, "latent_channels must be of type int"),
        ({"_class_name": "AutoencoderKL", "scaling_factor": float("nan")}, "scaling_factor must be of type float"),
        ({"_class_name": "AutoencoderKL", "block_out_channels": [33]}, "multiples of norm_num_groups"),
        ({"_class_name": "AutoencoderKL", "block_out_channels": []}, "1 to 8 levels"),
        ({"_class_name": "AutoencoderKL", "layers_per_block": 10**9}, "1 to 64 residual blocks"),
        ({"_class_name": "AutoencoderKL", "latents_mean": [0.0]}, "latents_mean must have 4 numbers"),
        ({"_class_name": "AutoencoderKL", "act_fn": "exec"}, "act_fn must be one of"),
        (["AutoencoderKL"], "JSON object"),
    ],
)
def test_bad_configs_are_refused_by_name(entries, message):
    with pytest.raises(InputError, match=message):
        config_from_dict(entries)
