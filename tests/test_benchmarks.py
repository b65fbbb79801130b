"""The benchmarks' machinery, in their quick mode; the figures mean nothing here."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[1]


def quick(name: str) -> dict:
    command = [sys.executable, str(REPO / "benchmarks" / name), "--quick", "--json"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_time_to_quality():
    report = quick("train_mnist.py")
    assert report["ours"]["epochs"] == 4 and report["plain"]["epochs"] == 2
    assert report["images_ratio"]["plain"] > 0 and 0 < report["ours"]["outside_share"] < 1
    assert report["target"] == report["plain"]["val_loss"]
    if "time_ratio" in report:
        spent = report["ours"]["seconds_to_target"]
        assert report["time_ratio"] == pytest.approx(report["plain"]["seconds_to_target"] / spent)


def test_the_large_network_beside_diffusers():
    pytest.importorskip("diffusers")
    report = quick("train_kl.py")
    assert report["ours"]["parameters"] == report["diffusers"]["parameters"]
    assert report["ours"]["peak_mib"] > 0 and report["ratio"] > 0


def test_tiles():
    command = [sys.executable, str(REPO / "benchmarks" / "tiles.py"), "--model", "mnist-vae", "--sizes", "32", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    (row,) = json.loads(done.stdout)
    assert row["size"] == 32 and row["encode"]["seconds_per_megapixel"] > 0 and row["decode"]["cpu_per_megapixel"] > 0
