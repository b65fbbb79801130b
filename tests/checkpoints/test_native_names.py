"""Files and folders as MIT's deep-compression repositories and Tencent's HunyuanImage have them."""

import json

import pytest
import torch
from family_peers import decode, encode, peer
from native_peers import to_efficientvit, to_tencent
from safetensors.torch import save_file

import vae
from vae.checkpoints.config_from_shapes import infer_config
from vae.checkpoints.key_mapping import recognise
from vae.checkpoints.latent_spaces import dc_scaling
from vae.errors import InputError
from vae.models.autoencoder_dc import DCConfig


@torch.inference_mode()
def assert_same(ours, theirs) -> None:
    x = torch.rand(1, 3, 16, 24, generator=torch.Generator().manual_seed(0)) * 2 - 1
    z = encode(theirs, x)[0]
    torch.testing.assert_close(ours.encode(x).mean, z, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(ours.decode(z), decode(theirs, z), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("name", "strided"), [("DC as in Sana", True), ("DC with no first level", False)])
def test_mits_names_alone_and_beside_a_config_that_names_the_network(tmp_path, name, strided):
    theirs = peer(name)
    native = to_efficientvit(theirs.state_dict(), strided)
    assert "encoder.stages.2.op_list.1.context_module.main.qkv.conv.weight" in native
    save_file(native, tmp_path / "model.safetensors")
    alone = vae.load(tmp_path / "model.safetensors")
    assert_same(alone, theirs)
    assert alone.config.scaling_factor is None
    (tmp_path / "config.json").write_text('{"model_name": "dc-ae-f32c32-sana-1.0"}')
    assert_same(vae.load(tmp_path), theirs)
    vae.export(vae.load(tmp_path), tmp_path / "again")
    again = type(theirs).from_pretrained(tmp_path / "again").state_dict()
    assert all(torch.equal(tensor, again[key]) for key, tensor in theirs.state_dict().items())


def test_the_names_above_are_those_that_diffusers_reads():
    # The helper that makes MIT's names is ours: let diffusers' own converter judge it, at the published depths.
    from diffusers import AutoencoderDC
    from diffusers.loaders.single_file_utils import convert_autoencoder_dc_checkpoint_to_diffusers as convert

    deep = {"decoder_norm_types": ["batch_norm"] * 3 + ["rms_norm"] * 3, "encoder_layers_per_block": [0, 4, 8, 2, 2, 2]}
    deep |= {"decoder_layers_per_block": [0, 5, 10, 2, 2, 2], "downsample_block_type": "pixel_unshuffle"}
    for half in ("encoder", "decoder"):
        deep[f"{half}_block_types"] = ["ResBlock"] * 3 + ["EfficientViTBlock"] * 3
        deep[f"{half}_qkv_multiscales"] = [[]] * 6
    sana = {key: deep[key] for key in ("encoder_block_types", "decoder_block_types")}
    sana |= {"downsample_block_type": "Conv", "upsample_block_type": "interpolate"}
    for fields, strided in ((deep, False), (sana, True)):
        with torch.device("meta"):
            state = AutoencoderDC(**fields).state_dict()
            native = to_efficientvit(state, strided)
            assert convert(dict(native)).keys() == state.keys()
        naming = recognise({name: tuple(tensor.shape) for name, tensor in native.items()})
        assert naming.shapes == {name: tuple(tensor.shape) for name, tensor in state.items()}
        config = infer_config(naming, "dc-ae-f32c32-sana-1.1.safetensors")
        assert config.scaling_factor == 0.41407 and config.latent_space == "sana"


def test_a_name_tells_the_scaling_of_the_network_that_it_names():
    assert dc_scaling(DCConfig(), "mit-han-lab/dc-ae-f32c32-mix-1.0") == 0.4552
    assert dc_scaling(DCConfig(), "dc-ae-f64c128-mix-1.0") is None  # another network
    assert dc_scaling(DCConfig(), "dc-ae-f32c32-inpainting") is None


def test_tencents_file_alone_and_in_its_folder(tmp_path):
    theirs = peer("HunyuanImage")
    native = to_tencent(theirs.state_dict())
    assert {"vae.encoder.down.1.downsample.conv.weight", "vae.decoder.up.2.block.2.norm1.bias"} <= native.keys()
    torch.save({"state_dict": native}, tmp_path / "pytorch_model.ckpt")
    alone = vae.load(tmp_path / "pytorch_model.ckpt")
    assert_same(alone, theirs)
    assert alone.config.scaling_factor is None
    told = dict(theirs.config) | {"_class_name": "HunyuanVAE2D", "ffactor_spatial": 4, "sample_tsize": 1}
    del told["spatial_compression_ratio"]
    (tmp_path / "config.json").write_text(json.dumps(told))
    ours = vae.load(tmp_path)
    assert_same(ours, theirs)
    assert ours.config.scaling_factor == 0.75289
    (tmp_path / "config.json").write_text(json.dumps(told | {"_class_name": "AutoencoderKLConv3D"}))
    with pytest.raises(InputError, match="unknown class"):
        vae.load(tmp_path)
