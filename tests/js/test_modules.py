"""The page's modules: their types, their style, and what they compute. The tools come by tests/browser.py."""

import subprocess

import node
import pytest


@pytest.fixture(scope="module")
def npm():
    """Runs a script of package.json; the tool's own output is the message."""
    if not node.find():
        pytest.skip("no Node or npm here: python tests/browser.py installs them")
    node.install_packages()

    def run(script: str) -> None:
        done = subprocess.run(["npm", "run", "--silent", script], cwd=node.FOLDER, capture_output=True, text=True)
        if done.returncode:
            pytest.fail(done.stdout + done.stderr, pytrace=False)

    return run


def test_their_types_fit(npm):
    npm("types")


def test_they_are_linted_and_formatted(npm):
    npm("lint")


def test_they_compute_what_they_should(npm):
    npm("test")


def test_no_line_is_too_long():
    """The formatter leaves comments and texts alone."""
    static = node.FOLDER.parents[1] / "vae" / "ui" / "static"
    files = [*static.glob("*.js"), *static.glob("*.ts"), *node.FOLDER.glob("*.js")]
    lines = [
        (f.name, i) for f in files for i, line in enumerate(f.read_text("utf-8").splitlines(), 1) if len(line) > 120
    ]
    assert len(files) > 40 and not lines
