"""What beta does, on the bundled runs that show it: what the page is sent of them."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("gradio")

from vae.checkpoints import find_model
from vae.checkpoints.find_model import beta_runs, load_config
from vae.ui.components import SORRY
from vae.ui.serving import beta_runs as module
from vae.ui.serving.beta_runs import BetaRuns
from vae.ui.serving.catalog import Catalog
from vae.ui.serving.models import ModelServer


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    return ModelServer(Catalog(tmp_path_factory.mktemp("runs")))


@pytest.fixture(scope="module")
def found(server):
    return BetaRuns(server).beta_runs()


def picture(uri: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))).convert("L")).astype(float)


def places(run: dict) -> np.ndarray:
    return np.frombuffer(base64.b64decode(run["points"]), "<f4").reshape(-1, 2)


def test_the_runs_differ_in_beta_alone_and_are_no_models_to_choose(server):
    assert list(beta_runs()) == [0, 1, 8]
    configs = [load_config(folder).to_dict() | {"scaling_factor": None} for folder in beta_runs().values()]
    assert configs[0] == configs[1] == configs[2]
    folders = {str(folder) for folder in beta_runs().values()}
    assert not folders & {str(server.catalog.source(model["name"])) for model in server.catalog.models()}
    card = (find_model.BUNDLED / "beta" / "README.md").read_text(encoding="utf-8")
    assert "53,037 parameters" in card and "--beta" in card
    size = sum(file.stat().st_size for folder in beta_runs().values() for file in folder.iterdir())
    assert size < 400_000, "for a lesson, not for use"


def test_a_larger_beta_costs_detail_and_saves_information(found):
    kl, psnr = ([run[name] for run in found["runs"]] for name in ("kl", "psnr"))
    assert [run["beta"] for run in found["runs"]] == [0, 1, 8]
    assert kl[0] > 10 * kl[1] > 20 * kl[2] > 0 and psnr[0] > psnr[1] + 2 > psnr[2] + 3


def test_noise_lands_among_the_digits_only_where_something_pulls(found):
    off = []
    for run in found["runs"]:
        assert len(places(run)) == len(found["labels"]) == 1000
        # how far the prior's mean lies from the digits' middle, in the prior's standard deviations
        off.append(np.linalg.norm(places(run).mean(0) - run["centre"]))
    assert off[0] > 3 and max(off[1:]) < 1


def test_images_are_of_the_same_digits_and_the_same_noise(found):
    original = picture(found["originals"])
    errors = [np.abs(picture(run["reconstructions"]) - original).mean() for run in found["runs"]]
    assert errors == sorted(errors) and errors[0] < 10
    inked = [picture(run["samples"]).mean() for run in found["runs"]]
    assert all(picture(run["samples"]).shape == (5 * 34 - 2,) * 2 for run in found["runs"])
    assert inked[1] > inked[0], "noise is hardly a stroke without the pull"
    assert sorted(set(found["labels"])) == list(range(10))


def test_they_are_looked_at_once(server, monkeypatch):
    runs = BetaRuns(server)
    first = runs.beta_runs({})
    monkeypatch.setattr(module, "_test_images", lambda: 1 / 0)
    assert runs.beta_runs({}) is first
    assert BetaRuns(server).beta_runs({}) == {"error": SORRY}
