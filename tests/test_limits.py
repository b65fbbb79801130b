"""What files and requests claim is held against the memory there is, before any of it is taken."""

import io
import json
import threading
import time
import zipfile

import pytest
import torch
from PIL import Image

import vae
from vae import images, limits, tiling
from vae.checkpoints.config_text import parse
from vae.errors import InputError
from vae.models import ConvConfig, build
from vae.models.autoencoder_kl import KLConfig

SMALL = ConvConfig(features=(1, 4, 6, 4))


@pytest.fixture(autouse=True)
def nobody_served():
    """As in a process that has launched no public page, whatever tests before did."""
    limits.public_process(False)


@pytest.fixture
def machine(monkeypatch):
    """Sets how much memory there seems to be."""
    return lambda size: monkeypatch.setattr(limits, "memory", lambda: int(size))


def test_strangers_may_take_less_than_the_owner(machine):
    machine(16e9)
    owner = limits.budget()
    with limits.for_strangers():
        assert limits.budget() < owner < 16e9 and limits.share().download
        with limits.for_strangers(False):
            assert limits.budget() == owner and limits.share().download is None
    assert limits.budget() == owner


def test_in_a_process_that_serves_strangers_all_is_theirs_but_what_is_said_to_be_the_owners():
    try:
        limits.public_process(True)
        assert limits.share() is limits.STRANGER
        with limits.for_strangers(False):
            assert limits.share() is limits.OWNER
    finally:
        limits.public_process(False)
    assert limits.share() is limits.OWNER


def test_the_machine_has_some_memory():
    assert 2**28 < limits.memory() < 2**50


def test_parameters_are_counted_before_they_are_read(tmp_path, machine, monkeypatch):
    folder = vae.save(build(SMALL).eval(), tmp_path / "model")
    monkeypatch.setattr("vae.checkpoints.store._fill", lambda *_: pytest.fail("they were read"))
    machine(1000)
    with pytest.raises(InputError, match="parameters would take about"):
        vae.load(folder)


@pytest.mark.parametrize("fixed", [True, False])
def test_an_image_is_measured_before_it_is_computed(machine, fixed):
    config = SMALL if fixed else KLConfig(block_out_channels=(8, 16), norm_num_groups=4, sample_size=32)
    model = build(config).eval()
    machine(1e5)
    for work in (lambda: vae.sample(model, 1), lambda: tiling.encode(model, torch.zeros(1, model.in_channels, 32, 32))):
        with pytest.raises(InputError, match=r"An image of 32x32 pixels with this model would take"):
            work()
    machine(1e9)
    assert vae.sample(model, 1).shape[-1] == 32


def test_tiles_are_smaller_where_the_memory_is(machine):
    model = build(KLConfig(block_out_channels=(32, 64))).eval()
    machine(64e9)
    large = tiling.tile_for(model, 8192, 8192)
    machine(4e8)
    assert tiling.SMALLEST_TILE <= tiling.tile_for(model, 1024, 1024) < large == tiling.TILE


def test_many_channels_are_counted():
    config = KLConfig(block_out_channels=(8, 16), norm_num_groups=4, out_channels=1000)
    assert config.floats_per_pixel >= 1000 > KLConfig(block_out_channels=(8, 16), norm_num_groups=4).floats_per_pixel


def hollow(shape=(8, 4, 3, 3)) -> torch.Tensor:
    return torch.zeros(1).expand(shape)


@pytest.mark.parametrize("legacy", [True, False])
def test_a_tensor_with_less_than_its_shape_is_refused(tmp_path, legacy):
    state = build(SMALL).state_dict()
    name = next(iter(state))
    state[name] = hollow(state[name].shape)
    torch.save(state, tmp_path / "hollow.pth", _use_new_zipfile_serialization=not legacy)
    with pytest.raises(InputError, match="fewer numbers than its shape"):
        vae.load(tmp_path / "hollow.pth")


def test_weights_that_unpack_to_more_than_their_file_are_refused(tmp_path):
    torch.save(build(SMALL).state_dict(), tmp_path / "plain.pth")
    with zipfile.ZipFile(tmp_path / "plain.pth") as plain, zipfile.ZipFile(tmp_path / "packed.pth", "w") as packed:
        for name in plain.namelist():
            packed.writestr(name, plain.read(name), zipfile.ZIP_DEFLATED)
    with pytest.raises(InputError, match="more than its own size"):
        vae.load(tmp_path / "packed.pth")


def test_a_header_of_absurd_length_is_not_read(tmp_path):
    (tmp_path / "model.safetensors").write_bytes((2**40).to_bytes(8, "little") + b"{}")
    with pytest.raises(InputError, match="has a header of"):
        vae.load(tmp_path / "model.safetensors")


@pytest.mark.parametrize(
    "text", ["[" * 100_000, '{"a":' * 900 + "1" + "}" * 900, "{", "[" * 40 + "]" * 40, json.dumps("x" * 2_000_000)]
)
def test_a_config_nested_or_long_beyond_reason_is_one_sentence(text):
    with pytest.raises(InputError, match=r"^config.json [^\n]*\.$"):
        parse(text, "config.json")


@pytest.mark.parametrize(
    "changes",
    [
        {"_class_name": ["ConvVAE"]},
        {"_class_name": {}},
        {"sample_size": 0},
        {"sample_size": -8},
        {"sample_size": []},
        {"sample_size": 10**400},
        {"border": -1},
        {"border": 16},
        {"features": [1] * 1000},
        {"features": [1, 10**9, 4]},
        {"scaling_factor": 10**400},
        {"_class_name": "AutoencoderKLFlux2", "patch_size": [10**9, 10**9]},
        {"_class_name": "AutoencoderKLFlux2", "patch_size": [2]},
    ],
)
def test_a_config_that_cannot_be_is_one_sentence(tmp_path, changes):
    folder = vae.save(build(SMALL).eval(), tmp_path / "model")
    (folder / "config.json").write_text(json.dumps(json.loads((folder / "config.json").read_text()) | changes))
    with pytest.raises(InputError) as caught:
        vae.load(folder)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 400


def encoded(size: tuple[int, int], kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, (10, 200, 30)).save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("kind", "options"), [("PNG", {}), ("WEBP", {"lossless": True}), ("JPEG2000", {}), ("GIF", {}), ("JPEG", {})]
)
def test_pixels_are_held_against_the_memory(machine, kind, options):
    data = encoded((400, 300), kind, **options)
    machine(16e9)
    assert images.open_image(data).size == (400, 300)
    machine(1e6)
    with pytest.raises(InputError, match="too many pixels"):
        images.open_image(data)


def test_large_images_are_decoded_one_at_a_time(monkeypatch):
    monkeypatch.setattr(images, "LARGE", 1000)
    data, inside, most = encoded((60, 60), "PNG"), [], []

    def load(image, *_):
        inside.append(image)
        most.append(len(inside))
        time.sleep(0.02)
        inside.pop()
        return image

    monkeypatch.setattr(images, "_loaded", load)
    threads = [threading.Thread(target=images.open_image, args=(data,)) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1] * 6


def test_a_large_image_is_whole(monkeypatch):
    monkeypatch.setattr(images, "LARGE", 1000)
    assert images.open_image(encoded((60, 40), "PNG")).getpixel((59, 39)) == (10, 200, 30)


def test_what_is_much_larger_than_needed_is_reduced_at_once():
    assert images.open_image(encoded((900, 500), "PNG"), size_hint=60).size == (225, 125)
    assert images.open_image(encoded((900, 500), "PNG"), size_hint=200).size == (900, 500)
