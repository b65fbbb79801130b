"""The benchmarks' machinery, in their quick mode; the figures mean nothing here."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[1]


def quick(name: str, *options: str) -> dict:
    command = [sys.executable, str(REPO / "benchmarks" / name), *(options or ("--quick", "--json"))]
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
    assert report["ours"]["peak_mib"] > 0 and report["ratios"]["diffusers"] > 0


def test_tiles():
    (row,) = quick("tiles.py", "--model", "mnist-vae", "--sizes", "32", "--json")
    assert row["size"] == 32 and row["encode"]["seconds_per_megapixel"] > 0 and row["decode"]["cpu_per_megapixel"] > 0


def test_variants_of_a_training_on_a_gpu():
    command = [sys.executable, str(REPO / "benchmarks" / "variants.py"), "--quick"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=os.environ)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(rows) > 5 and all(row["images_per_second"] > 0 for row in rows)


def test_a_folder_of_images():
    report = quick("folder.py")
    assert report["model"]["of_the_model"] == 1.0 and report["folder"]["of_the_model"] > 0


def test_reading():
    report = quick("reading.py")
    assert report["folder"]["per_core_second"] > 0 and 0 < report["training"]["waits"] < 1


def test_a_folder_encoded():
    report = quick("encode.py")
    assert report["alone"] > 0 and report["encode"] > 0 and report["ratio"] > 0
    assert report["bound"] == pytest.approx(report["cpu_model"] / (report["cpu_model"] + report["cpu_reading"]))
    assert 0 < report["bound"] < 1


def test_cores_that_are_shared():
    report = quick("shared_cpu.py", "--quick", "--json", "--works", "sample")
    for found in report["sample"].values():
        assert min(found["one"], found["all"], found["ours"], found["of_the_better"]) > 0


def test_how_time_and_memory_grow():
    report = quick("scale.py", "--quick", "--json", "--only", "batch", "lines")
    for found in report.values():
        first, second = found["rows"]
        assert second["amount"] > first["amount"] and min(first["seconds"], second["seconds"], first["mib"]) > 0
        assert "time_exponent" in second


def test_what_a_visitor_waits_for():
    pytest.importorskip("gradio_client")
    pytest.importorskip("playwright")
    report = quick("page.py")
    assert 50 < report["first_page_kb"] < 450 and report["first_result_seconds"] > 0
    assert report["hover_pictures"] >= 4 and report["hover_to_picture_ms"] > 0 and report["scrub_frames_per_second"] > 0


def test_watchers_of_a_training():
    pytest.importorskip("gradio_client")
    report = quick("watchers.py", "--quick")
    assert report["viewers"] == 2 and report["first_view_bytes"] > 0 and report["asks_per_second"] > 0


def test_many_visitors_at_once():
    pytest.importorskip("gradio_client")
    report = quick("load.py", "--quick")
    assert report["calls"] > 0 and report["mix_ups"] == report["errors"] == 0, report["first_error"]
    assert report["training"]["state"] == "running" and report["memory_mb"]["end"] > 0


def test_the_page_beside_a_training():
    pytest.importorskip("gradio_client")
    report = quick("beside_training.py", "--quick")
    assert report["images_per_second"] > 0
    assert report["ratio"] == pytest.approx(report["training_ms"] / report["idle_ms"], abs=0.02)
