"""A Chromium for the browser tests: found, or installed.

`python tests/browser.py` makes sure that there is one, and Node for the tests of the page's modules.
"""

import os
import shutil
import subprocess
import sys

import node

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def find() -> str | None:
    """The path of the system's Chromium; None where only Playwright's own can serve."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


def install() -> None:
    """Debian's package where we may install it, else the browser that Playwright brings."""
    if find():
        return
    if shutil.which("apt-get"):
        sudo = [] if os.geteuid() == 0 else ["sudo", "-n"]
        steps = (["update", "-qq"], ["install", "-y", "-qq", "chromium"])
        if all(subprocess.run([*sudo, "apt-get", *step], stdout=subprocess.DEVNULL).returncode == 0 for step in steps):
            return
    subprocess.run([sys.executable, "-m", "playwright", "install", "chromium"], check=True)


if __name__ == "__main__":
    install()
    node.install()
