"""`python -m vae app`."""

import socket
import subprocess
import sys

import pytest

from vae.cli import main


@pytest.fixture
def vae(monkeypatch, capsys):
    """Runs the command: (exit code, stderr)."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["vae", "app", *map(str, arguments)])
        with pytest.raises(SystemExit) as caught:
            main.main()
            raise SystemExit(0)
        return caught.value.code or 0, capsys.readouterr().err

    return run


def test_it_launches_the_app_where_asked(vae, monkeypatch):
    app = pytest.importorskip("vae.ui.app")
    asked = []

    class Page:
        def __init__(self, server_name):
            asked.append(server_name)  # known before the page is made, which depends on who will see it

        def launch(self, **options):
            asked.append(options)

    monkeypatch.setattr(app, "create_app", Page)
    assert vae("--host", "0.0.0.0", "--port", 7999) == (0, "") and vae() == (0, "")
    first, second = {"server_name": "0.0.0.0", "server_port": 7999}, {"server_name": None, "server_port": None}
    assert asked == ["0.0.0.0", first, None, second]


def test_a_port_in_use_is_one_sentence():
    pytest.importorskip("gradio")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        done = subprocess.run([sys.executable, "-m", "vae", "app", "--port", port], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr == f"Error: The page cannot be opened on port {port}; it is in use, or not this machine's.\n"


def test_without_gradio_it_says_what_to_install():
    code = "import sys; sys.modules['gradio'] = None; sys.argv = ['vae', 'app']; from vae.cli.main import main; main()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr == "Error: The page needs the library gradio: pip install 'gradio[mcp]'.\n"
