"""How well a model reconstructs the images of a folder: figures of each image, and of all.

Everything compares the images as they are looked at, in 8 bits: what was read, fitted to the model, with what the
posterior's mean decodes to. So the figures of an image are those that `vae.reconstruct` gives.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vae import images
from vae.colour import delta_e
from vae.data.image_set import ImageSet, read_ahead
from vae.equivariance import treated_alike
from vae.errors import InputError
from vae.evaluation.costs import PeakMemory
from vae.evaluation.features import feature_network
from vae.evaluation.frechet import Moments
from vae.evaluation.measurement import COLUMNS, METRICS, Measurement
from vae.lpips_distance import LPIPS, lpips_distance
from vae.metrics import psnr, ssim
from vae.models.base import AutoEncoder, as_model
from vae.tiling import decode, encode, pad

BATCH = 64 * 256**2  # pixels that are measured at once, in up to 64 images
SAVED = 30.0  # seconds between two times that what is done so far is kept
SMALLER = 0.5  # how the equivariance to scale is measured


@dataclass(frozen=True)
class Judges:
    """The networks that metrics need, None for those that are not asked for."""

    lpips: LPIPS | None = None
    features: nn.Module | None = None


@dataclass(frozen=True)
class Batch:
    """Figures of n images.

    columns: n numbers each, on the CPU. features: where a Fréchet distance is asked for those of the images, unless
    they are known, and those of what they became, (n, d) each. seconds: of encoding and decoding. latent_bits:
    of the latent of one image.
    """

    columns: dict[str, Tensor]
    features: tuple[Tensor | None, Tensor] | None
    seconds: float
    latent_bits: float


def checked_metrics(metrics: Sequence[str]) -> tuple[str, ...]:
    """The metrics once each, in the order of METRICS. Raises InputError for none, and for another name."""
    unknown = [name for name in metrics if name not in METRICS]
    if unknown or not metrics:
        raise InputError(f"The metrics are some of {', '.join(METRICS)}, not {unknown[0] if unknown else 'none'!r}.")
    return tuple(name for name in METRICS if name in metrics)


def judges_for(metrics: Sequence[str], features: str = "inception", device: torch.device | str = "cpu") -> Judges:
    """The networks that these metrics need. Raises InputError if one cannot be had: before any work."""
    return Judges(
        lpips=lpips_distance(device, instead="leave lpips out of the metrics") if "lpips" in metrics else None,
        features=feature_network(features, device) if "fid" in metrics else None,
    )


@torch.inference_mode()
def batch_figures(
    model: AutoEncoder, pixels: Tensor, metrics: Sequence[str], judges: Judges, originals: bool = True
) -> Batch:
    """pixels: uint8 (n, C, H, W), fitted to the model. metrics: as `checked_metrics` gives them. originals: whether the
    features of the images themselves are wanted, too.

    Raises InputError for a model that gives images in other colours than it takes.
    """
    device, size = model.device, pixels.shape[-2:]
    start = _now(device)
    z = encode(model, pixels).mode()
    decoded = decode(model, z, size)
    seconds = _now(device) - start
    if decoded.shape != pixels.shape:
        raise InputError(
            f"This model makes images of {decoded.shape[1]} channels out of {pixels.shape[1]}; only images of the same "
            "channels can be compared."
        )
    place = device if device.type == "cuda" else torch.device("cpu")  # others lack float64
    x, y = pixels.to(place), images.to_uint8(decoded).to(place)
    columns: dict[str, Tensor] = {}
    if "psnr" in metrics:
        columns["psnr"] = psnr(x, y)
    if "ssim" in metrics:
        columns["ssim"] = ssim(x, y)
    if "delta-e" in metrics:
        columns["delta_e"] = delta_e(x, y)
    if judges.lpips is not None:
        columns["lpips"] = judges.lpips.distance(*(images.to_float(_opaque(image)).to(device) for image in (x, y)))
    if "equivariance" in metrics:
        columns |= equivariance_figures(model, x, z)
    features = None
    if judges.features is not None:
        own = judges.features(images.to_float(x).to(device))[0].cpu() if originals else None
        features = own, judges.features(images.to_float(y).to(device))[0].cpu()
    return Batch(
        columns={name: columns[name].double().cpu() for name in COLUMNS if name in columns},
        features=features,
        seconds=seconds,
        latent_bits=model.number_bits * z[0].numel(),
    )


def equivariance_figures(model: AutoEncoder, x: Tensor, z: Tensor) -> dict[str, Tensor]:
    """PSNR (N,) between images treated in some way and what is decoded from their latents treated alike (EQ-VAE,
    arXiv:2502.09509), in dB: "equivariance_turn", a quarter turn; "equivariance_scale", half the size, NaN for a model
    that knows one size only.

    x: uint8 (N, C, H, W); z: their latents. A turn is NaN where a model of one size is not square.
    """
    fixed, unknown = model.config.fixed_size, torch.full((len(x),), torch.nan)
    whole = images.to_float(x if fixed else pad(x, model.downscale)).to(z.device)

    def against(scale: float, turns: int) -> Tensor:
        y, y_hat = treated_alike(lambda z: decode(model, z).float(), whole, z.float(), scale, turns)
        return psnr(*(images.to_uint8(image).cpu() for image in (y, y_hat)))

    return {
        "equivariance_turn": unknown if fixed and z.shape[-1] != z.shape[-2] else against(1.0, 1),
        "equivariance_scale": unknown if fixed else against(SMALLER, 0),
    }


def batch_size(height: int, width: int) -> int:
    """How many images of that size are measured at once."""
    return max(1, min(64, BATCH // (height * width)))


def measure(
    model: AutoEncoder,
    data: ImageSet,
    metrics: Sequence[str] = ("psnr", "ssim"),
    features: str = "inception",
    *,
    judges: Judges | None = None,
    begun: Measurement | None = None,
    originals: Moments | None = None,
    save: Callable[[Measurement], None] | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> Measurement:
    """Figures of every image of `data`, fitted to the model as load_data does, in memory for a batch of them.

    metrics: some of "psnr" (dB), "ssim", "lpips" (by VGG16), "delta-e" (CIEDE2000), "equivariance" (dB, see
    equivariance_figures) and "fid", the Fréchet distance between the images and their reconstructions, rFID. features:
    of which network, see vae.evaluation.features; figures of two networks cannot be compared.
    judges: the networks, where they are loaded already. begun: what was measured before, which is gone on with.
    originals: the moments of these images' features, where another model's measurement has them. save: called now and
    then, and at the end, however it comes, with what is done so far. on_progress(images done, in all).

    Images that cannot be read are left out and counted. Raises InputError for a metric that is none, or whose network
    cannot be had; for a Fréchet distance of fewer than two images; and where no image can be read.
    """
    model, metrics = as_model(model), checked_metrics(metrics)
    check_enough(metrics, data.name, len(data))
    judges = judges or judges_for(metrics, features, model.device)
    if begun and originals is None and begun.originals.count != begun.rebuilt.count:
        begun = None  # it relied on another model's
    found = begun or Measurement(metrics, judges.features.title if judges.features else None)
    peak = PeakMemory(model.device)

    def compute(pixels: Tensor) -> Batch:
        batch = batch_figures(model, pixels, metrics, judges, originals is None)
        found.peak_bytes = max(found.peak_bytes, peak.bytes)
        return batch

    return measure_by(compute, data, found, originals=originals, save=save, on_progress=on_progress)


def check_enough(metrics: Sequence[str], name: str, count: int) -> None:
    """Raises InputError where a Fréchet distance is asked for of a single image."""
    if "fid" in metrics and count < 2:
        raise InputError(f"{name} holds a single image; a Fréchet distance (fid) needs at least two.")


def measure_by(
    compute: Callable[[Tensor], Batch],
    data: ImageSet,
    found: Measurement,
    *,
    numbers: Tensor | None = None,
    most: int | None = None,
    originals: Moments | None = None,
    save: Callable[[Measurement], None] | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> Measurement:
    """Goes on with `found`, of which a part may be done, to the end of the set. compute: figures of a batch of images,
    wherever the model is. numbers: the images that count, all unless given. most: of them in a batch. The rest is
    `measure`'s."""
    numbers = torch.arange(len(data)) if numbers is None else numbers
    saved, done_before = time.monotonic(), found.done
    rest = numbers[found.done :]
    parts = rest.split(most or batch_size(*data.shape[1:])) if len(rest) else ()
    try:
        for part, (pixels, sound) in zip(parts, read_ahead(data.readable, parts, 2), strict=True):
            if len(sound):
                batch = compute(pixels)
                found.add(sound, batch.columns, batch.features, batch.seconds)
                found.latent_bits, found.pixels = batch.latent_bits, pixels.shape[-1] * pixels.shape[-2]
            found.done += len(part)
            if save and time.monotonic() - saved > SAVED:
                save(found)
                saved = time.monotonic()
            if on_progress:
                on_progress(found.done, len(numbers))
    finally:
        if save and found.done > done_before:
            save(found)
    if not found.count:
        raise InputError(f"None of the {len(numbers):,} images of {data.name} can be read.")
    if originals is not None:
        found.originals = originals
    return found


def _opaque(x: Tensor) -> Tensor:
    return x[:, :-1] if x.shape[1] in images.TRANSPARENT else x


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()
