"""Measuring a folder image by image: the figures are other libraries', memory is bounded, what is done is kept."""

import csv
import json
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import vae as library
from vae import images
from vae.cli import main
from vae.data.image_set import ImageSet
from vae.data.sets import load_data
from vae.distributions import DiagonalGaussian
from vae.errors import InputError
from vae.evaluation import features, measure, measurement_files
from vae.evaluation.measure import Judges, batch_figures
from vae.evaluation.measurement import Measurement
from vae.lpips_distance import lpips_distance
from vae.models import build
from vae.models.autoencoder_kl import KLConfig
from vae.models.conv import ConvConfig

KL = {"block_out_channels": (8, 16), "layers_per_block": 1, "norm_num_groups": 4, "sample_size": 16}
METRICS = ("psnr", "ssim", "delta-e", "fid", "equivariance")


class Eyes(nn.Module):
    """Stands in for a network of features: some pixels, for it is the arithmetic that is tested."""

    title = "Eyes"

    def __init__(self):
        super().__init__()
        self.seen = nn.Parameter(torch.zeros(1))

    def forward(self, x):
        x = x.expand(-1, 3, -1, -1) if x.shape[1] == 1 else x
        return nn.functional.adaptive_avg_pool2d(x, 2).flatten(1) * 40, None


@pytest.fixture
def eyes(monkeypatch):
    network = Eyes()
    monkeypatch.setattr(measure, "feature_network", lambda name, device="cpu": network)
    return network


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    torch.manual_seed(0)
    place = tmp_path_factory.mktemp("models")
    config = {"digits": ConvConfig(features=(1, 4, 8, 2), sample_size=16, border=0), "kl": KLConfig(**KL)}
    return {name: str(library.save(build(each).eval(), place / name)) for name, each in config.items()}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Nine photographs, of sorts, of different sizes; one is damaged, another file is none."""
    place, random = tmp_path_factory.mktemp("data") / "photos", np.random.default_rng(0)
    place.mkdir()
    for i in range(9):
        small = random.integers(0, 256, (5, 6, 3), dtype=np.uint8)
        Image.fromarray(small).resize((20 + 3 * i, 24), Image.Resampling.BICUBIC).save(place / f"{i}.png")
    (place / "4.png").write_bytes((place / "4.png").read_bytes()[:60])
    (place / "notes.txt").write_text("no image")
    return place


@pytest.fixture
def vae(monkeypatch, capsys):
    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["vae", *map(str, arguments), "--device", "cpu"])
        try:
            main.main()
            code = 0
        except SystemExit as exit:
            code = exit.code or 0
        return code, *capsys.readouterr()

    return run


def rows_of(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_figures_are_those_of_other_libraries_and_of_reconstruct(models):
    metrics = pytest.importorskip("torchmetrics")
    model = library.load(models["kl"], device="cpu")
    pixels = torch.randint(0, 256, (3, 3, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    found = batch_figures(model, pixels, ("psnr", "ssim"), Judges()).columns
    for i, image in enumerate(pixels):
        seen = library.reconstruct(model, images.to_image(image))
        x, y = (images.to_tensor(each) / 2 + 0.5 for each in (seen.original, seen.image))
        psnr = metrics.functional.image.peak_signal_noise_ratio(y, x, data_range=1.0)
        ssim = metrics.functional.image.structural_similarity_index_measure(y, x, data_range=1.0)
        assert found["psnr"][i].item() == pytest.approx(psnr.item(), abs=1e-3) == pytest.approx(seen.psnr, abs=1e-3)
        assert found["ssim"][i].item() == pytest.approx(ssim.item(), abs=1e-3) == pytest.approx(seen.ssim, abs=1e-3)


def test_lpips_is_torchmetrics_with_the_same_network(models):
    theirs = pytest.importorskip("torchmetrics.functional.image.lpips")
    pytest.importorskip("lpips")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        judge = lpips_distance(random=True)
    peer = theirs._LPIPS(pretrained=True, net="vgg", pnet_rand=True)
    peer.net.load_state_dict(judge.network.net.state_dict())
    model = library.load(models["kl"], device="cpu")
    generator = torch.Generator().manual_seed(1)
    pixels = torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8, generator=generator)
    found = batch_figures(model, pixels, ("lpips",), Judges(judge)).columns["lpips"]
    with torch.inference_mode():
        y = images.to_uint8(model.decode(model.encode(pixels).mode()).clamp(-1, 1))
        expected = peer(images.to_float(pixels), images.to_float(y)).flatten()
    assert found.tolist() == pytest.approx(expected.tolist(), abs=1e-3) and found.min() > 0.01


def test_the_frechet_distance_is_torchmetrics_with_the_same_network(models, eyes):
    image = pytest.importorskip("torchmetrics.image.fid")

    class Seeing(nn.Module):
        num_features = 12

        def forward(self, pixels):
            return eyes(images.to_float(pixels))[0]

    model = library.load(models["kl"], device="cpu")
    data = ImageSet("noise", (3, 16, 16), None, None)
    data.images = torch.randint(0, 256, (150, 3, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(2))
    found = measure.measure(model, data, ["fid"]).summary()
    theirs = image.FrechetInceptionDistance(feature=Seeing())
    with torch.inference_mode():
        theirs.update(data.images, real=True)
        theirs.update(images.to_uint8(model.decode(model.encode(data.images).mode()).clamp(-1, 1)), real=False)
    assert found["fid"] == pytest.approx(theirs.compute().item(), rel=1e-3) and found["fid"] > 1


def test_a_measurement_is_the_same_in_parts_and_after_a_break(models, folder, eyes, tmp_path, monkeypatch):
    monkeypatch.setattr(measure, "BATCH", 2 * 16 * 16)
    monkeypatch.setattr(measure, "SAVED", -1.0)
    model = library.load(models["kl"], device="cpu")
    data = load_data(folder, "all", 16, 3, limit_bytes=0)
    whole = measure.measure(model, data, METRICS)
    kept = tmp_path / "kept.safetensors"

    class Broken(Exception):
        pass

    def broken(done, total):
        if done >= 6:
            raise Broken

    with pytest.raises(Broken):
        measure.measure(model, data, METRICS, save=lambda found: found.save(kept), on_progress=broken)
    begun = Measurement.restored(kept)
    assert begun.done == 6 and begun.numbers == [0, 1, 2, 3, 5]
    rest = measure.measure(model, data, METRICS, begun=begun)
    first, second = whole.summary(data.names), rest.summary(data.names)
    for each in (first, second):
        for cost in ("milliseconds", "peak_memory_mb"):
            assert each.pop(cost) > 0
    assert first.pop("fid") == pytest.approx(second.pop("fid"), rel=1e-6)
    assert first == second and first["unreadable"] == 1 and first["images"] == 8


def test_each_image_is_measured_as_itself_though_one_cannot_be_read(models, folder):
    model = library.load(models["kl"], device="cpu")
    data = load_data(folder, "all", 16, 3, limit_bytes=0)
    found = measure.measure(model, data, ["psnr"])
    for number, value in zip(found.numbers, found.column("psnr").tolist(), strict=True):
        image = images.fit(images.open_image(folder / data.names[number]), 16, 3)
        assert value == pytest.approx(library.reconstruct(model, image).psnr, abs=1e-4)
    worst = found.summary(data.names)["worst"]["psnr"]
    assert [each["psnr"] for each in worst] == sorted(found.column("psnr").tolist())
    assert worst[0]["image"] == data.names[found.numbers[int(found.column("psnr").argmin())]]


class Through(type(build(ConvConfig(features=(1, 4, 1), sample_size=8, border=0)))):
    """Gives back what it is given: its latent is the image."""

    def __init__(self):
        super().__init__(ConvConfig(features=(1, 4, 1), sample_size=8, border=0))

    def latent_shape(self, height=None, width=None):
        return 1, 8, 8

    def _encode(self, x):
        return DiagonalGaussian.point(x)

    def _decode(self, z):
        return z


def test_what_is_given_back_exactly_has_no_finite_psnr_and_turns_with_its_latent():
    model = Through().eval()
    pixels = torch.randint(0, 256, (2, 1, 8, 8), dtype=torch.uint8)
    batch = batch_figures(model, pixels, ("psnr", "equivariance"), Judges())
    assert batch.columns["psnr"].isinf().all() and batch.columns["equivariance_turn"].isinf().all()
    assert batch.columns["equivariance_scale"].isnan().all(), "a model of one size is not made smaller"
    found = Measurement(("psnr", "equivariance"), None)
    found.add([0, 1], batch.columns, None, 1.0)
    found.pixels, found.latent_bits = 64, 1024
    row = found.summary()
    assert row["psnr"] is None and row["exact"] == 2 and row["equivariance_scale"] is None
    assert "Infinity" not in json.dumps(row) and "NaN" not in json.dumps(row)


def test_the_command_gives_a_row_a_model_and_a_row_an_image(vae, models, folder, eyes, tmp_path):
    table = tmp_path / "figures.csv"
    arguments = ["evaluate", models["kl"], models["digits"], "--data", folder, "--metrics", ",".join(METRICS)]
    code, out, err = vae(*arguments, "--csv", table, "--json")
    assert code == 0 and "cannot be compared" in err and "notes.txt" in err
    assert "1 image could not be read and was left out: " in err
    rows = json.loads(out)
    assert [row["model"] for row in rows] == [models["kl"], models["digits"]]
    assert all(row["images"] == 8 and row["unreadable"] == 1 and row["split"] == "all" for row in rows)
    assert all(row["fid_features"] == "Eyes" and row["fid"] > 0 and row["parameters"] > 100 for row in rows)
    assert rows[0]["bits_per_pixel"] == 16 * 4 * 8 * 8 / 256
    each = rows_of(table)
    assert len(each) == 16 and {row["image"] for row in each} == {f"{i}.png" for i in range(9) if i != 4}
    mine = [float(row["psnr"]) for row in each if row["model"] == models["kl"]]
    assert np.mean(mine) == pytest.approx(rows[0]["psnr"], abs=1e-4)
    assert all(row["equivariance_scale"] == "" for row in each if row["model"] == models["digits"])
    of_models = rows_of(tmp_path / "figures-models.csv")
    assert [row["model"] for row in of_models] == [models["kl"], models["digits"]]
    assert float(of_models[0]["fid"]) == pytest.approx(rows[0]["fid"], rel=1e-4)
    assert float(of_models[0]["psnr_5"]) == pytest.approx(min(mine), abs=1e-4)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["figures-models.csv", "figures.csv"]
    code, out, _ = vae(*arguments, "--size", "24")
    assert code == 0 and "Eyes" in out and out.count("the worst by psnr") == out.count("percentiles of psnr: 5%") == 2


def test_an_interrupted_command_goes_on_where_it_was(vae, models, folder, tmp_path, monkeypatch):
    """One model is measured, the other breaks off; the next run measures the other alone."""
    table, seen = tmp_path / "figures.csv", []
    measured = measure.batch_figures

    def counted(model, *rest):
        seen.append(type(model).__name__)
        if model.config.fixed_size and "whole" not in seen:
            raise InputError("The device has burnt down.")
        return measured(model, *rest)

    monkeypatch.setattr(measure, "batch_figures", counted)
    arguments = ["evaluate", models["kl"], models["digits"], "--data", folder, "--csv", table]
    code, out, err = vae(*arguments)
    assert code == 2 and out == "" and not table.exists() and "burnt" in err
    (kept,) = (tmp_path / "figures.csv.unfinished").iterdir()
    assert len(seen) == 2
    seen[:] = ["whole"]
    assert vae(*arguments)[0] == 0 and len(seen) == 2 and len(rows_of(table)) == 16
    assert not kept.parent.exists()


@pytest.mark.parametrize(
    "arguments, says",
    [
        (["--metrics", "psnr,sharpness"], "not 'sharpness'"),
        (["--metrics", ""], "The metrics are some of"),
        (["--metrics", "psnr", "--csv", "figures.txt"], "must end in .csv"),
        (["--metrics", "psnr", "--generation"], "leave out"),
        (["--metrics", "psnr", "--features", "inception"], "metric fid"),
        (["--metrics", "fid", "--features", "clip", "--csv", "f.csv"], "inception or efficientnet"),
        (["--size", "32", "--generation"], "leave out --size"),
        (["--metrics", "psnr", "--data", "nowhere", "--csv", "f.csv"], "no data set"),
    ],
)
def test_bad_input_is_one_sentence_and_leaves_nothing(vae, models, folder, tmp_path, monkeypatch, arguments, says):
    monkeypatch.chdir(tmp_path)
    data = [] if "--data" in arguments else ["--data", folder]
    code, out, err = vae("evaluate", models["kl"], *data, *arguments)
    assert code == 2 and out == "" and says in err and err.startswith("Error: ") and err.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_a_network_that_cannot_be_downloaded_is_one_sentence_and_leaves_nothing(
    vae, models, folder, tmp_path, monkeypatch
):
    def offline(*arguments, **options):
        raise OSError("no network")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr(torch.hub, "download_url_to_file", offline)
    table = tmp_path / "figures.csv"
    for metric, says in (("fid", "InceptionV3"), ("lpips", "VGG16")):
        code, out, err = vae("evaluate", models["kl"], "--data", folder, "--metrics", f"psnr,{metric}", "--csv", table)
        assert code == 2 and out == "" and says in err and "cannot be downloaded" in err and err.count("\n") == 1
        assert not table.exists() and not measurement_files.Unfinished(table).folder.exists()


def test_of_a_folder_with_one_image_there_is_a_psnr_and_no_frechet_distance(vae, models, folder, eyes, tmp_path):
    alone = tmp_path / "alone"
    alone.mkdir()
    (alone / "0.png").write_bytes((folder / "0.png").read_bytes())
    code, out, _ = vae("evaluate", models["kl"], "--data", alone, "--metrics", "psnr", "--json")
    assert code == 0 and json.loads(out)["images"] == 1
    code, out, err = vae("evaluate", models["kl"], "--data", alone, "--metrics", "psnr,fid")
    assert code == 2 and out == "" and "single image" in err and err.count("\n") == 1


def test_generation_without_labels_is_judged_by_a_network_of_photographs(vae, models, folder, eyes, monkeypatch):
    monkeypatch.setattr("vae.evaluation.generation.feature_network", lambda name, device: eyes)
    code, out, err = vae("evaluate", models["kl"], "--data", folder, "--generation", "--draws", "4", "--json")
    assert code == 0, err
    found = json.loads(out)["generation"]
    assert found["features"] == "Eyes" and list(found["frechet"]) == ["floor", "reconstructions", "normal"]
    assert "recognised" not in found


def test_features_are_named():
    with pytest.raises(InputError, match="inception or efficientnet"):
        features.feature_network("dino")
