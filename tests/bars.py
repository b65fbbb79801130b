"""Images of bars in three places, and models with random weights measured on them."""

import torch

import vae
from vae.checkpoints.find_model import weight_files
from vae.data.image_set import ImageSet
from vae.latents import statistics
from vae.models import ConvConfig, build

TINY = ConvConfig(features=(1, 4, 8, 2), sample_size=16, border=1, trained_on="bars")


def bars(n=90, labels=3):
    """labels: how many classes there are, 0 for none."""
    g = torch.Generator().manual_seed(0)
    places = torch.arange(n) % 3
    classes = torch.arange(n) % labels if labels else None
    data = ImageSet("bars", (1, 16, 16), classes, [f"bar {c}" for c in range(labels)] or None)
    data.images = torch.zeros(n, 1, 16, 16, dtype=torch.uint8)
    for image, place in zip(data.images, places.tolist(), strict=True):
        image[0, 2:14, 2 + 3 * place : 4 + 3 * place] = torch.randint(60, 255, (), generator=g)
    return data


def saved(folder, data=None, variational=True, seed=0) -> str:
    """A model with random weights, measured on `data` if there are any; its folder."""
    torch.manual_seed(seed)
    model = build(ConvConfig(**{**vars(TINY), "variational": variational})).eval()
    model.encoder[-1].weight.data *= 50  # as after a training: latents differ from image to image
    place = vae.save(model, folder)
    if data is not None:
        statistics.write(weight_files(place), statistics.measure(model, data))
    return str(place)
