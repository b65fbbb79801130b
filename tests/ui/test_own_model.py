"""README's "Your own": the script trains a network of one's own, and command line and app show it by --plugin."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

gr = pytest.importorskip("gradio")
from gradio_client import Client, handle_file  # noqa: E402
from PIL import Image  # noqa: E402
from waiting import until  # noqa: E402

from vae.cli import main  # noqa: E402
from vae.errors import InputError  # noqa: E402
from vae.models import FAMILIES, REGISTERED  # noqa: E402
from vae.plugins import import_plugin  # noqa: E402
from vae.training.runs import Run  # noqa: E402

REPO = Path(__file__).parents[2]
SCRIPT = REPO / "examples" / "your_own.py"


@pytest.fixture(scope="module")
def rings(tmp_path_factory):
    """What the script leaves in an empty folder: runs/rings."""
    place = tmp_path_factory.mktemp("own")
    environment = os.environ | {"PYTHONPATH": str(REPO), "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run([sys.executable, SCRIPT], cwd=place, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return place / "runs" / "rings"


@pytest.fixture(autouse=True)
def as_before(monkeypatch):
    """What is registered and imported in a test is forgotten after it."""
    families, registered = dict(FAMILIES), dict(REGISTERED)
    modules = set(sys.modules)
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield
    for known, before in ((FAMILIES, families), (REGISTERED, registered)):
        known.clear()
        known.update(before)
    for name in set(sys.modules) - modules:
        if name.partition(".")[0] in ("examples", "mine"):
            del sys.modules[name]


@pytest.fixture
def command(monkeypatch, capsys):
    """Runs the command line in the repository: (exit code, stdout, stderr)."""
    monkeypatch.chdir(REPO)

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["vae", *map(str, arguments)])
        with pytest.raises(SystemExit) as caught:
            main.main()
            raise SystemExit(0)
        said = capsys.readouterr()
        return caught.value.code or 0, said.out, said.err

    return run


def test_the_script_is_short_and_learns(rings):
    assert len(SCRIPT.read_text().splitlines()) < 40
    epochs = [line for line in Run(rings).metrics() if line["kind"] == "epoch"]
    assert epochs[-1]["val_loss"] < 0.5 * epochs[0]["val_loss"] and epochs[-1]["val_worst"] > 0


def test_the_command_line_knows_it_by_its_plugin_alone(rings, command, tmp_path):
    code, out, err = command("info", rings, "--json")
    assert code == 2 and out == "" and '"RingVAE"' in err and "--plugin" in err and err.count("\n") == 1
    code, out, err = command("info", rings, "--json", "--plugin", "examples.your_own")
    facts = json.loads(out)
    assert (code, facts["family"], facts["latent_shape"], facts["image_size"]) == (0, "RingVAE", [3, 1, 1], 16)
    grid = tmp_path / "grid.png"
    assert command("sample", rings, "-n", 4, "-o", grid, "--device", "cpu", "--plugin", "examples.your_own")[0] == 0
    assert Image.open(grid).size[0] >= 32
    train = ("train", "--preset", "RingVAE", "--data", "digits", "--epochs", 1, "--device", "cpu", "--json")
    code, out, err = command(*train, "--run-dir", tmp_path / "run", "--plugin", "examples.your_own")
    assert code == 0 and json.loads(out)["state"] == "finished", err
    assert Run(tmp_path / "run").config()["model"]["_class_name"] == "RingVAE"
    code, out, err = command(*train, "--run-dir", tmp_path / "run", "--resume", "--epochs", 2)
    assert code == 0 and json.loads(out)["epoch"] == 2


def test_the_app_opens_it_and_trains_its_like(rings, monkeypatch):
    from vae.ui.app import create_app

    monkeypatch.chdir(REPO)
    for name, value in (("MODEL", rings), ("RUNS_DIR", rings.parent), ("PLUGIN", "examples.your_own")):
        monkeypatch.setenv(f"VAE_{name}", str(value))
    monkeypatch.setenv("GRADIO_ANALYTICS_ENABLED", "False")
    demo = create_app()
    _, url, _ = demo.launch(prevent_thread_lock=True, quiet=True, server_name="127.0.0.1")
    try:
        client = Client(url, verbose=False)
        facts = next(model for model in client.predict(api_name="/models") if model["name"] == "rings")
        assert facts["family"] == "RingVAE" and facts["latent_shape"] == [3, 1, 1]
        picture = handle_file(str(min((rings / "previews").iterdir())))
        path, found = client.predict(image=picture, model="rings", api_name="/reconstruct")
        assert Image.open(path).size == (16, 16) and found["psnr"] > 5
        path, _ = client.predict(model="rings", n=4, seed=0, api_name="/sample")
        assert len(set(Image.open(path).convert("L").tobytes())) > 10
        started = client.predict(preset="RingVAE", data="digits", epochs=1, api_name="/train_start")
        run = Run(rings.parent / started["run"])
        until(lambda: not run.active())
        assert run.state()["state"] == "finished" and run.config()["model"]["_class_name"] == "RingVAE"
    finally:
        demo.close(verbose=False)


@pytest.mark.parametrize(
    ("text", "name", "sentence"),
    [
        (None, "nobody.at_home", "There is no plugin 'nobody.at_home'"),
        (None, "../mine", r"There is no plugin '\.\./mine'"),
        ("1 / 0", "mine", "The plugin 'mine' cannot be imported: ZeroDivisionError: division by zero"),
        ("import nobody_at_home", "mine", "cannot be imported: ModuleNotFoundError: No module named 'nobody_at_home'"),
        (
            "import vae\nclass M(vae.AutoEncoder): ...\nvae.register('ConvVAE', M, vae.ModelConfig)",
            "mine",
            "The plugin 'mine' cannot be imported: There is already a family 'ConvVAE'",
        ),
    ],
)
def test_a_plugin_that_cannot_be_imported_is_one_sentence(tmp_path, monkeypatch, command, text, name, sentence):
    monkeypatch.chdir(tmp_path)
    if text is not None:
        (tmp_path / "mine.py").write_text(text)
    with pytest.raises(InputError, match=sentence):
        import_plugin(name)
    code, out, err = command("train", "--run-dir", tmp_path / "run", "--plugin", name)
    assert (code, out, err.count("\n")) == (2, "", 1) and "plugin" in err and not (tmp_path / "run").exists()


def test_a_plugin_in_the_environment_is_refused_as_well(monkeypatch, tmp_path):
    from vae.ui.app import create_app

    monkeypatch.setenv("VAE_PLUGIN", "nobody_at_home")
    monkeypatch.setenv("VAE_RUNS_DIR", str(tmp_path))
    with pytest.raises(InputError, match="There is no plugin 'nobody_at_home'"):
        create_app()
