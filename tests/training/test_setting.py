"""A setting declared once is checked, described and given its type."""

from dataclasses import dataclass, replace

import pytest

from vae.errors import InputError
from vae.training.setting import check_settings, setting, settings_of


@dataclass(frozen=True)
class Config:
    name: str = "x"  # no setting
    steps: int = setting(1, "How many.", low=1, high=9)
    rate: float | None = setting(None, "How fast.", low=0.5, high=2.0, label="ρ")
    mode: str = setting("a", "Which way.", choices=("a", "b"), public=False)
    on: bool = setting(False, "Whether.")

    def __post_init__(self):
        check_settings(self)


def test_a_field_says_what_it_takes():
    known = settings_of(Config)
    assert list(known) == ["steps", "rate", "mode", "on"]
    assert known["steps"].description == "How many: a whole number from 1 to 9."
    assert known["rate"].description == "How fast: a number from 0.5 to 2." and known["rate"].label == "ρ"
    assert known["mode"].description == "Which way: one of a, b." and not known["mode"].public
    assert known["on"].description == "Whether." and known["on"].label == "On"


def test_values_take_the_type_of_their_setting():
    config = Config(steps=3.0, rate=1)
    assert type(config.steps) is int and type(config.rate) is float and config.rate == 1.0
    assert Config().rate is None and Config(on=True).on


def test_left_out_is_the_default_unless_something_else_is_usual():
    assert (Config().steps, Config(steps=None).steps, Config().mode) == (1, 1, "a")
    config = Config()
    object.__setattr__(config, "steps", None)
    check_settings(config, {"steps": 4, "mode": "b"})
    assert (config.steps, config.mode) == (4, "a")


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"steps": 0}, "steps must be a whole number from 1 to 9, not 0."),
        ({"steps": 2.5}, "steps must be a whole number from 1 to 9, not 2.5."),
        ({"steps": True}, "steps must be a whole number from 1 to 9, not True."),
        ({"rate": float("nan")}, "rate must be a number from 0.5 to 2, not nan."),
        ({"rate": "1"}, "rate must be a number from 0.5 to 2, not '1'."),
        ({"mode": "c"}, "mode must be one of a, b, not 'c'."),
        ({"mode": ["a"]}, r"mode must be one of a, b, not ['a']."),
        ({"on": 1}, "on must be true or false, not 1."),
    ],
)
def test_what_is_not_accepted_is_refused_in_one_sentence(wrong, sentence):
    with pytest.raises(InputError) as caught:
        replace(Config(), **wrong)
    assert str(caught.value) == sentence
