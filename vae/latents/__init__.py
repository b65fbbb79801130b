"""Working with latents: scaling, interpolation, statistics, projections, priors."""

from vae.latents.scaling import scale, unscale

__all__ = ["scale", "unscale"]
