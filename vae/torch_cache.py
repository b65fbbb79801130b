"""Weights of other people's networks, downloaded once into torch's own cache, where other programs find them too."""

from pathlib import Path

import torch

from vae.errors import InputError

INCEPTION = (
    "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/weights-inception-2015-12-05-6726825d.pth"
)


def path_of(url: str) -> Path:
    """Where the file at `url` is kept."""
    return Path(torch.hub.get_dir()) / "checkpoints" / url.rpartition("/")[2]


def fetch_weights(url: str, hash_prefix: str, needed: str, instead: str) -> Path:
    """The file at `url` in torch's cache, downloaded if it is not there, whole or not at all.

    hash_prefix: what the file's SHA-256 begins with. needed, instead: how the sentence begins and ends that says that
    it cannot be had, which is raised as an InputError.
    """
    path = path_of(url)
    if path.is_file():
        return path
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(url, str(path), hash_prefix=hash_prefix)
    except (OSError, RuntimeError) as error:  # no network, no room, another file than was asked for
        raise InputError(
            f"{needed}, and they cannot be downloaded from {url}; put that file in {path.parent}, or {instead}."
        ) from error
    return path
