"""The models that come with the app: all that lies beside their weights belongs to them."""

import re

import pytest
import torch

import vae
from vae.inference import sample_latents
from vae.latents import priors, statistics


def latent_statistics(name):
    return statistics.read([vae.bundled()[name] / "model.safetensors"])


@pytest.mark.parametrize("name", vae.bundled())
def test_what_lies_beside_the_weights_belongs_to_them(name):
    model, folder = vae.load(name, device="cpu"), vae.bundled()[name]
    assert model.refused_priors is None and len(model.priors) > 1
    found = latent_statistics(name)
    assert found.mean.shape == model.latent_shape() and found.quantiles.shape == (2, 65)
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert f"{model.parameter_count:,} parameters" in card
    assert all((folder / file).is_file() for file in re.findall(r"!\[[^]]*\]\(([^)]*)\)", card))


def test_the_dogs_are_drawn_through_the_diffusion_prior():
    """Its latents are spread as those of the photographs are, and the places of one agree, as those of noise do not."""
    model = vae.load("dogs-vae-16", device="cpu")
    assert model.priors[-1] == priors.best(model) == "diffusion"
    spread = latent_statistics("dogs-vae-16").mean_std.square().mean((1, 2)).sqrt()
    z = torch.cat(list(sample_latents(model, 8, seed=0, prior="diffusion")))
    assert z.shape == (8, 16, 8, 8)
    torch.testing.assert_close(z.std((0, 2, 3)), spread, rtol=0.3, atol=0)
    noise = torch.randn(z.shape, generator=torch.Generator().manual_seed(0))

    def between_neighbours(z):
        x = model.decode(z)
        return ((x[..., 1:] - x[..., :-1]).square().mean() / x.var()).item()

    assert between_neighbours(z) < 0.5 * between_neighbours(noise)
