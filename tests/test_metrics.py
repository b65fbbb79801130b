import math

import pytest
import torch

from vae import metrics
from vae.metrics import error_map, psnr, ssim


def pair(shape, noise=0.1, seed=0):
    generator = torch.Generator().manual_seed(seed)
    a = torch.rand(shape, generator=generator) * 2 - 1
    b = (a + noise * torch.randn(shape, generator=generator)).clamp(-1, 1)
    return a, b


def test_psnr_of_a_known_error():
    a = torch.zeros(2, 1, 4, 4)
    b = torch.stack([torch.full((1, 4, 4), 0.2), torch.full((1, 4, 4), 0.02)])
    # The peak is 2: 10 log10(4 / 0.04) and 10 log10(4 / 0.0004).
    torch.testing.assert_close(psnr(a, b), torch.tensor([20.0, 40.0]))


def test_equal_images_are_perfect():
    a, _ = pair((3, 3, 24, 20))
    assert psnr(a, a).tolist() == [math.inf] * 3
    assert ssim(a, a).tolist() == [1.0] * 3


def test_values_outside_the_range_are_clamped():
    a, b = torch.ones(1, 1, 16, 16), torch.full((1, 1, 16, 16), 3.0)
    assert psnr(a, b).item() == math.inf and ssim(a, b).item() == 1.0


@pytest.mark.parametrize("shape", [(4, 1, 32, 32), (2, 3, 40, 17), (1, 1, 8, 6)])
@pytest.mark.parametrize("noise", [0.02, 0.5])
def test_agree_with_torchmetrics(shape, noise):
    image = pytest.importorskip("torchmetrics.functional.image")
    a, b = pair(shape, noise)
    for i in range(shape[0]):
        x, y = a[i : i + 1], b[i : i + 1]
        torch.testing.assert_close(
            psnr(a, b)[i], image.peak_signal_noise_ratio(x, y, data_range=2.0), atol=1e-3, rtol=1e-5
        )
        reference = image.structural_similarity_index_measure((x + 1) / 2, (y + 1) / 2, data_range=1.0)
        torch.testing.assert_close(ssim(a, b)[i], reference, atol=1e-4, rtol=1e-4)


def test_each_image_stands_alone():
    a, b = pair((3, 1, 20, 20), 0.3)
    torch.testing.assert_close(ssim(a, b)[1:2], ssim(a[1:2], b[1:2]))
    torch.testing.assert_close(psnr(a, b)[1:2], psnr(a[1:2], b[1:2]))


@pytest.mark.parametrize("size", [(1, 1), (2, 2), (8, 8), (4, 30)])
def test_ssim_of_images_smaller_than_its_window(size):
    a, b = pair((1, 1, *size), 0.5)
    assert ssim(a, a).item() == 1.0
    assert -1.0 <= ssim(a, b).item() < 1.0


def test_half_precision_is_widened():
    a, b = pair((1, 1, 16, 16))
    torch.testing.assert_close(psnr(a.bfloat16(), b.bfloat16()), psnr(a, b), atol=0.3, rtol=0)
    assert ssim(a.half(), b.half()).dtype == torch.float32


def test_shapes_must_match():
    with pytest.raises(ValueError, match="one shape"):
        psnr(torch.zeros(1, 1, 8, 8), torch.zeros(2, 1, 8, 8))
    with pytest.raises(ValueError, match="one shape"):
        ssim(torch.zeros(8, 8), torch.zeros(8, 8))


def test_a_large_image_is_compared_in_strips_with_the_same_figures(monkeypatch):
    a, b = (
        torch.randint(0, 256, (2, 3, 150, 40), dtype=torch.uint8, generator=torch.Generator().manual_seed(i))
        for i in (0, 1)
    )
    whole = psnr(a, b), ssim(a, b)
    floats = [image.float() / 127.5 - 1 for image in (a, b)]
    monkeypatch.setattr(metrics, "STRIP", 1)  # strips of 64 rows, the least there are
    for x, y in ((a, b), floats):
        torch.testing.assert_close(psnr(x, y), whole[0], atol=1e-4, rtol=0)
        torch.testing.assert_close(ssim(x, y), whole[1], atol=1e-6, rtol=0)


def test_an_error_map_is_in_shares_of_the_range_and_thinned_where_large():
    a, b = torch.zeros(1, 3, 8, 8, dtype=torch.uint8), torch.zeros(1, 3, 8, 8, dtype=torch.uint8)
    b[0, :, 2, 3] = torch.tensor([255, 0, 51])
    found = error_map(a, b)
    assert found.shape == (8, 8) and found[2, 3].item() == pytest.approx((1 + 0.2) / 3) and found.sum() == found[2, 3]
    large = error_map(torch.full((1, 1, 300, 100), -1.0), torch.ones(1, 1, 300, 100))
    assert large.shape == (64, 21) and large.min() == large.max() == 1
