import doctest
import time

import numpy as np
import pytest
import torch

from vae.errors import InputError
from vae.latents import attribute_vector, class_means, directions, nearest


def normal(n, shape=(4, 4, 4), seed=0):
    return torch.randn(n, *shape, generator=torch.Generator().manual_seed(seed))


def test_the_examples_run():
    done = doctest.testmod(directions)
    assert done.attempted >= 6 and not done.failed


def test_a_class_mean_is_the_mean_of_its_latents_alone():
    z, labels = normal(50), torch.arange(50) % 3 * 2  # classes 0, 2 and 4; none has 1
    means = class_means(z, labels)
    assert list(means) == [0, 2, 4]
    torch.testing.assert_close(means[2], torch.stack([z[i] for i in range(1, 50, 3)]).mean(0))


def test_an_attribute_vector_leads_from_one_mean_to_the_other():
    a, b = normal(20), normal(30, seed=1) + 2.0
    torch.testing.assert_close(a.mean(0) + attribute_vector(b, a), b.mean(0))
    torch.testing.assert_close(attribute_vector(a, b), -attribute_vector(b, a))


@pytest.mark.parametrize("chunk", [2**24, 300])
def test_neighbours_are_those_of_brute_force(monkeypatch, chunk):
    monkeypatch.setattr(directions, "CHUNK", chunk)
    among = normal(500)
    among[400] = among[20]  # equal distances: the first comes first
    wanted = torch.cat([normal(3, seed=1), among[20:21]])
    indices, distances = nearest(wanted, among, k=9)
    for z, found, far in zip(wanted.numpy(), indices.numpy(), distances.numpy(), strict=True):
        all_far = np.sqrt(np.square(among.numpy() - z).reshape(500, -1).sum(1, dtype=np.float64))
        assert found.tolist() == all_far.argsort(kind="stable")[:9].tolist()
        np.testing.assert_allclose(far, all_far[found], rtol=1e-5)
    assert indices[3, :2].tolist() == [20, 400] and distances[3, 0] == 0


def test_ten_thousand_points_are_searched_as_one_batch():
    among, wanted = normal(10_000), normal(1, seed=1)

    def seconds() -> float:
        start = time.process_time()
        nearest(wanted, among)
        return time.process_time() - start

    assert min(seconds() for _ in range(5)) < 0.5  # ten milliseconds, but seconds where it goes point by point


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda z: nearest(z, z, 0), "from 1 to 4"),
        (lambda z: nearest(z, z, 5), "from 1 to 4"),
        (lambda z: nearest(z[0], z, 1), "of the shape"),
        (lambda z: nearest(z, z[:, :2], 1), "one shape"),
        (lambda z: nearest(z, z[:0], 1), "one or more"),
        (lambda z: nearest(z * torch.nan, z, 1), "not finite"),
        (lambda z: attribute_vector(z, z[:, :2]), "one shape"),
        (lambda z: attribute_vector(z, z[:0]), "one or more"),
        (lambda z: attribute_vector(z.long(), z), "floats"),
        (lambda z: class_means(z, torch.zeros(3)), "4 whole numbers"),
        (lambda z: class_means(z, torch.zeros(4)), "whole numbers"),
    ],
)
def test_bad_input_is_refused(call, says):
    with pytest.raises(InputError, match=says):
        call(normal(4))
