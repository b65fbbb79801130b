"""What a link holds of the ends of an interpolation, and what is refused."""

import numpy as np
import pytest

pytest.importorskip("gradio")

from vae.errors import InputError
from vae.ui import address
from vae.ui.endpoints import MAX_LINK, read_endpoint, read_link, write_link
from vae.ui.latent_points import packed
from vae.ui.uploads import examples, linked_example, read_picture

POINT = {"kind": "point", "z": packed(np.linspace(-1, 1, 64)), "model": "m", "label": "a point of the link"}
SAMPLE = {"kind": "sample", "index": 5, "seed": 7, "prior": "flow", "temperature": 0.8, "model": "m"}
STEPS = SAMPLE | {"prior": "diffusion", "steps": 4, "of": "a-4"}


@pytest.mark.parametrize("end", [{"kind": "seed", "seed": 12}, SAMPLE, SAMPLE | {"of": "T-shirt: red"}, STEPS, POINT])
def test_an_end_comes_back_from_its_link(end):
    again = read_link(write_link(end, "m"), "m")
    first, second = read_endpoint(end, "m"), read_endpoint(again, "m")
    assert first.equal(second) if end is POINT else first == second


def test_what_no_link_can_hold_is_left_out():
    assert write_link({"kind": "file", "file": {}}, "m") is None
    assert write_link(SAMPLE, "another") is None
    assert write_link(POINT | {"z": "A" * MAX_LINK}, "m") is None


@pytest.mark.parametrize(
    "text", ["", "-1", "9" * 25, "sample:1", "sample:a:b:c:d", "sample:1:2:flow-0:1", "point:***", "http://x/y.png"]
)
def test_nonsense_in_a_link_is_refused(text):
    with pytest.raises(InputError):
        read_link(text, "m")


def test_an_address_is_read():
    assert address.parse("?tab=sample&prior=flow&seed=7&empty=") == {"tab": "sample", "prior": "flow", "seed": "7"}
    assert address.parse(None) == {} and address.link_number({"seed": "7"}, "seed") == 7
    for text in ("-7", "7.5", "", "9" * 19, "0" * 5000, "300"):
        with pytest.raises(InputError, match="no whole number from 1 to 256"):
            address.link_number({"n": text}, "n", 1, 256)


@pytest.mark.parametrize("text", ["hot", "", "nan", "inf", "-0.1", "2.01"])
def test_what_is_no_number_in_a_link_is_said(text):
    with pytest.raises(InputError, match=r"temperature, .*, is no number from 0 to 2"):
        address.link_decimal({"temperature": text}, "temperature", 0, 2)
    assert address.link_decimal({"temperature": "0.5"}, "temperature", 0, 2) == 0.5


def test_every_example_can_be_linked_and_read():
    names = [each["name"] for each in examples()]
    assert names[0] == "digit-0" and {"clothes-bag", "clothes-shirt", "photo-parrot"} < set(names)
    for name in names:
        image = read_picture(linked_example(name))
        assert image.mode == ("RGB" if name.startswith("photo") else "L") and min(image.size) >= 28
    with pytest.raises(InputError, match="The link's image, cat, is none of digit-0"):
        linked_example("cat")
