"""A fitted prior: a map of noise onto latents, and which of a model's priors to use."""

from dataclasses import dataclass, field

from torch import Tensor

from vae.errors import InputError
from vae.latents.priors.diffusion import Diffusion
from vae.latents.priors.flow import Flow
from vae.latents.priors.gaussian import Gaussian, Mixture
from vae.latents.priors.standardizer import Standardizer
from vae.models import AutoEncoder

QUICK = ("gaussian", "mixture", "flow")  # to fit
KINDS = (*QUICK, "diffusion")
TITLES = {
    "normal": "N(0, I)",
    "gaussian": "Gaussian fitted to the encoded training pictures",
    "mixture": "mixture of Gaussians fitted to the encoded training pictures",
    "flow": "learned map of N(0, I) onto the encoded training pictures",
    "diffusion": "diffusion model of the encoded training pictures",
}


class Unfitted(InputError):
    """A prior that might be fitted to the model, but is not, or not to these weights."""


@dataclass(frozen=True)
class Prior:
    """A map of noise onto latents. core: it, in the standardised space of the latent dimensions in use; see Frame.

    facts: {data, images, seed, seconds}, what it was fitted to.
    """

    kind: str
    shape: tuple[int, int, int]
    frame: Standardizer
    core: Gaussian | Mixture | Flow | Diffusion
    facts: dict = field(default_factory=dict)

    @property
    def title(self) -> str:
        return TITLES[self.kind]

    @property
    def invertible(self) -> bool:
        """Whether there is an `inverse`, and so a way between latents through the space of the noise."""
        return hasattr(self.core, "inverse")

    def __call__(self, noise: Tensor, temperature: float = 1.0) -> Tensor:
        """Latents (n, C, h, w) for noise of that shape, drawn from N(0, I): a function of it and of nothing else.

        temperature scales the spread: of the noise, or for the mixture that of each component, which is still chosen
        as at 1. Raises InputError for another latent size than the prior was fitted at.
        """
        flat = self._flat(noise)
        return self.frame.place(temperature * flat, self.core(flat[:, self.frame.used], temperature)).view(noise.shape)

    def inverse(self, z: Tensor) -> Tensor:
        """The noise (n, C, h, w) that this maps to the latents z. Raises InputError for a mixture and for a diffusion,
        which have none."""
        if not self.invertible:
            raise InputError(f"There is no way back through a {self.kind}; the gaussian and the flow have one.")
        noise = self.frame.standardise(self._flat(z))
        noise[:, self.frame.used] = self.core.inverse(noise[:, self.frame.used])
        return noise.view(z.shape)

    def _flat(self, x: Tensor) -> Tensor:
        if x.shape[1:] != self.shape:
            raise InputError(
                f"The {self.kind} prior was fitted to latents of {list(self.shape)} and gives no others, "
                f"such as {list(x.shape[1:])}."
            )
        return x.detach().float().cpu().flatten(1)


def of(model: AutoEncoder, name: str) -> Prior:
    """The model's fitted prior of that name. Raises Unfitted, which says how to get one, if it has none, and InputError
    if there is none of that name."""
    if name in model.fitted_priors:
        return model.fitted_priors[name]
    if name in KINDS and model.refused_priors:
        raise Unfitted(model.refused_priors)
    if name in KINDS:
        raise Unfitted(
            f"This model has no {name} prior yet; fit it with "
            f"`python -m vae fit-prior MODEL --data DATA --prior {name}`, or use {', '.join(model.priors)}."
        )
    raise InputError(f"This model has no prior {name!r}; it has {', '.join(model.priors)}.")


def best(model: AutoEncoder) -> str:
    """The name of the prior that comes nearest to the latents of pictures, of those that the model has."""
    return next((kind for kind in reversed(KINDS) if kind in model.fitted_priors), "normal")


def for_paths(model: AutoEncoder) -> Prior | None:
    """The prior through whose space to go from one latent to another: the best the model has that can be inverted;
    None if it has none. Raises Unfitted if there are some that were refused."""
    if model.refused_priors:
        raise Unfitted(model.refused_priors)
    return next((model.fitted_priors[kind] for kind in ("flow", "gaussian") if kind in model.fitted_priors), None)
