"""What the Compare tab's measuring of folders and its stress tests compute, as functions of a loaded model."""

from functools import lru_cache

import torch
from PIL import Image
from torch import Tensor

from vae import inference, limits, lpips_distance, torch_cache
from vae.errors import InputError
from vae.evaluation import stress
from vae.evaluation.measure import Judges, batch_figures, judges_for
from vae.models import AutoEncoder

DOWNLOADED = {"lpips": lpips_distance.WEIGHTS, "inception": torch_cache.INCEPTION}


def measured(
    model: AutoEncoder, *, pixels: Tensor, metrics: tuple[str, ...], features: str, originals: bool
) -> dict[str, object]:
    """As vae.evaluation.measure's Batch: {columns, features, seconds, latent_bits}. For strangers no network is
    downloaded: InputError for one that is not here."""
    batch = batch_figures(model, pixels, metrics, judges(metrics, features, model.device), originals)
    return {
        "columns": {name: values.float() for name, values in batch.columns.items()},
        "features": batch.features,
        "seconds": batch.seconds,
        "latent_bits": batch.latent_bits,
    }


def judges(metrics: tuple[str, ...], features: str, device: torch.device | str) -> Judges:
    """The networks that the metrics need, kept for the next batch. Raises InputError if one cannot be had."""
    wanted = tuple(metric for metric in metrics if metric in ("lpips", "fid"))
    needed = [name for name, metric in (("lpips", "lpips"), (features, "fid")) if metric in wanted]
    for name in needed if limits.share() is limits.STRANGER else ():
        if name in DOWNLOADED and not torch_cache.path_of(DOWNLOADED[name]).is_file():
            other = "choose EfficientNet-Lite0" if name == "inception" else "leave LPIPS out"
            raise InputError(f"The network that this figure needs has not been downloaded to this server; {other}.")
    return _judges(wanted, features, str(device))


@lru_cache(maxsize=1)
def _judges(metrics: tuple[str, ...], features: str, device: str) -> Judges:
    return judges_for(metrics, features, device)


def stressed(
    model: AutoEncoder,
    *,
    image: Image.Image,
    test: str,
    max_side: int,
    cycles: int = 10,
    seed: int = 0,
    progress: inference.Progress | None = None,
) -> list[stress.Stage]:
    """One of vae.evaluation.stress's tests. cycles: of round trips; seed: of noise."""
    options = {"cycles": {"cycles": cycles}, "noise": {"seed": seed}}.get(test, {})
    return stress.TESTS[test](model, image, **options, max_side=max_side, progress=progress)
