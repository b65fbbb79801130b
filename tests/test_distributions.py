import math

import pytest
import torch
from torch.distributions import Normal, kl_divergence

from vae.distributions import DiagonalGaussian


def posterior(seed=0, shape=(3, 2, 4, 4)):
    g = torch.Generator().manual_seed(seed)
    return DiagonalGaussian(torch.randn(shape, generator=g), torch.randn(shape, generator=g))


def test_kl_is_torchs_closed_form_summed_per_image():
    q = posterior()
    expected = kl_divergence(Normal(q.mean, q.std), Normal(0.0, 1.0)).flatten(1).sum(1)
    assert q.kl().shape == (3,)
    torch.testing.assert_close(q.kl(), expected)


def test_kl_golden_value():
    q = DiagonalGaussian(torch.tensor([[[[1.0]]]]), torch.tensor([[[[0.5]]]]))
    assert q.kl().item() == pytest.approx(0.5 * (1.0 + math.exp(0.5) - 1.0 - 0.5))


def test_samples_have_the_stated_moments():
    q = DiagonalGaussian(torch.full((20_000, 1, 1, 1), 2.0), torch.full((20_000, 1, 1, 1), math.log(0.25)))
    z = q.sample(torch.Generator().manual_seed(0))
    assert z.mean().item() == pytest.approx(2.0, abs=0.02)
    assert z.std().item() == pytest.approx(0.5, abs=0.01)


def test_each_image_has_its_own_noise():
    q = DiagonalGaussian(torch.zeros(2, 4, 4, 4), torch.zeros(2, 4, 4, 4))
    z = q.sample(torch.Generator().manual_seed(0))
    assert not torch.equal(z[0], z[1])
    assert z.min() < 0 < z.max()  # Gaussian, not uniform on [0, 1]


def test_a_seed_gives_the_same_sample():
    q = posterior()
    first, second = (q.sample(torch.Generator().manual_seed(5)) for _ in range(2))
    assert torch.equal(first, second)


def test_reparameterization_passes_gradients_to_both_moments():
    mean = torch.zeros(1, 1, 1, 2, requires_grad=True)
    logvar = torch.zeros(1, 1, 1, 2, requires_grad=True)
    noise = torch.tensor([[[[1.5, -2.0]]]])
    DiagonalGaussian(mean, logvar).sample(noise=noise).sum().backward()
    torch.testing.assert_close(mean.grad, torch.ones_like(mean))
    torch.testing.assert_close(logvar.grad, 0.5 * noise)


def test_logvar_is_clamped_and_half_precision_is_left_behind():
    q = DiagonalGaussian(torch.zeros(1, 1, 1, 2).bfloat16(), torch.tensor([[[[-1e4, 1e4]]]]).bfloat16())
    assert q.logvar.flatten().tolist() == [-30.0, 20.0]
    assert q.mean.dtype == q.logvar.dtype == q.kl().dtype == torch.float32
    assert torch.isfinite(q.kl()).all()


def test_a_point_has_no_spread_and_no_kl():
    mean = torch.randn(2, 4, 4, 4)
    q = DiagonalGaussian.point(mean)
    assert torch.equal(q.sample(), mean) and torch.equal(q.mode(), mean)
    assert q.std.abs().max() == 0 and q.kl().tolist() == [0.0, 0.0]


@pytest.mark.parametrize("point", [False, True])
def test_posteriors_move_split_and_join_whatever_their_kind(point):
    mean, logvar = torch.randn(5, 2, 3, 3), torch.randn(5, 2, 3, 3)
    posterior = DiagonalGaussian.point(mean) if point else DiagonalGaussian(mean, logvar)
    parts = posterior.split(2)
    assert [len(part) for part in parts] == [2, 2, 1] and all(part.is_point == point for part in parts)
    joined = DiagonalGaussian.cat(parts)
    assert torch.equal(joined.mean, mean) and torch.equal(joined.logvar, posterior.logvar) and joined.is_point == point
    assert posterior.to("meta").mean.is_meta and posterior.to("meta").is_point == point
    cropped = posterior.map(lambda parameter: parameter[..., :2])
    assert cropped.mean.shape == (5, 2, 3, 2) and torch.equal(cropped.kl_map(), posterior.kl_map()[..., :2])
