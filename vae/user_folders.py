"""The user's own folders, also of a user who has no home, as in a container that runs under any number."""

import getpass
import os
import tempfile
from functools import cache
from pathlib import Path

from vae.errors import InputError


def cache_dir() -> Path:
    """Where what was downloaded or can be computed again is kept: ~/.cache/vae-studio, or else a temporary folder."""
    home = _writable_home()
    return (home / ".cache" if home else own_temporary()) / "vae-studio"


def provide_home() -> None:
    """Give the libraries imported from here on a home folder to keep things in, where there is none to write to.

    huggingface_hub would else make a folder called "~" where it is started, and torch's compiler ask for a user's name.
    """
    if _writable_home() is None:
        models = _home() / ".cache" / "huggingface" if _home() else None
        if models and os.access(models, os.R_OK | os.X_OK):  # a read-only home may still hold models and a token
            os.environ.setdefault("HF_HOME", str(models))
        os.environ["HOME"] = str(own_temporary())
    try:
        getpass.getuser()
    except (KeyError, OSError):
        os.environ["USER"] = f"user-{_number()}"


@cache
def own_temporary() -> Path:
    """A temporary folder that is this user's alone and the same at every start, where nobody else has taken its name.

    Raises InputError if there is no temporary folder to write to.
    """
    try:
        folder = Path(tempfile.gettempdir()) / f"vae-studio-{_number()}"
        folder.mkdir(mode=0o700, exist_ok=True)
        status = folder.lstat()
        if folder.is_symlink() or (os.name == "posix" and (status.st_uid != os.getuid() or status.st_mode & 0o077)):
            return Path(tempfile.mkdtemp(prefix="vae-studio-"))
        return folder
    except OSError as error:
        raise InputError(
            f"There is no temporary folder that can be written ({error.strerror}); TMPDIR may name one."
        ) from error


def _home() -> Path | None:
    try:
        return Path.home()
    except RuntimeError:  # no HOME, and nobody of this number is known to the system
        return None


def _writable_home() -> Path | None:
    home = _home()
    if home is None:
        return None
    # os.access, and not Path.is_dir, which raises for a home that may not be entered: another user's, left in HOME.
    place = home / ".cache" if os.access(home / ".cache", os.F_OK) else home
    return home if os.access(place, os.W_OK | os.X_OK) else None


def _number() -> str:
    return str(os.getuid()) if os.name == "posix" else "own"
