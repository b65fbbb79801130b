"""Working with latents: scaling, directions and neighbours, interpolation, statistics, projections, priors."""

from vae.latents.directions import attribute_vector, class_means, nearest
from vae.latents.scaling import scale, unscale

__all__ = ["attribute_vector", "class_means", "nearest", "scale", "unscale"]
