"""Wan's and Qwen-Image's original files, and what a video's network keeps of an image's."""

import re
from dataclasses import replace

import pytest
import torch
from family_peers import decode, encode, peer
from safetensors.torch import save_file

import vae
from vae import latents
from vae.checkpoints.diffusers_config import read_config
from vae.checkpoints.wan_names import to_diffusers
from vae.errors import InputError
from vae.latents.scaling import measured
from vae.models import build


def to_original(state: dict, depth: int) -> dict:
    """diffusers' names -> those of Wan2.1_VAE.pth and ComfyUI's files. depth: residual blocks of a decoder's level."""
    inner = {"norm1": "residual.0", "conv1": "residual.2", "norm2": "residual.3", "conv2": "residual.6"}
    inner |= {"conv_shortcut": "shortcut"}
    flat = depth + 1
    renamed = {}
    for name, tensor in state.items():
        name = re.sub(r"\.(norm1|norm2|conv1|conv2|conv_shortcut)\.", lambda m: f".{inner[m[1]]}.", name)
        name = re.sub(r"^quant_conv", "conv1", name)
        name = re.sub(r"^post_quant_conv", "conv2", name)
        name = name.replace(".norm_out.", ".head.0.").replace(".conv_out.", ".head.2.").replace(".conv_in.", ".conv1.")
        name = re.sub(r"mid_block\.resnets\.(\d)", lambda m: f"middle.{2 * int(m[1])}", name)
        name = name.replace("mid_block.attentions.0", "middle.1").replace("down_blocks", "downsamples")
        name = re.sub(r"up_blocks\.(\d)\.resnets\.(\d)", lambda m: f"upsamples.{flat * int(m[1]) + int(m[2])}", name)
        name = re.sub(r"up_blocks\.(\d)\.upsamplers\.0", lambda m: f"upsamples.{flat * int(m[1]) + depth}", name)
        renamed[name] = tensor.contiguous()
    return renamed


@torch.inference_mode()
@pytest.mark.parametrize("ending", ["safetensors", "pth"])
def test_the_original_files(tmp_path, ending):
    theirs = peer("Qwen-Image")
    state = to_original(theirs.state_dict(), depth=2)
    assert "decoder.upsamples.5.resample.1.weight" in state and "encoder.middle.2.residual.6.bias" in state
    path = tmp_path / f"qwen_image_vae.{ending}"
    save_file(state, path) if ending == "safetensors" else torch.save(state, path)
    ours = vae.load(path)
    x = torch.rand(1, 4, 8, 12) * 2 - 1
    torch.testing.assert_close(ours.encode(x).mean, encode(theirs, x)[0], atol=1e-5, rtol=1e-5)
    z = torch.randn(1, 4, 2, 3)
    torch.testing.assert_close(ours.decode(z), decode(theirs, z), atol=1e-5, rtol=0)


@torch.inference_mode()
def test_the_original_file_of_wan_2_2(tmp_path):
    theirs = peer("Wan 2.2")
    state = {}
    for name, tensor in theirs.state_dict().items():
        half = name.split(".")[0]
        depth, way = (1, "down") if half == "encoder" else (2, "up")  # residual blocks of a level
        name = re.sub(rf"{way}_blocks\.(\d)\.resnets\.(\d)", rf"{way}samples.\1.{way}samples.\2", name)
        name = re.sub(rf"{way}_blocks\.(\d)\.{way}sampler", rf"{way}samples.\1.{way}samples.{depth}", name)
        state |= to_original({name: tensor}, depth)
    save_file(state, tmp_path / "wan2.2_vae.safetensors")
    ours = vae.load(tmp_path / "wan2.2_vae.safetensors")
    x = torch.rand(1, 3, 16, 24) * 2 - 1
    torch.testing.assert_close(ours.encode(x).mean, encode(theirs, x)[0], atol=1e-5, rtol=1e-5)
    assert ours.config.patch_size == 2 and ours.config.decoder_base_dim == 8


def test_our_original_names_are_those_that_diffusers_reads():
    # The helper that makes the file above is ours: let diffusers' own converter judge it.
    from diffusers import AutoencoderKLWan
    from diffusers.loaders.single_file_utils import convert_wan_vae_to_diffusers

    with torch.device("meta"):
        state = AutoencoderKLWan().state_dict()
    original = to_original(state, depth=3)
    assert convert_wan_vae_to_diffusers(original).keys() == state.keys() == to_diffusers(original).keys()


@torch.inference_mode()
def test_what_sees_other_frames_is_kept_through_a_training_on_images(tmp_path):
    theirs = peer("Wan")
    theirs.save_pretrained(tmp_path / "theirs")
    ours = vae.load(tmp_path / "theirs")
    assert "decoder.conv_in.earlier" not in dict(ours.named_parameters())
    ours.decoder.conv_in.weight += 1.0
    vae.export(vae.load(vae.save(ours, tmp_path / "ours")), tmp_path / "again")
    again = type(theirs).from_pretrained(tmp_path / "again").state_dict()["decoder.conv_in.weight"]
    before = theirs.state_dict()["decoder.conv_in.weight"]
    assert torch.equal(again[:, :, :2], before[:, :, :2]) and torch.equal(again[:, :, 2], before[:, :, 2] + 1.0)


def test_an_unknown_scaling_stays_unknown_through_an_export_and_a_measured_one_is_kept(tmp_path):
    save_file(peer("Wan").state_dict(), tmp_path / "wan.safetensors")
    alone = vae.load(tmp_path / "wan.safetensors")
    assert alone.config.scaling_factor is None
    vae.export(alone, tmp_path / "unknown")
    again = vae.load(tmp_path / "unknown")
    assert again.config == alone.config
    with pytest.raises(InputError, match="not known"):
        latents.scale(again, torch.zeros(1, 4, 1, 1))

    x = torch.rand(2, 3, 8, 12) * 2 - 1
    again.config = replace(again.config, **measured(again, [x]))
    vae.export(vae.load(vae.save(again, tmp_path / "ours")), tmp_path / "measured")
    from diffusers import AutoencoderKLWan

    z, theirs = again.encode(x).mean, AutoencoderKLWan.from_pretrained(tmp_path / "measured").config
    assert theirs.latents_mean == [0.0] * 4 and theirs.latents_std == [1 / again.config.scaling_factor] * 4
    torch.testing.assert_close(latents.scale(vae.load(tmp_path / "measured"), z), latents.scale(again, z))


@torch.no_grad()
def test_latents_as_far_apart_as_a_failing_training_makes_them_have_a_scaling_too():
    model = build(read_config({"_class_name": "AutoencoderKLWan", "base_dim": 8, "dim_mult": [1, 2, 2, 2]}))
    model.config = replace(model.config, latents_mean=None, latents_std=None)
    x = torch.rand(2, 3, 8, 8) * 2 - 1
    for factor in (1e7, float("inf")):
        model.quant_conv.weight.copy_(torch.full_like(model.quant_conv.weight, factor))
        assert replace(model.config, **measured(model, [x])).scaling_factor > 0


@pytest.mark.parametrize(
    ("kind", "space", "downscale"),
    [
        ("AutoencoderKLQwenImage", "wan21", 8),
        ("AutoencoderKLWan", "wan21", 8),
        ("AutoencoderKLQwenImage21", "qwen21", 16),
    ],
)
def test_the_published_networks_are_the_classes_own_defaults(kind, space, downscale):
    import diffusers

    config = read_config({"_class_name": kind}, "Qwen/Qwen-Image")
    assert config.latent_space == space and config.downscale == downscale
    with torch.device("meta"):
        ours, theirs = build(config), getattr(diffusers, kind)()
    assert sum(t.numel() for t in ours.state_dict().values()) == sum(t.numel() for t in theirs.state_dict().values())
    assert config.latents_std == tuple(theirs.config.latents_std)
    assert config.latents_mean == tuple(theirs.config.latents_mean)


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"attn_scales": [0.5]}, r"attn_scales is \[0\.5\]; only \[\] is known"),
        ({"_class_name": "AutoencoderKLWan", "patch_size": 2, "in_channels": 3}, "in_channels must be multiples of 4"),
        ({"_class_name": "AutoencoderKLWan", "patch_size": 10**9}, "patch_size must be from 1 to 16"),
        ({"_class_name": "AutoencoderKLWan", "is_residual": 2}, "is_residual must be of type bool"),
        (
            {"_class_name": "AutoencoderKLWan", "is_residual": True, "dim_mult": [1, 2, 4, 64]},
            "1 times 384 are no multiple of 6144",
        ),
        ({"is_residual": True}, "neither is_residual nor a patch_size"),
        ({"dim_mult": [1, 2]}, "one entry less, not 2 and 3"),
        ({"dim_mult": [1, 2, 4, 10**6]}, "even numbers up to 8192, not 96000000"),
        ({"base_dim": 0}, "even numbers up to 8192, not 0"),
        ({"latents_std": [1.0] * 15 + [0.0]}, "latents_std may be 0"),
        ({"z_dim": 8}, "latents_mean must have 8 numbers"),
        ({"num_res_blocks": 1000}, "num_res_blocks must be from 1 to 64, not 1000"),
        ({"dim_mult": "1,2,4"}, "dim_mult must be of type tuple"),
    ],
)
def test_configs_that_are_none(entries, message):
    with pytest.raises(InputError, match=message):
        read_config({"_class_name": "AutoencoderKLQwenImage"} | entries)


def test_tensors_of_other_shapes_are_named(tmp_path):
    theirs = peer("Wan")
    state = theirs.state_dict()
    for name, shape in (("decoder.norm_out.gamma", (12, 7)), ("quant_conv.weight", (8, 8, 0, 1, 1))):
        theirs.save_pretrained(tmp_path)
        save_file(state | {name: torch.zeros(shape)}, tmp_path / "diffusion_pytorch_model.safetensors")
        with pytest.raises(InputError, match=f"{name} has the shape"):
            vae.load(tmp_path)
