"""`python -m vae train`, run in this process."""

import json
import os
import signal
import sys

import pytest
import torch
from tiny_runs import dots

import vae
from vae.cli import main
from vae.cli.train import _introduction
from vae.training.config import TrainConfig
from vae.training.loop import Trainer
from vae.training.presets import PRESETS
from vae.training.runs import Run
from vae.training.schedule import learning_rate
from vae.training.setting import settings_of


@pytest.fixture
def train(monkeypatch, capsys):
    """Runs the command: (exit code, stdout, stderr)."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["vae", "train", "--device", "cpu", "--json", *map(str, arguments)])
        with pytest.raises(SystemExit) as caught:
            main.main()
            raise SystemExit(0)
        captured = capsys.readouterr()
        return caught.value.code or 0, captured.out, captured.err

    yield run
    torch.set_num_threads(before)


def test_a_run_goes_on_with_the_same_command_and_refuses_another(train, tmp_path):
    command = ("--data", "digits", "--batch-size", 512, "--seed", 3, "--run-dir", tmp_path / "run")
    code, out, err = train(*command, "--epochs", 1)
    assert code == 0, err
    assert json.loads(out)["state"] == "finished"
    said = err.splitlines()  # where nobody sees a bar
    assert len(said) == 2 and said[0].startswith(f"Run {tmp_path / 'run'}: 1,437 training images, 360 for validation")
    assert said[1].startswith("epoch 1/1, step 2: loss ")
    code, out, err = train(*command, "--epochs", 2)
    assert code == 2 and out == "" and "exists already; resume it, or give another name" in err
    code, out, err = train(*command, "--epochs", 2, "--resume")
    assert code == 0 and json.loads(out)["epoch"] == 2
    code, out, err = train(*command, "--epochs", 3, "--beta", 4, "--resume")
    assert code == 2 and "has beta 1.0" in err and "leave out --beta" in err and err.count("\n") == 1
    code, out, err = train("--preset", "mnist-ae", "--run", tmp_path / "run", "--resume")
    assert code == 2 and "has preset mnist-vae" in err
    code, out, err = train("--run", tmp_path / "rum", "--resume")
    assert code == 2 and f"no run '{tmp_path / 'rum'}' to resume; the nearest name there is 'run'" in err
    assert "--run-dir names" in train("--resume")[2] and [f.name for f in tmp_path.iterdir()] == ["run"]
    code, out, err = train("--run", tmp_path / "run", "--resume")  # its own settings, and nothing left to do
    assert code == 0 and json.loads(out)["epoch"] == 2


def test_a_run_may_lie_in_the_home_folder(train, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    code, out, err = train("--batch-size", 512, "--epochs", 1, "--no-flip", "--run-dir", "~/run")
    assert code == 0, err
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert json.loads(out)["run"] == str(tmp_path / "run") and config["batch_size"] == 512 and config["flip"] is False


def test_steps_and_learning_rate_may_change_and_the_schedule_is_that_of_the_new_length(train, tmp_path):
    command = ("--batch-size", 512, "--run-dir", tmp_path / "run")
    code, out, err = train(*command, "--steps", 3, "--learning-rate", 0.004)
    assert code == 0 and json.loads(out)["step"] == 3 and "epoch 2/2, step 3" in err  # the second is cut short
    code, out, err = train(*command, "--steps", 7, "--learning-rate", 0.002, "--resume")
    assert code == 0 and json.loads(out)["step"] == 7, err
    run = Run(tmp_path / "run")
    rates = {line["step"]: line["learning_rate"] for line in run.metrics() if line["kind"] == "step"}
    old, new = (TrainConfig(learning_rate=peak) for peak in (0.004, 0.002))
    assert [rates[s] for s in (1, 2, 3)] == [learning_rate(old, s - 1, 3) for s in (1, 2, 3)]
    assert [rates[s] for s in (4, 5, 6, 7)] == [learning_rate(new, s - 1, 7) for s in (4, 5, 6, 7)]
    code, out, err = train(*command, "--epochs", 4, "--resume")  # epochs alone take the steps' place
    assert code == 0 and json.loads(out)["step"] == 8 and run.config()["steps"] == 0
    code, out, err = train(*command, "--epochs", 5, "--steps", 9, "--resume")
    assert code == 2 and "in epochs or in steps" in err


@pytest.mark.parametrize("signal_", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_the_run_with_an_exit_code_of_its_own(train, tmp_path, monkeypatch, signal_):
    update = Trainer.update

    def interrupted(self):
        update(self)
        if self.step == 3:
            os.kill(os.getpid(), signal_)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "update", interrupted)
        code, out, _ = train("--batch-size", 512, "--epochs", 3, "--run-dir", tmp_path / "run")
    assert code == 128 + signal_ and json.loads(out)["state"] == "stopped"
    code, out, _ = train("--run-dir", tmp_path / "run", "--resume")
    assert code == 0 and json.loads(out)["state"] == "finished" and json.loads(out)["epoch"] == 3


@pytest.mark.parametrize(
    "files",
    [
        ("config.json", "model.safetensors"),
        ("config.json", "state.json"),
        ("state.json",),
        ("a.txt",),
        ("checkpoints/step-1.ckpt",),  # another trainer's
        ("previews/a.png",),
    ],
)
@pytest.mark.parametrize("more", [(), ("--resume",)])
def test_a_folder_of_something_else_is_refused_and_keeps_every_byte(train, tmp_path, files, more):
    folder = tmp_path / "model"
    folder.mkdir()
    for name in files:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text('{"_class_name": "AutoencoderKL"}')
    code, _, err = train("--epochs", 1, "--run-dir", folder, *more)
    assert code == 2 and f"is no run and not empty (it holds {files[0].split('/')[0]})" in err and err.count("\n") == 1
    left = [f for f in folder.rglob("*") if f.is_file()]
    assert sorted(f.relative_to(folder).as_posix() for f in left) == sorted(files)
    assert all(f.read_text() == '{"_class_name": "AutoencoderKL"}' for f in left)


def test_a_run_goes_on_from_another_current_folder_and_names_what_it_skips(train, tmp_path, monkeypatch):
    dots(tmp_path / "dots")
    (tmp_path / "dots" / "broken.png").write_bytes(b"no image")
    monkeypatch.chdir(tmp_path)
    command = ("--data", "dots", "--batch-size", 8, "--run-dir", "run")
    code, out, err = train(*command, "--epochs", 1)
    assert code == 0 and json.loads(out)["skipped"] == 1, err
    assert "1 image could not be read and was left out: broken.png." in err.splitlines()
    code, out, err = train(*command, "--epochs", 2, "--resume")  # the same words mean the same data
    assert code == 0, err
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    code, out, err = train("--run-dir", "../run", "--epochs", 3, "--resume")
    assert code == 0 and json.loads(out)["epoch"] == 3, err
    monkeypatch.setenv("VAE_RUNS_DIR", str(tmp_path))
    code, _, err = train("--run-dir", "rum", "--epochs", 4, "--resume")
    assert code == 2 and f"the nearest name in '{tmp_path}' is 'run'" in err


def test_accelerates_launcher_on_the_cpu_is_told_from_two_processes(train, tmp_path, monkeypatch):
    for name, value in {"ACCELERATE_MIXED_PRECISION": "no", "MASTER_ADDR": "127.0.0.1"}.items():
        monkeypatch.setenv(name, value)
    code, _, err = train("--epochs", 1, "--run-dir", tmp_path / "run")
    assert code == 2 and "has started one" in err and "torchrun --nproc_per_node 2" in err
    assert list(tmp_path.iterdir()) == []


def test_any_size_and_shape(train, tmp_path):
    network = ("--size", 8, "--in-channels", 1, "--widths", "8,16", "--layers", 1, "--latent-channels", 3)
    command = ("--preset", "sd-small", "--data", "digits", *network, "--crop", "random", "--gradient-checkpointing")
    command += ("--batch-size", "auto", "--run-dir", tmp_path / "run")
    code, out, err = train(*command, "--epochs", 1)
    assert code == 0, err
    found = vae.load(tmp_path / "run", device="cpu")
    assert found.latent_shape() == (3, 4, 4) and found.config.block_out_channels == (8, 16) and found.in_channels == 1
    assert json.loads((tmp_path / "run" / "config.json").read_text())["batch_size"] == 256
    code, out, err = train(*command, "--epochs", 2, "--resume")
    assert code == 0 and json.loads(out)["epoch"] == 2, err


def test_every_setting_is_an_option_with_its_sentence(train, monkeypatch):
    monkeypatch.setenv("COLUMNS", "400")
    out = train("--help")[1]
    for name, known in settings_of(TrainConfig).items():
        assert f"--{name.replace('_', '-')} " in out and known.description in out
    assert all(name in out for name in PRESETS)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--data", "nonsense"), "There is no data set 'nonsense'"),
        (("--epochs", -3), "epochs must be a whole number from 1"),
        (("--learning-rate", 1e9), "learning_rate must be a number"),
        (("--schedule", "steps"), "schedule must be one of one-cycle, constant, not 'steps'"),
        (("--size", 100), "size 100 is not a multiple of 8, which is what this network reduces an image by"),
        (("--layers", 2), "layers is for the sd presets"),
        (("--batch-size", "many"), "batch_size must be a whole number from 1 to 65536, or auto, not 'many'"),
        (("--gradient-checkpointing",), "a ConvVAE has none"),
        (("--init", "mnist-vae", "--widths", "8,16"), "leave out widths"),
        (("--in-channels", 4), "have 1 channel, and the model takes 4; only grey"),
        (("--preset", "vgg"), "no preset 'vgg'"),
        (("--log-with", "nonsense"), "not known or not installed"),
    ],
)
def test_bad_input_is_one_sentence_and_leaves_nothing_behind(train, tmp_path, arguments, words):
    code, out, err = train(*arguments, "--run", tmp_path / "run")
    assert code == 2 and out == "" and words in err and err.count("\n") == 1 and "Traceback" not in err
    assert list(tmp_path.iterdir()) == []


def test_where_a_tracker_writes_is_said(train, tmp_path):
    assert train("--batch-size", 512, "--epochs", 1, "--no-map-and-priors", "--run-dir", tmp_path / "run")[0] == 0
    run = Run(tmp_path / "run")
    assert _introduction(run, "tensorboard")[-1] == f"Logs go to {run.folder / 'vae-studio'}."
    assert _introduction(run, "wandb")[-1] == "Logs go to wandb." and len(_introduction(run, None)) == 1
