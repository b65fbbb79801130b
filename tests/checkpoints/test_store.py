"""Saving and loading: bit for bit, whole or not at all, and bad files refused in one sentence."""

import json
import os

import pytest
import torch
from peers import diffusers_kl, diffusers_tiny, randomise, to_taesd, write_folder
from safetensors.torch import load_file, save_file

import vae
from vae.checkpoints.discover import WEIGHTS
from vae.checkpoints.find_model import load_config
from vae.errors import InputError
from vae.models import build, config_to_dict
from vae.models.autoencoder_kl import KLConfig
from vae.models.conv import ConvConfig
from vae.models.tiny import TinyConfig

KL = KLConfig(block_out_channels=(8, 16), norm_num_groups=4, layers_per_block=1, scaling_factor=0.5, trained_on="dogs")
TINY = TinyConfig(encoder_block_out_channels=(8,) * 4, decoder_block_out_channels=(8,) * 4, mid_block_pool=True)
CONV = ConvConfig(features=(1, 8, 16, 4))


@pytest.fixture
def saved(tmp_path):
    return vae.save(randomise(build(KL)), tmp_path / "model")


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def refuses(source, message, **options):
    with pytest.raises(InputError, match=message) as caught:
        vae.load(source, **options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("config", [KL, TINY, CONV])
def test_what_is_saved_is_loaded_bit_for_bit(tmp_path, config):
    model = randomise(build(config))
    loaded = vae.load(vae.save(model, tmp_path / "model"), device="cpu")
    assert loaded.config == config and load_config(tmp_path / "model") == config
    assert loaded.state_dict().keys() == model.state_dict().keys()
    assert all(torch.equal(tensor, loaded.state_dict()[name]) for name, tensor in model.state_dict().items())
    assert not loaded.training and not any(p.requires_grad for p in loaded.parameters())
    assert names(tmp_path / "model") == ["config.json", "model.safetensors"]
    assert names(tmp_path) == ["model"]
    vae.save(loaded, tmp_path / "again")
    assert (tmp_path / "again" / WEIGHTS).read_bytes() == (tmp_path / "model" / WEIGHTS).read_bytes()


def test_saving_again_replaces_the_files_and_leaves_others(saved):
    (saved / "README.md").write_text("a card")
    vae.save(randomise(build(KL), seed=5), saved)
    assert torch.equal(vae.load(saved).encoder.conv_in.weight, randomise(build(KL), seed=5).encoder.conv_in.weight)
    assert names(saved) == ["README.md", "config.json", "model.safetensors"]


def test_a_failed_save_leaves_nothing_new(tmp_path, monkeypatch):
    def full(*args, **kwargs):
        raise OSError("No space left on device")

    monkeypatch.setattr("vae.checkpoints.store.save_file", full)
    with pytest.raises(InputError, match="cannot be written: No space left on device"):
        vae.save(build(KL), tmp_path / "model")
    assert names(tmp_path) == []


def test_the_weights_file_alone_carries_its_config(saved, tmp_path):
    alone = (saved / "model.safetensors").rename(tmp_path / "alone.safetensors")
    assert vae.load(alone).config == KL


def test_a_pth_beside_its_config(saved):
    torch.save({"state_dict": load_file(saved / "model.safetensors")}, saved / "weights.pth")
    assert vae.load(saved / "weights.pth").config == KL


def test_weights_of_our_own_outlive_their_file(saved):
    model = vae.load(saved)
    before = model.encoder.conv_in.weight.clone()
    with (saved / "model.safetensors").open("r+b") as file:
        file.write(b"\0" * 50_000)
    assert torch.equal(model.encoder.conv_in.weight, before)


def test_weights_that_overflow_in_half_precision_are_refused(saved):
    edited(saved, lambda state: state["encoder.conv_in.weight"].fill_(1e6))
    refuses(saved, r"conv_in\.weight holds numbers that are not finite .* in torch\.float16", dtype=torch.float16)
    assert vae.load(saved).encoder.conv_in.weight.max() == 1e6


def test_dtype_is_float32_unless_asked_for(saved):
    half = {name: tensor.half() for name, tensor in load_file(saved / "model.safetensors").items()}
    save_file(half, saved / "model.safetensors")
    assert vae.load(saved).dtype == torch.float32
    assert vae.load(saved, dtype=torch.bfloat16).dtype == torch.bfloat16


def test_bundled_names(tmp_path, monkeypatch):
    monkeypatch.setattr("vae.checkpoints.find_model.BUNDLED", tmp_path)
    vae.save(randomise(build(CONV)), tmp_path / "mine")
    assert vae.bundled() == {"mine": tmp_path / "mine"}
    assert vae.load("mine").config == CONV


def test_a_run_folder_means_its_newest_complete_checkpoint(tmp_path):
    for step in (5, 40, 300):
        vae.save(randomise(build(CONV), seed=step), tmp_path / "checkpoints" / f"step-{step:08d}")
    (tmp_path / "checkpoints" / "step-00000300" / "model.safetensors").unlink()  # killed while writing
    (tmp_path / "config.json").write_text('{"preset": "mnist-vae"}')  # the run's own
    assert torch.equal(
        vae.load(tmp_path).state_dict()["encoder.0.0.0.weight"], randomise(build(CONV), seed=40).encoder[0][0][0].weight
    )


# diffusers' folders in all their forms


def shards(folder, state, count=3, variant=""):
    names = sorted(state)
    index = {}
    for i in range(count):
        file = f"diffusion_pytorch_model{variant}-{i + 1:05d}-of-{count:05d}.safetensors"
        part = {name: state[name] for name in names[i::count]}
        save_file(part, folder / file)
        index |= dict.fromkeys(part, file)
    (folder / f"diffusion_pytorch_model.safetensors.index{variant}.json").write_text(json.dumps({"weight_map": index}))


@pytest.mark.parametrize("form", ["fp16 variant", "sharded", "sharded variant", "bin", "sharded by diffusers"])
def test_forms_of_a_diffusers_folder(tmp_path, form):
    theirs = diffusers_kl(widths=(8, 16), norm_num_groups=4)
    state = theirs.state_dict()
    if form == "sharded by diffusers":
        theirs.save_pretrained(tmp_path, max_shard_size="100KB")
        assert len(list(tmp_path.glob("*.safetensors"))) > 1
    else:
        (tmp_path / "config.json").write_text(json.dumps({"_class_name": "AutoencoderKL", **theirs.config}))
    if form == "fp16 variant":
        half = {name: tensor.half() for name, tensor in state.items()}
        save_file(half, tmp_path / "diffusion_pytorch_model.fp16.safetensors")
        state = {name: tensor.float() for name, tensor in half.items()}
    elif form == "sharded":
        shards(tmp_path, state)
    elif form == "sharded variant":
        shards(tmp_path, state, variant=".fp16")
    elif form == "bin":
        torch.save(state, tmp_path / "diffusion_pytorch_model.bin")
    loaded = vae.load(tmp_path).state_dict()
    assert all(torch.equal(tensor, loaded[name]) for name, tensor in state.items())


def test_full_precision_is_preferred_and_the_variant_can_be_chosen(tmp_path):
    theirs = diffusers_kl(widths=(8, 16), norm_num_groups=4)
    theirs.save_pretrained(tmp_path)
    ones = {name: torch.ones_like(tensor) for name, tensor in theirs.state_dict().items()}
    save_file(ones, tmp_path / "diffusion_pytorch_model.fp16.safetensors")
    assert torch.equal(vae.load(tmp_path).encoder.conv_in.weight, theirs.encoder.conv_in.weight)
    assert torch.equal(vae.load(tmp_path, variant="fp16").encoder.conv_in.weight, ones["encoder.conv_in.weight"])


def test_an_incomplete_set_of_shards_is_refused(tmp_path):
    theirs = diffusers_kl(widths=(8, 16), norm_num_groups=4)
    (tmp_path / "config.json").write_text(json.dumps({"_class_name": "AutoencoderKL", **theirs.config}))
    shards(tmp_path, theirs.state_dict())
    (tmp_path / "diffusion_pytorch_model-00002-of-00003.safetensors").unlink()
    refuses(tmp_path, "no weights")


@pytest.mark.parametrize("subfolder", [None, "vae"])
def test_a_pipelines_folder(tmp_path, subfolder):
    theirs = diffusers_kl(widths=(8, 16), norm_num_groups=4)
    theirs.save_pretrained(tmp_path / "vae")
    (tmp_path / "model_index.json").write_text('{"_class_name": "StableDiffusionPipeline"}')
    write_folder(tmp_path / "unet", {"_class_name": "UNet2DConditionModel"}, {"a": torch.zeros(1)})
    (tmp_path / "v1-5-pruned.ckpt").write_bytes(b"not to be opened")
    assert torch.equal(vae.load(tmp_path, subfolder=subfolder).encoder.conv_in.weight, theirs.encoder.conv_in.weight)


# Bad input


def test_a_folder_without_weights(tmp_path):
    refuses(tmp_path, "holds no auto-encoder's weights")
    (tmp_path / "config.json").write_text(json.dumps(config_to_dict(KL)))
    refuses(tmp_path, "no weights: model.safetensors")


def test_an_unknown_class_is_named_with_what_is_known(tmp_path):
    write_folder(tmp_path, {"_class_name": "AutoencoderOobleck"}, {"a": torch.zeros(1)})
    refuses(tmp_path, '"AutoencoderOobleck"; known are AutoencoderDC, AutoencoderKL')
    write_folder(tmp_path, {"architectures": ["BertModel"]}, {"a": torch.zeros(1)})
    refuses(tmp_path, "no _class_name; known are")


@pytest.mark.parametrize("keep", [4, 100, 0.5, 0.999])
def test_a_truncated_safetensors_file(saved, keep):
    path = saved / "model.safetensors"
    content = path.read_bytes()
    path.write_bytes(content[: keep if keep > 1 else int(keep * len(content))])
    refuses(saved, "model.safetensors is not a complete safetensors file")


@pytest.mark.parametrize("keep", [0, 10, 0.5])
def test_a_truncated_pth_file(saved, keep):
    torch.save(load_file(saved / "model.safetensors"), saved / "w.pth")
    content = (saved / "w.pth").read_bytes()
    (saved / "w.pth").write_bytes(content[: keep if keep >= 1 else int(keep * len(content))])
    refuses(saved / "w.pth", r"w\.pth")


def edited(saved, change):
    state = load_file(saved / "model.safetensors")
    change(state)
    save_file(state, saved / "model.safetensors")


def test_bad_tensors_are_named(saved):
    original = (saved / "model.safetensors").read_bytes()
    cases = [
        (lambda s: s.pop("encoder.conv_in.bias"), r"lack the tensor encoder\.conv_in\.bias;"),
        (lambda s: s.update(extra=torch.zeros(1)), "unexpected tensor extra;"),
        (lambda s: s.update({"encoder.conv_in.bias": torch.zeros(3)}), r"conv_in\.bias has the shape \[3\].*\[8\]"),
        (lambda s: s["encoder.conv_in.bias"].fill_(float("nan")), r"conv_in\.bias .*not finite"),
        (lambda s: s["encoder.conv_in.bias"][2:3].fill_(float("inf")), r"conv_in\.bias .*not finite"),
        (lambda s: s.update({"encoder.conv_in.bias": torch.zeros(8, dtype=torch.int64)}), "int64, which does not fit"),
    ]
    for change, message in cases:
        (saved / "model.safetensors").write_bytes(original)
        edited(saved, change)
        refuses(saved, message)


def test_shapes_that_do_not_fit_the_config(saved):
    config = json.loads((saved / "config.json").read_text())
    (saved / "config.json").write_text(json.dumps({**config, "latent_channels": 8}))
    refuses(saved, "where the config asks for")


def test_two_families_mixed(tmp_path):
    encoder, _ = to_taesd(diffusers_tiny(4).state_dict())
    _, decoder = to_taesd(diffusers_tiny(16).state_dict())
    torch.save(encoder, tmp_path / "x_encoder.pth")
    torch.save(decoder, tmp_path / "x_decoder.pth")
    refuses(tmp_path, r"decoder\.layers\.0\.weight has the shape")
    write_folder(tmp_path / "b", config_to_dict(KL), diffusers_tiny().state_dict())
    refuses(tmp_path / "b", "lack the tensor")


def test_half_a_pair_and_several_pairs(tmp_path):
    encoder, decoder = to_taesd(diffusers_tiny().state_dict())
    torch.save(encoder, tmp_path / "taesd_encoder.pth")
    refuses(tmp_path / "taesd_encoder.pth", "taesd_decoder.pth must lie beside it")
    torch.save(decoder, tmp_path / "taesd_decoder.pth")
    torch.save(encoder, tmp_path / "taesdxl_encoder.pth")
    torch.save(decoder, tmp_path / "taesdxl_decoder.pth")
    refuses(tmp_path, "several models; give one of taesd_encoder.pth, taesdxl_encoder.pth")
    assert vae.load(tmp_path / "taesdxl_decoder.pth").config.latent_space == "sdxl"


def test_several_weight_files_without_a_config(tmp_path):
    for name in ("a.safetensors", "b.safetensors"):
        save_file({"x": torch.zeros(1)}, tmp_path / name)
    refuses(tmp_path, "several weight files.*a.safetensors, b.safetensors")


class Payload:
    def __reduce__(self):
        return os.system, ("touch pwned",)


def test_a_pickle_that_would_run_code_is_refused_and_does_not_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"encoder.0.weight": Payload()}, tmp_path / "evil.pth")
    refuses(tmp_path / "evil.pth", "evil.pth .*could run code")
    assert not (tmp_path / "pwned").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [({}, "no tensors by name"), ([torch.zeros(1)], "no tensors by name"), ({"lr": 0.1}, "no tensors by name")],
)
def test_files_of_other_things(tmp_path, content, message):
    torch.save(content, tmp_path / "x.pth")
    refuses(tmp_path / "x.pth", message)


def test_files_without_an_auto_encoder(tmp_path):
    save_file({"model.diffusion_model.x": torch.zeros(1)}, tmp_path / "unet.safetensors")
    refuses(tmp_path / "unet.safetensors", "hold no auto-encoder")
    save_file({"encoder.conv_in.weight": torch.zeros(1)}, tmp_path / "half.safetensors")
    refuses(tmp_path / "half.safetensors", "only half of an auto-encoder")
    save_file({"encoder.a": torch.zeros(1), "decoder.b": torch.zeros(1)}, tmp_path / "odd.safetensors")
    refuses(tmp_path / "odd.safetensors", "like no auto-encoder known here")


def test_a_picture_is_no_model(tmp_path):
    (tmp_path / "cat.png").write_bytes(b"\x89PNG")
    refuses(tmp_path / "cat.png", r"cat.png is no weight file; .safetensors")


@pytest.mark.parametrize("text", ["{", "[]", '"x"', "\x00"])
def test_a_broken_config(saved, text):
    (saved / "config.json").write_text(text)
    refuses(saved, "config.json|JSON")


@pytest.mark.parametrize(
    "source",
    [
        "",
        "nothing-here",
        "../secret",
        "/no/such",
        "x" * 300,
        "a\0b",
        "~nobody-here/x",
        "a/../b",
        "a\\b/c",
        "org/na me",
        "org/" + "x" * 300,
    ],
)
def test_sources_that_are_nothing(source):
    refuses(source, "There is no model")


@pytest.mark.parametrize("subfolder", ["../..", "/etc", "a/../../b"])
def test_a_subfolder_stays_inside(saved, subfolder):
    refuses(saved, "does not lie inside", subfolder=subfolder)


@pytest.mark.parametrize("ending", ["safetensors", "CKPT", "bin"])
def test_what_often_lies_where_weights_should_is_called_what_it_is(tmp_path, ending):
    path = tmp_path / f"vae.{ending}"
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 334643276\n")
    refuses(path, "Git LFS's pointer to the weights")
    path.write_text("\n<!DOCTYPE html><html><head><title>Sign in</title></head></html>")
    refuses(path, "is a web page, not weights")
