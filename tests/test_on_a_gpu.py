"""Each use case once on a CUDA device, where it must give what it gives on a CPU. benchmarks/gpu.sh runs this file."""

from dataclasses import replace

import pytest
import torch
from tiny_runs import tiny, tiny_kl

import vae
from vae import images, latents
from vae.checkpoints.find_model import weight_files
from vae.data.sets import load_data
from vae.evaluation.evaluate import evaluate
from vae.evaluation.reconstruct_files import reconstruct_files
from vae.inference import interpolate
from vae.latents import priors, statistics
from vae.latents.encoding import encode_set
from vae.latents.priors.diffusion_training import Encoded, Training
from vae.models import ConvConfig

GPU = "cuda"
pytestmark = [
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
    pytest.mark.usefixtures("no_tf32"),
]
MODELS = ("mnist-vae-large", "mnist-ae", "dogs-vae", "dogs-vae-16")


def on_both(name: str):
    return vae.load(name, device="cpu"), vae.load(name, device=GPU)


def photograph(side: int = 64):
    coarse = torch.rand(1, 3, 5, 5, generator=torch.Generator().manual_seed(0)) * 2 - 1
    return images.to_image(torch.nn.functional.interpolate(coarse, (side, side), mode="bicubic")[0])


def close(a: torch.Tensor, b: torch.Tensor, most: float = 2e-3) -> None:
    torch.testing.assert_close(a.float().cpu(), b.float().cpu(), rtol=0, atol=most)


@pytest.mark.parametrize("name", MODELS)
def test_an_image_is_reconstructed(name):
    ours, theirs = (vae.reconstruct(model, photograph(), sample=True, seed=3) for model in on_both(name))
    close(ours.latent, theirs.latent, 1e-2)
    assert theirs.psnr == pytest.approx(ours.psnr, abs=0.05) and theirs.ssim == pytest.approx(ours.ssim, abs=2e-3)


@pytest.mark.parametrize("name", MODELS)
def test_images_are_drawn_from_every_prior(name):
    cpu, gpu = on_both(name)
    for prior in cpu.priors:
        close(vae.sample(cpu, 5, seed=3, prior=prior), vae.sample(gpu, 5, seed=3, prior=prior), 2e-2)


def test_images_are_gone_between():
    found = [interpolate(model, [photograph(), 7], 4).pixels for model in on_both("dogs-vae")]
    close(*found, most=2)


def test_many_images_of_bytes_go_through_at_once():
    x = load_data("digits", "test", 32, 1, 2).images[:70]
    cpu, gpu = on_both("mnist-vae")
    ours, theirs = (vae.encode(model, x) for model in (cpu, gpu))
    close(ours.mean, theirs.mean)
    close(vae.decode(cpu, ours.mean), vae.decode(gpu, ours.mean))


def test_in_bfloat16_it_is_near_that():
    cpu, gpu = vae.load("dogs-vae", device="cpu"), vae.load("dogs-vae", device=GPU, dtype="auto")
    ours, theirs = (vae.reconstruct(model, photograph(128)) for model in (cpu, gpu))
    assert theirs.psnr == pytest.approx(ours.psnr, abs=0.5)


def test_a_folder_is_reconstructed(tmp_path):
    paths = [tmp_path / f"{i}.png" for i in range(5)]
    for i, path in enumerate(paths):
        photograph(64 if i % 2 else 48).save(path)
    found = []
    for model in on_both("dogs-vae"):
        saved, refused = {}, {}
        rows = sorted(reconstruct_files(model, paths, saved.__setitem__, refused), key=lambda row: row.number)
        assert not refused and len(saved) == len(rows) == len(paths)
        found.append([row.psnr for row in rows])
    assert found[1] == pytest.approx(found[0], abs=0.05)


def test_a_set_is_encoded_evaluated_and_looked_at(tmp_path):
    data, found = load_data("digits", "test", 32, 1, 2), []
    for device, model in zip(("cpu", GPU), on_both("mnist-vae"), strict=True):
        assert encode_set(model, data, tmp_path / device, "mnist-vae")
        stored = latents.open(tmp_path / device, model)
        measured = statistics.measure(model, data)
        fitted = priors.fit_priors(model, data, ("gaussian", "mixture", "flow"), updates=20)
        assert sorted(fitted) == ["flow", "gaussian", "mixture"]
        means = torch.stack([stored[i]["mean"] for i in range(0, len(stored), 40)])
        found.append((means, evaluate(model, data), measured.embeddings))
    (ours, figures, map_), (theirs, other_figures, other_map) = found
    close(ours, theirs)
    close(map_, other_map)
    assert other_figures["psnr"] == pytest.approx(figures["psnr"], abs=0.02)


@pytest.mark.parametrize(
    "config",
    [
        tiny(precision="bf16"),
        tiny(precision="fp16"),
        tiny(accumulate=2),
        tiny(ema_images=500, flip=True, clip=1.0),
        tiny_kl(gradient_checkpointing=True),
        tiny_kl(equivariance=0.2),
        tiny_kl(adversarial=0.1, adversarial_start=300),
        tiny_kl(freeze="encoder"),
    ],
    ids=("bf16", "fp16", "accumulate", "average", "checkpointing", "equivariance", "adversarial", "frozen"),
)
def test_a_training_of_each_kind_learns(tmp_path, config):
    run = vae.fit(config, tmp_path / "run", device=GPU)
    losses = [line["val_loss"] for line in run.metrics() if line["kind"] == "epoch"]
    assert run.state()["state"] == "finished" and losses[-1] < losses[0]


def test_a_training_ends_with_map_and_priors_and_can_be_gone_on_with(tmp_path):
    config = tiny(model=ConvConfig(features=(1, 4, 4, 2), sample_size=8, variational=False), map_and_priors=True)
    run = vae.fit(replace(config, epochs=1), tmp_path / "run", device=GPU)
    model = vae.load(run.folder, device=GPU)
    assert model.priors == ["normal", *priors.QUICK] and statistics.read(weight_files(run.folder)).split == "val"
    again = vae.fit(config, tmp_path / "run", resume=True, device=GPU)
    assert again.state()["state"] == "finished" and vae.load(run.folder, device="cpu").priors == model.priors


def test_a_diffusion_prior_learns():
    g = torch.Generator().manual_seed(0)
    z = torch.where(torch.rand(400, 1, 1, 1, generator=g) < 0.5, -1.0, 1.0) + 0.2 * torch.randn(
        400, 1, 2, 2, generator=g
    )
    seen = Encoded(z.expand(2, -1, -1, -1, -1).half(), torch.zeros(2, len(z), 3))
    run = Training(seen, torch.device(GPU), width=32, depth=2, batch_size=64, learning_rate=4e-3)
    before = run.test()
    for update in range(100):
        run.step(update / 100)
    assert run.test() < before and torch.isfinite(run.result()(torch.randn(50, 4, generator=g))).all()
