"""Every family that diffusers has: its networks load here, compute the same, train, and go back unchanged."""

import json
import shutil

import pytest
import torch
from family_peers import PEERS, decode, encode, peer
from PIL import Image
from safetensors.torch import load_file, save_file
from tiny_runs import tiny

import vae
from vae import tiling
from vae.errors import InputError
from vae.models import build
from vae.training.loop import fit


@pytest.fixture(scope="module", params=PEERS)
def pair(request, tmp_path_factory):
    """A network of diffusers' and the folder it was saved in."""
    theirs = peer(request.param)
    folder = tmp_path_factory.mktemp("family") / "vae"
    theirs.save_pretrained(folder)
    if PEERS[request.param].edit:
        config = folder / "config.json"
        config.write_text(json.dumps(json.loads(config.read_text()) | PEERS[request.param].edit))
    return theirs, folder, PEERS[request.param]


def images(channels: int, height: int, width: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(height + width)
    return torch.rand(2, channels, height, width, generator=generator) * 2 - 1


@torch.inference_mode()
def assert_same(ours, theirs) -> None:
    factor = ours.downscale
    for height, width in ((4 * factor, 4 * factor), (2 * factor, 6 * factor), (3 * factor + 1, 5 * factor - 1)):
        x = images(ours.in_channels, height, width)
        posterior = tiling.encode(ours, x)
        mean, logvar = encode(theirs, tiling.pad(x, ours.downscale))
        torch.testing.assert_close(posterior.mean, mean, atol=1e-5, rtol=1e-5)
        if logvar is None:
            assert posterior.is_point
        else:
            torch.testing.assert_close(posterior.logvar, logvar, atol=1e-5, rtol=1e-5)
        assert tuple(mean.shape[1:]) == ours.latent_shape(*tiling.pad(x, ours.downscale).shape[-2:])
        torch.testing.assert_close(ours.decode(mean), decode(theirs, mean), atol=1e-5, rtol=1e-5)


def test_it_loads_from_a_folder_a_pipeline_and_a_file_and_computes_the_same(pair, tmp_path):
    theirs, folder, facts = pair
    (folder.parent / "model_index.json").write_text("{}")
    assert_same(vae.load(folder.parent), theirs)  # the pipeline's folder, with the model in vae/
    alone = shutil.copy(next(folder.glob("*.safetensors")), tmp_path / "network.safetensors")
    if facts.lone:
        assert_same(vae.load(alone), theirs)
    loud = tmp_path / "loud"
    loud.mkdir()
    shutil.copy(alone, loud / "DIFFUSION_PYTORCH_MODEL.SAFETENSORS")
    shutil.copy(folder / "config.json", loud)
    vae.save(vae.load(loud), tmp_path / "ours")
    assert_same(vae.load(tmp_path / "ours" / "model.safetensors"), theirs)


def test_loading_is_strict(pair, tmp_path):
    _, folder, _ = pair
    shutil.copy(folder / "config.json", tmp_path)
    state = load_file(next(folder.glob("*.safetensors")))
    name = sorted(name for name in state if name.startswith("decoder."))[0]
    save_file({key: tensor for key, tensor in state.items() if key != name}, tmp_path / "model.safetensors")
    with pytest.raises(InputError, match="lack the tensor decoder"):
        vae.load(tmp_path)
    save_file(state | {"decoder.mystery.weight": torch.zeros(1)}, tmp_path / "model.safetensors")
    with pytest.raises(InputError, match=r"unexpected tensor decoder\.mystery\.weight"):
        vae.load(tmp_path)


def test_an_export_is_what_was_loaded_bit_for_bit(pair, tmp_path):
    theirs, folder, _ = pair
    vae.export(vae.load(folder), tmp_path / "again")
    again = type(theirs).from_pretrained(tmp_path / "again")
    state = again.state_dict()
    assert state.keys() == theirs.state_dict().keys()
    assert all(torch.equal(tensor, state[name]) for name, tensor in theirs.state_dict().items())
    told = json.loads((folder / "config.json").read_text())
    written = json.loads((tmp_path / "again" / "config.json").read_text())
    assert {key: written.get(key, told[key]) for key in told if key[0] != "_"} == {
        key: value for key, value in told.items() if key[0] != "_"
    }
    assert vae.load(tmp_path / "again").config == vae.load(folder).config


@torch.inference_mode()
def test_tiles_agree_with_the_whole(pair):
    model = vae.load(pair[1])
    x = images(model.in_channels, 8 * model.downscale, 12 * model.downscale)[:1]
    whole = model.encode(x)
    for tile, closest in ((12 * model.downscale, 1e-5), (8 * model.downscale, None)):
        tiled = tiling.tiled_encode(model, x, tile)
        decoded = tiling.tiled_decode(model, whole.mean, tile)
        assert tiled.mean.shape == whole.mean.shape and decoded.shape[-2:] == x.shape[-2:]
        errors = [(tiled.mean - whole.mean).std() / whole.mean.std()]
        image = model.decode(whole.mean)
        errors.append((decoded - image).std() / image.std())
        # One tile is the whole; of several each has less to look at, and may find another entry of a codebook nearest.
        assert max(errors) < (closest or (0.7 if model.codebook_size else 0.5))


def test_every_weight_of_it_learns(pair):
    model = build(vae.load(pair[1]).config)
    x = images(model.in_channels, 2 * model.downscale, 3 * model.downscale)
    x_hat, posterior = model(x)
    loss = (x_hat - 0.3).square().mean() + 1e-3 * posterior.kl().mean() + posterior.mean.square().mean()
    if model.codebook_size:
        loss = loss + posterior.codebook_loss.mean()
    loss.backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all() and parameter.grad.abs().max() > 0, name


def test_a_training_can_begin_with_it(pair, tmp_path):
    began = vae.load(pair[1])
    folder, size = tmp_path / "images", 2 * began.downscale
    folder.mkdir()
    for i, pixels in enumerate(torch.randint(256, (4, 8, 8, began.in_channels), dtype=torch.uint8).numpy()):
        Image.fromarray(pixels).save(folder / f"{i}.png")
    config = tiny(init=str(pair[1]), data=str(folder), size=size, steps=1, batch_size=2, learning_rate=1e-4)
    run = fit(config, tmp_path / "run", device="cpu")
    trained, before = vae.load(run.folder).state_dict(), began.state_dict()
    assert trained.keys() == before.keys()
    assert any(not torch.equal(tensor, before[name]) for name, tensor in trained.items())
