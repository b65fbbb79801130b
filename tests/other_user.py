"""Another user, without a passwd entry and without HOME: how to run Python as one."""

import functools
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[1]
UID = 43_210
_TRIED = "import pwd, torch, vae.errors\ntry: pwd.getpwuid({})\nexcept KeyError: print('nobody')"


@functools.cache
def interpreter() -> tuple[str, dict]:
    """A Python that the other user can run with this one's packages and this repository, and its environment.

    Skips the test where there is none: we are not root, or what it needs lies in a folder that only root may enter.
    """
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        pytest.skip("only root can run something as another user")
    environment = {
        "PATH": os.defpath,
        "PYTHONPATH": os.pathsep.join([str(REPO), sysconfig.get_path("purelib")]),
        "PYTHONDONTWRITEBYTECODE": "1",
        "OMP_NUM_THREADS": "1",
        "GRADIO_ANALYTICS_ENABLED": "False",
    }
    system = shutil.which(f"python{sys.version_info.major}.{sys.version_info.minor}", path="/usr/bin:/usr/local/bin")
    for python in filter(None, (sys.executable, system)):
        try:
            done = subprocess.run([python, "-c", _TRIED.format(UID)], **as_user(environment, cwd="/"), timeout=120)
        except OSError:
            continue
        if done.returncode == 0 and done.stdout.strip() == "nobody":
            return python, environment
    pytest.skip("the other user can run no Python here that has our packages")


def as_user(environment: dict, **options) -> dict:
    """Options of subprocess.run and Popen."""
    return {
        "user": UID,
        "group": UID,
        "extra_groups": [],
        "env": environment,
        "stdin": subprocess.DEVNULL,
        "stdout": subprocess.PIPE,
        "stderr": subprocess.PIPE,
        "text": True,
    } | options
