import sys

import pytest
import torch

from vae.errors import InputError
from vae.perceptual import imagenet_features


@pytest.fixture(scope="module")
def network():
    pytest.importorskip("efficientnet_lite_pytorch")
    return imagenet_features()


def test_features_at_five_resolutions_of_any_image(network):
    x = torch.rand(2, 3, 40, 56) * 2 - 1
    shapes = [tuple(stage.shape) for stage in network.stages(x, 64)]
    assert shapes == [(2, 16, 32, 32), (2, 24, 16, 16), (2, 40, 8, 8), (2, 112, 4, 4), (2, 320, 2, 2)]
    features, probabilities = network(x[:, :1], 64)
    assert features.shape == (2, 1280)
    assert torch.allclose(probabilities.sum(1), torch.ones(2))


def test_one_image_gives_the_same_in_any_batch(network):
    x = torch.rand(3, 3, 64, 64) * 2 - 1
    network.train()  # batch norm must not look at the batch, nor learn from it
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    assert torch.allclose(network(x, 64)[0][:1], network(x[:1], 64)[0], atol=1e-4)
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())


def test_distance_is_zero_for_equal_images_symmetric_and_grows_with_blur(network):
    x = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    little, much = (torch.nn.functional.avg_pool2d(x, k, 1, k // 2, count_include_pad=False) for k in (3, 9))
    assert network.distance(x, x, 64).item() == 0.0
    assert 0.0 < network.distance(x, little, 64) < network.distance(x, much, 64) < 4.0
    assert torch.allclose(network.distance(x, much, 64), network.distance(much, x, 64))


def test_gradient_reaches_the_image_and_not_the_network(network):
    x = (torch.rand(1, 3, 64, 64) * 2 - 1).requires_grad_()
    network.distance(x, torch.zeros_like(x), 64).sum().backward()
    assert x.grad.abs().max() > 0
    assert all(p.grad is None for p in network.parameters())


def test_missing_package_is_one_sentence(monkeypatch):
    monkeypatch.setitem(sys.modules, "efficientnet_lite_pytorch", None)
    with pytest.raises(InputError, match=r"pip install efficientnet-lite-pytorch"):
        imagenet_features()


@pytest.mark.parametrize("size", [32, 100])
def test_sizes_the_network_cannot_halve_are_refused(network, size):
    with pytest.raises(ValueError, match="multiples of 32"):
        network.stages(torch.zeros(1, 3, 64, 64), size)
