import os
import subprocess
import sys

import pytest

BEGINNINGS = {"the page": "import vae.ui", "the command line": "from vae.cli.main import main; main()"}


@pytest.mark.parametrize("beginning", BEGINNINGS)
@pytest.mark.parametrize(("given", "wanted"), [({}, "PASSIVE"), ({"OMP_WAIT_POLICY": "ACTIVE"}, "ACTIVE")])
def test_threads_wait_asleep_before_torch_could_make_them(beginning, given, wanted):
    end = (
        "import atexit, os, sys; atexit.register(lambda: print(os.environ['OMP_WAIT_POLICY'], 'torch' in sys.modules))"
    )
    command = [sys.executable, "-c", f"{end}; {BEGINNINGS[beginning]}", "--help"]
    environment = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"} | given
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.stdout.splitlines()[-1] == f"{wanted} False", done.stderr
