"""Squares cut out of images of many sizes."""

import numpy as np
import pytest
import torch
from PIL import Image

from vae.data.crops import Crops, CropSet
from vae.data.sets import load_data
from vae.errors import InputError


@pytest.fixture
def mixed(tmp_path):
    """Images of several sizes, each pixel's column and row in its red and green; one is smaller than what is cut."""
    for i, (width, height) in enumerate([(40, 24), (16, 30), (8, 12), (24, 24)] * 3):
        columns, rows = np.meshgrid(np.arange(width), np.arange(height))
        pixels = np.stack([columns, rows, np.full_like(rows, i)], -1).astype(np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{i:02}.png")
    (tmp_path / "99.png").write_bytes(b"no image")
    return tmp_path


@pytest.mark.parametrize("limit", [0, 3000, 2**30])
def test_pixels_are_the_images_own_wherever_it_is_cut(mixed, limit):
    data = load_data(mixed, size=16, channels=3, crop="random", limit_bytes=limit)
    assert isinstance(data, CropSet) and data.images is None and data.source_channels == 3
    indices = torch.arange(len(data))
    places = torch.rand(len(data), 2, generator=torch.Generator().manual_seed(1))
    for _ in range(2):
        found = data.batch(Crops(indices, places))
        assert found.shape == (len(data), 3, 16, 16)
        for red, green, _ in found:
            if red.max() - red.min() == 15:  # the one too small was enlarged
                assert (red[:, 1:] - red[:, :-1] == 1).all() and (green[1:] - green[:-1] == 1).all()
    assert torch.equal(data.batch(Crops(indices, places)), found)
    assert not torch.equal(data.batch(Crops(indices, places.flip(0))), found)


def test_without_places_the_middle_is_cut(mixed):
    data = load_data(mixed, size=12, channels=3, crop="random", test_size=0.1)
    wide = next(square for square in data.batch(range(len(data))) if square[2, 0, 0] == 0)
    assert wide[:2, 0, 0].tolist() == [14, 6]


def test_the_border_is_part_of_the_size(mixed):
    data = load_data(mixed, size=12, channels=1, border=2, crop="random")
    squares = data.preview(4)
    assert squares.shape == (4, 1, 12, 12) and not squares[:, :, :2].any() and not squares[..., -2:].any()


def test_named_sets_are_cut_too_and_the_hub_is_not():
    digits = load_data("digits", size=6, crop="random")
    assert isinstance(digits, CropSet) and digits.preview(3).shape == (3, 1, 6, 6) and digits.source_channels == 1
    with pytest.raises(InputError, match=r"someone/things.*folders and archives"):
        load_data("someone/things", crop="random")
    with pytest.raises(InputError, match="center, random or none, not 'left'"):
        load_data("digits", crop="left")
