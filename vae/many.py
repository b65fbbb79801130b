"""Any number of images, of any size, through a model at once: vae.encode and vae.decode."""

import torch
from torch import Tensor

from vae import tiling
from vae.checks import whole_number
from vae.data.image_set import ImageSet
from vae.distributions import DiagonalGaussian
from vae.errors import InputError
from vae.latents.latent_set import LatentSet
from vae.models.base import AutoEncoder, as_model

BATCH = 64  # images, of which vae.tiling computes as many together as the memory allows


@torch.inference_mode()
def encode(
    model: AutoEncoder, images: Tensor | ImageSet, batch_size: int = BATCH, tile: int | None = None
) -> DiagonalGaussian:
    """The posterior of many images, on the CPU.

    images: (N, C, H, W), floats in [-1, 1] or uint8, or what vae.load_data gives. Images of any size, where the model
    takes any, are padded to a multiple of its factor and computed in tiles where they are large; tile: as
    vae.reconstruct has it. Raises InputError as model.encode does, and for no images.
    """
    model, batch_size = as_model(model), whole_number("The batch size", batch_size, 1)
    if isinstance(images, ImageSet):
        parts = images.batches(torch.arange(len(images)).split(batch_size))
    else:
        parts = torch.as_tensor(images).split(batch_size)
    found = [tiling.encode(model, part, tile).to("cpu") for part in parts if len(part)]
    if not found:
        raise InputError("There are no images to encode.")
    return DiagonalGaussian.cat(found)


@torch.inference_mode()
def decode(model: AutoEncoder, latents: Tensor | LatentSet, batch_size: int = BATCH, tile: int | None = None) -> Tensor:
    """The images of many latents, (N, C, H, W) float32 in [-1, 1] on the CPU.

    latents: (N, C, h, w), unscaled, or what vae.latents.open gives, of one shape. tile: as for `encode`. Raises
    InputError as model.decode does, for no latents, and for a set of another model's.
    """
    from vae.latents.decoding import stored_latents

    model, batch_size = as_model(model), whole_number("The batch size", batch_size, 1)
    z = stored_latents(model, latents) if isinstance(latents, LatentSet) else torch.as_tensor(latents)
    if not len(z):
        raise InputError("There are no latents to decode.")
    return torch.cat([tiling.decode(model, part, tile=tile).float().cpu() for part in z.split(batch_size)])
