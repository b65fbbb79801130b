import pytest
import torch

from vae.errors import InputError
from vae.latents import scale, unscale
from vae.latents.interpolation import interpolate
from vae.models import build
from vae.models.autoencoder_kl import KLConfig
from vae.models.conv import ConvConfig


def ends(seed=0, shape=(4, 4, 4)):
    g = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=g), torch.randn(shape, generator=g)


@pytest.mark.parametrize("mode", ["slerp", "lerp"])
def test_ends_are_exact_and_steps_counted(mode):
    a, b = ends()
    path = interpolate(a, b, 7, mode)
    assert path.shape == (7, 4, 4, 4)
    assert torch.equal(path[0], a) and torch.equal(path[-1], b)
    assert torch.equal(interpolate(a[None], b[None], 7, mode), path)


def test_lerp_golden():
    path = interpolate(torch.zeros(1, 1, 1), torch.ones(1, 1, 1), 5, "lerp")
    torch.testing.assert_close(path.flatten(), torch.tensor([0.0, 0.25, 0.5, 0.75, 1.0]))


def test_slerp_keeps_the_length_where_lerp_cuts_the_corner():
    a, b = ends()
    b = b * a.norm() / b.norm()
    lengths = interpolate(a, b, 9, "slerp").flatten(1).norm(dim=1)
    torch.testing.assert_close(lengths, a.norm().expand(9))
    assert interpolate(a, b, 9, "lerp")[4].norm() < 0.95 * a.norm()


def test_slerp_turns_evenly():
    a, b = torch.tensor([[[1.0]], [[0.0]]]), torch.tensor([[[0.0]], [[1.0]]])
    path = interpolate(a, b, 4, "slerp").flatten(1)
    angles = torch.atan2(path[:, 1], path[:, 0])
    torch.testing.assert_close(angles, torch.linspace(0, torch.pi / 2, 4))


@pytest.mark.parametrize(
    "b", [torch.zeros(2, 1, 1), -torch.ones(2, 1, 1), torch.ones(2, 1, 1), 3 * torch.ones(2, 1, 1)]
)
def test_slerp_between_parallel_opposite_or_zero_latents_is_finite(b):
    path = interpolate(torch.ones(2, 1, 1), b, 5, "slerp")
    assert torch.isfinite(path).all() and torch.equal(path[-1], b)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"steps": 1}, "2 to 1000"),
        ({"steps": 1001}, "1001"),
        ({"mode": "bezier"}, "'bezier'"),
        ({"b": ends(0, (4, 2, 2))[0]}, "shape"),
    ],
)
def test_bad_input_is_named(change, match):
    a, b = ends()
    with pytest.raises(InputError, match=match):
        interpolate(**({"a": a, "b": b, "steps": 4, "mode": "slerp"} | change))


def test_scaling_is_diffusions():
    model = build(ConvConfig(scaling_factor=0.3611, shift_factor=0.1159))
    z = torch.randn(2, 4, 4, 4)
    torch.testing.assert_close(scale(model, z), (z - 0.1159) * 0.3611)
    torch.testing.assert_close(unscale(model, scale(model, z)), z)


def test_scaling_by_channel_statistics():
    config = KLConfig(
        block_out_channels=(8,), norm_num_groups=4, latent_channels=2, latents_mean=(1.0, -1.0), latents_std=(2.0, 4.0)
    )
    model = build(config)
    z = torch.tensor([3.0, 3.0]).view(1, 2, 1, 1)
    torch.testing.assert_close(scale(model, z).flatten(), torch.tensor([1.0, 1.0]))
    torch.testing.assert_close(unscale(model, scale(model, z)), z)
