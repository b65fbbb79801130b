"""Node and the tools that check the page's modules, for tests/js: found, or installed. Nothing else needs them."""

import os
import shutil
import subprocess
from pathlib import Path

FOLDER = Path(__file__).parent / "js"


def find() -> str | None:
    """The path of Node, if npm is there too."""
    return shutil.which("node") if shutil.which("npm") else None


def install() -> None:
    """Debian's packages where we may install them, and what tests/js/package-lock.json lists."""
    if not find() and shutil.which("apt-get"):
        sudo = [] if os.geteuid() == 0 else ["sudo", "-n"]
        for step in (["update", "-qq"], ["install", "-y", "-qq", "--no-install-recommends", "nodejs", "npm"]):
            subprocess.run([*sudo, "apt-get", *step], stdout=subprocess.DEVNULL, check=False)
    if find():
        install_packages()


def install_packages() -> None:
    """The tools, in the versions of the lock file, unless they are there."""
    lock, done = FOLDER / "package-lock.json", FOLDER / "node_modules" / ".package-lock.json"
    if not done.is_file() or done.stat().st_mtime < lock.stat().st_mtime:
        subprocess.run(["npm", "ci", "--silent", "--no-audit", "--no-fund"], cwd=FOLDER, check=True)
