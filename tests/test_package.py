"""The package as it is installed: built from what the repository holds, and used where the repository is not."""

import ast
import json
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

import vae
from vae.checkpoints.find_model import bundled

REPO = Path(__file__).resolve().parents[1]
SCRIPT = """\
from pathlib import Path

from PIL import Image
from torch import Tensor

import vae

model = vae.load("mnist-vae", device="cpu")
x: Tensor = vae.sample(model, 2, seed=0)
posterior = model.encode(x)
z: Tensor = posterior.sample()
x_hat: Tensor = model.decode(z)
way: Tensor = vae.interpolate(z[0], z[1], steps=4, mode="lerp")
rebuilt: Image.Image = vae.reconstruct(model, Image.new("L", (28, 28))).image
run: vae.Run = vae.fit(vae.PRESETS["mnist-vae"])
rows: list[dict] = run.metrics()
vae.register("Mine", vae.AutoEncoder, vae.ModelConfig)
own: vae.Run = vae.fit(vae.TrainConfig(), model=model, train_set=[x], objective=print, callbacks=[vae.Callback()])
folder: Path = vae.save(model, "here")
version: str = vae.__version__
reveal_type(model)
reveal_type(posterior)
reveal_type(x_hat)
reveal_type(vae.Run("here").metrics())
"""
WRONG = """\
import vae

model = vae.load("mnist-vae", divice="cpu")
vae.sample(model, "sixty-four")
vae.fit(7)
vae.laod("mnist-vae")
"""
# Of other packages only what the types of ours are made of: all that torch imports takes half a minute.
SETTINGS = """\
[mypy]
follow_imports = skip
[mypy-vae,vae.*,PIL.*,torch,torch._C,torch._tensor,torch.nn,torch.nn.modules,torch.nn.modules.module,torch.utils,\
torch.utils._contextlib,torch.autograd,torch.autograd.grad_mode,torch.utils.data,torch.utils.data.dataset]
follow_imports = silent
"""


def run(*command, **options):
    """A command's output; where it fails, the failure shows what it said."""
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """(sdist, wheel made from it), built outside the repository, with what the app and Python leave lying about."""
    place = tmp_path_factory.mktemp("build")
    source = place / "source"
    for folder in ("vae", "checkpoints", "tests"):
        shutil.copytree(REPO / folder, source / folder, ignore=shutil.ignore_patterns("__pycache__", "*.pyi"))
    for file in ("app.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(REPO / file, source)
    (source / "vae" / "ui" / "components.pyi").write_text("from gradio.events import Dependency\n")
    (source / "vae" / "__pycache__").mkdir()
    (source / "vae" / "__pycache__" / "old.pyc").write_bytes(b"")
    build = "import sys, setuptools.build_meta as build; build.build_sdist(sys.argv[1])"
    run(sys.executable, "-c", build, place, cwd=source)
    sdist = next(place.glob("*.tar.gz"))
    options = ("--quiet", "--no-deps", "--no-build-isolation", "--disable-pip-version-check")
    run(sys.executable, "-m", "pip", "wheel", *options, "-w", place, sdist)
    return sdist, next(place.glob("*.whl"))


@pytest.fixture(scope="module")
def installed(built, tmp_path_factory):
    """Runs a command with the installed package, and not the repository, on the path, in an empty folder."""
    target, elsewhere = tmp_path_factory.mktemp("site"), tmp_path_factory.mktemp("elsewhere")
    options = ("--quiet", "--no-deps", "--no-index", "--disable-pip-version-check")
    run(sys.executable, "-m", "pip", "install", *options, "--target", target, built[1])
    environment = {k: v for k, v in os.environ.items() if not k.startswith("VAE_")} | {"PYTHONPATH": str(target)}

    def use(*command):
        return run(*command, cwd=elsewhere, env=environment)

    use.target = target
    return use


def test_wheel_and_sdist_hold_what_is_needed_and_no_more(built):
    sdist, wheel = built
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    static = [p.relative_to(REPO).as_posix() for p in (REPO / "vae" / "ui" / "static").rglob("*") if p.is_file()]
    models = [
        f"vae/checkpoints/bundled/{path.relative_to(REPO / 'checkpoints').as_posix()}"
        for path in (REPO / "checkpoints").rglob("*")
        if path.is_file()
    ]
    modules = [p.relative_to(REPO).as_posix() for p in (REPO / "vae").rglob("*.py")]
    assert {*static, *models, *modules, "vae/py.typed"} <= names
    assert not [name for name in names if name.endswith((".pyc", ".pyi")) or name.startswith(("tests", "checkpoints"))]
    assert wheel.stat().st_size < 60e6 and sdist.stat().st_size < 60e6
    with tarfile.open(sdist) as archive:
        inside = [name.partition("/")[2] for name in archive.getnames()]
    assert "pyproject.toml" in inside and "checkpoints/mnist-vae/model.safetensors" in inside
    assert not [name for name in inside if name.endswith((".pyc", ".pyi"))]


def test_the_installed_package_works_where_the_repository_is_not(installed):
    code = (
        "import json, vae; from vae.ui.app import create_app\n"
        "create_app()\n"  # which reads styles, scripts and example images
        "model = vae.load('mnist-vae', device='cpu')\n"
        "print(json.dumps([vae.__file__, vae.__version__, model.parameter_count, sorted(vae.bundled())]))"
    )
    place, version, parameters, names = json.loads(installed(sys.executable, "-c", code))
    assert Path(place).is_relative_to(installed.target)
    assert (version, parameters, names) == (vae.__version__, 53_037, sorted(bundled()))
    code = "from importlib.metadata import version; print(version('vae-studio'))"
    assert installed(sys.executable, "-c", code).strip() == vae.__version__


def test_the_console_script(installed):
    script = installed.target / "bin" / "vae-studio"
    assert "reconstruct" in installed(sys.executable, script, "--help")
    facts = json.loads(installed(sys.executable, script, "info", "mnist-vae-large", "--device", "cpu", "--json"))
    assert facts["priors"] == ["normal", "gaussian", "mixture", "flow"]
    assert "--port" in installed(sys.executable, script, "app", "--help")


def test_names_are_listed_and_cost_nothing_until_used():
    heavy = "{'torch', 'numpy', 'PIL', 'gradio'}"
    code = f"import sys, vae; print(sorted({heavy} & set(sys.modules)), dir(vae) == vae.__all__)"
    assert run(sys.executable, "-c", code, cwd=REPO).split() == ["[]", "True"]
    assert all(getattr(vae, name) is not None for name in vae.__all__)
    with pytest.raises(AttributeError, match="no attribute 'laod'"):
        vae.laod  # noqa: B018


def test_the_names_for_type_checkers_are_the_names_there_are():
    tree = ast.parse(Path(vae.__file__).read_text(encoding="utf-8"))
    block = next(node for node in tree.body if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test))
    typed = {alias.asname: node.module for node in block.body for alias in node.names}
    assert typed == {name: f"vae.{module}" for name, module in vae._HOME.items()}


def test_public_names_have_their_types(tmp_path, request):
    pytest.importorskip("mypy")
    (tmp_path / "script.py").write_text(SCRIPT)
    (tmp_path / "wrong.py").write_text(WRONG)
    (tmp_path / "mypy.ini").write_text(SETTINGS)
    cache = request.config.cache.mkdir("mypy")
    command = [sys.executable, "-m", "mypy", "--cache-dir", cache, "script.py", "wrong.py"]
    environment = os.environ | {"MYPYPATH": str(REPO)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    lines = done.stdout.splitlines()
    types = [line.partition("Revealed type is ")[2].strip('"') for line in lines if "Revealed" in line]
    assert types == [
        "vae.models.base.AutoEncoder",
        "vae.distributions.DiagonalGaussian",
        "torch._tensor.Tensor",
        "list[dict[Any, Any]]",
    ], done.stdout + done.stderr
    errors = [line for line in lines if ": error: " in line]
    assert [line.split(":")[1] for line in errors if line.startswith("wrong.py")] == ["3", "4", "5", "6"], done.stdout
    assert not [line for line in errors if line.startswith("script.py")]
