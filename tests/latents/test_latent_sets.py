"""vae encode, vae decode and vae.latents.open, through the command line as it is used, and through Python."""

import json
import shutil
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch.utils.data import DataLoader

import vae
from vae import latents, tiling
from vae.checkpoints.store import save
from vae.cli import main
from vae.data.sets import load_data
from vae.errors import InputError
from vae.latents import encoding
from vae.latents.priors import fit_priors
from vae.models import build
from vae.models.autoencoder_kl import KLConfig
from vae.models.conv import ConvConfig

FACTORS = {"scaling_factor": 0.5, "shift_factor": 1.0}
TINY = KLConfig(sample_size=16, block_out_channels=(8, 16), norm_num_groups=4, layers_per_block=1, **FACTORS)
SIZES = [(16, 16), (24, 18), (16, 16), (31, 20), (24, 18), (16, 16), (18, 24)]  # width, height


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    torch.manual_seed(0)
    return vae.load(save(build(TINY), tmp_path_factory.mktemp("model") / "tiny"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Seven images of four sizes in two classes, one of them grey, and a file that is none."""
    root, chance = tmp_path_factory.mktemp("images"), np.random.default_rng(0)
    for i, (width, height) in enumerate(SIZES):
        place = root / ("cats" if i % 2 else "dogs")
        place.mkdir(exist_ok=True)
        image = Image.fromarray(chance.integers(0, 255, (height, width, 3), np.uint8))
        (image.convert("L") if i == 2 else image).save(place / f"{i}.png")
    (root / "cats" / "9.png").write_bytes(b"no image")
    return root


@pytest.fixture
def run(monkeypatch, capsys):
    """Runs a command: (exit code, what --json printed, stderr)."""

    def call(*arguments, **environment):
        for name, value in environment.items():
            monkeypatch.setenv(name, str(value))
        monkeypatch.setattr(sys, "argv", ["vae", *map(str, arguments), "--device", "cpu", "--json"])
        with pytest.raises(SystemExit) as caught:
            main.main()
            raise SystemExit(0)
        for name in environment:
            monkeypatch.delenv(name)
        captured = capsys.readouterr()
        return caught.value.code or 0, json.loads(captured.out or "null"), captured.err

    return call


@pytest.fixture
def encode(run, model, folder, tmp_path):
    """vae encode of the folder into tmp_path/latents, three images a shard."""

    def call(*options, data=folder, of=model, **environment):
        source = of.weight_files[0].parent
        arguments = "encode", source, "--data", data, "-o", tmp_path / "latents", "--shard-size", 3
        return run(*arguments, *options, **environment)

    return call


def pixels_of(folder, name):
    return torch.from_numpy(np.asarray(Image.open(folder / name).convert("RGB")).transpose(2, 0, 1).copy())


def test_every_image_comes_back_with_its_own_latent_at_its_own_size(encode, model, folder, tmp_path):
    code, facts, err = encode()
    assert code == 0 and (facts["images"], facts["left_out"], facts["encoded"]) == (7, 1, 8)
    assert "1 image could not be read and was left out: cats/9.png." in err
    found = latents.open(tmp_path / "latents", model)
    assert len(found) == 7 and found.left_out == ["cats/9.png"] and found.classes == ["cats", "dogs"]
    for item in found:
        x = pixels_of(folder, item["name"])
        posterior = tiling.encode(model, x[None])
        assert item["size"] == tuple(x.shape[1:])
        torch.testing.assert_close(item["mean"], posterior.mean[0], atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(item["logvar"], posterior.logvar[0], atol=1e-5, rtol=1e-5)
        assert torch.equal(item["latents"], item["mean"])
        assert found.classes[item["label"]] == item["name"].split("/")[0]
    with pytest.raises(InputError, match="--size"):
        found.stack()


def test_the_index_and_the_shards_are_what_others_read(encode, tmp_path):
    encode("--size", 16)
    index = json.loads((tmp_path / "latents" / "index.json").read_text())
    assert index["scaling"] == {**FACTORS, "latents_mean": None, "latents_std": None, "applied": False}
    assert index["shapes"] == [[4, 8, 8]] * 7 and len(index["names"]) == len(index["labels"]) == 7
    tensors = [load_file(tmp_path / "latents" / shard["file"]) for shard in index["shards"]]
    assert [set(each) for each in tensors] == [{"latents", "mean", "logvar"}] * 3
    assert [len(each["latents"]) for each in tensors] == [shard["images"] for shard in index["shards"]]


def test_a_sample_is_the_same_for_an_image_whatever_the_batch_and_scaled_as_asked(encode, model, tmp_path):
    encode("--size", 16, "--sample", "--seed", 3, "--batch-size", 3)
    first = latents.open(tmp_path / "latents")
    shutil.move(tmp_path / "latents", tmp_path / "first")
    first.folder = tmp_path / "first"
    encode("--size", 16, "--sample", "--seed", 3, "--batch-size", 1, "--scaled", "--dtype", "float16")
    second = latents.open(tmp_path / "latents")
    z, scaled = first.stack(), second.stack()
    assert scaled.dtype == torch.float16 and second.scaling["applied"]
    torch.testing.assert_close(scaled.float(), latents.scale(model, z), atol=5e-3, rtol=1e-3)
    away = (z - first.stack("mean")) / (0.5 * first.stack("logvar")).exp()
    assert 0.9 < away.std() < 1.1 and away.mean().abs() < 0.1


def test_a_torch_loader_reads_it_in_several_processes(encode, tmp_path):
    encode("--size", 16, "--keep", "mean")
    found = latents.open(tmp_path / "latents")
    assert found.parts == ("mean",)
    found[0]  # mapped in this process already
    batches = list(DataLoader(found, batch_size=4, num_workers=1))
    assert [batch["mean"].shape[0] for batch in batches] == [4, 3]
    assert torch.equal(torch.cat([batch["mean"] for batch in batches]), found.stack("mean"))
    found[0]["mean"].zero_()
    assert found[0]["mean"].abs().sum() > 0


def test_what_an_interrupted_encoding_has_done_is_kept_and_not_done_again(
    encode, run, model, folder, tmp_path, monkeypatch
):
    written = encoding.write_shard

    def full(folder, plan, number, rows, tensors):
        if number == 1:
            raise OSError(28, "No space left on device")
        written(folder, plan, number, rows, tensors)

    monkeypatch.setattr(encoding, "write_shard", full)
    code, _, error = encode()
    assert code == 2 and "No space left on device" in error
    with pytest.raises(InputError, match="lack 2 of 3 shards"):
        latents.open(tmp_path / "latents")
    made = (tmp_path / "latents" / "shard-00000.safetensors").stat()
    monkeypatch.setattr(encoding, "write_shard", written)
    code, facts, _ = encode()
    assert code == 0 and facts["encoded"] == 5
    assert (tmp_path / "latents" / "shard-00000.safetensors").stat().st_mtime_ns == made.st_mtime_ns
    assert len(latents.open(tmp_path / "latents")) == 7
    monkeypatch.chdir(model.weight_files[0].parent.parent)  # the same model by another path
    again = run("encode", "tiny", "--data", folder, "-o", tmp_path / "latents", "--shard-size", 3)
    assert again[0] == 0 and again[1]["encoded"] == 0


def test_processes_share_the_shards_and_the_last_one_completes_the_index(encode, tmp_path):
    code, facts, _ = encode(RANK=1, WORLD_SIZE=2)
    assert code == 0 and not facts["complete"] and facts["encoded"] == 3
    assert {path.name for path in (tmp_path / "latents").iterdir()} == {"index.json", "shard-00001.safetensors"}
    code, facts, _ = encode(RANK=0, WORLD_SIZE=2)
    assert facts["complete"] and facts["encoded"] == 5 and facts["images"] == 7


def test_decoding_gives_the_images_back(encode, run, model, folder, tmp_path):
    encode("--scaled", "--keep", "latents")
    code, facts, error = run("decode", tmp_path / "latents", "-o", tmp_path / "out")
    assert code == 0, error
    names = sorted(path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.png"))
    assert names == sorted(latents.open(tmp_path / "latents").names) and facts["images"] == 7
    for name in names:
        x = pixels_of(folder, name)
        x_hat = tiling.decode(model, tiling.encode(model, x[None]).mode(), x.shape[-2:])
        wanted = vae.images.to_uint8(x_hat)[0].int()
        assert (pixels_of(tmp_path / "out", name).int() - wanted).abs().max() <= 1


def refused(call, *words):
    code, _, error = call
    assert code == 2 and error.count("\n") == 1 and all(word in error for word in words), error


def test_what_cannot_be_gone_on_with_is_refused_in_one_sentence(encode, run, model, folder, tmp_path):
    place = tmp_path / "latents"
    assert encode("--keep", "latents")[0] == 0
    torch.manual_seed(1)
    other = vae.load(save(build(TINY), tmp_path / "other"))
    before = sorted((path.name, path.stat().st_mtime_ns) for path in place.iterdir())
    refused(encode("--keep", "latents", of=other), "latents of another model")
    refused(encode("--keep", "latents", "--size", 16), "other data or settings", "image_size")
    refused(run("decode", place, "-o", tmp_path / "out", "--model", tmp_path / "other"), "another model")
    assert before == sorted((path.name, path.stat().st_mtime_ns) for path in place.iterdir())
    assert not (tmp_path / "out").exists()
    with pytest.raises(InputError, match="another model"):
        latents.open(place, other)
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "diary.txt").write_text("mine")
    refused(
        run("encode", tmp_path / "other", "--data", folder, "-o", tmp_path / "notes"), "holds other files", "new one"
    )


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (lambda place: (place / "shard-00001.safetensors").unlink(), "lack 1 of 3 shards"),
        (lambda place: shutil.copy(place / "shard-00000.safetensors", place / "shard-00001.safetensors"), "is a copy"),
        (lambda place: shutil.copy(place / "shard-00000.safetensors", place / "shard (1).safetensors"), "is none of"),
        (lambda place: (place / "shard-00001.safetensors").write_bytes(b"x" * 30), "is damaged"),
        (lambda place: save_file({"mean": torch.zeros(3, 4, 8, 8)}, place / "shard-00001.safetensors"), "is damaged"),
        (lambda place: (place / "index.json").write_text("{}"), "no index of latents"),
        (lambda place: (place / "index.json").unlink(), "no index.json"),
    ],
)
def test_shards_missing_doubled_or_damaged_are_named(encode, tmp_path, harm, said):
    encode("--keep", "mean")
    harm(tmp_path / "latents")
    with pytest.raises(InputError, match=said.replace("(", r"\(")) as caught:
        latents.open(tmp_path / "latents")
    assert str(caught.value).count(". ") == 0


def test_one_image_is_enough_and_none_leaves_nothing_behind(encode, tmp_path):
    one, none = tmp_path / "one", tmp_path / "none"
    for place in (one, none):
        place.mkdir()
        (place / "a.png").write_bytes(b"no image")
    refused(encode(data=none), "None of the 1 images")
    assert not (tmp_path / "latents").exists()
    Image.new("RGB", (16, 16)).save(one / "a.png")
    assert encode(data=one)[1]["images"] == 1


def test_a_plain_auto_encoder_has_no_logvar(run, tmp_path):
    torch.manual_seed(0)
    save(build(ConvConfig(features=(1, 4, 2), sample_size=8, border=0, variational=False)), tmp_path / "plain")
    arguments = "encode", tmp_path / "plain", "--data", "digits", "--split", "test", "-o", tmp_path / "latents"
    refused(run(*arguments, "--keep", "logvar"), "no logvar")
    assert run(*arguments)[0] == 0
    found = latents.open(tmp_path / "latents")
    assert found.parts == ("latents", "mean") and found.stack().shape == (len(found), 2, 4, 4)


def test_encode_and_decode_take_any_number_of_images(model):
    x = torch.rand(5, 3, 18, 22) * 2 - 1
    posterior = vae.encode(model, x, batch_size=2)
    torch.testing.assert_close(posterior.mean, tiling.encode(model, x).mean, atol=1e-5, rtol=1e-5)
    x_hat = vae.decode(model, posterior.mean, batch_size=2)
    torch.testing.assert_close(x_hat, tiling.decode(model, posterior.mean), atol=1e-5, rtol=1e-5)
    with pytest.raises(InputError, match="no images"):
        vae.encode(model, x[:0])


def test_what_cannot_be_encoded_as_asked_is_refused_before_a_folder_is_made(run, folder, tmp_path):
    unknown = save(build(replace(TINY, scaling_factor=None)), tmp_path / "unknown")
    fixed = save(build(ConvConfig(features=(1, 4, 8, 2), sample_size=16, border=1)), tmp_path / "fixed")
    for model, option, why in ((unknown, "--scaled", "scaling factor"), (fixed, "--size=24", "16 pixels alone")):
        code, _, err = run("encode", model, "--data", folder, "-o", tmp_path / "latents", option)
        assert code == 2 and why in err and not (tmp_path / "latents").exists()


@pytest.mark.parametrize("options", [("--keep", "mean,logvar"), ("--keep", "latents,logvar", "--scaled")])
def test_priors_are_fitted_to_latents_as_to_their_images(options, encode, model, folder, tmp_path):
    encode("--size", 16, *options)
    images, noise = load_data(str(folder), "all", 16, 3), torch.randn(5, 4, 8, 8)
    kinds = ["gaussian", "mixture"]
    ours, theirs = (fit_priors(model, data, kinds) for data in (latents.open(tmp_path / "latents"), images))
    for kind in kinds:
        assert ours[kind].classes == theirs[kind].classes
        torch.testing.assert_close(ours[kind](noise), theirs[kind](noise), atol=1e-3, rtol=1e-3)


def test_a_diffusion_is_fitted_to_latents_and_refused_those_of_others(encode, model, folder, tmp_path, run):
    own = tmp_path / "model"
    shutil.copytree(model.weight_files[0].parent, own)
    encode("--size", 16)
    command = "fit-prior", own, "--prior", "diffusion", "--updates", 1, "--data", tmp_path / "latents"
    assert "mirror" in run(*command, "--flip")[2]
    code, facts, _ = run(*command)
    assert code == 0 and facts["priors"]["diffusion"]["images"] == 7
    assert vae.sample(vae.load(own), 2, prior="diffusion").shape == (2, 3, 16, 16)
    shutil.move(tmp_path / "latents", tmp_path / "small")
    encode()
    code, _, err = run(*command)
    assert code == 2 and "--size 16" in err
    other = save(build(TINY), tmp_path / "other")
    code, _, err = run("fit-prior", other, "--prior", "diffusion", "--data", tmp_path / "small")
    assert code == 2 and "another model" in err and not (other / "diffusion-prior").exists()
