"""The previews of a training: after which updates they are written, and what they show."""

import torch
from torch import Tensor

from vae.models import AutoEncoder
from vae.training.batches import TrainingImages
from vae.training.schedule import seeded

PREVIEWS = 60  # of each kind in a whole run, denser at its beginning, when most happens


def preview_steps(steps: int) -> set[int]:
    """After which updates to take previews: the first and the last among them, denser at the beginning."""
    return {round(steps * (i / PREVIEWS) ** 2) for i in range(PREVIEWS + 1)}


@torch.no_grad()
def previews(model: AutoEncoder, feed: TrainingImages, seed: int) -> dict[str, Tensor]:
    """Two rows of images (N, C, H, W), N even, around [-1, 1], by kind: "reconstruction", some validation images and
    below them what the model makes of them, and "samples", decoded from noise. The same images and noise every time."""
    count = min(len(feed.val_set), max(2, min(8, 512 // model.config.sample_size)))
    x, generator = feed.validation(0, count), seeded(seed, 4)
    noise = torch.randn((2 * count, *model.latent_shape()), generator=generator).to(x.device)
    # With no noise it is the mean that is decoded. By `forward`, which does not refuse what is not finite: it is the
    # loss that tells of a training that diverged.
    rebuilt, _ = model(x, torch.zeros_like(noise[:count]))
    drawn = torch.cat([model.decode(z) for z in noise.split(count)])
    return {"reconstruction": torch.cat([x, rebuilt.float()]), "samples": drawn.float()}
