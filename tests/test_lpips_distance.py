"""LPIPS, with a VGG16 that has learned nothing: its own weights are no part of these tests, and need a network."""

import socket
import sys
import urllib.request

import pytest
import torch

from vae.errors import InputError
from vae.evaluation.measure import judges_for
from vae.lpips_distance import LPIPS, fetch_weights, lpips_distance


@pytest.fixture(scope="module")
def network() -> LPIPS:
    pytest.importorskip("lpips")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return lpips_distance(random=True)


@pytest.fixture
def no_weights(monkeypatch, tmp_path):
    """Torch's cache is empty, and no name is known to the network."""

    def unknown(*arguments, **options):
        raise socket.gaierror("Name or service not known")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    monkeypatch.setattr(urllib.request, "getproxies", dict)
    urllib.request.install_opener(urllib.request.build_opener(urllib.request.ProxyHandler({})))
    yield tmp_path / "torch"
    urllib.request.install_opener(None)


def images(channels: int = 3, size: int = 16) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    x, y = (torch.rand(2, channels, size, size, generator=generator) * 2 - 1 for _ in range(2))
    return x, y


def test_it_is_that_of_the_package_and_takes_small_and_grey_images(network):
    x, y = images(size=64)
    found = network.distance(x, y)
    assert found.shape == (2,) and torch.allclose(found, network.network(x, y).flatten()) and (found > 0).all()
    assert network.distance(x, x).abs().max() == 0
    grey, other = images(channels=1, size=8)
    three = (grey.expand(-1, 3, -1, -1), other.expand(-1, 3, -1, -1))
    assert (
        torch.allclose(network.distance(grey, other), network.distance(*three))
        and network.distance(grey, other).min() > 0
    )


def test_its_gradient_reaches_the_image_and_no_weight(network):
    x, y = images()
    y.requires_grad_()
    network.train()
    network.distance(x, y).mean().backward()
    assert (y.grad.abs().amax((1, 2, 3)) > 0).all()
    assert not network.network.training and all(p.grad is None for p in network.parameters())


def test_following_its_gradient_brings_the_images_nearer(network):
    x, y = images(size=64)
    before = network.distance(x, y).mean()
    for _ in range(5):
        y.requires_grad_()
        (gradient,) = torch.autograd.grad(network.distance(x, y).mean(), y)
        y = (y - 0.05 * gradient.sign()).detach()
    assert network.distance(x, y).mean() < 0.95 * before


def test_without_a_network_it_is_one_sentence_and_nothing_half_written(no_weights):
    with pytest.raises(
        InputError, match=r"LPIPS needs VGG16's weights \(528 MB\).*cannot be downloaded.*efficientnet\."
    ):
        fetch_weights()
    with pytest.raises(InputError, match=r"or leave lpips out of the metrics\.$"):
        judges_for(["lpips"])
    assert not [path for path in no_weights.rglob("*") if path.is_file()]


def test_weights_that_are_there_are_not_fetched(no_weights):
    there = no_weights / "hub" / "checkpoints" / "vgg16-397923af.pth"
    there.parent.mkdir(parents=True)
    there.write_bytes(b"")
    assert fetch_weights() == there


def test_without_the_package_it_is_one_sentence(monkeypatch):
    monkeypatch.setitem(sys.modules, "lpips", None)
    with pytest.raises(InputError, match="pip install lpips"):
        lpips_distance()
