import json
import struct

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from vae.errors import InputError
from vae.latents.editing import ChannelEdit, edit_channels
from vae.latents.latent_file import FORMATS, read_latent, write_latent


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_latent_comes_back_from_its_file(suffix, tmp_path):
    z = torch.randn(4, 3, 5)
    path = tmp_path / f"latent{suffix}"
    path.write_bytes(write_latent(z, suffix, {"model": "mnist-vae"}))
    assert torch.equal(read_latent(path, 4), z)


def test_others_files_are_read_too(tmp_path):
    z = torch.randn(1, 2, 3, 3)
    save_file({"latent_tensor": z.half(), "latent_format_version_0": torch.zeros(0)}, tmp_path / "a.safetensors")
    torch.testing.assert_close(read_latent(tmp_path / "a.safetensors", 2), z[0], atol=2e-3, rtol=2e-3)
    np.save(tmp_path / "b.npy", np.asfortranarray(z[0].double().numpy()))
    assert torch.equal(read_latent(tmp_path / "b.npy", 2), z[0])


def header(shape, dtype="<f4", extra=b""):
    """The bytes of a .npy file that claims to hold so much."""
    text = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}".ljust(117).encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + extra


def tensors(entries):
    text = json.dumps(entries).encode()
    return struct.pack("<Q", len(text)) + text


HUGE = {"latents": {"dtype": "F32", "shape": [4, 2**20, 2**20], "data_offsets": [0, 2**44]}}


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("a.npy", header((4, 2**20, 2**20)), "memory"),
        ("a.npy", header((4, 9, 9)), "damaged"),
        ("a.npy", header((4, 2, 2), "|O", b"cos\nsystem\n"), "pickle"),
        ("a.npy", header((4, 1, 1), "<i8", bytes(32)), "int64"),
        ("a.npy", header((4, -1, 1)), "shape"),
        ("a.npy", header((3, 2, 2), extra=bytes(48)), "4 channels"),
        ("a.npy", header((2, 4, 1, 1), extra=bytes(32)), "2 latents"),
        ("a.npy", header((4, 1, 1), extra=np.float32([0, 1, np.nan, 2]).tobytes()), "not finite"),
        ("a.npy", b"PK", "damaged"),
        ("a.safetensors", tensors(HUGE), "not a complete"),
        ("a.safetensors", struct.pack("<Q", 2**60) + b"{}", "header"),
        ("a.safetensors", b"x", "not a complete"),
        ("a.safetensors", tensors({}), "0 tensors"),
        ("a.pt", b"", "are accepted"),
    ],
)
def test_what_a_file_claims_is_checked_before_it_is_believed(tmp_path, name, data, said):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(InputError, match=said) as caught:
        read_latent(tmp_path / name, 4)
    assert "\n" not in str(caught.value)


def test_channels_are_swapped_scaled_emptied_and_noised_each_by_itself():
    z = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    edits = [ChannelEdit(source=1), ChannelEdit(source=0), ChannelEdit(scale=0.0), ChannelEdit(noise=0.5)]
    found = edit_channels(z, edits, seed=3)
    assert torch.equal(found[:, 0], z[:, 1]) and torch.equal(found[:, 1], z[:, 0]) and not found[:, 2].any()
    noise = found[:, 3] - z[:, 3]
    assert 0.4 < noise.std() / z[:, 3].std() < 0.6
    assert torch.equal(found, edit_channels(z, edits, seed=3)) and not torch.equal(found, edit_channels(z, edits, 4))
    others = [ChannelEdit(), ChannelEdit(scale=2.0), ChannelEdit(noise=1.0), ChannelEdit(noise=0.5)]
    assert torch.equal(edit_channels(z, others, seed=3)[:, 3], found[:, 3])


@pytest.mark.parametrize(
    "edits",
    [[ChannelEdit()], [ChannelEdit(source=2), ChannelEdit()], [ChannelEdit(scale=float("nan")), ChannelEdit()]],
)
def test_edits_that_cannot_be_are_refused(edits):
    with pytest.raises(InputError):
        edit_channels(torch.zeros(1, 2, 3, 3), edits)
