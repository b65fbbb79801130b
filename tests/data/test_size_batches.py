"""Images gathered into batches of one size."""

import numpy as np
import pytest

from vae.data.size_batches import size_batches
from vae.errors import InputError

SIDES = [8, 12, 8, 8, 5, 12, 8, 12, 8]


def read(item: int):
    return np.full((1, SIDES[item], SIDES[item]), item, np.uint8), f"about {item}"


def test_each_image_once_in_batches_of_one_size():
    refused = {}
    found = list(size_batches(range(9), read, lambda height, width: 3 if height == 8 else 2, refused))
    assert [batch.numbers for batch in found] == [[0, 2, 3], [1, 5], [4], [6, 8], [7]] and not refused
    for batch in found:
        assert batch.items == batch.numbers and batch.about == [f"about {i}" for i in batch.numbers]
        assert batch.pixels[:, 0, 0, 0].tolist() == batch.numbers
        assert len({SIDES[i] for i in batch.numbers}) == 1 and batch.pixels.shape[2] == SIDES[batch.numbers[0]]


def test_the_most_of_one_size_go_where_the_memory_is_full():
    found = list(size_batches(range(9), read, lambda *size: 99, {}, held=250))
    assert [batch.numbers for batch in found] == [[1], [0, 2, 3], [5, 7], [4], [6, 8]]


def test_an_image_that_cannot_be_read_is_left_out_and_named():
    def broken(item: int):
        if item in (0, 8):
            raise InputError(f"{item} is damaged.")
        return read(item)

    refused = {}
    found = list(size_batches(range(9), broken, lambda *size: 4, refused))
    assert sorted(i for batch in found for i in batch.numbers) == list(range(1, 8))
    assert {i: str(error) for i, error in refused.items()} == {0: "0 is damaged.", 8: "8 is damaged."}


def test_what_else_goes_wrong_ends_the_reading():
    def read(item: int):
        raise MemoryError

    with pytest.raises(MemoryError):
        list(size_batches(range(9), read, lambda *size: 4, {}))


def test_no_more_is_read_than_a_few_batches_ahead():
    begun = []

    def counted(item: int):
        begun.append(item)
        return np.zeros((1, 4, 4), np.uint8), None

    batches = size_batches(range(10_000), counted, lambda *size: 8, {}, workers=3)
    next(batches)
    batches.close()
    assert len(begun) <= 8 * (5 + 3 + 2)
