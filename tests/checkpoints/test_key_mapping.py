"""Every naming and family: what we compute equals what diffusers computes."""

import pytest
import torch
from family_peers import encode, peer
from peers import (
    KL_FAMILIES,
    NotebookVAE,
    assert_same,
    diffusers_flux2,
    diffusers_kl,
    diffusers_tiny,
    randomise,
    to_compvis,
    to_old_diffusers,
    to_taesd,
    write_folder,
)
from PIL import Image
from safetensors.torch import save_file

import vae
from vae.checkpoints.config_from_shapes import infer_config
from vae.checkpoints.key_mapping import _part, recognise
from vae.errors import InputError


@pytest.fixture(autouse=True)
def inference():
    with torch.inference_mode():
        yield


@pytest.mark.parametrize("family", sorted(KL_FAMILIES))
def test_diffusers_folders(tmp_path, family):
    theirs = diffusers_kl(**KL_FAMILIES[family])
    theirs.save_pretrained(tmp_path)
    ours = vae.load(tmp_path)
    assert_same(ours, theirs)
    for name in ("scaling_factor", "latents_mean", "latents_std", "force_upcast"):
        value = theirs.config[name]
        assert getattr(ours.config, name) == (tuple(value) if isinstance(value, list) else value)
    assert ours.config.shift_factor == (theirs.config.shift_factor or 0.0)


@pytest.mark.parametrize("shape", [{"layers_per_block": 2}, {"widths": (16, 32), "norm_num_groups": 8}])
def test_other_depths_and_widths(tmp_path, shape):
    theirs = diffusers_kl(**shape)
    theirs.save_pretrained(tmp_path)
    assert_same(vae.load(tmp_path), theirs)


def test_flux2(tmp_path):
    theirs = diffusers_flux2()
    theirs.save_pretrained(tmp_path)
    ours = vae.load(tmp_path)
    assert_same(ours, theirs)
    assert torch.equal(ours.bn.running_var, theirs.bn.running_var)


def test_flux2_with_a_decoder_of_its_own_width(tmp_path):
    theirs = diffusers_flux2(decoder_block_out_channels=(32, 32, 64))
    theirs.save_pretrained(tmp_path)
    assert_same(vae.load(tmp_path), theirs)


def test_flux2_single_file(tmp_path):
    theirs = diffusers_flux2()
    state = to_compvis(theirs.state_dict())
    moved = {"quant_conv.": "encoder.quant_conv.", "post_quant_conv.": "decoder.post_quant_conv."}
    state = {
        next((new + n.removeprefix(old) for old, new in moved.items() if n.startswith(old)), n): t
        for n, t in state.items()
    }
    save_file(state, tmp_path / "ae.safetensors")
    ours = vae.load(tmp_path / "ae.safetensors")
    assert_same(ours, theirs)
    assert ours.config.patch_size == (2, 2)


def test_older_attention_names(tmp_path):
    theirs = diffusers_kl()
    write_folder(tmp_path, {"_class_name": "AutoencoderKL", **theirs.config}, to_old_diffusers(theirs.state_dict()))
    assert_same(vae.load(tmp_path), theirs)


COMPANIONS = {
    "model.diffusion_model.input_blocks.0.weight": torch.zeros(2),
    "cond_stage_model.transformer.weight": torch.zeros(2),
    "model_ema.decay": torch.tensor(0.9),
    "betas": torch.zeros(3),
    "alphas_cumprod_prev": torch.zeros(3),
    "sqrt_one_minus_alphas_cumprod": torch.zeros(3),
    "posterior_mean_coef1": torch.zeros(3),
}


PREFIXES = ["", "first_stage_model.", "vae.", "module.", "_orig_mod.", "model.", "autoencoder.", "module._orig_mod."]


@pytest.mark.parametrize(("prefix", "suffix"), [(prefix, ".SAFETENSORS") for prefix in PREFIXES] + [("vae.", ".ckpt")])
def test_compvis_single_files(tmp_path, prefix, suffix):
    theirs = diffusers_kl(layers_per_block=2)
    state = {prefix + name: tensor for name, tensor in to_compvis(theirs.state_dict()).items()}
    if prefix == "first_stage_model.":
        state |= COMPANIONS
    if not prefix:
        state["loss.logvar"] = torch.zeros(())
    path = tmp_path / f"model{suffix}"
    if suffix == ".ckpt":
        torch.save({"state_dict": state, "global_step": 7}, path)
    else:
        save_file(state, path)
    ours = vae.load(path)
    assert_same(ours, theirs)
    # SD's tensors and SDXL's have the same names and shapes: only what else is in the file tells them apart.
    assert ours.config.scaling_factor == (0.18215 if prefix == "first_stage_model." else None)


def test_attention_in_levels_and_what_else_vavaes_file_holds(tmp_path):
    theirs = peer("attention in levels")
    state = to_compvis(theirs.state_dict())
    assert "encoder.down.2.attn.1.q.weight" in state and "decoder.up.2.attn.2.proj_out.weight" in state
    state |= {"linear_proj.weight": torch.zeros(2, 2), "foundation_model.model.norm.weight": torch.zeros(2)}
    torch.save({"state_dict": state}, tmp_path / "vavae.pt")
    assert_same(vae.load(tmp_path / "vavae.pt"), theirs)


@pytest.mark.parametrize("name", ["VQ", "MoVQ"])
def test_compvis_files_with_a_codebook(tmp_path, name):
    theirs = peer(name)
    state = {f"first_stage_model.{n}": t for n, t in to_compvis(theirs.state_dict(), levels=2).items()}
    save_file(state, tmp_path / "vq.safetensors")
    ours = vae.load(tmp_path / "vq.safetensors")
    x = torch.rand(1, 3, 16, 24)
    torch.testing.assert_close(ours.encode(x).mean, encode(theirs, x)[0])
    assert ours.config.scaling_factor is None and ours.config.num_vq_embeddings == 40


@pytest.mark.parametrize("channels", [1, 2, 4])
def test_images_of_other_channels_than_three(tmp_path, channels):
    theirs = diffusers_kl(in_channels=channels, out_channels=channels)
    theirs.save_pretrained(tmp_path)
    mode = {1: "L", 2: "LA", 4: "RGBA"}[channels]
    ours = vae.load(tmp_path)
    found = vae.reconstruct(ours, Image.new(mode, (21, 30)))
    assert found.image.mode == mode and found.image.size == (21, 30)
    assert vae.sample(ours, 1).shape[1] == channels
    vae.export(ours, tmp_path / "out")
    assert type(theirs).from_pretrained(tmp_path / "out").config.in_channels == channels


def test_a_network_that_gives_other_channels_than_it_takes_is_refused(tmp_path):
    theirs = diffusers_kl(in_channels=3, out_channels=1)
    theirs.save_pretrained(tmp_path)
    save_file(theirs.state_dict(), tmp_path / "lone.safetensors")
    for source in (tmp_path, tmp_path / "lone.safetensors"):
        with pytest.raises(InputError, match="takes images of 3 channels and gives images of 1; only"):
            vae.load(source)


def test_fewer_latent_channels_than_the_encoder_ends_with(tmp_path):
    """CompVis' embed_dim, which diffusers has no field for: 4 channels within, 3 in the latent."""
    theirs = diffusers_kl(latent_channels=4)
    theirs.quant_conv = randomise(torch.nn.Conv2d(8, 6, 1))
    theirs.post_quant_conv = randomise(torch.nn.Conv2d(3, 4, 1))
    save_file(to_compvis(theirs.state_dict()), tmp_path / "embed3.safetensors")
    ours = vae.load(tmp_path / "embed3.safetensors")
    assert_same(ours, theirs)
    assert ours.latent_channels == 3
    assert_same(vae.load(vae.save(ours, tmp_path / "saved")), theirs)
    with pytest.raises(InputError, match="no class for this variant"):
        vae.export(ours, tmp_path / "out")


@pytest.mark.parametrize(
    ("name", "header", "scaling"),
    [
        ("sdxl_vae.safetensors", {}, 0.13025),
        ("sdxl-vae-fp16-fix.safetensors", {}, 0.13025),
        ("vae-ft-mse-840000-ema-pruned.safetensors", {}, 0.18215),
        ("sd15_vae.safetensors", {}, 0.18215),
        ("model.safetensors", {"modelspec.architecture": "stable-diffusion-xl-v1-base/vae"}, 0.13025),
        ("model.safetensors", {"modelspec.architecture": "stable-diffusion-v1/vae"}, 0.18215),
        ("model.safetensors", {"format": "pt"}, None),
        ("sd15-to-sdxl.safetensors", {}, None),
        ("sd3.safetensors", {}, None),  # whose latents have 16 channels, and this one's 4
    ],
)
def test_a_name_or_a_header_tells_whose_latents_a_file_has(tmp_path, name, header, scaling):
    save_file(diffusers_kl().state_dict(), tmp_path / name, metadata=header)
    model = vae.load(tmp_path / name)
    assert model.config.scaling_factor == scaling
    if scaling is None:
        with pytest.raises(InputError, match="scaling factor of this model's latents is not known"):
            vae.latents.scale(model, torch.zeros(1, 4, 2, 2))
        vae.export(model, tmp_path / "out")
        assert vae.load(tmp_path / "out").config.scaling_factor is None


def test_a_lone_file_of_sixteen_channels_is_not_called_flux():
    naming = recognise({name: tuple(t.shape) for name, t in diffusers_kl(**KL_FAMILIES["sd3"]).state_dict().items()})
    told = {name: infer_config(naming, name) for name in ("sd3_vae.safetensors", "ae.safetensors", "vae.safetensors")}
    assert [config.scaling_factor for config in told.values()] == [1.5305, 0.3611, None]


def test_our_compvis_names_are_those_that_diffusers_reads():
    # The helper that makes the files above is ours: let diffusers' own converter judge it.
    from diffusers.loaders.single_file_utils import convert_ldm_vae_checkpoint

    theirs = diffusers_kl(layers_per_block=2)
    back = convert_ldm_vae_checkpoint(to_compvis(theirs.state_dict()), dict(theirs.config))
    assert back.keys() == theirs.state_dict().keys()


def test_a_pipelines_other_tensors_tell_the_family(tmp_path):
    state = {f"first_stage_model.{n}": t for n, t in to_compvis(diffusers_kl().state_dict()).items()}
    state["conditioner.embedders.0.weight"] = torch.zeros(1)
    save_file(state, tmp_path / "xl.safetensors")
    assert vae.load(tmp_path / "xl.safetensors").config.scaling_factor == 0.13025


def test_flux1_and_sd3_single_files(tmp_path):
    theirs = diffusers_kl(**KL_FAMILIES["flux1"])
    state = to_compvis(theirs.state_dict())
    save_file(state, tmp_path / "ae.safetensors")
    ours = vae.load(tmp_path / "ae.safetensors")
    assert_same(ours, theirs)
    assert (ours.config.scaling_factor, ours.config.shift_factor) == (0.3611, 0.1159)
    whole = {f"first_stage_model.{n}": t for n, t in state.items()}
    whole["model.diffusion_model.joint_blocks.0.weight"] = torch.zeros(1)
    save_file(whole, tmp_path / "sd3.safetensors")
    assert vae.load(tmp_path / "sd3.safetensors").config.scaling_factor == 1.5305


def test_a_foreign_tensor_is_not_passed_over(tmp_path):
    state = {f"first_stage_model.{n}": t for n, t in to_compvis(diffusers_kl().state_dict()).items()}
    state["mystery.weight"] = torch.zeros(1)
    save_file(state, tmp_path / "m.safetensors")
    with pytest.raises(InputError, match=r"unexpected tensor mystery\.weight"):
        vae.load(tmp_path / "m.safetensors")


def test_two_namings_at_once_are_refused(tmp_path):
    state = diffusers_kl().state_dict()
    torch.save({**to_compvis(state), **state}, tmp_path / "m.pth")
    with pytest.raises(InputError, match="mixes two namings"):
        vae.load(tmp_path / "m.pth")


@pytest.mark.parametrize("latent_channels", [4, 16])
def test_tiny_in_every_form(tmp_path, latent_channels):
    theirs = diffusers_tiny(latent_channels)
    theirs.save_pretrained(tmp_path / "folder")
    encoder, decoder = to_taesd(theirs.state_dict())
    (tmp_path / "pair").mkdir()
    torch.save(encoder, tmp_path / "pair" / "taesd_encoder.pth")
    torch.save(decoder, tmp_path / "pair" / "taesd_decoder.pth")
    single = {f"encoder.{n}": t for n, t in encoder.items()} | {f"decoder.{n}": t for n, t in decoder.items()}
    save_file({n: t.contiguous() for n, t in single.items()}, tmp_path / "single.safetensors")
    for source in ("folder", "pair", "pair/taesd_encoder.pth", "pair/taesd_decoder.pth", "single.safetensors"):
        assert_same(vae.load(tmp_path / source), theirs)


def test_taef2_pools_at_the_lowest_resolution(tmp_path):
    # diffusers has no class for it: the reference is a few lines here, from the network's description.
    from vae.models import build
    from vae.models.tiny import TinyConfig

    config = TinyConfig(
        encoder_block_out_channels=(8,) * 4,
        decoder_block_out_channels=(8,) * 4,
        latent_channels=6,
        mid_block_pool=True,
    )
    model = randomise(build(config))
    encoder, decoder = to_taesd(model.state_dict())
    assert {n.split(".")[0] for n in encoder if ".pool." in n} == {"11", "12", "13"}
    assert {n.split(".")[0] for n in decoder if ".pool." in n} == {"3", "4", "5"}
    torch.save(encoder, tmp_path / "taef2_encoder.pth")
    torch.save(decoder, tmp_path / "taef2_decoder.pth")
    loaded = vae.load(tmp_path)
    assert loaded.config.mid_block_pool
    z = torch.randn(1, 6, 4, 5)

    def block(x, index):
        def conv(h, i):
            return torch.nn.functional.conv2d(
                h, decoder[f"{index}.conv.{i}.weight"], decoder[f"{index}.conv.{i}.bias"], padding=1
            )

        if f"{index}.pool.0.weight" in decoder:
            h = torch.nn.functional.conv2d(x, decoder[f"{index}.pool.0.weight"])
            h = torch.nn.functional.group_norm(h, 4, decoder[f"{index}.pool.1.weight"], decoder[f"{index}.pool.1.bias"])
            x = x + torch.nn.functional.conv2d(h.relu(), decoder[f"{index}.pool.3.weight"])
        return (x + conv(conv(conv(x, 0).relu(), 2).relu(), 4)).relu()

    h = torch.nn.functional.conv2d((z / 3).tanh() * 3, decoder["1.weight"], decoder["1.bias"], padding=1).relu()
    for index in range(3, 20):
        if f"{index}.conv.0.weight" in decoder:
            h = block(h, index)
        elif f"{index}.weight" in decoder:
            if index != 19:
                h = h.repeat_interleave(2, -1).repeat_interleave(2, -2)
            h = torch.nn.functional.conv2d(h, decoder[f"{index}.weight"], decoder.get(f"{index}.bias"), padding=1)
    torch.testing.assert_close(loaded.decode(z), h * 2 - 1, atol=1e-4, rtol=0)


@pytest.mark.parametrize("widths", [(32, 32, 64, 64), (32, 64, 96, 96)])
def test_the_notebooks_own_file(tmp_path, widths):
    notebook = randomise(NotebookVAE(*widths))
    torch.save(notebook.state_dict(), tmp_path / "vae_model_epoch_3.pth")
    ours = vae.load(tmp_path / "vae_model_epoch_3.pth")
    assert ours.config.encoder_layers == (1, 2, 2, 2) and ours.config.decoder_layers == (2, 3, 3, 3)
    for size in ((56, 56), (40, 61)):
        x = torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(2)) * 2 - 1
        mean, logvar = notebook.moments(x).chunk(2, dim=1)
        posterior = ours.encode(x)
        torch.testing.assert_close(posterior.mean, mean, atol=1e-4, rtol=0)
        torch.testing.assert_close(posterior.logvar, logvar.clamp(-30, 20), atol=1e-4, rtol=0)
        torch.testing.assert_close(ours.decode(mean), notebook.decoder(mean), atol=1e-4, rtol=0)


def test_the_notebook_at_its_own_size_is_the_preset(tmp_path):
    from vae.models import KL_PRESETS

    with torch.device("meta"):
        notebook = NotebookVAE(128, 256, 512, 512)
    assert sum(p.numel() for p in notebook.parameters()) == 78_636_499
    naming = recognise({name: tuple(t.shape) for name, t in notebook.state_dict().items()})
    assert infer_config(naming) == KL_PRESETS["sd-notebook"]


@pytest.mark.parametrize("variational", [True, False])
def test_our_own_tensors_alone(tmp_path, variational):
    from vae.models import build
    from vae.models.conv import ConvConfig

    model = build(ConvConfig(features=(1, 8, 16, 4), variational=variational)).eval()
    torch.save(model.state_dict(), tmp_path / "weights.pth")
    loaded = vae.load(tmp_path / "weights.pth")
    assert loaded.config == model.config
    x = torch.zeros(1, 1, 32, 32)
    torch.testing.assert_close(loaded.encode(x).mean, model.encode(x).mean)


def test_groups_that_cannot_be_told_are_asked_for(tmp_path):
    theirs = diffusers_kl(widths=(16, 32), norm_num_groups=8)
    save_file(theirs.state_dict(), tmp_path / "m.safetensors")
    with pytest.raises(InputError, match=r"groups cannot be told.*config\.json"):
        vae.load(tmp_path / "m.safetensors")


@pytest.mark.parametrize("preset", ["sd-small", "grey", "scaled"])
def test_exports_open_in_diffusers_bit_for_bit(tmp_path, preset):
    from dataclasses import replace

    from diffusers import AutoencoderKL

    from vae.models import KL_PRESETS, build

    small = replace(KL_PRESETS["sd-small"], block_out_channels=(16, 32), scaling_factor=0.7)
    grey = replace(small, in_channels=1, out_channels=1)
    configs = {"sd-small": small, "grey": grey, "scaled": replace(small, shift_factor=0.5, latents_mean=(1.0,) * 4)}
    model = randomise(build(configs[preset]))
    vae.export(model, tmp_path / "out")
    theirs = AutoencoderKL.from_pretrained(tmp_path / "out")
    state = theirs.state_dict()
    assert state.keys() == model.state_dict().keys()
    assert all(torch.equal(tensor, state[name]) for name, tensor in model.state_dict().items())
    assert theirs.config.scaling_factor == 0.7 and (theirs.config.shift_factor or 0.0) == model.config.shift_factor
    x = torch.rand(1, model.in_channels, 16, 24)
    torch.testing.assert_close(model.encode(x).mean, theirs.encode(x).latent_dist.mean, atol=1e-4, rtol=0)
    assert replace(vae.load(tmp_path / "out").config, latent_space=None) == model.config


def test_tiny_and_flux2_export_too(tmp_path):
    from diffusers import AutoencoderKLFlux2, AutoencoderTiny

    for theirs, kind in ((diffusers_tiny(), AutoencoderTiny), (diffusers_flux2(), AutoencoderKLFlux2)):
        theirs.save_pretrained(tmp_path / kind.__name__)
        vae.export(vae.load(tmp_path / kind.__name__), tmp_path / f"{kind.__name__}-again")
        again = kind.from_pretrained(tmp_path / f"{kind.__name__}-again")
        assert all(torch.equal(tensor, again.state_dict()[name]) for name, tensor in theirs.state_dict().items())


def test_what_diffusers_cannot_hold_is_not_exported(tmp_path):
    from dataclasses import replace

    from vae.models import KL_PRESETS, TinyConfig, build
    from vae.models.conv import ConvConfig

    notebook = replace(KL_PRESETS["sd-notebook"], block_out_channels=(32, 32, 32, 32))
    for config in (notebook, ConvConfig()):
        with pytest.raises(InputError, match="diffusers has no class"):
            vae.export(build(config), tmp_path / "out")
    with pytest.raises(InputError, match=r"TAEF2's .* in the format taesd, or"):
        vae.export(build(TinyConfig(latent_channels=32, mid_block_pool=True)), tmp_path / "out")
    with pytest.raises(InputError, match="export format 'gguf'"):
        vae.export(build(ConvConfig()), tmp_path / "out", format="gguf")
    assert not (tmp_path / "out").exists()


def test_names_and_shapes_that_no_network_has_are_one_sentence():
    with pytest.raises(InputError, match="as no network's has"):
        recognise({f"decoder.up.{'9' * 5000}.block.0.conv1.weight": (1,)})
    for shape in ((), (7, 2)):
        with pytest.raises(InputError, match="not three matrices"):
            _part("encoder.mid_block.attentions.0.to_q.weight", "encoder.9.in_proj.weight", shape, 0, "notebook")


@pytest.mark.parametrize("name", ["decoder.up_blocks.0.resnets.0.conv1.weight", "bn.running_mean"])
def test_a_tensor_without_dimensions_is_one_sentence(name):
    shapes = {key: tuple(tensor.shape) for key, tensor in diffusers_flux2().state_dict().items()}
    with pytest.raises(InputError, match="like no auto-encoder known here"):
        infer_config(recognise(shapes | {name: ()}))
