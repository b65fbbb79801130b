"""The app, in which reconstructing takes as long as there is a file "hold"."""

import os
import time
from pathlib import Path

REPO = Path(__file__).resolve().parents[2]


def serve(folder: Path, port: int) -> None:
    """In a process of its own: runs the app, with its runs, its log and that file in the folder."""
    os.chdir(REPO)
    os.environ |= {"VAE_RUNS_DIR": str(folder / "runs"), "GRADIO_ANALYTICS_ENABLED": "False"}
    log = os.open(folder / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    from vae.ui.app import create_app
    from vae.ui.serving.models import ModelServer

    quick = ModelServer.reconstruct

    def reconstruct(*arguments, **options):
        while (folder / "hold").exists():
            (folder / "begun").touch()
            time.sleep(0.05)
        return quick(*arguments, **options)

    ModelServer.reconstruct = reconstruct
    create_app().launch(server_name="127.0.0.1", server_port=port)
