import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from vae.models import fused_residual

CASES = Path(__file__).with_name("interpreted_kernels.py")


def test_the_kernels_compute_what_pytorchs_modules_do():
    pytest.importorskip("triton", reason="Triton, which writes the GPU kernels, is not installed")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(CASES)]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"TRITON_INTERPRET": "1"})
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]


def test_a_cpu_does_without_them():
    lined = torch.randn(2, 8, 4, 4, requires_grad=True).contiguous(memory_format=torch.channels_last)
    assert not fused_residual.is_faster(lined)
