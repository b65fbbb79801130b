"""What needs Ray says so where there is none. What it does with Ray is in tests/ui/test_ray.py."""

import sys

import pytest

pytest.importorskip("gradio")

from vae.cli.serve import serve
from vae.errors import InputError
from vae.ui.serving.remote import RemoteModels


@pytest.fixture(autouse=True)
def without_ray(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    names = (
        "AUTH_MODE",
        "USAGE_STATS_ENABLED",
        "worker_niceness",
        "ENABLE_AUTO_CONNECT",
        "ENABLE_WINDOWS_OR_OSX_CLUSTER",
    )
    for name in (f"RAY_{name}" for name in names):
        monkeypatch.setenv(name, "1")  # put back afterwards


@pytest.mark.parametrize("needs_it", [serve, RemoteModels])
def test_one_sentence_says_what_to_install(needs_it):
    with pytest.raises(InputError, match=r"needs the library Ray: pip install 'ray\[serve\]'\.$"):
        needs_it()
