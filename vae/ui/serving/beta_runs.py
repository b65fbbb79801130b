"""What beta does, seen on three bundled runs that differ in nothing else: where the digits of a test set lie in each
latent space, what each makes of the same digits, and what it draws from the same noise."""

import threading
from functools import partial
from io import BytesIO

import torch
from PIL import Image
from torch import Tensor

from vae import images
from vae.checkpoints.find_model import beta_runs, weight_files
from vae.latents import statistics
from vae.latents.projections import Projection, pca
from vae.ui.components import error_text
from vae.ui.latent_points import packed
from vae.ui.serving.models import ModelServer
from vae.ui.uploads import EXAMPLES

MEASURED = "mnist-vae"  # whose statistics hold small copies of MNIST's test images, and their labels
EVERY = 3  # of these 3000, which one is on the maps
SAMPLES, SEED = 25, 0
ACROSS = 5  # images in a row


class BetaRuns:
    """Looks at the runs when they are first asked for, once; may be called from any thread, without Gradio's queue."""

    def __init__(self, server: ModelServer):
        self.server = server
        self._found: dict | None = None
        self._lock = threading.Lock()

    def beta_runs(self, _: object = None) -> dict:
        """{seed, labels: the digit of each point, originals: of the reconstructions, runs: by rising beta [{beta, kl,
        psnr, points: float32 in base64, two for each image, centre: where the prior's mean lies among them,
        reconstructions, samples}]}, images as data URIs; or {error}."""
        try:
            with self._lock:
                self._found = self._found or self._look()
            return self._found
        except Exception as error:
            return {"error": error_text(error, "beta_runs")}

    def _look(self) -> dict:
        points, labels = _test_images()
        digits = torch.cat([images.to_uint8(images.to_tensor(Image.open(p))) for p in sorted(EXAMPLES.glob("digit-*"))])
        arguments = {"points": points, "digits": digits, "n": SAMPLES, "seed": SEED}
        calls = [partial(self.server.overview_call, folder, **arguments) for folder in beta_runs().values()]
        found = [work() for work in self.server.together(calls)]
        maps = _alike([one["means"] for one in found])
        return {
            "seed": SEED,
            "labels": labels.tolist(),
            "originals": _rows(found[0]["originals"]),
            "runs": [
                {
                    "beta": beta,
                    "kl": one["kl"],
                    "psnr": one["psnr"],
                    "points": packed(places.numpy()),
                    "centre": centre.tolist(),
                    "reconstructions": _rows(one["reconstructions"]),
                    "samples": _rows(one["samples"]),
                }
                for beta, one, (places, centre) in zip(beta_runs(), found, maps, strict=True)
            ],
        }


def _test_images() -> tuple[Tensor, Tensor]:
    """Images (N, 1, H, W) of MNIST's test set and their labels."""
    found = statistics.read(weight_files(MEASURED))
    sheet = images.to_uint8(images.to_tensor(Image.open(BytesIO(found.sheet)).convert("L")))[0]
    cells = sheet.unfold(1, found.side, found.side).unfold(2, found.side, found.side)
    cells = cells.permute(1, 2, 0, 3, 4).reshape(-1, 1, found.side, found.side)
    return cells[: len(found.labels) : EVERY].contiguous(), found.labels[::EVERY]


def _alike(means: list[Tensor]) -> list[tuple[Tensor, Tensor]]:
    """Each run's map: the points on its two principal axes, and the prior's mean; turned (and mirrored) as fits the
    run in the middle best, so that what changes is how the digits lie (orthogonal Procrustes, Schönemann 1966)."""
    maps = [pca(z) for z in means]
    target = maps[len(maps) // 2].project(means[len(maps) // 2])

    def turned(own: Projection, z: Tensor) -> tuple[Tensor, Tensor]:
        u, _, v = torch.linalg.svd(own.project(z).T @ target)
        return own.project(z) @ (u @ v), -own.centre @ own.matrix @ (u @ v)

    return [turned(*pair) for pair in zip(maps, means, strict=True)]


def _rows(pixels: Tensor) -> str:
    return images.data_uri(images.grid(pixels, columns=ACROSS))
