"""The auto-encoder whose latents come from a codebook: VQGAN, latent diffusion's vq-f4 and f8, Kandinsky 2's MoVQ.

The network is Stable Diffusion's; between its halves each latent pixel becomes the nearest entry of a codebook (van den
Oord, Vinyals & Kavukcuoglu 2017, arXiv:1711.00937; Esser, Rombach & Ommer 2021, arXiv:2012.09841).
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vae.distributions import DiagonalGaussian
from vae.errors import InputError
from vae.models.autoencoder_kl import Decoder, Encoder, KLConfig
from vae.models.base import AutoEncoder
from vae.models.recording import is_graphed

COMMITMENT = 0.25  # the encoder's share of the codebook's loss, as in both papers
DISTANCES = 2**24  # computed at once


@dataclass(frozen=True)
class VQConfig(KLConfig):
    """num_vq_embeddings: entries of the codebook, each of latent_channels numbers.
    norm_type: the decoder's, "group" or, as MoVQ has it, "spatial": scaled and shifted by the latent
    (arXiv:2209.09002).
    """

    latent_channels: int = 3
    num_vq_embeddings: int = 256
    norm_type: str = "group"

    def __post_init__(self):
        if not 1 <= self.num_vq_embeddings <= 2**20:
            raise InputError(f"num_vq_embeddings must be from 1 to {2**20:,}, not {self.num_vq_embeddings:,}.")
        if self.norm_type not in ("group", "spatial"):
            raise InputError(f"norm_type must be group or spatial, not {self.norm_type[:80]!r}.")
        if not (self.use_quant_conv and self.use_post_quant_conv):
            raise InputError("A network with a codebook has a quant_conv before and a post_quant_conv after it.")
        super().__post_init__()
        if self.norm_type == "spatial" and any(width % 32 for width in self.decoder_widths):
            raise InputError(
                f"With spatial norms block_out_channels must be multiples of 32, not {self.decoder_widths}."
            )

    @property
    def decoder_block(self) -> dict:
        return self.block | {"code_channels": self.latent_channels if self.norm_type == "spatial" else None}


class Codebook(nn.Module):
    def __init__(self, entries: int, channels: int):
        super().__init__()
        self.embedding = nn.Embedding(entries, channels)
        nn.init.uniform_(self.embedding.weight, -1.0 / entries, 1.0 / entries)

    def codes(self, z: Tensor) -> Tensor:
        """The index of the entry that is nearest to each latent pixel: (N, C, h, w) to (N, h, w)."""
        entries, pixels = self.embedding.weight.detach().float(), z.detach().float().movedim(1, -1)
        pixels_in_line = pixels.flatten(0, -2)
        parts = [pixels_in_line] if is_graphed() else pixels_in_line.split(max(1, DISTANCES // len(entries)))
        return torch.cat([torch.cdist(part, entries).argmin(1) for part in parts]).view(pixels.shape[:-1])

    def forward(self, z: Tensor) -> Tensor:
        """The entries nearest to latents (N, C, h, w), in z's shape. Their gradient is the codebook's."""
        return self.embedding(self.codes(z)).movedim(-1, 1)


class VQModel(AutoEncoder):
    """Images of any size in [-1, 1] to points on a codebook at 1 / 2^(levels - 1) that size, and back.

    The posterior is all at one point; in training its `codebook_loss` moves the codebook and the encoder towards each
    other, while the decoder's gradient passes straight through to the encoder. Any latent may be decoded: it is the
    nearest entries that are.
    """

    family = "vq"

    def __init__(self, config: VQConfig):
        super().__init__()
        self.config = config
        self.in_channels, self.latent_channels = config.in_channels, config.latent_channels
        self.downscale = config.downscale
        self.encoder = Encoder(config, config.inner_channels)
        self.decoder = Decoder(config)
        self.quantize = Codebook(config.num_vq_embeddings, config.latent_channels)
        self.quant_conv = nn.Conv2d(config.inner_channels, config.latent_channels, 1)
        self.post_quant_conv = nn.Conv2d(config.latent_channels, config.inner_channels, 1)

    @property
    def is_variational(self) -> bool:
        return False

    @property
    def codebook_size(self) -> int:
        return self.config.num_vq_embeddings

    def codes(self, z: Tensor) -> Tensor:
        """Which entry of the codebook stands for each latent pixel: latents (N, C, h, w) to indices (N, h, w)."""
        return self.quantize.codes(self._latents(z))

    def settled(self, z: Tensor) -> Tensor:
        return self.quantize(z.to(self.device)).to(z.device, z.dtype)

    def _encode(self, x: Tensor) -> DiagonalGaussian:
        z = self.quant_conv(self.encoder(x))
        point = self.quantize(z)
        if not torch.is_grad_enabled() or is_graphed():
            return DiagonalGaussian.point(point)
        posterior = DiagonalGaussian.point(_straight_through(z, point))
        learns, commits = ((a.float() - b.float()).square() for a, b in ((point, z.detach()), (z, point.detach())))
        posterior.codebook_loss = (learns + COMMITMENT * commits).flatten(1).sum(1)
        return posterior

    def _decode(self, z: Tensor) -> Tensor:
        point = self.quantize(z)
        z = _straight_through(z, point) if torch.is_grad_enabled() and not is_graphed() else point
        return self.decoder(self.post_quant_conv(z), *([z] if self.config.norm_type == "spatial" else []))


def codebook_use(counts: Tensor) -> dict[str, float]:
    """How a codebook is used, of how often each entry was (a 1-d tensor, not all zero).

    codebook_usage: the share of the entries that were used at all; codebook_perplexity: exp of the entropy in nats of
    how often each was, which is how many entries would carry as much if all were used equally.
    """
    shares = counts.double() / counts.sum()
    entropy = -(shares * shares.clamp_min(1e-300).log()).sum()
    return {"codebook_usage": (counts > 0).double().mean().item(), "codebook_perplexity": entropy.exp().item()}


def _straight_through(z: Tensor, point: Tensor) -> Tensor:
    """The point, with z's gradient."""
    return z + (point - z).detach()
