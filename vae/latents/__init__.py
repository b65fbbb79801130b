"""Working with latents: scaling, directions and neighbours, interpolation, statistics, projections, priors, and the
latents of whole data sets as files."""

from vae.latents.directions import attribute_vector, class_means, nearest
from vae.latents.latent_set import LatentSet, open
from vae.latents.scaling import scale, unscale

__all__ = ["LatentSet", "attribute_vector", "class_means", "nearest", "open", "scale", "unscale"]
