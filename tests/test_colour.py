"""CIEDE2000 against the pairs that its authors published to test implementations with (Sharma, Wu & Dalal 2005)."""

import pytest
import torch

from vae.colour import ciede2000, delta_e, lab

PAIRS = [
    ((50, 2.6772, -79.7751), (50, 0, -82.7485), 2.0425),
    ((50, 3.1571, -77.2803), (50, 0, -82.7485), 2.8615),
    ((50, 2.8361, -74.0200), (50, 0, -82.7485), 3.4412),
    ((50, -1.3802, -84.2814), (50, 0, -82.7485), 1.0000),
    ((50, 0, 0), (50, -1, 2), 2.3669),
    ((50, 2.4900, -0.0010), (50, -2.4900, 0.0009), 7.1792),
    ((50, 2.4900, -0.0010), (50, -2.4900, 0.0011), 7.2195),
    ((50, 2.5, 0), (73, 25, -18), 27.1492),
    ((50, 2.5, 0), (61, -5, 29), 22.8977),
    ((60.2574, -34.0099, 36.2677), (60.4626, -34.1751, 39.4387), 1.2644),
    ((2.0776, 0.0795, -1.1350), (0.9033, -0.0636, -0.5514), 0.9082),
]


def colours(values) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64).view(-1, 3, 1, 1)


@pytest.mark.parametrize("a, b, expected", PAIRS)
def test_published_pairs(a, b, expected):
    for p, q in ((a, b), (b, a)):
        assert ciede2000(colours(p), colours(q)).item() == pytest.approx(expected, abs=5e-5)


def test_known_colours_in_cielab():
    found = lab(colours([(1, 1, 1), (0, 0, 0), (1, 0, 0)])).squeeze()
    expected = torch.tensor([[100, 0, 0], [0, 0, 0], [53.2408, 80.0925, 67.2032]]).double()
    torch.testing.assert_close(found, expected, atol=0.02, rtol=0)


def test_of_images_it_is_the_mean_over_the_pixels_whatever_their_type_and_channels():
    black, white = torch.zeros(1, 1, 4, 6, dtype=torch.uint8), torch.full((1, 1, 4, 6), 255, dtype=torch.uint8)
    assert delta_e(black, white).item() == pytest.approx(100, abs=0.01)
    half = black.clone()
    half[..., :3] = 255
    assert delta_e(half, black).item() == pytest.approx(50, abs=0.01)
    x = torch.randint(0, 256, (2, 3, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    y = x.flip(1)
    floats = (image / 127.5 - 1 for image in (x, y))
    assert torch.allclose(delta_e(x, y), delta_e(*floats), atol=1e-3) and (delta_e(x, y) > 1).all()
    opaque = torch.full((2, 1, 8, 8), 9, dtype=torch.uint8)
    assert torch.equal(delta_e(torch.cat([x, opaque], 1), torch.cat([y, opaque * 3], 1)), delta_e(x, y))
