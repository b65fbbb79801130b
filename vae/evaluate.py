"""How good a model is on a data set."""

from collections.abc import Callable

import torch

from vae import images, loss
from vae.data import ImageSet
from vae.inference import decode, make_generator
from vae.metrics import psnr, ssim
from vae.models.base import AutoEncoder


@torch.inference_mode()
def evaluate(
    model: AutoEncoder,
    data: ImageSet,
    seed: int = 0,
    batch_size: int = 256,
    on_progress: Callable[[int], None] | None = None,
) -> dict:
    """Averages over the images of `data`, in float32.

    reconstruction: squared error summed over an image's pixel values in [0, 1] units, through one posterior sample;
    kl: nats an image; loss: their sum, the negative ELBO up to a constant for a decoder variance of 1/2 (beta 1).
    reconstruction_mean, psnr (dB) and ssim: through the posterior's mean, clamped to the range of pixels.
    on_progress is called with the number of images done. `seed` fixes the posterior samples.
    """
    generator = make_generator(seed)
    totals = torch.zeros(5, dtype=torch.float64)
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
        if on_progress:
            on_progress(start + len(x))
    reconstruction, kl, reconstruction_mean, decibels, similarity = (totals / len(data)).tolist()
    return {
        "images": len(data),
        "loss": reconstruction + kl,
        "reconstruction": reconstruction,
        "kl": kl,
        "reconstruction_mean": reconstruction_mean,
        "psnr": decibels,
        "ssim": similarity,
        "seed": seed,
    }
