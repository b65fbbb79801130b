"""Batches computed by threads, of which each reads, computes and saves by itself."""

import threading
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import vae
from vae import images, latents
from vae.computing import computed, shared_threads
from vae.data.size_batches import size_batches
from vae.errors import InputError
from vae.evaluation.reconstruct_files import reconstruct_files
from vae.latents.encoding import encode_set
from vae.tiling import SHARED

MODEL = SimpleNamespace(device=torch.device("cpu"), config=SimpleNamespace(floats_per_pixel=1))


@pytest.fixture
def two_threads(thread_count):
    thread_count(2)


def all_of(compute, batches, pixels=lambda batch: 1):
    with shared_threads(MODEL) as threads:
        return list(computed(MODEL, compute, batches, pixels, threads))


def test_two_batches_at_a_time_each_by_one_thread_in_their_order(two_threads):
    met = threading.Barrier(2)

    def compute(batch):
        met.wait(60)  # two at a time, or nobody comes
        return batch, torch.get_num_threads()

    assert all_of(compute, range(6)) == [(batch, 1) for batch in range(6)]
    assert torch.get_num_threads() == 2


def test_what_is_large_all_threads_compute_together(two_threads):
    def compute(batch):
        return batch, torch.get_num_threads(), threading.current_thread() is threading.main_thread()

    found = all_of(compute, range(4), lambda batch: SHARED + 1 if batch == 2 else 1)
    assert found == [(0, 1, False), (1, 1, False), (2, 2, True), (3, 1, False)]


def test_an_error_ends_the_work(two_threads):
    begun = []

    def compute(batch):
        begun.append(batch)
        if batch == 1:
            raise InputError("batch 1")

    with pytest.raises(InputError, match="batch 1"):
        all_of(compute, range(1000))
    assert len(begun) < 20


def test_a_single_thread_computes_by_itself(thread_count):
    thread_count(1)
    with shared_threads(MODEL) as threads:
        assert threads is None
    assert all_of(lambda batch: threading.current_thread(), [0]) == [threading.current_thread()]


def test_threads_that_read_beside_other_work_give_the_same_batches(two_threads):
    sides = [8, 12, 8, 8, 5, 12, 8, 12, 8] * 20

    def read(i):
        if i % 7 == 3:
            raise InputError(f"{i} is damaged.")
        return np.full((1, sides[i], sides[i]), i, np.uint8), None

    def gathered(threads):
        refused = {}
        found = size_batches(range(len(sides)), read, lambda *size: 4, refused, threads=threads)
        return [(batch.numbers, batch.pixels[:, 0, 0, 0].tolist()) for batch in found], sorted(refused)

    with shared_threads(MODEL) as threads:
        assert gathered(threads) == gathered(None)


def test_latents_and_reconstructions_are_those_of_one_thread(thread_count, tmp_path):
    data = vae.load_data("digits", "all", 32, 1, 2, limit_bytes=0)
    model = vae.load("mnist-vae", device="cpu")
    paths = [tmp_path / f"{i}.png" for i in range(70)]
    for i, path in enumerate(paths):
        images.to_image(torch.from_numpy(data.read(i).copy())).save(path)
    stored, figures, pixels = [], [], []
    for count in (1, 2):
        thread_count(count)
        saved = {}
        assert encode_set(model, data, tmp_path / f"latents-{count}", "mnist-vae", shard_size=700)
        stored.append(latents.open(tmp_path / f"latents-{count}").stack("mean"))
        rows = list(reconstruct_files(model, paths, saved.__setitem__, {}))
        assert [row.number for row in rows] == list(range(70))
        figures.append([row.psnr for row in rows])
        pixels.append(np.stack([np.asarray(saved[i], int) for i in range(70)]))
    torch.testing.assert_close(*stored, atol=1e-5, rtol=1e-4)
    assert figures[0] == pytest.approx(figures[1], abs=1e-2) and abs(pixels[0] - pixels[1]).max() <= 1
