"""`python -m vae train`, run in this process."""

import json
import sys

import pytest
import torch

import vae
from vae.cli import main
from vae.training.config import TrainConfig
from vae.training.presets import PRESETS
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
    assert json.loads(out)["state"] == "finished" and err == ""
    code, out, err = train(*command, "--epochs", 2)
    assert code == 2 and out == "" and "exists already; resume it, or give another name" in err
    code, out, err = train(*command, "--epochs", 2, "--resume")
    assert code == 0 and json.loads(out)["epoch"] == 2
    code, out, err = train(*command, "--epochs", 3, "--beta", 4, "--resume")
    assert code == 2 and "has beta 1.0" in err and "leave out --beta" in err and err.count("\n") == 1
    code, out, err = train("--preset", "mnist-ae", "--run", tmp_path / "run", "--resume")
    assert code == 2 and "has preset mnist-vae" in err
    code, out, err = train("--run", tmp_path / "run", "--resume")  # its own settings, and nothing left to do
    assert code == 0 and json.loads(out)["epoch"] == 2


def test_a_run_may_lie_in_the_home_folder(train, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    code, out, err = train("--batch-size", 512, "--epochs", 1, "--no-flip", "--run-dir", "~/run")
    assert code == 0, err
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert json.loads(out)["run"] == str(tmp_path / "run") and config["batch_size"] == 512 and config["flip"] is False


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
        (("--in-channels", 4), "not transparent anywhere, so they have 1 channel, not 4"),
        (("--preset", "vgg"), "no preset 'vgg'"),
        (("--log-with", "nonsense"), "not known or not installed"),
    ],
)
def test_bad_input_is_one_sentence_and_leaves_nothing_behind(train, tmp_path, arguments, words):
    code, out, err = train(*arguments, "--run", tmp_path / "run")
    assert code == 2 and out == "" and words in err and err.count("\n") == 1 and "Traceback" not in err
    assert list(tmp_path.iterdir()) == []
