import threading
from dataclasses import replace

import pytest
import torch

import vae
from vae.training import thread_trials
from vae.training.presets import preset
from vae.training.thread_trials import FIRST, ThreadTrials


class Machine:
    """What work takes on it with so many threads; its own clock."""

    def __init__(self, monkeypatch, seconds: dict[int, float]):
        self.seconds, self.now = seconds, 0.0
        monkeypatch.setattr(thread_trials.time, "perf_counter", lambda: self.now)
        self.work_done = 0

    def work(self) -> None:
        self.now += self.seconds[torch.get_num_threads()]
        self.work_done += 1

    def train(self, trials: ThreadTrials, seconds: float) -> None:
        end = trials.trained + seconds
        while trials.trained < end:
            trials(self.seconds[torch.get_num_threads()])


@pytest.fixture(autouse=True)
def four_threads(thread_count):
    thread_count(4)


def test_alone_on_the_machine_all_threads_are_kept(monkeypatch):
    machine = Machine(monkeypatch, {1: 0.04, 2: 0.03, 4: 0.02})
    trials = ThreadTrials(machine.work)
    machine.train(trials, FIRST - 0.5)
    assert machine.work_done == 0, "nothing is tried in a short training"
    machine.train(trials, 30.0)
    assert machine.work_done > 0 and torch.get_num_threads() == 4
    assert machine.now <= 30.0 * thread_trials.SHARE + 1.0


def test_beside_others_fewer_do_and_afterwards_all_again(monkeypatch):
    machine = Machine(monkeypatch, {1: 0.04, 2: 0.03, 4: 0.02})
    trials = ThreadTrials(machine.work)
    machine.train(trials, FIRST + 1.0)
    machine.seconds = {1: 0.04, 2: 0.08, 4: 0.2}
    machine.train(trials, 20.0)
    assert torch.get_num_threads() == 1
    machine.seconds = {1: 0.04, 2: 0.03, 4: 0.02}
    machine.train(trials, 30.0)
    assert torch.get_num_threads() == 4


def test_long_updates_are_not_tried(monkeypatch):
    machine = Machine(monkeypatch, {1: 2.0, 2: 3.0, 4: 4.0})
    trials = ThreadTrials(machine.work)
    machine.train(trials, 60.0)
    assert machine.work_done == 0 and torch.get_num_threads() == 4


def trained(tmp_path, name: str, **changes):
    config = replace(preset("mnist-vae", data="digits", batch_size=8), **{"epochs": 1, "steps": 6, **changes})
    run = vae.fit(config, tmp_path / name, device="cpu")
    return vae.load(run.model_folder(), device="cpu").state_dict()


def test_a_trial_changes_nothing_in_a_training_and_the_number_comes_back(tmp_path, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    usual = trained(tmp_path, "usual")
    tried = []

    class Always(ThreadTrials):
        def __call__(self, seconds: float) -> None:
            self.work()
            tried.append(threading.get_ident())

    monkeypatch.setattr(thread_trials, "ThreadTrials", Always)
    found = trained(tmp_path, "tried")
    assert len(tried) == 6
    assert all(torch.equal(usual[name], found[name]) for name in usual)
    assert torch.get_num_threads() == 4


def test_the_environment_chooses(tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "4")
    with thread_trials.thread_trials(lambda: None, torch.device("cpu"), 1) as after_update:
        assert not isinstance(after_update, ThreadTrials)


@pytest.mark.parametrize(("device", "processes"), [("cuda", 1), ("mps", 1), ("cpu", 2)])
def test_a_gpu_and_several_processes_keep_their_threads(monkeypatch, device, processes):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    with thread_trials.thread_trials(lambda: None, torch.device(device), processes) as after_update:
        assert not isinstance(after_update, ThreadTrials)
    with thread_trials.thread_trials(lambda: None, torch.device("cpu"), 1) as after_update:
        assert isinstance(after_update, ThreadTrials)
