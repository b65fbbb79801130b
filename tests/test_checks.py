"""What the checks at the edge take, and what they say to the rest."""

import math
from io import BytesIO

import numpy as np
import pytest
import torch
from PIL import Image

from vae.checks import as_image, as_tensor, real_number, refuse_not_finite, refuse_other_units, whole_number
from vae.errors import InputError

PIXELS = np.random.default_rng(0).integers(0, 256, (6, 9, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    "value", [3, 3.0, np.int64(3), np.uint8(3), np.float32(3), np.array(3), torch.tensor(3), torch.tensor([3])]
)
def test_a_whole_number_may_be_of_any_type(value):
    number = whole_number("n", value, 1, 5)
    assert number == 3
    assert type(number) is int


@pytest.mark.parametrize(
    "value",
    [
        *(0, 6, -1, 10**30, 2.5, math.nan, math.inf, True, np.True_, torch.tensor(True), "3", None, [3], 3j),
        *(np.array([3, 3]), np.array([]), np.array("3"), torch.zeros(2, 2), torch.tensor(math.nan)),
    ],
)
def test_what_is_no_whole_number_in_range_is_refused_in_one_sentence(value):
    with pytest.raises(InputError, match=r"^The count must be a whole number from 1 to 5, not .*\.$"):
        whole_number("The count", value, 1, 5)


def test_a_whole_number_need_have_no_upper_end():
    assert whole_number("n", 10**30, 1) == 10**30
    with pytest.raises(InputError, match=r"^n must be a whole number from 1, not 0\.$"):
        whole_number("n", 0, 1)


@pytest.mark.parametrize("value", [0.5, np.float32(0.5), np.float16(0.5), torch.tensor(0.5), np.array([0.5])])
def test_a_number_may_be_of_any_type(value):
    number = real_number("t", value, 0.0, 10.0)
    assert number == 0.5
    assert type(number) is float
    assert real_number("t", 3, 0.0, 10.0) == 3.0


@pytest.mark.parametrize("value", [math.nan, math.inf, -0.1, 10.1, True, "1", None, torch.ones(2), np.float32("nan")])
def test_what_is_no_number_in_range_is_refused(value):
    with pytest.raises(InputError, match=r"^The temperature must be a number from 0 to 10, not "):
        real_number("The temperature", value, 0.0, 10.0)


def test_a_message_stays_short():
    with pytest.raises(InputError) as caught:
        whole_number("n", "x" * 10_000 + "\n", 1)
    assert len(str(caught.value)) < 150


def test_arrays_become_tensors_of_their_own():
    array = np.arange(6.0).reshape(2, 3)[:, ::-1]
    array.flags.writeable = False
    tensor = as_tensor("z", array)
    assert np.array_equal(tensor.numpy(), array)
    x = torch.zeros(2)
    assert as_tensor("z", x) is x
    for value in (np.array(["a"]), np.array([None]), torch.zeros(2).to_sparse(), [1.0], "z", None):
        with pytest.raises(InputError, match=r"^z must be a dense tensor"):
            as_tensor("z", value)


@pytest.mark.parametrize(
    "value",
    [
        PIXELS,
        PIXELS[None],
        PIXELS.transpose(2, 0, 1),
        torch.from_numpy(PIXELS),
        torch.from_numpy(PIXELS).permute(2, 0, 1),
        torch.from_numpy(PIXELS).permute(2, 0, 1)[None],
        torch.from_numpy(PIXELS).permute(2, 0, 1) / 127.5 - 1.0,
        (PIXELS.transpose(2, 0, 1) / 127.5 - 1.0)[None],
        (torch.from_numpy(PIXELS).permute(2, 0, 1) / 127.5 - 1.0).double().requires_grad_(),
    ],
    ids=lambda value: f"{type(value).__name__}-{value.dtype}-{list(value.shape)}",
)
def test_pixels_are_an_image_in_every_usual_layout(value):
    assert np.array_equal(np.asarray(as_image(value)), PIXELS)


def test_grey_pixels_are_an_image():
    grey = PIXELS[..., 0]
    for value in (grey, grey[..., None], grey[None], torch.from_numpy(grey)):
        image = as_image(value)
        assert image.mode == "L"
        assert np.array_equal(np.asarray(image), grey)


def test_where_both_layouts_fit_arrays_have_their_channels_last_and_tensors_first():
    pixels = PIXELS[:3]  # (3, 9, 3)
    assert as_image(pixels).size == (9, 3)
    assert as_image(torch.from_numpy(pixels)).size == (3, 9)


def test_transparency_is_kept_for_the_one_who_fits():
    assert as_image(np.zeros((4, 4, 4), np.uint8)).mode == "RGBA"


def test_files_and_images_are_opened(tmp_path):
    image, path = Image.fromarray(PIXELS), tmp_path / "a.png"
    image.save(path)
    assert as_image(image) is image
    for value in (path, str(path), path.read_bytes(), BytesIO(path.read_bytes())):
        assert np.array_equal(np.asarray(as_image(value)), PIXELS)


def test_an_image_that_ends_early_is_refused(tmp_path):
    path = tmp_path / "a.png"
    Image.effect_noise((64, 64), 90).save(path)
    path.write_bytes(path.read_bytes()[:1000])
    for value in (path, Image.open(path)):
        with pytest.raises(InputError, match="damaged or cut off"):
            as_image(value)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (None, "An image is a PIL image"),
        (5, "An image is a PIL image"),
        ([[0, 1]], "An image is a PIL image"),
        ("nowhere.png", "no file"),
        (Image.new("RGB", (0, 4)), "no pixels"),
        (np.zeros((2, 8, 8, 3), np.uint8), r"has the shape .*, not \[2, 8, 8, 3\]"),
        (np.zeros((8, 8, 5), np.uint8), r"has the shape .*, not \[8, 8, 5\]"),
        (np.zeros((0, 8, 3), np.uint8), r"has the shape .*, not \[0, 8, 3\]"),
        (np.zeros((8, 8, 3)), "has the shape"),  # floats channels last are elsewhere in [0, 1]: nobody can tell
        (np.zeros(5), "has the shape"),
        (np.zeros((1, 8, 8), np.int64), "uint8 from 0 to 255 or floats"),
        (np.zeros((1, 8, 8), bool), "uint8 from 0 to 255 or floats"),
        (torch.zeros(5, 8, 8), r"1 to 4 channels.*not \[5, 8, 8\]"),
        (torch.full((3, 8, 8), 200.0), r"from 200 to 200; floats in \[-1, 1\]"),
        (torch.full((3, 8, 8), 2.6), "from 2.6 to 2.6"),  # normalised by a mean and a deviation
        (torch.full((3, 8, 8), math.nan), "not finite"),
        (np.array([["a"]]), "must be a dense tensor"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_what_is_no_image_is_refused(value, said):
    with pytest.raises(InputError, match=said):
        as_image(value)


def test_a_decoders_overshoot_is_an_image_and_is_clamped():
    assert as_image(torch.full((1, 4, 4), 1.3)).getextrema() == (255, 255)


def test_noise_is_borne_and_other_units_are_not():
    refuse_other_units(torch.tensor([-4.0, 4.0]))
    refuse_other_units(torch.empty(0))
    for values in ([0.0, 255.0], [-8.1, 0.0], [math.nan, 0.0], [-math.inf, math.inf]):
        with pytest.raises(InputError, match="The images"):
            refuse_other_units(torch.tensor(values))


def test_values_that_nobody_can_see_are_not_judged():
    refuse_not_finite("The latents", torch.full((2,), math.nan, device="meta"))

    def double(z):
        refuse_not_finite("The latents", z)
        return 2 * z

    assert torch.equal(torch.vmap(double)(torch.ones(3, 2)), torch.full((3, 2), 2.0))
    with pytest.raises(InputError, match="The latents hold numbers that are not finite"):
        double(torch.tensor([math.nan]))
