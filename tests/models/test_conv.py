import pytest
import torch

from vae.errors import InputError
from vae.models import build
from vae.models.conv import ConvConfig


def test_parameter_counts_are_the_seeds():
    assert build(ConvConfig(variational=False)).parameter_count == 51_357
    # Four more output channels in each of the last two convolutions and norms, and the plain 1x1: 1,680 parameters.
    assert build(ConvConfig()).parameter_count == 53_037


def test_shapes_and_range_mapping():
    model = build(ConvConfig()).eval()
    x = torch.rand(2, 1, 32, 32) * 2 - 1
    q = model.encode(x)
    assert q.mean.shape == q.std.shape == (2, 4, 4, 4) == (2, *model.latent_shape(32, 32))
    assert model.latent_shape() == model.latent_shape(32) == (4, 4, 4)
    x_hat, _ = model(x)
    assert x_hat.shape == x.shape
    # decode is affine in its last layer: [0, 1] inside, [-1, 1] outside
    torch.testing.assert_close(model.decode(q.mean), model.decoder(q.mean) * 2 - 1)


def test_an_auto_encoders_posterior_is_a_point():
    model = build(ConvConfig(variational=False)).eval()
    q = model.encode(torch.rand(2, 1, 32, 32))
    assert torch.equal(q.sample(), q.mean) and q.std.abs().max() == 0 and q.kl().tolist() == [0.0, 0.0]
    assert not model.is_variational


def test_the_vaes_moments_can_be_negative_in_training_mode():
    # What the MNIST tutorial gets wrong: out of BatchNorm + LeakyReLU hardly any moment is below zero.
    model = build(ConvConfig()).train()
    q = model.encode(torch.rand(64, 1, 32, 32) * 2 - 1)
    assert isinstance(model.encoder[-1], torch.nn.Conv2d) and model.encoder[-1].kernel_size == (1, 1)
    assert (q.logvar < 0).float().mean() > 0.2


def test_every_parameter_gets_a_gradient():
    model = build(ConvConfig(features=(1, 4, 4, 2), sample_size=8, border=0))
    x_hat, q = model(torch.rand(4, 1, 8, 8))
    (x_hat.square().mean() + q.kl().mean()).backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in model.parameters())


@pytest.mark.parametrize("bad", [{"features": (1, 4)}, {"features": (1, 0, 4)}, {"sample_size": 30}])
def test_bad_configs_are_refused(bad):
    with pytest.raises(InputError):
        ConvConfig(**bad)
