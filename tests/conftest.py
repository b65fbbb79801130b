"""Shared fixtures."""

import os
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder with MNIST, dogs, Kodak: VAE_DATA_DIR, or ../shared/data beside the checkout."""
    folder = Path(os.environ.get("VAE_DATA_DIR") or REPO.parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(f"no data sets in {folder}: set VAE_DATA_DIR")
    return folder
