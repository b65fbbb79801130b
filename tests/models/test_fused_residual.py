import copy
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import vae
from vae import tiling
from vae.models import ConvConfig, build, fused_residual
from vae.models.autoencoder_kl import KLConfig

CASES = Path(__file__).with_name("interpreted_kernels.py")
ON_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="the kernels need a CUDA device")
NETWORKS = {
    "as Stable Diffusion's": KLConfig(block_out_channels=(32, 64), norm_num_groups=8, layers_per_block=1),
    "as the notebook's": KLConfig(block_out_channels=(24, 48), norm_num_groups=8, act_fn="selu", act_twice=False),
    "as MNIST's": ConvConfig(features=(3, 8, 16, 4), border=0),
}


def test_the_kernels_compute_what_pytorchs_modules_do():
    pytest.importorskip("triton", reason="Triton, which writes the GPU kernels, is not installed")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(CASES)]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"TRITON_INTERPRET": "1"})
    if "only 0-dimensional arrays can be converted" in done.stdout:
        pytest.skip("this Triton's interpreter is older than this NumPy (Triton 3.6 and NumPy 2.4)")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]


def test_a_cpu_does_without_them():
    lined = torch.randn(2, 8, 4, 4, requires_grad=True).contiguous(memory_format=torch.channels_last)
    assert not fused_residual.is_faster(lined)


def gradients(model, x, noise, bfloat16: bool) -> dict[str, torch.Tensor]:
    """The loss's gradients by parameter, and the reconstruction."""
    with torch.autocast(x.device.type, torch.bfloat16, enabled=bfloat16):
        x_hat, posterior = model(x, noise)
    loss = (x_hat.float() - x.float()).square().sum() + posterior.kl().sum()
    loss.backward()
    return {"x_hat": x_hat.detach()} | {name: p.grad for name, p in model.named_parameters()}


@ON_GPU
@pytest.mark.parametrize("tile", [0, 128])
def test_a_loaded_model_on_a_gpu_reconstructs_as_on_the_cpu(tile, tmp_path, no_tf32):
    torch.manual_seed(0)
    vae.save(build(NETWORKS["as Stable Diffusion's"]), tmp_path / "model")
    x = torch.rand(1, 3, 256, 192) * 2 - 1
    found = []
    for device in ("cpu", "cuda"):
        model = vae.load(tmp_path / "model", device)
        found.append(tiling.decode(model, tiling.encode(model, x.to(device), tile=tile).mean, tile=tile).cpu())
    torch.testing.assert_close(*found, rtol=0, atol=1e-4)


@ON_GPU
@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("bfloat16", [False, True])
def test_a_network_on_a_gpu_learns_what_the_modules_do(name, bfloat16, monkeypatch, no_tf32):
    # TF32 moves the gradients of these networks by some percent, and which convolutions take it depends on the layout.
    assert fused_residual.is_available()
    torch.manual_seed(0)
    exact = build(NETWORKS[name]).double()
    sides = (32, 32) if exact.config.fixed_size else (64, 48)
    x, noise = torch.rand(4, 3, *sides) * 2 - 1, torch.randn(4, *exact.latent_shape(*sides))
    truth = gradients(exact, x.double(), noise.double(), False)
    found = {}
    for layout, kernels in ((torch.contiguous_format, False), (torch.channels_last, True)):
        monkeypatch.setattr(fused_residual, "is_available", lambda kernels=kernels: kernels)
        model = copy.deepcopy(exact).float().to("cuda", memory_format=layout)
        model.zero_grad()
        ours = gradients(model, x.cuda().contiguous(memory_format=layout), noise.cuda(), bfloat16)
        found[layout] = {
            key: ((value.cpu().double() - truth[key]).norm() / truth[key].norm().clamp_min(1e-9)).item()
            for key, value in ours.items()
            if truth[key].norm() > 1e-6 * truth[key].numel()  # a bias before a norm has none to speak of
        }
    ours, theirs = found[torch.channels_last], found[torch.contiguous_format]
    times = 3 if bfloat16 else 2  # of a bias of four numbers bfloat16's rounding is much or little by chance
    # SELU's slope jumps at 0: one value that rounding moves across it changes gradients by a thousandth.
    worse = {key: (ours[key], theirs[key]) for key in ours if ours[key] > times * theirs[key] + 5e-3}
    assert not worse, worse
