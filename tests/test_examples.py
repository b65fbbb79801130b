"""What the docstrings and examples/ show does what they say."""

import doctest
import runpy
from pathlib import Path

import pytest
from PIL import Image

import vae
from vae.evaluation import unusual
from vae.latents import editing

REPO = Path(__file__).resolve().parents[1]
# Those of directions.py run in tests/latents/test_directions.py.
SHOWN = vae.sample, unusual.how_unusual, editing.edit_channels


@pytest.mark.parametrize("function", SHOWN, ids=lambda function: function.__name__)
def test_the_example_in_a_docstring_runs(function):
    (found,) = doctest.DocTestFinder(recurse=False).find(function, function.__name__)
    assert len(found.examples) >= 2
    report = []
    done = doctest.DocTestRunner().run(found, out=report.append)
    assert not done.failed, "".join(report)


def test_a_walk_through_a_latent_space(tmp_path):
    shown = runpy.run_path(str(REPO / "examples" / "latent_space.py"))["main"](str(tmp_path / "out.png"))
    assert shown["nearest_are_fours"] >= 0.6 and shown["noise_is"] == "very unusual"
    with Image.open(tmp_path / "out.png") as sheet:
        assert sheet.width > sheet.height > 200
