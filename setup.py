"""Which packages there are; pyproject.toml, where all else is, can either have them found or name them, not both."""

from setuptools import find_packages, setup

# The bundled models lie at the root of the repository, and inside the package once it is installed.
BUNDLED = "vae.checkpoints.bundled"

setup(packages=[*find_packages(include=["vae", "vae.*"]), BUNDLED], package_dir={BUNDLED: "checkpoints"})
