"""Measuring folders and stress tests for the page: what it is told, what strangers may, and what is kept."""

import zipfile

import numpy as np
import pytest
import torch
from PIL import Image

pytest.importorskip("gradio")

import vae
from vae import images
from vae.errors import InputError
from vae.models import ConvConfig, build
from vae.models.autoencoder_kl import KLConfig
from vae.ui import folder_measure, folder_sets, stress_view, uploads
from vae.ui.folder_measure import FolderMeasure
from vae.ui.folder_sets import FolderSets
from vae.ui.serving import jobs, wire
from vae.ui.serving.access import Audience
from vae.ui.serving.bench_jobs import judges
from vae.ui.serving.catalog import Catalog
from vae.ui.serving.models import ModelServer
from vae.ui.serving.tasks import Tasks
from vae.ui.settings import Settings

KL = {"block_out_channels": (8, 16), "layers_per_block": 1, "norm_num_groups": 4, "sample_size": 16}
METRICS = ["psnr", "ssim", "delta-e", "equivariance"]


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    torch.manual_seed(0)
    place = tmp_path_factory.mktemp("models")
    configs = {"kl": KLConfig(**KL), "digits": ConvConfig(features=(1, 4, 8, 2), sample_size=16, border=1)}
    return {name: str(vae.save(build(config).eval(), place / name)) for name, config in configs.items()}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place, random = tmp_path_factory.mktemp("data"), np.random.default_rng(0)
    for i in range(7):
        small = random.integers(0, 256, (5, 5, 3), dtype=np.uint8)
        Image.fromarray(small).resize((24, 20 + i), Image.Resampling.BICUBIC).save(place / f"{i}.png")
    return str(place)


def measuring(tmp_path, audience=None) -> FolderMeasure:
    server = ModelServer(Catalog(tmp_path / "runs", audience=audience or Audience()))
    return FolderMeasure(server, Tasks(), FolderSets(server.catalog.audience))


def asked(models, data, **changes) -> dict:
    return {"ticket": "t", "models": models, "data": data, "images": 100, "metrics": METRICS} | changes


def test_each_model_has_a_row_and_figures_that_are_reconstructs(tmp_path, models, folder):
    names = [models["kl"], models["digits"]]
    told = list(measuring(tmp_path).answers(asked(names, folder)))
    assert all(news["ticket"] == "t" for news in told) and told[-1] == {"ticket": "t", "done": True}
    found = {news["model"]: news for news in told if "row" in news}
    assert list(found) == names and not any("error" in news for news in told)
    for name, news in found.items():
        assert news["shape"] == ([16, 3, 0] if name == models["kl"] else [16, 1, 1])
        assert news["images"]["names"] == [f"{i}.png" for i in range(7)] and news["wanted"] == news["of"] == 7
        sets = FolderSets(Audience())
        picture = sets.picture({"data": folder, "shape": news["shape"], "number": 3})
        assert picture["label"] == "3.png"
        seen = vae.reconstruct(vae.load(name), uploads.read_picture({"uri": picture["uri"]}))
        assert news["images"]["columns"]["psnr"][3] == pytest.approx(seen.psnr, rel=1e-4)
        assert news["images"]["columns"]["ssim"][3] == pytest.approx(seen.ssim, abs=1e-4)
    assert found[models["digits"]]["images"]["columns"]["equivariance_scale"] == [None] * 7
    row = found[models["kl"]]["row"]
    assert row["psnr"] == pytest.approx(np.mean(found[models["kl"]]["images"]["columns"]["psnr"]), rel=1e-4)
    assert row["bits_per_pixel"] == 16 * 4 * 64 / 256 and set(row["percentiles"]["psnr"]) == {
        "5",
        "25",
        "50",
        "75",
        "95",
    }


def test_some_of_many_are_spread_over_the_folder_and_the_size_can_be_chosen(tmp_path, models, folder):
    (news,) = (
        news for news in measuring(tmp_path).answers(asked([models["kl"]], folder, images=3, size=32)) if "row" in news
    )
    assert news["images"]["numbers"] == [0, 2, 4] and news["of"] == 7 and news["shape"] == [32, 3, 0]


def test_one_model_that_fails_leaves_the_others(tmp_path, models, folder):
    told = list(measuring(tmp_path).answers(asked(["nowhere/at all", models["kl"]], folder)))
    assert [news["model"] for news in told if "row" in news] == [models["kl"]]
    (refused,) = (news for news in told if "error" in news)
    assert refused["model"] == "nowhere/at all" and refused["error"].endswith(".")


def test_what_was_measured_when_it_is_stopped_is_told(tmp_path, models, folder, monkeypatch):
    bench, seen = measuring(tmp_path), []
    answer = bench.server.answer

    def slow(call, report=None):
        seen.append(call)
        if len(seen) == 2:
            bench.tasks.stop("t")
        return answer(call, report)

    monkeypatch.setattr(bench.server, "answer", slow)
    monkeypatch.setattr(folder_measure, "IN_A_CALL", 2)
    told = list(bench.answers(asked([models["kl"], models["digits"]], folder)))
    (news,) = (news for news in told if "row" in news)
    assert news["model"] == models["kl"] and news["row"]["images"] in (2, 4) and news["wanted"] == 7
    assert told[-1] == {"ticket": "t", "done": True}


@pytest.mark.parametrize(
    "changes, says",
    [
        ({"models": []}, "One to 6 models"),
        ({"models": [f"m{i}" for i in range(7)]}, "One to 6 models"),
        ({"models": [1]}, "One to 6 models"),
        ({"metrics": ["beauty"]}, "not 'beauty'"),
        ({"metrics": []}, "some of"),
        ({"images": 0}, "number of images"),
        ({"images": 20_000}, "number of images"),
        ({"features": "clip", "metrics": ["fid"]}, "features"),
        ({"size": 4000}, "side"),
        ({"data": "/nowhere"}, "no folder or file"),
    ],
)
def test_what_cannot_be_measured_is_one_sentence(tmp_path, models, folder, changes, says):
    told = list(measuring(tmp_path).answers(asked([models["kl"]], folder) | changes))
    assert len(told) <= 3 and says in told[-2]["error"] and told[-1]["done"] and not any("row" in news for news in told)


def test_strangers_measure_uploads_and_few_images_and_open_no_path(tmp_path, folder, monkeypatch):
    audience = Audience(Settings(None, tmp_path, True, None, public=True))
    bench = measuring(tmp_path, audience)
    uploaded = tmp_path / "uploads"
    uploaded.mkdir()
    for module in ("vae.ui.training.training_data", "vae.ui.uploads"):
        monkeypatch.setattr(f"{module}.get_upload_folder", lambda: str(uploaded))
    with zipfile.ZipFile(uploaded / "mine.zip", "w") as archive:
        for i in range(3):
            archive.write(f"{folder}/{i}.png", f"{i}.png")
    monkeypatch.setattr(audience, "may_open_paths", lambda: False)

    def first_error(**changes) -> str:
        return next(news["error"] for news in bench.answers(asked(["mnist-ae"], "digits") | changes) if "error" in news)

    assert "no data set" in first_error(data=folder)
    assert "1 to 200" in first_error(images=201)
    with pytest.raises(InputError, match="no data set"):
        bench.sets.picture({"data": folder, "shape": [16, 3, 0], "number": 0})
    told = list(bench.answers(asked(["mnist-ae"], str(uploaded / "mine.zip"))))
    assert [news["row"]["images"] for news in told if "row" in news] == [3]
    monkeypatch.setattr(folder_measure, "PATIENCE", -1.0)
    told = list(bench.answers(asked(["mnist-ae"], str(uploaded / "mine.zip"))))
    assert [news["row"]["images"] for news in told if "row" in news] == [3] and "what was measured" in told[-2]["error"]


def test_for_strangers_no_network_is_downloaded(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", lambda *a, **o: pytest.fail("downloaded"))
    for metrics, says in ((("fid",), "EfficientNet"), (("lpips",), "leave LPIPS out")):
        with vae.limits.for_strangers(), pytest.raises(InputError, match=says):
            judges(metrics, "inception", "cpu")


def test_what_is_computed_passes_to_another_machine_and_back(models):
    def there_and_back(job, **arguments):
        call = wire.unpack(wire.pack(jobs.Call(job, (models["kl"],), arguments)))
        return wire.unpack(wire.pack(jobs.answer(call, vae.load)))

    pixels = torch.randint(0, 256, (2, 3, 16, 16), dtype=torch.uint8)
    found = there_and_back("measured", pixels=pixels, metrics=("psnr", "ssim"), features="efficientnet", originals=True)
    assert found["columns"]["psnr"].shape == (2,) and found["features"] is None and found["latent_bits"] == 16 * 256
    picture = images.to_image(pixels[0])
    stages = there_and_back("stressed", image=picture, test="noise", max_side=64, seed=3)
    assert stages[0].psnr == vae.reconstruct(vae.load(models["kl"]), picture).psnr and stages[0].image.size == (16, 16)


def test_images_are_looked_at_in_bounds(folder):
    sets = FolderSets(Audience())
    sheet = sets.thumbnails({"data": folder, "shape": [200, 3, 0], "numbers": [1, 5]})
    assert sheet["n"] == 2 and sheet["width"] == folder_sets.THUMB
    for bad in (
        {"numbers": [7]},
        {"numbers": []},
        {"numbers": "all"},
        {"shape": [9000, 3, 0]},
        {"shape": 3},
        {"data": "no"},
    ):
        with pytest.raises(InputError):
            sets.thumbnails({"data": folder, "shape": [16, 3, 0], "numbers": [0]} | bad)
    with pytest.raises(InputError):
        sets.picture("nonsense")


# ---- stress tests


def stressed(tmp_path, names, **changes) -> list[dict]:
    server = ModelServer(Catalog(tmp_path / "runs"))
    picture = {"kind": "example", "name": "digit-2"}
    return list(
        stress_view.answers(
            server,
            Tasks(),
            {"ticket": "t", "picture": picture, "models": names, "test": "cycles", "cycles": 2} | changes,
        )
    )


def test_a_stress_test_begins_with_what_reconstruct_gives(tmp_path, models):
    names = [models["kl"], models["digits"]]
    told = stressed(tmp_path, names)
    found = {news["model"]: news["stages"] for news in told if "stages" in news}
    assert list(found) == names and told[-1] == {"ticket": "t", "done": True}
    digit = images.open_image(uploads.EXAMPLES / "digit-2.png")
    for name, stages in found.items():
        assert stages[0]["psnr"] == vae.reconstruct(vae.load(name), digit, max_side=1024).psnr
        assert [stage["at"] for stage in stages] == [1, 2] and stages[0]["image"].startswith("data:image/png")
    for test, stages in (("precision", 3), ("equivariance", 7), ("noise", 6)):
        told = stressed(tmp_path, [models["kl"]], test=test)
        assert [len(news["stages"]) for news in told if "stages" in news] == [stages]


def test_a_strangers_test_ends_in_time(tmp_path, models, monkeypatch):
    monkeypatch.setattr(stress_view, "PATIENCE", -1.0)
    monkeypatch.setattr("vae.ui.serving.tasks.BEAT", 1e-4)
    monkeypatch.setattr(Audience, "asked_by_stranger", lambda self: True)
    told = stressed(tmp_path, ["mnist-ae"], cycles=50)
    assert "seconds on this server" in told[-2]["error"] and told[-1]["done"]


@pytest.mark.parametrize(
    "changes, says",
    [
        ({"test": "love"}, "The test is"),
        ({"cycles": 51}, "1 to 50"),
        ({"models": []}, "One to 6"),
        ({"picture": {"kind": "example", "name": "../x"}}, "picture is needed"),
        ({"seed": -1}, "The seed"),
    ],
)
def test_what_cannot_be_tested_is_one_sentence(tmp_path, models, changes, says):
    told = stressed(tmp_path, [models["kl"]], **changes)
    assert [says in news["error"] for news in told[:-1]] == [True] and told[-1]["done"]
