"""The app as a user without a home in a checkout that is not theirs, as containers run it."""

import os
import re
import shutil
import subprocess
import tempfile
import time
import urllib.request
from pathlib import Path

import pytest
from other_user import REPO, UID, as_user, interpreter
from waiting import end, free_port

pytest.importorskip("gradio")
client = pytest.importorskip("gradio_client")

EXAMPLE = REPO / "vae" / "ui" / "static" / "examples" / "digit-3.png"


@pytest.fixture(scope="module")
def temporary():
    """A folder for temporary files as /tmp is, where another user's app has been first."""
    folder = Path(tempfile.mkdtemp(prefix="shared-tmp-", dir="/tmp"))
    folder.chmod(0o1777)
    (folder / "gradio").mkdir()
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def app(temporary, tmp_path_factory):
    """The address of an app in a read-only checkout, and what it has printed so far."""
    python, environment = interpreter()
    port = free_port()
    environment = environment | {"GRADIO_SERVER_PORT": str(port), "TMPDIR": str(temporary)}
    path = tmp_path_factory.mktemp("log") / "log"
    with path.open("w") as log:
        options = as_user(environment, cwd=REPO, stdout=log, stderr=log)
        server = subprocess.Popen([python, "app.py"], **options)
    address, patience = f"http://127.0.0.1:{port}/", time.monotonic() + 180
    try:
        while True:
            try:
                urllib.request.urlopen(address, timeout=5).close()
                break
            except OSError:
                if server.poll() is not None or time.monotonic() > patience:
                    pytest.fail("the app did not start:\n" + path.read_text()[-3000:])
                time.sleep(0.3)
        yield client.Client(address, verbose=False, download_files=False), path
    finally:
        end(server)


def test_uploads_are_kept_in_a_folder_of_the_users_own(app, temporary):
    _, facts = app[0].predict(image=client.handle_file(str(EXAMPLE)), model="mnist-vae", api_name="/reconstruct")
    assert facts["psnr"] > 10
    assert list((temporary / "gradio").iterdir()) == []
    (own,) = temporary.glob("vae-studio-*")
    assert own.name == f"vae-studio-{UID}" and own.stat().st_uid == UID and own.stat().st_mode & 0o077 == 0
    assert list(own.glob("gradio/*/digit-3.png"))


def test_training_where_runs_cannot_be_written_is_refused_in_one_sentence(app):
    with pytest.raises(Exception, match=r"run folder '[^']*' cannot be written: Permission denied\.") as caught:
        app[0].predict(preset="mnist-vae", data="digits", api_name="/train_start")
    assert "Traceback" not in str(caught.value) and "\n" not in str(caught.value).strip()
    assert app[0].predict(api_name="/models")  # and the page goes on


def test_nothing_is_written_into_the_checkout_and_nothing_fails_in_the_log(app):
    folders = [folder for folder in REPO.iterdir() if folder.name not in (".git", ".venv")]
    theirs = [path for folder in folders for path in (folder, *folder.rglob("*")) if path.lstat().st_uid == UID]
    assert theirs == []
    assert not re.search("Traceback|Error", app[1].read_text())


def test_without_a_temporary_folder_the_app_says_so(tmp_path):
    """tempfile falls back on the working directory, which is not writable either."""
    python, environment = interpreter()
    code = (
        "import sys, tempfile; tempfile._candidate_tempdir_list = lambda: ['/proc']\n"
        "sys.argv = ['app.py']; exec(open('app.py').read())"
    )
    done = subprocess.run([python, "-c", code], **as_user(environment, cwd=REPO))
    assert done.returncode == 2 and done.stderr.count("\n") == 1, done.stderr
    assert done.stderr.startswith("Error: There is no temporary folder") and "TMPDIR" in done.stderr


@pytest.mark.parametrize(("variable", "inside"), [("VAE_RUNS_DIR", "folder"), ("VAE_DATA_DIR", "")])
def test_a_folder_that_may_not_be_read_is_named_at_the_start(temporary, variable, inside):
    python, environment = interpreter()
    secret = temporary / "secret"
    (secret / "folder").mkdir(parents=True, exist_ok=True)
    secret.chmod(0o700)
    environment = environment | {variable: str(secret / inside), "TMPDIR": str(temporary)}
    done = subprocess.run([python, "app.py"], **as_user(environment, cwd=REPO))
    sentence = f"{variable} names '{secret / inside}', which cannot be read by the user who runs the app."
    assert (done.returncode, done.stderr) == (2, f"Error: {sentence}\n")


def test_a_temporary_folder_whose_name_another_user_took_is_not_used(temporary):
    python, environment = interpreter()
    code = "from vae.user_folders import own_temporary; print(own_temporary())"
    other = temporary / "taken"
    other.mkdir()
    other.chmod(0o1777)
    (other / f"vae-studio-{UID}").mkdir()
    done = subprocess.run([python, "-c", code], **as_user(environment | {"TMPDIR": str(other)}))
    place = Path(done.stdout.strip())
    assert place.parent == other and place.name != f"vae-studio-{UID}" and place.stat().st_uid == UID


@pytest.mark.parametrize("home", [None, "/nonexistent", "/", "somebody's"])
def test_libraries_find_a_home_and_a_user_name(temporary, home):
    python, environment = interpreter()
    code = (
        "from vae.user_folders import cache_dir, provide_home; provide_home()\n"
        "import getpass; from pathlib import Path; from huggingface_hub.constants import HF_HUB_CACHE\n"
        "print(cache_dir()); print(HF_HUB_CACHE); print(Path.home()); print(getpass.getuser() != '')"
    )
    if home == "somebody's":
        home = temporary / "home"
        (home / ".cache").mkdir(parents=True)
        home.chmod(0o700)
    environment = environment | {"TMPDIR": str(temporary)} | ({"HOME": str(home)} if home else {})
    done = subprocess.run([python, "-c", code], **as_user(environment, cwd=REPO))
    *places, named = done.stdout.split()
    assert len(places) == 3 and named == "True", done.stderr
    assert all(Path(place).is_relative_to(temporary / f"vae-studio-{UID}") for place in places)


def test_what_a_read_only_home_holds_is_still_found(temporary):
    python, environment = interpreter()
    models = temporary / "read-only" / ".cache" / "huggingface"
    models.mkdir(parents=True)
    code = (
        "from vae.user_folders import provide_home; provide_home(); "
        "import huggingface_hub.constants as c; print(c.HF_HOME)"
    )
    environment = environment | {"TMPDIR": str(temporary), "HOME": str(temporary / "read-only")}
    done = subprocess.run([python, "-c", code], **as_user(environment))
    assert done.stdout.strip() == str(models), done.stderr


def test_a_home_that_can_be_written_is_left_alone(tmp_path, monkeypatch):
    from vae import user_folders

    monkeypatch.setenv("HOME", str(tmp_path))
    user_folders.provide_home()
    assert os.environ["HOME"] == str(tmp_path) and user_folders.cache_dir() == tmp_path / ".cache" / "vae-studio"
