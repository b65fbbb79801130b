"""Many files reconstructed in batches are what each is alone."""

import pytest
import torch

import vae
from vae import images
from vae.errors import InputError
from vae.evaluation.reconstruct_files import reconstruct_files
from vae.models import build
from vae.models.autoencoder_kl import KLConfig

SIDES = [(32, 48), (31, 45), (32, 48), (64, 16), (29, 48), (32, 48)]


@pytest.fixture
def paths(tmp_path):
    generator, paths = torch.Generator().manual_seed(0), []
    for i, (height, width) in enumerate(SIDES):
        coarse = torch.rand(1, 3, 6, 6, generator=generator) * 2 - 1
        paths.append(tmp_path / f"{i}.png")
        images.to_image(torch.nn.functional.interpolate(coarse, (height, width), mode="bicubic")[0]).save(paths[-1])
    return paths


@pytest.fixture
def model():
    torch.manual_seed(0)
    config = KLConfig(sample_size=32, block_out_channels=(8, 16), norm_num_groups=4, layers_per_block=1)
    return build(config).eval().requires_grad_(False)


@pytest.mark.parametrize("options", [{}, {"sample": True, "seed": 5}, {"max_side": 24}, {"tile": 24}])
def test_each_as_alone_in_the_order_of_the_files(model, paths, options):
    saved, refused = {}, {}
    rows = list(reconstruct_files(model, paths, saved.__setitem__, refused, **options))
    assert not refused and [row.number for row in rows] == list(range(6)) and [row.path for row in rows] == paths
    for row in rows:
        alone = vae.reconstruct(model, row.path, **options)
        assert saved[row.number].size == alone.image.size
        difference = images.to_tensor(saved[row.number]) - images.to_tensor(alone.image)
        assert difference.abs().max() < 1.01 / 127.5  # where 1e-5 makes it round the other way
        assert (row.psnr, row.ssim) == pytest.approx((alone.psnr, alone.ssim), abs=2e-3)
        for name in ("latent_shape", "compression", "seed", "tile", "cleaned"):
            assert getattr(row, name) == getattr(alone, name)


def test_how_unusual_each_is(paths):
    model = vae.load("mnist-vae", device="cpu")
    for sample in (False, True):
        rows = list(reconstruct_files(model, paths, lambda *_: None, {}, sample=sample, seed=1))
        for row in rows:
            alone = vae.how_unusual(model, row.path)
            assert (row.unusual.psnr, row.unusual.kl) == pytest.approx((alone.psnr, alone.kl), rel=1e-4)


def test_one_that_cannot_be_computed_is_left_out_and_what_cannot_be_saved_ends_the_work(model, paths):
    encode = model._encode

    def choosy(x):
        if (x[:, :, 0, 0] > 0.99).all(1).any():
            raise InputError("too white.")
        return encode(x)

    model._encode, refused = choosy, {}
    images.to_image(torch.ones(3, 32, 48)).save(paths[2])
    rows = list(reconstruct_files(model, paths, lambda *_: None, refused))
    assert [row.number for row in rows] == [0, 1, 3, 4, 5] and str(refused[2]) == "too white."

    def full(number, image):
        raise InputError("No space left.")

    with pytest.raises(InputError, match="No space"):
        list(reconstruct_files(model, paths, full, {}))
