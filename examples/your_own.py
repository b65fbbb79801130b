"""A network, data and a loss of one's own; see "Your own" in the README."""

from dataclasses import dataclass

import torch
from torch import nn

import vae


@dataclass(frozen=True)
class RingConfig(vae.ModelConfig):
    sample_size: int = 16  # pixels a side
    in_channels: int = 1


class RingVAE(nn.Module):
    def __init__(self, config: RingConfig):
        super().__init__()
        self.encoder = nn.Sequential(nn.Flatten(), nn.Linear(256, 128), nn.SiLU(), nn.Linear(128, 6))
        self.decoder = nn.Sequential(nn.Linear(3, 128), nn.SiLU(), nn.Linear(128, 256))

    def encode(self, x):  # images (N, 1, 16, 16) in [-1, 1] to mean and logvar, (N, 3) each
        return self.encoder(x).chunk(2, dim=1)

    def decode(self, z):
        return self.decoder(z).view(-1, 1, 16, 16)


def loss(x, x_hat, posterior, step):  # each term is logged and plotted by its name
    return {"loss": (x_hat - x).abs().sum((1, 2, 3)).mean() + posterior.kl().mean(), "worst": (x_hat - x).abs().max()}


vae.register("RingVAE", RingVAE, RingConfig)
if __name__ == "__main__":
    axis, (radius, stretch) = torch.linspace(-1, 1, 16), torch.rand(2, 2000, 1, 1, 1)
    rings = 2 * torch.exp(-50 * (torch.hypot(axis * (1 + stretch), axis[:, None]) - radius) ** 2) - 1
    config = vae.TrainConfig(preset="RingVAE", model=RingConfig(), epochs=20, learning_rate=3e-3)
    vae.fit(config, run="runs/rings", train_set=rings, objective=loss)  # or any Dataset of (tensor, label)
