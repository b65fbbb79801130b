"""Shared fixtures."""

import os
from pathlib import Path

import pytest

# Tests compare bits, which change with the number of threads, and that with what else the machine does.
os.environ.setdefault("OMP_NUM_THREADS", str(os.cpu_count() or 1))

REPO = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder with MNIST, dogs, Kodak: VAE_DATA_DIR, or ../shared/data beside the checkout."""
    folder = Path(os.environ.get("VAE_DATA_DIR") or REPO.parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(f"no data sets in {folder}: set VAE_DATA_DIR")
    return folder


@pytest.fixture
def thread_count():
    """Call it with the number of threads that this one shares its operations among, until the test ends."""
    import torch

    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@pytest.fixture
def no_tf32():
    """A GPU computes products in float32 as such. (pytest's monkeypatch cannot put these two settings back.)"""
    import torch

    owners = torch.backends.cudnn, torch.backends.cuda.matmul
    before = [owner.allow_tf32 for owner in owners]
    for owner in owners:
        owner.allow_tf32 = False
    yield
    for owner, allowed in zip(owners, before, strict=True):
        owner.allow_tf32 = allowed
