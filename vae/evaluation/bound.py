"""How likely a model finds images: an importance-weighted bound on log p(x)."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from vae import images
from vae.errors import InputError
from vae.inference import make_generator
from vae.models.base import AutoEncoder

MAX_SAMPLES = 100_000
GREY = 1.0 / 255.0  # a grey level, in [0, 1]


@torch.inference_mode()
def importance_bound(
    model: AutoEncoder,
    data,
    samples: int,
    variance: float | None = None,
    limit: int = 1000,
    seed: int = 0,
    batch_size: int = 512,
    on_progress: Callable[[int, int], None] | None = None,
) -> dict:
    """A lower bound on log p(x), averaged over up to `limit` images spread evenly over an ImageSet.

    With K = `samples` draws z_k from q(z|x), it is the mean of log 1/K sum_k p(x|z_k) p(z_k) / q(z_k|x) (Burda, Grosse
    & Salakhutdinov 2016, arXiv:1509.00519): K = 1 gives the ELBO, and it rises to log p(x) with K. p(z) is N(0, I).
    p(x|z) is a Gaussian around the decoded image with one `variance` for all pixels, in [0, 1] units squared; left
    out, it is the one that makes the bound largest (found once for all images), not below that of rounding to a grey
    level. The MNIST tutorial's loss, SSE + KL, is the likelihood of variance 1/2.

    Returns {nats: of the density of an image whose pixels are in [0, 1]; bits_per_dim: what one of its pixel values,
    rounded to 256 grey levels, takes: 8 - nats / (D ln 2) for D values; samples; images; variance;
    variance_fitted: whether it was}. Borders the model puts around images count among the D values.
    Raises InputError for a plain auto-encoder, which has no likelihood, and for numbers out of range.
    """
    if not model.is_variational:
        raise InputError("A plain auto-encoder gives images no likelihood, so there is no bound to measure.")
    if not 1 <= samples <= MAX_SAMPLES:
        raise InputError(f"The bound takes 1 to {MAX_SAMPLES:,} samples, not {samples}.")
    if variance is not None and not GREY**2 / 12 <= variance <= 100.0:
        raise InputError(f"The likelihood's variance must be from {GREY**2 / 12:.1e} to 100, not {variance}.")
    n = min(len(data), limit)
    chosen = torch.arange(n) * len(data) // n
    generator = make_generator(seed)
    errors, log_ratios = [], []
    per_batch = max(1, batch_size // samples)
    for part in chosen.split(per_batch):
        x = images.to_float(data.batch(part)).to(model.device)
        posterior = model.encode(x)
        error, log_ratio = [], []
        for draws in torch.ones(samples).split(max(1, batch_size // len(part))):
            noise = torch.randn(len(draws), *posterior.mean.shape, generator=generator).to(x.device)
            z = posterior.mean + posterior.std * noise
            x_hat = model.decode(z.flatten(0, 1))[..., : x.shape[-2], : x.shape[-1]].float()
            difference = 0.5 * (x_hat.view(len(draws), *x.shape) - x)
            error.append(difference.square().flatten(2).sum(2).double().cpu())
            # log p(z) - log q(z|x), whose factors of 2 pi cancel.
            log_ratio.append(
                (0.5 * (noise.square() - z.square()) + 0.5 * posterior.logvar).flatten(2).sum(2).double().cpu()
            )
        errors.append(torch.cat(error))
        log_ratios.append(torch.cat(log_ratio))
        if on_progress:
            on_progress(sum(e.shape[1] for e in errors), n)
    error, log_ratio = torch.cat(errors, 1), torch.cat(log_ratios, 1)
    values = math.prod(data.shape)
    used = variance if variance is not None else _best_variance(error, log_ratio, values)
    nats = _bound(error, log_ratio, values, used)
    return {
        "nats": nats,
        "bits_per_dim": 8.0 - nats / (values * math.log(2.0)) if math.isfinite(nats) else nats,
        "samples": samples,
        "images": n,
        "variance": used,
        "variance_fitted": variance is None,
    }


def _bound(error: Tensor, log_ratio: Tensor, values: int, variance: float) -> float:
    """error, log_ratio: (K, N)."""
    log_weights = log_ratio - error / (2.0 * variance) - 0.5 * values * math.log(2.0 * math.pi * variance)
    return (log_weights.logsumexp(0) - math.log(len(error))).mean().item()


def _best_variance(error: Tensor, log_ratio: Tensor, values: int) -> float:
    """By golden section over its logarithm, in which the bound has one hill."""
    low, high = math.log(GREY**2 / 12), math.log(10.0)
    golden = 0.5 * (math.sqrt(5.0) - 1.0)
    for _ in range(60):
        left, right = high - golden * (high - low), low + golden * (high - low)
        if _bound(error, log_ratio, values, math.exp(left)) > _bound(error, log_ratio, values, math.exp(right)):
            high = right
        else:
            low = left
    return math.exp(0.5 * (low + high))
