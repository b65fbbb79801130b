import pytest
import torch
from tiny_runs import tiny

from vae.errors import InputError
from vae.training.schedule import learning_rate, plan, seeded


def test_one_cycle_rises_to_the_peak_and_falls_to_nothing():
    rates = [learning_rate(tiny(learning_rate=0.1), step, 200) for step in range(200)]
    top = rates.index(max(rates))
    assert max(rates) == pytest.approx(0.1) and top == 29
    assert rates[: top + 1] == sorted(rates[: top + 1]) and rates[top:] == sorted(rates[top:], reverse=True)
    assert 0 < rates[-1] < 1e-4 and rates[0] == pytest.approx(0.1 / 30)


def test_a_constant_rate_is_constant_and_a_single_step_has_a_rate():
    assert {learning_rate(tiny(schedule="constant", learning_rate=0.1), s, 9) for s in range(9)} == {0.1}
    assert learning_rate(tiny(learning_rate=0.1), 0, 1) == pytest.approx(0.1)


def test_seeds_depend_on_every_number_and_on_their_order():
    draws = {torch.rand(1, generator=seeded(*numbers)).item() for numbers in ((1, 2), (2, 1), (1,), (1, 2, 0), (0,))}
    assert len(draws) == 5
    assert torch.equal(torch.rand(3, generator=seeded(4, 5)), torch.rand(3, generator=seeded(4, 5)))


@pytest.mark.parametrize(
    ("images", "processes", "changes", "expected"),
    [
        (1437, 1, {}, (140, 1, 10)),
        (1437, 2, {}, (140, 1, 5)),
        (1437, 1, {"accumulate": 3}, (140, 3, 3)),
        (100, 1, {}, (100, 1, 1)),  # smaller batches for few images
        (100, 2, {"accumulate": 3}, (16, 3, 1)),
    ],
)
def test_images_are_dealt_out(images, processes, changes, expected):
    deal = plan(tiny(**changes), images, processes)
    assert (deal.batch, deal.accumulate, deal.epoch_steps) == expected
    assert deal.steps == 3 * deal.epoch_steps and deal.update_images * deal.epoch_steps <= images


@pytest.mark.parametrize(
    ("processes", "update", "expected"),
    [
        (1, 280, (140, 2)),
        (2, 280, (140, 1)),
        (4, 280, (70, 1)),
        (1, 140, (140, 1)),
        (1, 420, (140, 3)),
        (7, 70, (10, 1)),
    ],
)
def test_a_run_gone_on_with_keeps_the_size_of_its_updates_and_its_batches_do_not_grow(processes, update, expected):
    deal = plan(tiny(), 1437, processes, update)
    assert (deal.batch, deal.accumulate) == expected and deal.update_images == update


def test_every_image_of_an_update_goes_to_one_batch_of_one_process():
    deal = plan(tiny(batch_size=6, accumulate=2), 1000, 3)
    parts = [deal.share(torch.arange(36), micro, process) for micro in range(2) for process in range(3)]
    assert all(len(part) == 6 for part in parts) and sorted(torch.cat(parts).tolist()) == list(range(36))


def test_too_few_images_and_updates_that_do_not_divide_are_refused():
    with pytest.raises(InputError, match="only 3 training images for 4 batches at once"):
        plan(tiny(accumulate=2), 3, 2)
    with pytest.raises(InputError, match="from 140 images, which does not divide among 3 processes"):
        plan(tiny(), 1437, 3, 140)
