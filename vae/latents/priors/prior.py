"""A fitted prior: a map of noise onto latents, and which of a model's priors to use."""

from dataclasses import dataclass, field, replace

from torch import Tensor

from vae.errors import InputError
from vae.latents.priors.diffusion import Diffusion
from vae.latents.priors.flow import Flow
from vae.latents.priors.gaussian import Gaussian, Mixture
from vae.latents.priors.standardizer import Standardizer
from vae.models import AutoEncoder

QUICK = ("gaussian", "mixture", "flow")  # to fit
KINDS = (*QUICK, "diffusion")
INVERTIBLE = ("flow", "gaussian")  # the better one first
WITH_CLASSES = ("mixture", "diffusion")  # that can draw one class alone
TITLES = {
    "normal": "N(0, I)",
    "gaussian": "Gaussian fitted to the encoded training pictures",
    "mixture": "mixture of Gaussians fitted to the encoded training pictures",
    "flow": "learned map of N(0, I) onto the encoded training pictures",
    "diffusion": "diffusion model of the encoded training pictures",
}


class PriorNotFitted(InputError):
    """A prior that might be fitted to the model, but is not, or not to these weights.

    prior: its name. fact: what is wrong, without what to do about it: the command line and the page, which know what
    the model is called there, word that themselves.
    """

    def __init__(self, prior: str, fact: str):
        super().__init__(f"{fact} Fit it with `python -m vae fit-prior MODEL --data DATA --prior {prior}`.")
        self.prior, self.fact = prior, fact

    def __reduce__(self) -> tuple:  # what it was made of, not the sentence alone
        return type(self), (self.prior, self.fact)


@dataclass(frozen=True)
class Prior:
    """A map of noise onto latents. core: it, in the standardised space of the latent dimensions in use; see Frame.

    facts: {data, images, seed, seconds}, what it was fitted to. classes: their names, where it can draw one alone.
    """

    kind: str
    shape: tuple[int, int, int]
    frame: Standardizer
    core: Gaussian | Mixture | Flow | Diffusion
    facts: dict = field(default_factory=dict)
    classes: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        return TITLES[self.kind]

    @property
    def invertible(self) -> bool:
        """Whether there is an `inverse`, and so a way between latents through the space of the noise."""
        return hasattr(self.core, "inverse")

    @property
    def steps(self) -> int | None:
        """How many steps a draw takes, where that can be chosen: of a diffusion."""
        return self.core.steps if isinstance(self.core, Diffusion) else None

    def in_steps(self, steps: int | None) -> "Prior":
        """The same prior, which draws in so many steps; itself for None. Raises InputError for a prior that takes no
        number of steps, and for one outside 1 to 64."""
        if steps is None:
            return self
        if not isinstance(self.core, Diffusion):
            raise InputError(_without_steps(self.kind))
        return replace(self, core=self.core.in_steps(steps))

    def class_index(self, label: str | int) -> int:
        """The place among `classes` of the one of that name or, if none is called so, in that place. Raises InputError
        for one that there is not."""
        name = str(label)
        index = self.classes.index(name) if name in self.classes else int(name) if name.isdecimal() else -1
        if not 0 <= index < len(self.classes):
            shown = ", ".join(self.classes[:20]) + (", …" if len(self.classes) > 20 else "")
            raise InputError(f"This model's prior has no class {name[:40]!r}; it has {shown}.")
        return index

    def __call__(self, noise: Tensor, temperature: float = 1.0, label: int | None = None) -> Tensor:
        """Latents (n, C, h, w) for noise of that shape, drawn from N(0, I): a function of it and of nothing else.

        temperature scales the spread: of the noise, or for the mixture that of each component, which is still chosen
        as at 1. label: an index among `classes`, to draw that one alone. Raises InputError for another latent size than
        the prior was fitted at.
        """
        flat = self._flat(noise)
        used = flat[:, self.frame.used]
        drawn = self.core(used, temperature) if label is None else self.core.of_class(used, temperature, label)
        return self.frame.place(temperature * flat, drawn).view(noise.shape)

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
    """The model's fitted prior of that name. Raises PriorNotFitted if it has none, and InputError if there is none of
    that name."""
    if isinstance(name, str) and name in model.fitted_priors:
        return model.fitted_priors[name]
    if name not in KINDS:
        raise InputError(f"This model has no prior {str(name)[:40]!r}; it has {', '.join(model.priors)}.")
    fact = f"This model has no {name} prior yet; it has {', '.join(model.priors)}."
    raise PriorNotFitted(name, model.refused_priors or fact)


def chosen(
    model: AutoEncoder, name: str, label: str | int | None = None, steps: int | None = None
) -> tuple[Prior | None, int | None]:
    """The model's prior of that name, None for "normal", in so many steps, and the label as `class_index` gives it.

    N(0, I) has no classes: with a label, "normal" is the prior that has. Raises InputError as `of`, `class_index` and
    `in_steps` do, and for a prior without classes.
    """
    if label is None and name == "normal":
        if steps is not None:
            raise InputError(_without_steps(name))
        return None, None
    if label is None:
        return of(model, name).in_steps(steps), None
    with_classes = [kind for kind in reversed(model.fitted_priors) if model.fitted_priors[kind].classes]
    if not with_classes:
        fact = "To draw one class, the model needs a mixture or a diffusion fitted to labelled images, and it has none."
        raise PriorNotFitted("mixture", model.refused_priors or fact)
    prior = of(model, with_classes[0] if name == "normal" else name)
    if not prior.classes:
        raise InputError(f"The {name} prior draws all classes; those of one come from {' or '.join(with_classes)}.")
    return prior.in_steps(steps), prior.class_index(label)


def best(model: AutoEncoder) -> str:
    """The name of the prior that comes nearest to the latents of images, of those that the model has."""
    return next((kind for kind in reversed(KINDS) if kind in model.fitted_priors), "normal")


def for_paths(model: AutoEncoder, drawn: bool = False) -> Prior:
    """The prior through whose space to go from one latent to another: the best the model has that can be inverted.

    drawn: whether the ends are drawn from it, which also a diffusion can do; then their noise is known, and it is the
    best of all. Raises PriorNotFitted if there is none.
    """
    kinds = ("diffusion", *INVERTIBLE) if drawn else INVERTIBLE
    found = next((model.fitted_priors[kind] for kind in kinds if kind in model.fitted_priors), None)
    if found is None:
        raise PriorNotFitted(INVERTIBLE[0], no_path(model))
    return found


def no_path(model: AutoEncoder) -> str:
    """Why `for_paths` has no prior to give."""
    if model.refused_priors:
        return model.refused_priors
    if "diffusion" in model.fitted_priors:
        return "The diffusion prior leads between its own draws only: from an image there is no way back to its noise."
    return "To interpolate through a prior, the model needs one that can be inverted, and it has none."


def can_pass(model: AutoEncoder, drawn: bool = False) -> bool:
    """Whether `for_paths` has a prior to give."""
    return any(kind in model.fitted_priors for kind in (*INVERTIBLE, *(["diffusion"] if drawn else [])))


def _without_steps(name: str) -> str:
    return f"The {name} prior takes no number of steps; the diffusion prior does."
