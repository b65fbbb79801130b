"""How good a model is on a data set."""

from collections.abc import Callable

import torch

from vae import images, loss
from vae.data.image_set import ImageSet
from vae.errors import InputError
from vae.inference import make_generator
from vae.latents.statistics import ACTIVE
from vae.metrics import psnr, ssim
from vae.models.base import AutoEncoder
from vae.models.vq_model import codebook_use
from vae.tiling import decode

PIXELS = 2**20  # of a batch's images, at most


@torch.inference_mode()
def evaluate(
    model: AutoEncoder,
    data: ImageSet,
    seed: int = 0,
    batch_size: int | None = None,
    on_progress: Callable[[int], None] | None = None,
) -> dict:
    """Averages over the images of `data`, in float32.

    reconstruction: squared error summed over an image's pixel values in [0, 1] units, through one posterior sample;
    kl: nats an image; loss: their sum, the negative ELBO up to a constant for a decoder variance of 1/2 (beta 1).
    reconstruction_mean, psnr (dB) and ssim: through the posterior's mean, clamped to the range of pixels.
    active_units: latent dimensions whose mean has a variance above 0.01 over the images (Burda, Grosse & Salakhutdinov
    2016, arXiv:1509.00519), of latent_dimensions in all.
    codebook_usage, codebook_perplexity: only of a model with a codebook; see vae.models.vq_model.codebook_use.
    batch_size: unless given 256, or as many images as have PIXELS. on_progress is called with the number of images
    done. `seed` fixes the posterior samples. Raises InputError for a size that the model cannot halve.
    """
    height, width = data.shape[1:]
    if not model.config.fixed_size and (height % model.downscale or width % model.downscale):
        raise InputError(
            f"The loss is of images whose sides are multiples of {model.downscale}, by which this model reduces them, "
            f"not {width}x{height} pixels; image by image (--metrics, vae.measure) any size is measured."
        )
    batch_size = batch_size or max(1, min(256, PIXELS // (height * width)))
    generator = make_generator(seed)
    totals = torch.zeros(5, dtype=torch.float64)
    moments = torch.zeros(2, *model.latent_shape(*data.shape[1:]), dtype=torch.float64)
    uses = torch.zeros(model.codebook_size or 0, dtype=torch.int64)
    shift = None  # sums are taken from near the mean, where squares lose nothing
    for start in range(0, len(data), batch_size):
        pixels = data.batch(torch.arange(start, min(start + batch_size, len(data))))
        x = images.to_float(pixels).to(model.device)
        posterior = model.encode(x)
        sampled = loss.elbo(x, model.decode(posterior.sample(generator)), posterior, "sum", pixel_scale=0.5)
        x_hat = decode(model, posterior.mode(), x.shape[-2:]).float()
        through_mean = loss.elbo(x, x_hat, posterior, "sum", pixel_scale=0.5)
        totals += torch.stack(
            [
                sampled.reconstruction * len(x),
                sampled.kl * len(x),
                through_mean.reconstruction * len(x),
                psnr(x, x_hat).sum(),
                ssim(x, x_hat).sum(),
            ]
        ).cpu()
        if model.codebook_size:
            uses += model.codes(posterior.mode()).flatten().bincount(minlength=len(uses)).cpu()
        means = posterior.mean.double().cpu()
        shift = means.mean(0) if shift is None else shift
        moments += torch.stack([(means - shift).sum(0), (means - shift).square().sum(0)])
        if on_progress:
            on_progress(start + len(x))
    reconstruction, kl, reconstruction_mean, decibels, similarity = (totals / len(data)).tolist()
    variance = moments[1] / len(data) - (moments[0] / len(data)).square()
    return {
        "images": len(data),
        "loss": reconstruction + kl,
        "reconstruction": reconstruction,
        "kl": kl,
        "reconstruction_mean": reconstruction_mean,
        "psnr": decibels,
        "ssim": similarity,
        "active_units": int((variance > ACTIVE).sum()),
        "latent_dimensions": variance.numel(),
        **(codebook_use(uses) if model.codebook_size else {}),
        "seed": seed,
    }
