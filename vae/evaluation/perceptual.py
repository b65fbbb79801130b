"""How near a set of images comes to another, seen by a network trained on ImageNet."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import torch
from torch import Tensor

from vae import images
from vae.data.folders import list_images
from vae.data.image_set import ImageSet
from vae.evaluation.frechet import Moments, frechet
from vae.perceptual import DOGS, ImageNetFeatures


@torch.inference_mode()
def judged(
    network: ImageNetFeatures, source: Tensor | ImageSet | str | Path | Iterable[Tensor], batch_size: int = 64
) -> tuple[Tensor, Tensor]:
    """Pooled features (N, 1280) and class probabilities (N, 1000), on the CPU.

    source: a tensor (N, C, H, W), uint8 or float in [-1, 1], a data set, a folder of images, or an iterable of such
    tensors. Floats are rounded to 8 bits, as images are when they are looked at. Raises InputError for a folder that
    holds no images or one that cannot be read.
    """
    if isinstance(source, str | Path):
        source = _in_folder(source)
    elif isinstance(source, ImageSet):
        source = (source.batch(part) for part in torch.arange(len(source)).split(batch_size))
    elif isinstance(source, Tensor):
        source = (source,)
    device = next(network.parameters()).device
    parts = [network(images.to_float(_bytes(x).to(device))) for batch in source for x in batch.split(batch_size)]
    features, probabilities = zip(*parts, strict=True)
    return torch.cat(features).cpu(), torch.cat(probabilities).cpu()


def frechet_distance(network: ImageNetFeatures, a, b) -> float:
    """The Fréchet distance (see frechet.py) between two sets of images, each as `judged` takes them."""
    return frechet(Moments(judged(network, a)[0]), Moments(judged(network, b)[0]))


def class_probability(probabilities: Tensor, classes: slice = DOGS) -> float:
    """The probability that the network gives a group of ImageNet's classes (dogs, unless said), averaged over images.

    probabilities: (N, 1000), from `judged`.
    """
    return probabilities[:, classes].sum(1).mean().item()


def _in_folder(folder: str | Path) -> Iterator[Tensor]:
    """Each image of a folder by itself, for they may differ in size: (1, 3, side, side), cropped to the middle."""
    for file in list_images(folder):
        image = images.open_image(file)
        yield torch.tensor(images.to_array(images.fit(image, size=min(image.size), channels=3))).unsqueeze(0)


def _bytes(x: Tensor) -> Tensor:
    return x if x.dtype == torch.uint8 else images.to_uint8(x)
