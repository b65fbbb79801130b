"""The approximate posterior q(z|x): a Gaussian with a diagonal covariance."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from vae.checks import as_tensor
from vae.errors import InputError


class DiagonalGaussian:
    """q(z|x) = N(mean, diag(exp(logvar))), one for each image of a batch (Kingma & Welling 2014, arXiv:1312.6114).

    mean and logvar have the latent's shape (N, C, h, w). They are kept in float32 whatever the network computed in,
    since exp(logvar) and the KL lose too much in bfloat16; logvar is clamped to [-30, 20].
    """

    def __init__(self, mean: Tensor, logvar: Tensor):
        self.mean = mean.float()
        self.logvar = logvar.float().clamp(-30.0, 20.0)
        self.is_point = False
        self.codebook_loss: Tensor | None = None  # (N,), where the model has a codebook to train: see VQModel

    @classmethod
    def from_moments(cls, moments: Tensor) -> "DiagonalGaussian":
        """From an encoder's output (N, 2C, h, w): the first half of the channels is the mean, the second logvar."""
        return cls(*moments.chunk(2, dim=1))

    @classmethod
    def point(cls, mean: Tensor) -> "DiagonalGaussian":
        """All mass on `mean`: what a plain auto-encoder yields. std is 0, logvar -inf, kl() is defined as 0."""
        posterior = cls(mean, torch.zeros_like(mean))
        posterior.logvar = torch.full_like(posterior.mean, -torch.inf)
        posterior.is_point = True
        return posterior

    @classmethod
    def from_parameters(cls, parameters: Sequence[Tensor]) -> "DiagonalGaussian":
        """The inverse of `parameters`."""
        return cls.point(*parameters) if len(parameters) == 1 else cls(*parameters)

    @classmethod
    def cat(cls, posteriors: Sequence["DiagonalGaussian"]) -> "DiagonalGaussian":
        """One batch of several, in order; all of one kind, as one model gives them."""
        return cls.from_parameters(
            [torch.cat(parts) for parts in zip(*(p.parameters for p in posteriors), strict=True)]
        )

    @property
    def parameters(self) -> tuple[Tensor, ...]:
        """The tensors it consists of: mean and logvar, or the mean alone where all mass is on it."""
        return (self.mean,) if self.is_point else (self.mean, self.logvar)

    def map(self, function: Callable[[Tensor], Tensor]) -> "DiagonalGaussian":
        """The posterior whose parameters are function(parameter) of each."""
        return type(self).from_parameters([function(parameter) for parameter in self.parameters])

    def to(self, *args, **kwargs) -> "DiagonalGaussian":
        """On another device, as Tensor.to has it."""
        return self.map(lambda parameter: parameter.to(*args, **kwargs))

    def split(self, size: int) -> list["DiagonalGaussian"]:
        """In batches of at most `size`; the inverse of `cat`."""
        parts = zip(*(parameter.split(size) for parameter in self.parameters), strict=True)
        return [type(self).from_parameters(part) for part in parts]

    def __len__(self) -> int:
        return len(self.mean)

    @property
    def std(self) -> Tensor:
        return torch.exp(0.5 * self.logvar)

    @property
    def var(self) -> Tensor:
        return torch.exp(self.logvar)

    def sample(self, generator: torch.Generator | None = None, noise: Tensor | None = None) -> Tensor:
        """z = mean + std * noise, differentiable in both moments (the reparameterization trick).

        noise ~ N(0, I) has the mean's shape; drawn here unless given. With a generator it is drawn on the
        generator's own device, so that one CPU generator gives the same z whatever the model runs on.
        Raises InputError for noise of another shape and a generator that is none, such as a seed.
        """
        if generator is not None and not isinstance(generator, torch.Generator):
            raise InputError(
                f"The generator is a torch.Generator, such as torch.Generator().manual_seed(0), not {generator!r}."
            )
        if noise is not None:
            noise = as_tensor("The noise", noise)
            if noise.shape != self.mean.shape:
                raise InputError(f"The noise has the latent's shape {list(self.mean.shape)}, not {list(noise.shape)}.")
        if self.is_point:
            return self.mean
        if noise is None:
            where = generator.device if generator is not None else self.mean.device
            noise = torch.randn(self.mean.shape, generator=generator, device=where)
        return self.mean + self.std * noise.to(self.mean.device)

    def mode(self) -> Tensor:
        """The most probable latent, which for a Gaussian is the mean."""
        return self.mean

    def kl_map(self) -> Tensor:
        """KL(q || N(0, I)) of each latent dimension in nats, shape (N, C, h, w), never negative."""
        if self.is_point:
            return torch.zeros_like(self.mean)
        return 0.5 * (self.mean.square() + self.var - 1.0 - self.logvar)

    def kl(self) -> Tensor:
        """KL(q || N(0, I)) of each image in nats: summed over the latent dimensions, shape (N,)."""
        return self.kl_map().flatten(1).sum(1)
