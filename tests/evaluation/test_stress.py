"""What a model's reconstruction bears: round trips, other number formats, turned, smaller and noisy latents."""

import pytest
import torch
from PIL import Image

import vae
from vae import images
from vae.errors import InputError
from vae.evaluation import stress
from vae.models import build
from vae.models.autoencoder_kl import KLConfig
from vae.models.conv import ConvConfig

KL = {"block_out_channels": (8, 16), "layers_per_block": 1, "norm_num_groups": 4, "sample_size": 16}


@pytest.fixture(scope="module")
def model():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return build(KLConfig(**KL)).eval()


@pytest.fixture(scope="module")
def digits():
    return build(ConvConfig(features=(1, 4, 8, 2), sample_size=16, border=0)).eval()


@pytest.fixture(scope="module")
def photograph():
    generator = torch.Generator().manual_seed(0)
    small = torch.randint(0, 256, (3, 5, 6), dtype=torch.uint8, generator=generator)
    return images.to_image(small).resize((25, 18), Image.Resampling.BICUBIC)


def test_the_first_cycle_is_reconstructs_and_each_goes_on_from_the_last(model, digits, photograph):
    for each in (model, digits):
        once = vae.reconstruct(each, photograph)
        stages = stress.round_trips(each, photograph, 3)
        assert [stage.at for stage in stages] == [1, 2, 3]
        assert stages[0].psnr == once.psnr and stages[0].ssim == once.ssim
        assert stages[0].image.tobytes() == once.image.tobytes()
        twice = vae.reconstruct(each, stages[0].image, clean_photo=False)
        assert stages[1].image.tobytes() == twice.image.tobytes()
        x, y = (torch.from_numpy(images.to_array(image).copy()).double() for image in (once.original, stages[2].image))
        assert stages[2].drift == pytest.approx((y - x).mean((1, 2)).tolist()) and len(stages[2].drift) == len(x)


def test_formats_are_compared_and_numbers_that_are_none_are_explained(model, photograph):
    stages = stress.precisions(model, photograph)
    assert [stage.label for stage in stages] == ["float32", "bfloat16", "float16"]
    once = vae.reconstruct(model, photograph)
    assert stages[0].psnr == once.psnr
    assert stages[1].psnr == pytest.approx(once.psnr, abs=0.5) and stages[2].psnr == pytest.approx(once.psnr, abs=0.1)
    assert "65,504" in stages[2].remark and "NaN" not in stages[2].remark

    loud = build(KLConfig(**KL)).eval()
    loud.load_state_dict(model.state_dict())
    loud.decoder.conv_in.weight.data.mul_(1e7)
    before = {name: x.clone() for name, x in loud.state_dict().items()}
    full, half = stress.precisions(loud, photograph, ["float32", "float16"])
    assert "NaN" not in full.remark and half.image.getextrema() == ((128, 128),) * 3
    assert half.remark.startswith("100% of the pixels are no numbers (NaN): at decoder.conv_in")
    assert "infinity less infinity" in half.remark and half.psnr > 0
    assert loud.dtype == torch.float32 and all(torch.equal(x, before[name]) for name, x in loud.state_dict().items())
    assert not any(module._forward_hooks for module in loud.modules())


def test_latents_are_turned_and_made_smaller_as_the_image_is(model, digits, photograph):
    stages = stress.equivariance(model, photograph)
    assert stages[0].image.tobytes() == vae.reconstruct(model, photograph).image.tobytes()
    sizes = {stage.label: stage.image.size for stage in stages}
    assert sizes["a quarter turn"] == (18, 26) and sizes["half the size"] == (12, 8), "sides of whole latent pixels"
    assert [stage.label for stage in stress.equivariance(digits, photograph)] == [
        "as it is",
        *dict(stress.TURNS).values(),
    ]


def test_noise_is_the_same_again_and_harms_more_the_more_there_is(model, photograph):
    stages = stress.noise(model, photograph, levels=(0, 0.5, 3), seed=4)
    assert stages[0].psnr == vae.reconstruct(model, photograph).psnr
    assert stress.noise(model, photograph, levels=(0.5,), seed=4)[0].image.tobytes() == stages[1].image.tobytes()
    assert stress.noise(model, photograph, levels=(0.5,), seed=5)[0].image.tobytes() != stages[1].image.tobytes()
    away = [(images.to_tensor(stage.image) - images.to_tensor(stages[0].image)).square().mean() for stage in stages]
    assert away[0] == 0 < away[1] < away[2]


def test_what_cannot_be_is_one_sentence(model, photograph):
    for bad in (
        lambda: stress.round_trips(model, photograph, 0),
        lambda: stress.round_trips(model, photograph, 101),
        lambda: stress.precisions(model, photograph, ["int8"]),
        lambda: stress.precisions(model, photograph, []),
        lambda: stress.noise(model, photograph, seed=-1),
    ):
        with pytest.raises(InputError):
            bad()
