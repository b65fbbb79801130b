"""A network, data and losses of one's own, for the tests of what takes them."""

from dataclasses import dataclass

import torch
from tiny_runs import tiny
from torch import Tensor, nn

import vae
from vae.training.config import TrainConfig


@dataclass(frozen=True)
class DiscConfig(vae.ModelConfig):
    sample_size: int = 8
    in_channels: int = 1
    width: int = 16


class DiscVAE(nn.Module):
    """Latents (N, 2), and what stumbles on other memory layouts and on tensors without numbers: view, a constant."""

    def __init__(self, config: DiscConfig):
        super().__init__()
        self.config = config
        self.encoder = nn.Linear(64, 4)
        self.decoder = nn.Sequential(nn.Linear(2, config.width), nn.SiLU(), nn.Linear(config.width, 64))
        self.scales = [scale.item() for scale in torch.linspace(1.0, 2.0, 2)]
        self.register_buffer("shift", torch.full((1,), 0.25), persistent=False)

    def encode(self, x):
        return (self.encoder(x.view(len(x), -1)) * self.scales[0]).chunk(2, dim=1)

    def decode(self, z):
        return self.decoder(z).view(-1, 1, 8, 8) + self.shift


class Plain(nn.Module):
    """A plain auto-encoder that nobody has registered, with a spatial latent (N, 2, 4, 4)."""

    def __init__(self, channels: int = 1):
        super().__init__()
        self.encoder = nn.Conv2d(channels, 2, 2, stride=2)
        self.decoder = nn.ConvTranspose2d(2, channels, 2, stride=2)

    def encode(self, x):
        return self.encoder(x)

    def decode(self, z):
        return self.decoder(z)


class Discs(torch.utils.data.Dataset):
    """Items (image, label)."""

    def __init__(self, count: int = 60, side: int = 8):
        self.count, self.axis = count, torch.linspace(-1, 1, side)

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        distance = torch.hypot(self.axis, self.axis[:, None])
        return torch.tanh(8 * (0.2 + index / self.count - distance))[None], index % 2


def short(**changes) -> TrainConfig:
    """A training of four updates an epoch, on the 48 discs that are not held out."""
    return tiny(**{"epochs": 2, "batch_size": 12, "learning_rate": 1e-2} | changes)


def trainer_state(folder) -> dict:
    """What a run's newest checkpoint holds to go on from."""
    return torch.load(vae.Run(folder).model_folder() / "trainer.pt", weights_only=True)
