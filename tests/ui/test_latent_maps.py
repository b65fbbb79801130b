"""What the Latent space tab gets of a model's space, and what it is refused."""

import base64

import numpy as np
import pytest
import torch
from bars import bars, saved

pytest.importorskip("gradio")

import vae
from vae import images
from vae.checkpoints.find_model import weight_files
from vae.errors import InputError
from vae.inference import Draw
from vae.latents import statistics
from vae.ui.endpoints import read_endpoint
from vae.ui.latent_points import packed, read_point, write_point
from vae.ui.serving.catalog import Catalog
from vae.ui.serving.latent_maps import NEIGHBOURS, SLIDERS, STEPS, WAITING, LatentMaps
from vae.ui.serving.models import ModelServer
from vae.ui.uploads import read_picture


@pytest.fixture
def latent_maps(tmp_path):
    return LatentMaps(ModelServer(Catalog(tmp_path / "runs")))


@pytest.fixture
def measured(tmp_path):
    return saved(tmp_path / "measured", bars())


def floats(text: str) -> torch.Tensor:
    return torch.from_numpy(np.frombuffer(base64.b64decode(text), "<f4").copy())


def pixels(picture: str) -> torch.Tensor:
    return images.to_tensor(read_picture({"kind": "inline", "uri": picture}))


def decoded(name: str, z: torch.Tensor) -> torch.Tensor:
    """What the model itself makes of a flat latent."""
    model = vae.load(name)
    x = model.decode(z.view(1, *model.latent_shape()))
    return images.to_tensor(images.to_image(x[0]))


def test_the_bundled_models_are_seen_side_by_side(latent_maps):
    found = latent_maps.opened("mnist-vae")
    assert found["unmeasured"] is None
    ae, variational = found["spaces"]
    assert (ae["name"], ae["variational"]) == ("mnist-ae", False) and variational["name"] == "mnist-vae"
    assert latent_maps.opened("mnist-ae") == found, "whichever of the two is chosen"
    assert ae["sheet"] == variational["sheet"], "the pictures are the same, and fetched once"
    assert variational["maps"] == ["lda", "pca", "dims"] and len(variational["labels"]) == variational["n"]
    assert len(variational["sliders"]) == SLIDERS and variational["active"] > 4
    assert [bar["kl"] for bar in variational["bars"]] == sorted((b["kl"] for b in variational["bars"]), reverse=True)
    assert ae["kl"] == 0 and ae["bars"][0]["std"] > ae["bars"][-1]["std"]
    low, mean, high = (variational["sliders"][0][key] for key in ("low", "mean", "high"))
    assert 2 < mean - low == pytest.approx(high - mean, rel=1e-3), "three standard deviations to either side"


def test_a_model_without_counterpart_is_seen_alone(latent_maps, measured):
    found = latent_maps.opened(measured)
    assert [space["name"] for space in found["spaces"]] == [measured] and found["unmeasured"] is None
    assert found["spaces"][0]["classes"] == ["bar 0", "bar 1", "bar 2"]


def test_the_points_of_a_map_are_the_projected_embeddings(latent_maps, measured):
    found = statistics.read(weight_files(measured))
    for name in ("lda", "pca"):
        answer = latent_maps.latent_space_map({"model": measured, "map": name})
        torch.testing.assert_close(floats(answer["points"]).view(-1, 2), found.map(name).project(found.embeddings))
    answer = latent_maps.latent_space_map({"model": measured, "map": [3, 1]})
    assert torch.equal(floats(answer["points"]).view(-1, 2), found.embeddings.flatten(1)[:, [3, 1]])
    assert answer["prior"] == {"centre": [0, 0], "spread": [[1, 0], [0, 1]]}, "N(0, I), seen in two dimensions"


def test_moving_over_the_map_decodes_what_lies_there(latent_maps, measured):
    found = statistics.read(weight_files(measured))
    start = latent_maps.latent_space_look({"model": measured, "map": "pca"})
    assert torch.equal(floats(start["z"]), found.mean.flatten()), "at first it is the mean"
    moved = latent_maps.latent_space_look(
        {"model": measured, "map": "pca", "z": start["z"], "to": [[0.5, 0.0], [1.5, -2.0]]}
    )
    assert moved["place"] == pytest.approx([1.5, -2.0], abs=1e-3)
    z = found.map("pca").invert(torch.tensor([[1.5, -2.0]]), found.mean)
    torch.testing.assert_close(floats(moved["z"]), z.flatten())
    assert len(moved["pictures"]) == 2, "also what lies on the way"
    assert torch.equal(pixels(moved["pictures"][-1]), decoded(measured, floats(moved["z"])))


def test_a_point_and_a_slider_lead_to_exact_latents(latent_maps, measured):
    found = statistics.read(weight_files(measured))
    point = latent_maps.latent_space_look({"model": measured, "map": "pca", "at": 7})
    assert torch.equal(floats(point["z"]), found.embeddings[7].flatten())
    assert point["place"] == pytest.approx(found.map("pca").project(found.embeddings[7:8])[0].tolist(), abs=1e-3)
    dims = found.most_active()
    turned = latent_maps.latent_space_look(
        {"model": measured, "map": "pca", "z": point["z"], "set": [{str(dims[1]): 3.0}, {str(dims[0]): 0.75}]}
    )
    change = floats(turned["z"]) - floats(point["z"])
    assert floats(turned["z"])[dims[:2]].tolist() == [0.75, 3.0] and change.count_nonzero() == 2
    assert len(turned["pictures"]) == 2
    assert turned["values"] == pytest.approx(floats(turned["z"])[dims[:SLIDERS]].tolist(), rel=1e-3)


def test_the_nearest_images_are_those_in_the_space_not_on_the_map(latent_maps, measured):
    found = statistics.read(weight_files(measured))
    for asked in ({"at": 7}, {"to": [[0.5, 0.0], [1.5, -2.0]]}):
        answer = latent_maps.latent_space_look({"model": measured, "map": "pca", **asked})
        far = (found.embeddings.flatten(1) - floats(answer["z"])).norm(dim=1)
        assert answer["nearest"] == far.argsort(stable=True)[:NEIGHBOURS].tolist()


def test_a_set_has_a_mean_and_a_way_to_another(latent_maps, measured):
    found = statistics.read(weight_files(measured))
    of_class, picked = found.embeddings[found.labels == 2].mean(0), found.embeddings[[3, 5, 8]].mean(0)

    def look(**asked) -> torch.Tensor:
        return floats(latent_maps.latent_space_look({"model": measured, "map": "pca", **asked})["z"])

    torch.testing.assert_close(look(of={"class": 2}), of_class.flatten())
    torch.testing.assert_close(look(of={"points": [3, 5, 8]}), picked.flatten())
    along = {"to": {"class": 2}, "from": {"points": [3, 5, 8]}, "by": [0.5, 1.0]}
    torch.testing.assert_close(look(of=along["from"], along=along), of_class.flatten())
    torch.testing.assert_close(
        look(at=7, along=along | {"by": [-0.5]}), (found.embeddings[7] - 0.5 * (of_class - picked)).flatten()
    )
    from_all = look(at=7, along={"to": {"class": 2}, "by": [1.0]})
    torch.testing.assert_close(from_all, (found.embeddings[7] + of_class - found.mean).flatten())


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (None, "chosen by its name"),
        ({"model": 3}, "chosen by its name"),
        ({"model": "no such model"}, "no model"),
        ({"map": "tsne"}, "lda, pca"),
        ({"map": [0, 0]}, "Two different"),
        ({"map": [0, 10**9]}, "from 0 to"),
        ({"map": [1]}, "Two latent dimensions"),
        ({"to": [[0.0]]}, "two numbers"),
        ({"to": []}, "One step"),
        ({"to": [[0.0, 0.0]] * (STEPS + 1)}, "One step"),
        ({"to": [[float("nan"), 0.0]]}, "must be a number"),
        ({"to": [["1", "2"]]}, "must be a number"),
        ({"at": 90}, "from 0 to 89"),
        ({"at": True}, "whole number"),
        ({"z": "!"}, "damaged"),
        ({"z": "AAAA"}, "damaged"),
        ({"z": 5}, "damaged"),
        ({"z": packed(np.zeros(3))}, "numbers, not 3"),
        ({"z": packed(np.full(8, np.nan))}, "not finite"),
        ({"set": [{"8000": 0.0}]}, "dimension"),
        ({"set": [{"x": 0.0}]}, "by its dimension"),
        ({"set": [{"0": None}]}, "must be a number"),
        ({"set": [{str(i): 0.0 for i in range(SLIDERS + 1)}]}, "Up to"),
        ({"of": "7"}, "a class or a list"),
        ({"of": {"class": 1, "points": [1]}}, "a class or a list"),
        ({"of": {"class": 3}}, "from 0 to 2"),
        ({"of": {"points": []}}, "no images"),
        ({"of": {"points": [90]}}, "from 0 to 89"),
        ({"of": {"points": [1] * 91}}, "Up to 90"),
        ({"along": {"to": {"class": 1}}}, "One step"),
        ({"along": {"to": {"class": 1}, "by": [11.0]}}, "from -10 to 10"),
        ({"along": {"to": {"class": 1}, "by": [0.5] * (STEPS + 1)}}, "One step"),
    ],
)
def test_nonsense_is_answered_with_one_sentence(latent_maps, measured, wrong, says):
    asked = None if wrong is None else {"model": measured, "map": "pca", **wrong}
    answer = latent_maps.latent_space_look(asked)
    assert set(answer) == {"error"} and says in answer["error"] and answer["error"].count("\n") == 0
    for function in (latent_maps.latent_space_map, latent_maps.latent_space_sheet):
        assert isinstance(function(wrong), dict)


def test_requests_do_not_pile_up(latent_maps, measured):
    for _ in range(WAITING):
        latent_maps._room.acquire()
    assert "busy" in latent_maps.latent_space_look({"model": measured, "map": "pca"})["error"]
    latent_maps._room.release()
    for _ in range(3):  # bad input does not use up the room either
        assert "busy" not in latent_maps.latent_space_look({"model": measured, "map": "?"})["error"]
    assert "pictures" in latent_maps.latent_space_look({"model": measured, "map": "pca"})


@pytest.mark.parametrize(("labels", "classes"), [(0, None), (1, ["bar 0"])])
def test_without_classes_there_is_still_a_map(latent_maps, tmp_path, labels, classes):
    name = saved(tmp_path / "m", bars(labels=labels))
    (space,) = latent_maps.opened(name)["spaces"]
    assert space["maps"] == ["pca", "dims"] and space["classes"] == classes
    assert space["labels"] == (None if labels == 0 else [0] * space["n"])
    assert "three classes" in latent_maps.latent_space_map({"model": name, "map": "lda"})["error"]
    assert len(floats(latent_maps.latent_space_map({"model": name, "map": "pca"})["points"])) == 2 * space["n"]


def test_a_model_without_statistics_says_how_to_measure_it(latent_maps, tmp_path):
    name = saved(tmp_path / "bare")
    found = latent_maps.opened(name)
    assert found["unmeasured"]["name"] == name and not found["unmeasured"]["refused"]
    assert "can measure it" in found["unmeasured"]["says"] and found["unmeasured"]["run"] is None
    assert [space["name"] for space in found["spaces"]] == ["mnist-ae", "mnist-vae"], "nobody meets an empty box"
    assert "not been measured" in latent_maps.latent_space_map({"model": name, "map": "pca"})["error"]


def test_what_is_no_model_is_refused(latent_maps, monkeypatch):
    with pytest.raises(InputError, match="no model 'x y'"):
        latent_maps.opened("x y")
    monkeypatch.setattr("vae.ui.serving.catalog.bundled", dict)
    with pytest.raises(InputError, match="no model yet"):
        latent_maps.opened(None)
    assert "no model yet" in latent_maps.latent_space_opened(None)["error"]


def test_a_model_of_the_hub_is_fetched_first(latent_maps, monkeypatch):
    facts, name = latent_maps.server.catalog.facts, "org/some-vae/part@v2"
    monkeypatch.setattr(latent_maps.server.catalog, "facts", lambda n: facts("mnist-vae") if n == name else facts(n))
    assert "fetch it into a folder" in latent_maps.opened(name)["unmeasured"]["says"]


def test_a_run_is_measured_in_the_train_tab(latent_maps, tmp_path):
    run = tmp_path / "runs" / "mine"
    saved(run / "checkpoints" / "step-00000010")
    (run / "config.json").write_text('{"data": "digits"}')
    (run / "state.json").write_text('{"state": "finished"}')
    asked = latent_maps.opened("mine")["unmeasured"]
    assert asked["run"] == "mine" and "Train tab" in asked["says"]
    found = statistics.measure(vae.load(run), bars())
    assert statistics.write(weight_files(run), found).parent.name == "step-00000010"
    latent_maps._kept.shrink(0)
    assert latent_maps.opened("mine")["unmeasured"] is None


def test_statistics_of_another_checkpoint_are_refused_by_name(latent_maps, measured, monkeypatch):
    assert latent_maps.find(measured) is not None
    saved(measured, seed=1)
    latent_maps._kept.shrink(0)  # as a second later
    found = latent_maps.opened(measured)
    assert found["unmeasured"]["refused"] and found["unmeasured"]["run"] is None
    assert "statistics.safetensors belongs to another checkpoint" in found["unmeasured"]["says"]
    assert [space["name"] for space in found["spaces"]] == ["mnist-ae", "mnist-vae"]

    def read(weights):
        raise AssertionError("the weights are hashed only once")

    monkeypatch.setattr(statistics, "read", read)
    assert latent_maps.opened(measured)["unmeasured"] == found["unmeasured"]
    assert "another checkpoint" in latent_maps.latent_space_look({"model": measured, "map": "pca"})["error"]


def test_what_is_measured_meanwhile_is_seen(latent_maps, tmp_path, monkeypatch):
    monkeypatch.setattr("vae.ui.serving.latent_maps.FRESH", 0.0)
    name = saved(tmp_path / "m")
    assert latent_maps.latent_space_opened({"model": name})["unmeasured"]
    saved(name, bars())
    before = latent_maps.latent_space_opened({"model": name})
    assert before["unmeasured"] is None and before["spaces"][0]["images"] == 90
    saved(name, bars(60))
    assert latent_maps.latent_space_opened({"model": name})["spaces"][0]["images"] == 60


def test_a_point_sent_to_interpolate_keeps_its_latent(latent_maps, measured):
    look = latent_maps.latent_space_look({"model": measured, "map": "pca", "at": 3})
    value = {"kind": "point", "model": measured, "z": look["z"], "uri": look["pictures"][0], "label": "a point"}
    end = read_endpoint(value, measured)
    frames = latent_maps.server.interpolate(measured, [end, Draw(1)], 4, "slerp", small=True).pixels
    assert torch.equal(images.to_tensor(images.to_image(frames[0])), pixels(look["pictures"][0]))
    assert read_endpoint(value, "another model").size == (16, 16), "for another model the picture is encoded"
    with pytest.raises(InputError, match="damaged"):
        read_endpoint(value | {"z": None}, measured)
    with pytest.raises(InputError, match="numbers, not 2"):
        latent_maps.server.interpolate(measured, [torch.zeros(2), Draw(1)], 4, "slerp")


def test_a_point_travels_bit_for_bit():
    z = torch.randn(2, 3, 3)
    assert torch.equal(read_point(write_point(z)).view(2, 3, 3), z)
