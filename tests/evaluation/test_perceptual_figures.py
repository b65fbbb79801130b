import pytest
import torch

from vae.evaluation.perceptual import class_probability, frechet_distance, judged
from vae.images import to_image
from vae.perceptual import imagenet_features


@pytest.fixture(scope="module")
def network():
    pytest.importorskip("efficientnet_lite_pytorch")
    return imagenet_features()


def test_a_set_is_at_no_distance_from_itself_and_at_some_from_its_blur(network):
    x = torch.randint(0, 256, (6, 3, 32, 32), dtype=torch.uint8)
    flat = x.float().mean((2, 3), keepdim=True).expand(-1, -1, 32, 32).to(torch.uint8)
    assert frechet_distance(network, x, x) == pytest.approx(0, abs=1e-3)
    assert frechet_distance(network, x, flat) > 1


def test_floats_count_as_the_bytes_they_are_shown_as(network):
    pixels = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8)
    floats = pixels / 127.5 - 1 + 0.001
    assert torch.equal(judged(network, pixels)[0], judged(network, iter([floats]), batch_size=2)[0])


def test_a_folders_images_are_judged_whatever_their_sizes(network, tmp_path):
    pixels = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8)
    for i, image in enumerate(pixels):
        to_image(image).save(tmp_path / f"{i}.png")
    assert torch.allclose(judged(network, tmp_path)[0], judged(network, pixels)[0], atol=1e-4)
    to_image(torch.zeros(3, 20, 40, dtype=torch.uint8)).save(tmp_path / "2.png")
    assert len(judged(network, str(tmp_path))[0]) == 3


def test_dogs_are_a_share_of_all_classes():
    probabilities = torch.zeros(2, 1000)
    probabilities[0, 207] = 1.0  # golden retriever
    probabilities[1, 281] = 1.0  # tabby cat
    assert class_probability(probabilities) == 0.5
