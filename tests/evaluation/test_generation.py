"""The measures of generation: classifier, Fréchet distance, bound, and `evaluate`, `fit-prior`, `statistics` on the
command line."""

import json
import math
import sys

import pytest
import torch

from vae.checkpoints.store import load, save
from vae.cli import main
from vae.data.image_set import ImageSet
from vae.distributions import DiagonalGaussian
from vae.errors import InputError
from vae.evaluation import classifier, generation
from vae.evaluation.bound import importance_bound
from vae.evaluation.evaluate import evaluate
from vae.evaluation.frechet import Moments, frechet
from vae.models import build
from vae.models.conv import ConvConfig

CONFIG = ConvConfig(features=(1, 4, 8, 2), sample_size=16, border=0)


def bars(n, seed, labelled=True):
    """Two classes: an upright bar, a lying one."""
    g = torch.Generator().manual_seed(seed)
    labels = torch.arange(n) % 2
    data = ImageSet("bars", (1, 16, 16), labels if labelled else None, ["upright", "lying"])
    data.images = torch.zeros(n, 1, 16, 16, dtype=torch.uint8)
    for image, label in zip(data.images, labels.tolist(), strict=True):
        place = torch.randint(1, 13, (), generator=g)
        image[0, :, place : place + 3] = 220
        if label:
            image[0] = image[0].T.clone()
    return data


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setattr(classifier, "cache_dir", lambda: tmp_path / "cache")
    monkeypatch.setattr(classifier, "RECIPE", classifier.RECIPE | {"images": 2000, "batch_size": 32})
    return tmp_path / "cache" / "classifiers"


@pytest.fixture
def folder(tmp_path):
    torch.manual_seed(0)
    model = build(CONFIG)
    model.encoder[-1].bias.data[2:] = -25.0
    return save(model, tmp_path / "model")


def test_the_classifier_is_trained_once_and_is_the_same_again(cache):
    steps = []
    train, test = bars(200, 0), bars(60, 1)
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    first = classifier.classifier_for(train, test, lambda *at: steps.append(at))
    assert torch.equal(torch.rand(1), expected)
    assert first.accuracy > 0.95 and steps[-1][0] == steps[-1][1]
    again = classifier.classifier_for(train, test, lambda *at: pytest.fail("trained again"))
    (file,) = cache.glob("*")
    file.write_bytes(b"damaged")
    anew = classifier.classifier_for(train, test)
    for other in (again, anew):
        assert other.accuracy == first.accuracy
        for a, b in zip(first.parameters(), other.parameters(), strict=True):
            torch.testing.assert_close(a, b)
    classifier.classifier_for(bars(200, 2), test)
    assert len(list(cache.glob("*"))) == 2  # other data, another classifier


def test_what_no_classifier_can_be_trained_on_is_refused():
    train, test = bars(20, 0), bars(10, 1)
    with pytest.raises(InputError, match="no labels"):
        classifier.classifier_for(bars(20, 0, labelled=False), test)
    train.labels = torch.zeros(20, dtype=torch.int64)
    with pytest.raises(InputError, match="one class only"):
        classifier.classifier_for(train, test)


def test_the_distance_of_gaussians_has_a_closed_form():
    g = torch.Generator().manual_seed(0)
    a = torch.randn(20000, 3, generator=g)
    b = 2.0 * torch.randn(20000, 3, generator=g) + torch.tensor([3.0, 0.0, 0.0])
    assert frechet(Moments(a), Moments(a)) == pytest.approx(0.0, abs=1e-6)
    assert frechet(Moments(a), Moments(b)) == pytest.approx(9.0 + 3.0, rel=0.05)  # |m|² + 3 (2 - 1)²
    assert frechet(Moments(a), Moments(b)) == pytest.approx(frechet(Moments(b), Moments(a)))


def test_the_distance_agrees_with_scipy_for_features_that_depend_on_each_other():
    scipy = pytest.importorskip("scipy.linalg")
    g = torch.Generator().manual_seed(0)
    mix = torch.randn(8, 8, generator=g, dtype=torch.float64)
    mix[:, 7] = mix[:, 6]  # singular
    a = Moments(torch.randn(100, 8, generator=g, dtype=torch.float64) @ mix)
    b = Moments(torch.randn(90, 8, generator=g, dtype=torch.float64))
    root = torch.from_numpy(scipy.sqrtm((a.covariance @ b.covariance).numpy()).real)
    expected = (a.mean - b.mean).square().sum() + (a.covariance + b.covariance - 2 * root).trace()
    assert frechet(a, b) == pytest.approx(expected.item(), rel=1e-4)
    with pytest.raises(InputError, match="two images"):
        Moments(torch.zeros(1, 8))


def test_generation_has_a_row_for_every_prior(folder):
    from vae.latents.priors import fit_priors

    train, test = bars(200, 0), bars(60, 1)
    model = load(folder)
    model.fitted_priors = fit_priors(model, train, ["gaussian"])
    found = generation.measure_generation(model, train, test, count=80)
    assert list(found["frechet"]) == ["floor", "reconstructions", "normal", "gaussian"]
    assert list(found["recognised"]) == ["test", "reconstructions", "normal", "gaussian"]
    assert found["frechet"]["floor"] < 0.2 * found["frechet"]["normal"]
    assert found["classifier"]["accuracy"] > 0.95 and found["recognised"]["test"] > 0.8
    assert generation.measure_generation(model, train, test, count=80) == found
    with pytest.raises(InputError, match="number of samples"):
        generation.measure_generation(model, train, test, count=1)


class Linear(type(build(CONFIG))):
    """x = 2 z - 1 + noise, z one number: log p(x) is known, and the encoder's posterior is a wide one."""

    def __init__(self):
        super().__init__(ConvConfig(features=(1, 4, 1), sample_size=2, border=0))

    def encode(self, x):
        z = 0.9 * (0.5 * (x + 1.0)).mean((1, 2, 3), keepdim=True)
        return DiagonalGaussian(z, torch.full_like(z, math.log(0.2)))

    def decode(self, z):
        return 2.0 * z.expand(-1, 1, 2, 2) - 1.0


def exact(x, variance):
    """log N(x; 0, variance I + 1 1ᵀ), the marginal, for pixels in [0, 1]."""
    covariance = variance * torch.eye(4) + 1.0
    return torch.distributions.MultivariateNormal(torch.zeros(4), covariance).log_prob(x.flatten(1)).mean().item()


def test_the_bound_rises_to_the_likelihood():
    data = ImageSet("grey", (1, 2, 2), None, None)
    data.images = torch.randint(0, 255, (40, 1, 2, 2), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    expected = exact(data.images.float() / 255.0, 0.1)
    values = [importance_bound(Linear(), data, k, variance=0.1)["nats"] for k in (1, 10, 3000)]
    assert values[0] < values[1] < values[2] <= expected + 0.01
    assert values[2] == pytest.approx(expected, abs=0.02)
    found = importance_bound(Linear(), data, 200)
    assert found["variance_fitted"] and found["images"] == 40 and found["samples"] == 200
    others = [importance_bound(Linear(), data, 200, variance=v * found["variance"])["nats"] for v in (0.8, 1.25)]
    assert found["nats"] > max(others)
    assert found["bits_per_dim"] == pytest.approx(8 - found["nats"] / (4 * math.log(2)))


def test_a_bound_that_cannot_be_is_refused():
    plain = build(ConvConfig(features=(1, 4, 8, 2), sample_size=16, border=0, variational=False)).eval()
    with pytest.raises(InputError, match="plain auto-encoder"):
        importance_bound(plain, bars(4, 0), 8)
    for bad in ({"samples": 0}, {"samples": 5, "variance": 0.0}):
        with pytest.raises(InputError):
            importance_bound(build(CONFIG).eval(), bars(4, 0), **bad)


def test_active_units_are_counted(folder):
    figures = evaluate(load(folder), bars(50, 0), batch_size=7)
    means = load(folder).encode(bars(50, 0).images.float() / 127.5 - 1).mean
    assert figures["active_units"] == int((means.var(0, unbiased=False) > 0.01).sum())
    assert figures["latent_dimensions"] == 32


@pytest.fixture
def vae(monkeypatch, capsys):
    """Runs a command: (exit code, stdout, stderr)."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["vae", *map(str, arguments), "--device", "cpu"])
        try:
            main.main()
            code = 0
        except SystemExit as exit:
            code = exit.code or 0
        return code, *capsys.readouterr()

    return run


def test_from_statistics_to_samples_on_the_command_line(vae, folder, tmp_path):
    code, out, _ = vae("statistics", folder, "--data", "digits", "--json")
    assert code == 0 and json.loads(out)["embeddings"] == 360
    code, out, _ = vae("fit-prior", folder, "--data", "digits", "--prior", "mixture", "--json")
    assert code == 0 and list(json.loads(out)["priors"]) == ["mixture"]
    grid = tmp_path / "grid.png"
    code, out, _ = vae("sample", folder, "-n", "4", "--label", "7", "-o", grid, "--json")
    facts = json.loads(out)
    assert code == 0 and grid.is_file() and (facts["prior"], facts["label"]) == ("mixture", "7")
    code, out, _ = vae("fit-prior", folder, "--data", "digits", "--prior", "flow", "--updates", "3")
    assert code == 0
    assert json.loads(vae("info", folder, "--json")[1])["priors"] == ["normal", "mixture", "flow"]
    assert vae("sample", folder, "-n", "4", "--prior", "flow", "-o", tmp_path / "grid.png")[0] == 0
    assert vae("interpolate", folder, "1", "2", "--mode", "prior", "-o", tmp_path / "path.gif")[0] == 0
    code, out, _ = vae(
        "evaluate", folder, "--data", "digits", "--samples", "2", "--generation", "--draws", "50", "--json"
    )
    figures = json.loads(out)
    assert code == 0 and list(figures["generation"]["frechet"])[2:] == ["normal", "mixture", "flow"]
    assert list(figures["generation"]["of_class"]) == [str(digit) for digit in range(10)]
    assert figures["bound"]["samples"] == 2 and "active_units" in figures
    assert "generation.frechet" not in vae("evaluate", folder, "--data", "digits")[1]


@pytest.mark.parametrize(
    "arguments",
    [
        ["fit-prior", "MODEL", "--data", "digits", "--prior", "vamp"],
        ["fit-prior", "org/name", "--data", "digits"],
        ["fit-prior", "MODEL", "--data", "nowhere"],
        ["statistics", "MODEL", "--data", "nowhere"],
        ["evaluate", "MODEL", "--data", "digits", "--samples", "-1"],
        ["evaluate", "MODEL", "--data", "digits", "--generation", "--draws", "0"],
        ["sample", "MODEL", "--prior", "mixture"],
        ["sample", "MODEL", "--label", "7"],
        ["interpolate", "MODEL", "1", "2", "--mode", "prior"],
    ],
)
def test_bad_input_is_one_sentence_and_leaves_nothing(vae, folder, tmp_path, monkeypatch, arguments):
    monkeypatch.chdir(tmp_path)
    before = sorted(path.name for path in folder.iterdir())
    code, out, err = vae(*[folder if a == "MODEL" else a for a in arguments])
    assert code == 2 and out == "" and err.startswith("Error: ") and err.count("\n") == 1
    assert sorted(path.name for path in folder.iterdir()) == before
