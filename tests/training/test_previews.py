from itertools import pairwise

from vae.training.previews import preview_steps


def test_previews_come_at_both_ends_and_thin_out():
    steps = sorted(preview_steps(6000))
    assert steps[0] == 0 and steps[-1] == 6000 and len(steps) == 61
    gaps = [b - a for a, b in pairwise(steps)]
    assert gaps == sorted(gaps)
    assert preview_steps(3) == {0, 1, 2, 3}
