"""Where the disk says no: each command says so in one sentence, exits with code 2, and leaves nothing."""

import contextlib
import errno
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import torch
from other_user import REPO, as_user, interpreter
from PIL import Image

from vae.checkpoints import store
from vae.checkpoints.store import save
from vae.cli import main
from vae.errors import InputError
from vae.files import check_writable, disk_error, writing
from vae.models import build
from vae.models.autoencoder_kl import KLConfig

# What each command would write, and where. DISK is the disk that refuses; MODEL lies on another, THERE on this one.
COMMANDS = {
    "reconstruct a file": "reconstruct MODEL PICTURE -o DISK/out.png",
    "reconstruct a folder": "reconstruct MODEL PICTURE PICTURE -o DISK/out",
    "sample": "sample MODEL -n 4 -o DISK/grid.png",
    "interpolate to gif": "interpolate MODEL 1 2 --steps 3 -o DISK/morph.gif",
    "interpolate to mp4": "interpolate MODEL 1 2 --steps 3 -o DISK/morph.mp4",
    "train": "train --data digits --epochs 1 --run DISK/runs/one",
    "evaluate": "evaluate MODEL --data digits --generation",
    "statistics": "statistics THERE --data digits",
    "fit-prior": "fit-prior THERE --data digits --prior gaussian",
    "export": "export MODEL DISK/exported",
    "push": "push MODEL someone/something",
}


@pytest.fixture(scope="module")
def place():
    """A folder that every user may enter, which pytest's are not, with a model and an image in it."""
    folder = Path(tempfile.mkdtemp(prefix="disk-"))
    folder.chmod(0o755)
    torch.manual_seed(0)
    channels = {"in_channels": 1, "out_channels": 1, "block_out_channels": (8, 16), "norm_num_groups": 4}
    save(build(KLConfig(sample_size=16, fixed_size=False, **channels)), folder / "model")
    Image.linear_gradient("L").resize((28, 28)).save(folder / "picture.png")
    Image.effect_noise((256, 256), 64).save(folder / "large.png")
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def mounted(place):
    """A small disk with a model on it."""
    folder = place / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m,mode=1777", "tmpfs", str(folder)]
    if not shutil.which("mount") or subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("mounting a small disk takes root's rights")
    try:
        shutil.copytree(place / "model", folder / "model")
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.fixture
def small_disk(mounted, monkeypatch):
    """The small disk, filled up to so many bytes; caches and temporary files lie on it too."""

    def fill(room: int) -> Path:
        filler = mounted / "filler"
        with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while file.write(bytes(4096)):
                pass
        os.truncate(filler, filler.stat().st_size - room)
        assert shutil.disk_usage(mounted).free == room
        return mounted

    monkeypatch.setenv("HOME", str(mounted))
    monkeypatch.setattr(tempfile, "tempdir", str(mounted))
    yield fill
    (mounted / "filler").unlink()


@pytest.fixture
def vae(monkeypatch, capsys):
    """Runs a command in this process: (exit code, stdout, stderr)."""

    def run(arguments):
        monkeypatch.setattr(sys, "argv", ["vae", *arguments])
        with pytest.raises(SystemExit) as caught:
            main.main()
            raise SystemExit(0)
        captured = capsys.readouterr()
        return caught.value.code or 0, captured.out, captured.err

    return run


def filled_in(command: str, place: Path, disk: Path) -> list[str]:
    words = {"MODEL": place / "model", "THERE": disk / "model", "PICTURE": place / "picture.png"}
    return [str(words.get(word, word.replace("DISK", str(disk)))) for word in command.split()]


def check_refused(code: int, out: str, err: str, reason: str) -> None:
    """One sentence says why, after what a training says when it begins."""
    *begun, last = err.splitlines()
    assert code == 2 and out == "" and last.startswith("Error: ") and reason in last, err
    assert not begun or (len(begun) == 1 and begun[0].startswith("Run ")), err


def contents(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


AS_OTHER_USER = """
import contextlib, io, json, os, sys, tempfile
from vae import user_folders
from vae.cli import main

commands, disk, found = json.loads(sys.argv[1]), sys.argv[2], {}
for name, arguments in commands.items():
    if name in ("push", "evaluate"):  # what they write goes into temporary folders and caches
        tempfile.tempdir = disk
    if name == "evaluate":
        os.environ["HOME"] = disk
        user_folders.own_temporary.cache_clear()
    sys.argv = ["vae", *arguments]
    out, err, code = io.StringIO(), io.StringIO(), 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main.main()
        except SystemExit as ended:
            code = ended.code
    found[name] = code, out.getvalue(), err.getvalue()
print(json.dumps(found))
"""


def test_in_a_folder_of_somebody_elses(place):
    """All commands in one process of the other user's, since each alone would import torch anew."""
    python, environment = interpreter()
    disk = place / "theirs"
    shutil.copytree(place / "model", disk / "model")
    before = contents(disk)
    commands = {name: filled_in(command, place, disk) for name, command in COMMANDS.items()}
    commands["evaluate"] = commands.pop("evaluate")  # the last: it leaves no home to the others
    command = [python, "-c", AS_OTHER_USER, json.dumps(commands), str(disk)]
    done = subprocess.run(command, **as_user(environment, cwd=REPO), timeout=300)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert list(found) == list(commands)
    for code, out, err in found.values():
        check_refused(code, out, err, "Permission denied")
    assert contents(disk) == before


@pytest.mark.parametrize("name", COMMANDS)
def test_on_a_full_disk_nothing_is_computed_in_vain(vae, place, small_disk, monkeypatch, name):
    def load(*_, **__):
        raise AssertionError("loaded a model before asking whether the result can be written")

    monkeypatch.setattr(store, "load", load)
    disk = small_disk(room=0)
    before = contents(disk)
    check_refused(*vae(filled_in(COMMANDS[name], place, disk)), "No space left on device")
    assert contents(disk) == before


@pytest.mark.parametrize(
    "command",
    [
        "reconstruct MODEL LARGE -o DISK/out.png",
        "reconstruct MODEL LARGE LARGE -o DISK/out",
        "sample MODEL -n 1000 -o DISK/grid.png",
        "interpolate MODEL 1 2 --steps 500 -o DISK/morph.gif",
        "interpolate MODEL 1 2 --steps 300 --scale 8 -o DISK/morph.mp4",
        "train --data digits --epochs 1 --run DISK/runs/one --device cpu",
        "statistics THERE --data digits",
        "fit-prior THERE --data digits --prior gaussian",
        "export MODEL DISK/exported",
        "push MODEL someone/something",
    ],
)
def test_on_a_disk_that_fills_up_nothing_half_written_stays(vae, place, small_disk, command):
    disk = small_disk(room=20_480)
    before = contents(disk)
    command = command.replace("LARGE", str(place / "large.png"))
    check_refused(*vae(filled_in(command, place, disk)), "No space left on device")
    for path in disk.iterdir():
        if path.is_dir() and not any(path.iterdir()):  # a folder for results that is empty does no harm
            path.rmdir()
    assert contents(disk) == before


def test_on_a_read_only_disk_even_root_is_refused(vae, place, mounted):
    subprocess.run(["mount", "-o", "remount,ro", str(mounted)], check=True)
    try:
        for name in ("reconstruct a folder", "sample", "train", "statistics", "export"):
            check_refused(*vae(filled_in(COMMANDS[name], place, mounted)), "Read-only file system")
    finally:
        subprocess.run(["mount", "-o", "remount,rw", str(mounted)], check=True)


def test_figures_that_nobody_can_keep(place):
    command = [sys.executable, "-m", "vae", "info", str(place / "model"), "--device", "cpu"]
    if not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full here")
    with open("/dev/full", "wb") as full:  # noqa: PTH123
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, cwd=REPO)
    check_refused(done.returncode, "", done.stderr, "The output cannot be written: No space left on device")


def test_outputs_that_are_no_place_for_a_file(vae, place, tmp_path):
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "file").write_text("")
    model, picture = str(place / "model"), str(place / "picture.png")
    check_refused(*vae(["sample", model, "-o", str(tmp_path / "folder.png")]), "is a folder; give a file")
    check_refused(*vae(["export", model, str(tmp_path / "file")]), "is a file; give a folder")
    check_refused(*vae(["reconstruct", model, picture, "-o", str(tmp_path / "file")]), "is a file; give a folder")
    check_refused(*vae(["export", model, str(tmp_path / "file" / "in")]), "cannot be written: Not a directory")
    assert contents(tmp_path) == ["file", "folder.png"]


def test_asking_leaves_no_trace(tmp_path):
    check_writable(tmp_path / "new" / "folder")
    check_writable(tmp_path / "file.png")
    assert contents(tmp_path) == []


def test_only_the_disks_errors_are_taken_for_such():
    with pytest.raises(InputError, match="'out' cannot be written: No space left on device"), writing(Path("out")):
        raise RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)")
    with pytest.raises(RuntimeError, match="shapes"), writing(Path("out")):
        raise RuntimeError("shapes do not fit")
    assert disk_error(OSError(errno.EROFS, os.strerror(errno.EROFS))) == "Read-only file system"
