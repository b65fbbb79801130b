import math

import pytest
import torch
from torch.distributions import Normal

from vae.distributions import DiagonalGaussian
from vae.errors import InputError
from vae.loss import elbo


@pytest.fixture
def batch():
    g = torch.Generator().manual_seed(0)
    x, x_hat = (torch.rand(4, 1, 8, 8, generator=g) * 2 - 1 for _ in range(2))
    return x, x_hat, DiagonalGaussian(torch.randn(4, 2, 2, 2, generator=g), torch.randn(4, 2, 2, 2, generator=g))


def test_sum_is_the_squared_error_of_an_image_in_native_units(batch):
    x, x_hat, q = batch
    terms = elbo(x, x_hat, q, "sum", beta=2.0, pixel_scale=0.5)
    unit = ((x + 1) / 2 - (x_hat + 1) / 2).square().sum() / 4
    torch.testing.assert_close(terms.reconstruction, unit)
    torch.testing.assert_close(terms.loss, unit + 2.0 * q.kl().mean())


def test_mean_is_the_mean_over_pixels_and_the_kl_stays_per_image(batch):
    x, x_hat, q = batch
    terms = elbo(x, x_hat, q, "mean", beta=2.5e-4)
    torch.testing.assert_close(terms.reconstruction, (x - x_hat).square().mean())
    torch.testing.assert_close(terms.kl, q.kl().mean())
    doubled = elbo(torch.cat([x, x]), torch.cat([x_hat, x_hat]), _twice(q), "mean", beta=2.5e-4)
    torch.testing.assert_close(doubled.loss, terms.loss)  # the batch size does not change the balance


def _twice(q):
    return DiagonalGaussian(torch.cat([q.mean, q.mean]), torch.cat([q.logvar, q.logvar]))


def test_sigma_is_the_gaussian_likelihood_at_its_best_variance(batch):
    x, x_hat, q = batch
    term = elbo(x, x_hat, q, "sigma").reconstruction
    sigma = (x - x_hat).square().mean().sqrt()
    nats = [-Normal(x_hat, s).log_prob(x).flatten(1).sum(1).mean() for s in (sigma, 0.9 * sigma, 1.1 * sigma)]
    torch.testing.assert_close(term, nats[0])
    assert term < nats[1] and term < nats[2]


def test_sigma_stays_finite_for_a_perfect_reconstruction(batch):
    x, _, q = batch
    assert math.isfinite(elbo(x, x.clone(), q, "sigma").loss)


def test_l1(batch):
    x, x_hat, q = batch
    torch.testing.assert_close(elbo(x, x_hat, q, "l1").reconstruction, (x - x_hat).abs().sum() / 4)


def test_the_callers_tensors_are_left_alone_and_get_gradients(batch):
    x, x_hat, q = batch
    before, x_hat = x.clone(), x_hat.requires_grad_()
    elbo(x, x_hat, q, "sum").loss.backward()
    assert torch.equal(x, before)
    torch.testing.assert_close(x_hat.grad, 2 * (x_hat - x).detach() / 4)


def test_bfloat16_networks_get_a_float32_loss(batch):
    x, x_hat, q = batch
    assert elbo(x, x_hat.bfloat16(), q).loss.dtype == torch.float32


def test_unknown_reconstruction_is_named(batch):
    with pytest.raises(InputError, match="'hinge'"):
        elbo(*batch, "hinge")
