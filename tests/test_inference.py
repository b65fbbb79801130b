import pytest
import torch
from PIL import Image

from vae.errors import InputError
from vae.inference import decode_path, latent_of, reconstruct, sample, sample_latents
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
    z = sample_latents(conv, 4, seed=1)
    torch.testing.assert_close(sample_latents(conv, 4, seed=1, temperature=0.5), 0.5 * z)
    assert sample_latents(conv, 1, temperature=0.0).abs().max() == 0


@pytest.mark.parametrize(
    "bad",
    [
        {"n": 0},
        {"n": -1},
        {"n": 10**6},
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
        def encode(self, x):
            return DiagonalGaussian.point(x)

        def decode(self, z):
            return z

    result = reconstruct(Identity(TINY_KL).eval(), gradient(32, 32))
    assert result.psnr == float("inf") and result.ssim == pytest.approx(1.0)


def test_ends_of_an_interpolation_agree_in_shape(kl):
    a, b = latent_of(kl, gradient(90, 40)), latent_of(kl, 7)
    assert a.shape == b.shape == kl.latent_shape()
    seen = []
    frames = decode_path(kl, torch.stack([a, b, a]), batch_size=2, on_progress=seen.append)
    assert [f.size for f in frames] == [(32, 32)] * 3 and seen == [2, 3]
