"""What the environment tells the app: read at its start, and refused there in one sentence."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("gradio")

from vae.errors import InputError
from vae.ui import settings
from vae.ui.settings import Settings

REPO = Path(__file__).parents[2]
NAMES = ("VAE_MODEL", "VAE_RUNS_DIR", "VAE_DATA_DIR", "VAE_TRAINING", "VAE_MAX_TRAIN_MINUTES", "SPACE_ID")

PUBLIC = (
    "VAE_MCP",
    "VAE_PLUGIN",
    "VAE_SERVE",
    "VAE_MAX_RUNS_GB",
    "VAE_PUBLIC",
    "VAE_HOST",
    "VAE_SERVER_NAMES",
    "VAE_VISITORS_PER_ADDRESS",
    "GRADIO_SERVER_NAME",
    "GRADIO_SHARE",
)


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch):
    for name in (*NAMES, *PUBLIC, "SPACES_ZERO_GPU"):
        monkeypatch.delenv(name, raising=False)


def test_plugins_are_one_or_several(monkeypatch):
    monkeypatch.setenv("VAE_PLUGIN", "my_package.models, other")
    assert Settings.from_environment().plugins == ("my_package.models", "other")


def test_of_nothing_set_come_the_defaults(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert Settings.from_environment() == Settings(None, tmp_path / "runs", True, None)


def test_what_is_set_is_taken(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    values = ("org/name", "~/mine", str(tmp_path), "OFF", "2.5", "org/space")
    for name, value in zip(NAMES, values, strict=True):
        monkeypatch.setenv(name, value)
    on_a_space = {"public": True, "host": False, "space": True}
    assert Settings.from_environment() == Settings("org/name", tmp_path / "mine", False, 2.5, **on_a_space)


def test_who_uses_the_server(monkeypatch):
    said = {"on": True, "OFF": False, "auto": None, "": None}
    for word, public in said.items():
        monkeypatch.setenv("VAE_PUBLIC", word)
        assert Settings.from_environment().public is public
    monkeypatch.setenv("VAE_HOST", "off")
    monkeypatch.setenv("VAE_SERVER_NAMES", "Studio.example.org, other.example.org")
    monkeypatch.setenv("VAE_VISITORS_PER_ADDRESS", "30")
    monkeypatch.setenv("GRADIO_SERVER_NAME", "0.0.0.0")
    monkeypatch.setenv("GRADIO_SHARE", "True")
    found = Settings.from_environment()
    assert (
        found.visitors_per_address == 30
        and not found.host
        and found.names == ("studio.example.org", "other.example.org")
    )
    assert found.server_name == "0.0.0.0" and found.share


def test_which_tools_agents_are_offered(monkeypatch):
    said = {"": None, "on": settings.TOOLS, "off": (), "sample, models": ("sample", "models")}
    for text, tools in said.items():
        monkeypatch.setenv("VAE_MCP", text)
        assert Settings.from_environment().mcp == tools


def test_where_no_thread_keeps_a_device_training_is_off_unless_asked_for(monkeypatch):
    monkeypatch.setenv("SPACES_ZERO_GPU", "1")
    assert not Settings.from_environment().training
    monkeypatch.setenv("VAE_TRAINING", "on")
    assert Settings.from_environment().training


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("VAE_MAX_TRAIN_MINUTES", bad) for bad in ("soon", "0", "-1", "nan", "inf")),
        *(("VAE_TRAINING", bad) for bad in ("maybe", "1")),
        *(("VAE_PUBLIC", bad) for bad in ("maybe", "1")),
        ("VAE_HOST", "maybe"),
        ("VAE_MCP", "paint"),
        ("VAE_SERVE", "nginx"),
        ("VAE_MAX_RUNS_GB", "0"),
        *(("VAE_VISITORS_PER_ADDRESS", bad) for bad in ("0", "-2", "many")),
        *(("VAE_SERVER_NAMES", bad) for bad in ("http://studio.example.org", "*")),
        ("VAE_RUNS_DIR", __file__),
        *(("VAE_DATA_DIR", bad) for bad in (__file__, "/none/such")),
    ],
)
def test_what_cannot_be_is_refused_by_name(monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    with pytest.raises(InputError, match=f"^{name} must be .*{re.escape(value)}"):
        Settings.from_environment()


def test_the_app_does_not_start_with_what_cannot_be():
    environment = os.environ | {"VAE_TRAINING": "maybe"}
    done = subprocess.run([sys.executable, "app.py"], cwd=REPO, env=environment, capture_output=True, text=True)
    assert done.returncode == 2 and done.stderr == "Error: VAE_TRAINING must be on or off, not 'maybe'.\n"


def test_nothing_else_of_the_page_reads_the_environment():
    page = (REPO / "vae" / "ui").rglob("*.py")
    readers = {path.name for path in page if re.search(r"\benviron\b|\bgetenv\b", path.read_text("utf-8"))}
    readers.discard("__init__.py")  # sets where Gradio keeps its files, before Gradio looks
    assert readers == {"settings.py"}
