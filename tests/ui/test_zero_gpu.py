"""The app on ZeroGPU, as far as that shows without one: what takes a GPU, how often, for how long."""

import inspect
import os
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from PIL import Image

pytest.importorskip("gradio")

from spaces_stand_in import Spaces

from vae.checkpoints.find_model import bundled
from vae.errors import InputError
from vae.images import to_array
from vae.inference import Draw
from vae.latents.priors import PriorNotFitted
from vae.models.base import AutoEncoder
from vae.ui.app import create_app
from vae.ui.serving import zero_gpu
from vae.ui.serving.catalog import Catalog
from vae.ui.serving.latent_maps import LatentMaps
from vae.ui.serving.models import ModelServer
from vae.ui.settings import Settings

DIGIT = {"kind": "example", "name": "digit-2"}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("space")


@pytest.fixture(scope="module")
def spaces(place):
    """The stand-in; and "cuda" is where models stay as they are. What is loaded, and where, is written down."""
    found, to, load, app = Spaces(), AutoEncoder.to, zero_gpu.load, os.getpid()

    def put(model, *where, **options):
        if where[:1] != ("cuda",):
            return to(model, *where, **options)
        found.on_gpu.append(model)
        return model

    def noted(source, **options):
        with (place / "loads").open("a") as file:
            file.write(f"{source} {'app' if os.getpid() == app else 'gpu'}\n")
        return load(source, **options)

    with pytest.MonkeyPatch.context() as patch:
        found.on_gpu = []
        patch.setitem(sys.modules, "spaces", found)
        patch.setattr(AutoEncoder, "to", put)
        patch.setattr(zero_gpu, "load", noted)
        patch.setattr("vae.ui.app.on_disk", list)  # whatever lies in the cache of this machine
        yield found


@pytest.fixture(scope="module")
def demo(spaces, place):
    return create_app(Settings(None, place / "runs", training=False, max_train_minutes=None, zero_gpu=True))


@pytest.fixture
def acquired(spaces):
    """The seconds for which a GPU was asked for in this test so far, one number each time."""
    spaces.acquisitions.clear()
    return spaces.acquisitions


def loads_on_gpu(place: Path) -> list[str]:
    return [line for line in (place / "loads").read_text().splitlines() if line.endswith(" gpu")]


def click(demo, module: str, name: str, *data, tab: str | None = None) -> list:
    """The values that a function of the page's answers with in the end, asked with what its controls hold at first.

    tab: which tab's it is, of those that open tabs. data: the event's, where it has some."""
    event = next(
        found
        for found in demo.fns.values()
        if found.fn and (found.fn.__module__, found.fn.__name__) == (f"vae.ui.{module}", name)
        if tab is None or inspect.signature(found.fn).parameters["name"].default == tab
    )
    answers, last = event.fn(*data, *(given.value for given in event.inputs)), {}
    for step in [answers] if isinstance(answers, dict) else answers:
        last |= step
    return list(last.values())


def test_bundled_models_lie_on_the_gpu_from_the_beginning(demo, spaces):
    assert len(spaces.on_gpu) == len(bundled())


@pytest.mark.parametrize("tab", ["reconstruct", "sample", "interpolate"])
def test_a_tab_takes_the_gpu_once_and_not_again_for_the_same(demo, place, acquired, tab):
    before = loads_on_gpu(place) if (place / "loads").exists() else []
    assert any(isinstance(value, dict) and "seconds" in str(value) for value in click(demo, "app", "opened", tab=tab))
    assert len(acquired) == 1 and 0 < acquired[0] <= 15
    click(demo, "app", "opened", tab=tab)
    assert len(acquired) == 1
    assert loads_on_gpu(place) == before == []


def test_new_samples_are_one_acquisition_for_both_halves(demo, acquired):
    shown = click(demo, "tabs.sample", "anew")
    halves = next(value["halves"] for value in shown if isinstance(value, dict) and "halves" in value)
    assert len(halves) == 2 and all("sprite" in half for half in halves) and len(acquired) == 1
    click(demo, "tabs.sample", "anew")
    assert len(acquired) == 2, "another seed"


def test_the_file_of_what_is_seen_takes_none(demo, acquired):
    click(demo, "app", "opened", tab="interpolate")
    acquired.clear()
    saved = click(demo, "tabs.interpolate", "keep", SimpleNamespace(_data={"format": "gif", "size": 256}))
    assert any(isinstance(value, dict) and value.get("uri", "").startswith("data:image/gif") for value in saved)
    assert acquired == []


def test_several_panes_are_one_acquisition_and_each_says_what_is_wrong(demo, acquired):
    panes = [{"key": name, "encoder": name} for name in ("mnist-vae", "mnist-ae", "dogs-vae")]
    asked = {"ticket": "t", "picture": DIGIT, "panes": [*panes, {"key": "none", "encoder": 5}]}
    run = next(found.fn for found in demo.fns.values() if found.fn and found.fn.__module__ == "vae.ui.tabs.compare")
    told = list(run(SimpleNamespace(_data=asked)))
    assert {news["key"] for news in told if "result" in news} == {"mnist-vae", "mnist-ae", "dogs-vae"}
    assert [news["error"] for news in told if "error" in news] == ["Choose a model."]
    assert len(acquired) == 1
    list(run(SimpleNamespace(_data=asked)))
    assert len(acquired) == 1


@pytest.fixture(scope="module")
def server(spaces, place):
    catalog = Catalog(place / "runs")
    return ModelServer(catalog, zero_gpu.ZeroGpuModels([str(catalog.source("mnist-vae"))]))


def test_it_is_what_the_app_would_compute_itself(server, place, acquired):
    here, digit = ModelServer(Catalog(place / "runs")), Image.linear_gradient("L")
    asked = (
        lambda on: on.reconstruct("mnist-vae", digit, True, 4).latent,
        lambda on: to_array(on.reconstruct("mnist-vae", digit, True, 4).image).copy(),
        lambda on: on.sample("mnist-vae", 3, 5, 1.0, "normal").pixels,
        lambda on: on.interpolate("mnist-vae", [digit, Draw(1)], 4, None).pixels,
        lambda on: on.decode("mnist-vae", torch.ones(1, 4, 4, 4)),
    )
    for ask in asked:  # the models there are laid out for a GPU, and round otherwise on a CPU
        torch.testing.assert_close(ask(server), ask(here), rtol=0, atol=1e-4 if ask is asked[0] else 1)
    assert len(acquired) == 3


def test_moving_over_a_map_and_drawing_take_none(server, demo, acquired):
    click(demo, "app", "opened", tab="latent")
    asked = {"model": "mnist-vae", "map": "lda", "to": [[0.0, 0.0], [1.0, 1.0]]}
    assert len(LatentMaps(server).latent_space_look(asked)["pictures"]) == 2
    server.sketch("mnist-vae", Image.new("L", (28, 28)), 512)
    assert acquired == []


def test_what_is_refused_there_is_the_same_sentence_here(server, acquired):
    with pytest.raises(PriorNotFitted, match="no diffusion prior yet") as refused:
        server.sample("mnist-vae", 1, 0, 1.0, "diffusion")
    assert refused.value.prior == "diffusion" and refused.value.fact
    with pytest.raises(InputError, match="too many at once"):
        server.sample("mnist-vae", 10**6, 0, 1.0, "normal")


def test_an_opened_model_is_not_read_again_on_the_gpu(server, place):
    server.open("fashion-vae")
    before = loads_on_gpu(place)
    server.sample("fashion-vae", 1, 0, 1.0, "normal")
    assert loads_on_gpu(place) == before
    server.sample("mnist-ae", 1, 0, 1.0, "normal")  # neither ready nor opened
    assert len(loads_on_gpu(place)) == len(before) + 1


def test_larger_work_asks_for_longer_and_never_for_a_minute(server, spaces, acquired):
    server.open("dogs-vae")
    spaces.dry = True
    try:
        for job in (
            lambda: server.reconstruct("mnist-vae", Image.new("L", (28, 28))),
            lambda: server.reconstruct("dogs-vae", Image.new("RGB", (2000, 2000)), max_side=None),
            lambda: server.reconstruct("dogs-vae", Image.new("RGB", (2000, 2000)), max_side=64),
            lambda: server.sample("dogs-vae-16", 4096, 0, 1.0, "normal"),  # of which nothing is known here
        ):
            with pytest.raises(RuntimeError, match="dry"):
                job()
    finally:
        spaces.dry = False
    digit, photograph, reduced, huge = acquired
    assert digit == reduced == 5 and digit < photograph < huge < 60
