from dataclasses import replace

import pytest
import torch
from PIL import Image

from vae import images
from vae.errors import InputError
from vae.inference import Draw, interpolate, latent_of, reconstruct, sample, sample_batches, sample_latents
from vae.models import build
from vae.models.autoencoder_kl import KLConfig
from vae.models.conv import ConvConfig

TINY_KL = KLConfig(sample_size=32, block_out_channels=(8, 16), norm_num_groups=4, layers_per_block=1)


@pytest.fixture(scope="module")
def conv():
    torch.manual_seed(0)
    return build(ConvConfig()).eval()


@pytest.fixture(scope="module")
def kl():
    torch.manual_seed(0)
    return build(TINY_KL).eval()


def gradient(width, height, mode="RGB"):
    return Image.linear_gradient("L").resize((width, height)).convert(mode)


def test_sampling_is_a_function_of_the_seed_not_of_the_batch(conv):
    x = sample(conv, 10, seed=3)
    assert x.shape == (10, 1, 32, 32) and x.min() >= -1 and x.max() <= 1
    torch.testing.assert_close(sample(conv, 10, seed=3, batch_size=3), x, atol=1e-5, rtol=0)
    torch.testing.assert_close(sample(conv, 4, seed=3), x[:4], atol=1e-5, rtol=0)
    assert not torch.equal(sample(conv, 10, seed=4), x)


def test_sampling_leaves_the_global_generator_alone(conv):
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    sample(conv, 2, seed=9)
    assert torch.equal(torch.rand(3), expected)


def test_temperature_scales_the_latents(conv):
    (z,), (half,) = sample_latents(conv, 4, seed=1), sample_latents(conv, 4, seed=1, temperature=0.5)
    torch.testing.assert_close(half, 0.5 * z)
    assert next(sample_latents(conv, 1, temperature=0.0)).abs().max() == 0


@pytest.mark.parametrize(
    "bad",
    [
        {"n": 0},
        {"n": -1},
        {"n": 2.5},
        {"n": True},
        {"seed": -1},
        {"seed": 2**63},
        {"temperature": -0.1},
        {"temperature": float("nan")},
        {"prior": "flow"},
    ],
)
def test_bad_sampling_arguments_are_refused(conv, bad):
    with pytest.raises(InputError):
        sample(conv, **({"n": 2} | bad))


def test_reconstruction_of_a_fixed_size_model(conv):
    result = reconstruct(conv, gradient(100, 60))
    assert result.original.size == result.image.size == (32, 32) and result.image.mode == "L"
    assert result.latent.shape == (1, 4, 4, 4) and result.latent_shape == (4, 4, 4)
    assert result.compression == 16.0 and result.seed is None
    assert torch.equal(result.latent, result.posterior.mean)


def test_a_posterior_sample_is_repeatable_by_its_seed(conv):
    first = reconstruct(conv, gradient(32, 32), sample=True)
    assert first.seed is not None
    again = reconstruct(conv, gradient(32, 32), sample=True, seed=first.seed)
    assert torch.equal(first.latent, again.latent) and not torch.equal(first.latent, first.posterior.mean)


@pytest.mark.parametrize("size", [(33, 20), (1, 1), (64, 3), (37, 41)])
def test_any_size_comes_back_at_its_size(kl, size):
    result = reconstruct(kl, gradient(*size))
    assert result.image.size == result.original.size == size


def test_identical_pictures_score_perfectly():

    from vae.distributions import DiagonalGaussian

    class Identity(type(build(TINY_KL))):
        def __init__(self, config):
            super().__init__(config)
            self.latent_channels = 3

        def _encode(self, x):
            return DiagonalGaussian.point(x)

        def _decode(self, z):
            return z

    result = reconstruct(Identity(TINY_KL).eval(), gradient(32, 32))
    assert result.psnr == float("inf") and result.ssim == pytest.approx(1.0)


def test_ends_of_an_interpolation_agree_in_shape(kl):
    a, b = latent_of(kl, gradient(90, 40)), latent_of(kl, 7)
    assert a.shape == b.shape == kl.latent_shape()
    seen = []
    found = interpolate(kl, [gradient(90, 40), 7], 5, progress=lambda *at: seen.append(at))
    assert found.pixels.shape == (5, 3, 32, 32) and found.pixels.dtype == torch.uint8 and found.mode == "slerp"
    assert seen == [("Encoding", 0, 0), ("Decoding", 0, 5), ("Decoding", 5, 5)]
    assert torch.equal(found.pixels, interpolate(kl, [a, Draw(7)], 5).pixels)


@pytest.mark.parametrize(("kind", "n", "frames"), [("path", 2, 4), ("loop", 3, 12), ("grid", 4, 16)])
def test_paths_loops_and_grids(kl, kind, n, frames):
    assert len(interpolate(kl, range(n), 4, kind=kind).pixels) == frames
    with pytest.raises(InputError, match=f"A {kind} takes"):
        interpolate(kl, range(1 if kind == "loop" else n + 1), 4, kind=kind)


@pytest.mark.parametrize("numbers", [1, 3, 18, 64])
def test_the_first_draws_are_the_same_however_many_there_are(numbers):
    model = build(KLConfig(sample_size=2, block_out_channels=(8, 8), norm_num_groups=4, latent_channels=numbers))
    many = torch.cat(list(sample_latents(model, 70, seed=2, batch_size=64)))
    for n in (1, 2, 5, 16, 33):
        assert torch.equal(torch.cat(list(sample_latents(model, n, seed=2, batch_size=3))), many[:n])


def test_batches_have_no_upper_limit_and_hold_one_batch(conv):
    batches = sample_batches(conv, 10**9, seed=3, batch_size=2)
    assert torch.equal(torch.cat([next(batches), next(batches)]), sample(conv, 4, seed=3, batch_size=2))
    with pytest.raises(InputError):
        sample_batches(conv, 4, prior="flow")  # before anything is drawn


def test_another_decoder_of_the_same_space(kl):
    torch.manual_seed(1)
    other = build(replace(TINY_KL, scaling_factor=2.0)).eval()
    found = reconstruct(kl, gradient(40, 24), decoder=other)
    assert torch.equal(found.latent, reconstruct(kl, gradient(40, 24)).latent)
    expected = other.decode(found.latent / 2.0).clamp(-1, 1)
    assert found.image.tobytes() == images.to_image(expected[..., :24, :40][0]).tobytes()
    for wrong in (build(replace(TINY_KL, latent_channels=8)), build(replace(TINY_KL, out_channels=1))):
        with pytest.raises(InputError, match="The decoder"):
            reconstruct(kl, gradient(40, 24), decoder=wrong.eval())


def test_tiles_of_a_large_image_and_its_longest_side(kl):
    steps = []
    found = reconstruct(kl, gradient(160, 96), tile=64, progress=lambda *at: steps.append(at))
    assert found.tile == 64 and found.image.size == (160, 96)
    assert {what for what, *_ in steps} == {"Encoding", "Decoding"} and steps[-1][1] == steps[-1][2] > 6
    smaller = reconstruct(kl, gradient(160, 96), max_side=80)
    assert smaller.original.size == (80, 48) and smaller.box == (0, 0, 160, 96) and smaller.tile == 0
