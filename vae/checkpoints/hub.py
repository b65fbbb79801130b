"""Models on the Hugging Face Hub: fetching the few files that are needed, and publishing."""

import os
import re
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from vae import limits
from vae.checkpoints.config_text import LONGEST
from vae.checkpoints.discover import BESIDE, Found, find
from vae.errors import InputError
from vae.files import NO_ROOM_OR_RIGHT
from vae.user_folders import cache_dir

CACHED = 20_000_000_000  # bytes of all models that strangers had fetched, or a quarter of the disk if that is less
_making_room = threading.Lock()
NAME = r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,94}[A-Za-z0-9_])?"
URL = re.compile(r"(?:https?://)?(?:www\.)?huggingface\.co/")


@dataclass(frozen=True)
class HubId:
    repo: str
    subfolder: str | None = None
    revision: str | None = None

    def __str__(self) -> str:
        return self.repo + (f"@{self.revision}" if self.revision else "")


def parse(source: str, revision: str | None = None, subfolder: str | None = None) -> HubId | None:
    """`org/name`, `org/name/sub/folder`, either with `@revision`, or the address of a repository's page; else None.

    Nothing that could lead out of the repository is accepted: `..`, a leading slash, a backslash.
    """
    path, _, at = URL.sub("", source.strip()).partition("@")
    parts = [
        *path.removesuffix("/").removesuffix("/tree/main").split("/"),
        *(subfolder.split("/") if subfolder else []),
    ]
    if len(parts) < 2 or not all(re.fullmatch(NAME, part) and not re.search(r"\.\.|--", part) for part in parts):
        return None
    revision = revision or at or None
    if revision and (not re.fullmatch(r"[A-Za-z0-9][\w./-]{0,127}", revision) or ".." in revision):
        return None
    return HubId("/".join(parts[:2]), "/".join(parts[2:]) or None, revision)


def fetch(
    wanted: HubId,
    variant: str | None = None,
    token: str | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[Path, Found]:
    """The folder of the local cache that the model lies in, downloaded if need be, and which of its files it is.

    progress(bytes done, bytes in all) is called now and then. Raises InputError if there is no such repository or no
    auto-encoder in it (nothing is kept then), if it is gated, and if neither the Hub nor the cache can give it.
    """
    from huggingface_hub import HfApi, hf_hub_download

    with _polite(wanted):
        try:
            info = HfApi().model_info(
                wanted.repo, revision=wanted.revision, timeout=10, files_metadata=True, token=token
            )
        except _errors() as error:
            if _status(error) in (401, 403, 404):
                raise
            return _cached(wanted, variant, error)
        sizes = {file.rfilename: file.size or 0 for file in info.siblings or []}
        with tempfile.TemporaryDirectory() as peek:

            def read_text(name: str) -> str:
                if sizes[name] > LONGEST:
                    raise InputError(f"{name} of {wanted} has {sizes[name]:,} bytes, as no config has.")
                path = hf_hub_download(wanted.repo, name, revision=info.sha, cache_dir=peek, token=token)
                return Path(path).read_text(encoding="utf-8")

            found = find(sizes, read_text, f"The repository {wanted}", wanted.subfolder, variant)
        if found.config is None and not found.pair:
            _check_header(wanted, info.sha, found.weights[0], token)
        folder = PurePosixPath(found.weights[0]).parent
        files = [name for name in (str(folder / name) for name in BESIDE) if name in sizes] + list(found.files)
        total = sum(sizes[name] for name in files)
        most = limits.share().download
        if most is not None and total > most:
            raise InputError(f"{wanted} takes {total / 1e9:.1f} GB; here up to {most / 1e9:.3g} GB are accepted.")
        if progress:
            progress(0, total)  # an InputError raised there ends it before anything is kept
        kept = _kept_in(wanted, info.sha, files, total)
        bar = _bar(progress, total)
        for name in files:
            path = hf_hub_download(
                wanted.repo, name, revision=wanted.revision, token=token, tqdm_class=bar, cache_dir=kept
            )
        return Path(path).parents[name.count("/")], found


def push(folder: Path, repo: str, token: str | None = None, private: bool = False) -> str:
    """Upload a folder's files to the model repository `repo`, made if need be; returns the address of its page.

    Raises InputError if `repo` is no Hub id, the token lacks the right, or the Hub cannot be reached.
    """
    from huggingface_hub import HfApi

    target = parse(repo)
    if target is None or str(target) != repo or target.subfolder:
        raise InputError(f"{repo[:200]!r} is no repository; give one like org/name.")
    with _polite(target, writing=True):
        address = HfApi().create_repo(repo, private=private, exist_ok=True, token=token)
        HfApi().upload_folder(repo_id=repo, folder_path=folder, commit_message="Upload the model", token=token)
    return str(address)


def _cached(wanted: HubId, variant: str | None, error: Exception) -> tuple[Path, Found]:
    """What an earlier download left: used when the Hub does not answer."""
    from huggingface_hub import constants

    revision = wanted.revision or constants.DEFAULT_REVISION
    for cache in (Path(constants.HF_HUB_CACHE), strangers_cache()):
        home = cache / ("models--" + wanted.repo.replace("/", "--"))
        ref = home / "refs" / revision
        root = home / "snapshots" / (ref.read_text().strip() if ref.is_file() else revision)
        files = [path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()]
        if files:
            break
    else:
        raise InputError(
            f"There is no {wanted} on this machine, and the Hugging Face Hub cannot be reached; "
            "connect to the network and try again."
        ) from error
    read_text = lambda name: (root / name).read_text(encoding="utf-8")  # noqa: E731
    return root, find(files, read_text, f"The cached copy of {wanted}", wanted.subfolder, variant)


def strangers_cache() -> Path:
    """Where models lie that strangers had fetched: apart from the owner's own, none of which is ever removed."""
    return cache_dir() / "models-of-visitors"


def _kept_in(wanted: HubId, commit: str, files: list[str], total: int) -> Path | None:
    """The cache to fetch into, None for the owner's own: for a stranger theirs, unless the owner's has the model. Room
    is made there first: what was longest not used goes until CACHED bytes are not passed."""
    from huggingface_hub import try_to_load_from_cache

    if limits.share().download is None:
        return None
    if all(isinstance(try_to_load_from_cache(wanted.repo, name, revision=commit), str) for name in files):
        return None
    cache = strangers_cache()
    cache.mkdir(parents=True, exist_ok=True)
    own = cache / ("models--" + wanted.repo.replace("/", "--"))
    with _making_room:
        folders = [(_last_used(folder), _bytes(folder), folder) for folder in cache.glob("models--*")]
        room = min(CACHED, shutil.disk_usage(cache).total // 4) - total
        held = sum(size for _, size, folder in folders)
        for _, size, folder in sorted(folders):
            if held <= room:
                break
            if folder != own:
                shutil.rmtree(folder, ignore_errors=True)
                held -= size
        own.mkdir(exist_ok=True)
        os.utime(own)  # used now
    return cache


def _last_used(folder: Path) -> float:
    try:
        return folder.stat().st_mtime
    except OSError:  # removed meanwhile
        return 0.0


def _bytes(folder: Path) -> int:
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


def _check_header(wanted: HubId, commit: str, name: str, token: str | None) -> None:
    """Refuse a lone weight file that is no auto-encoder's before it is downloaded: its first bytes list its tensors."""
    from huggingface_hub import parse_safetensors_file_metadata

    from vae.checkpoints.key_mapping import recognise

    if not name.endswith(".safetensors"):
        raise InputError(
            f"The repository {wanted} has only {name} and no config.json; download the file and load that."
        )
    header = parse_safetensors_file_metadata(wanted.repo, name, revision=commit, token=token)
    naming = recognise({key: tuple(tensor.shape) for key, tensor in header.tensors.items()})
    if any(not key.startswith("loss.") for key in naming.companions):
        raise InputError(f"{name} of {wanted} is a whole pipeline in one file; download it and load the file.")


def _bar(progress: Callable[[int, int], None] | None, total: int) -> type | None:
    """A tqdm class that reports to `progress` and shows nothing; None leaves the Hub's own bar."""
    if progress is None:
        return None
    from tqdm import tqdm

    done = 0

    class Bar(tqdm):
        def __init__(self, *args, **kwargs):
            kwargs.pop("name", None)
            super().__init__(*args, **{**kwargs, "disable": True})

        def update(self, n=1):
            nonlocal done
            done = min(done + n, total)
            progress(int(done), total)

    return Bar


def _errors() -> tuple[type[Exception], ...]:
    """What the Hub's client raises: OSErrors, and the base class of whatever HTTP library it is built on."""
    from huggingface_hub.errors import HfHubHTTPError

    return OSError, HfHubHTTPError.__bases__[0]


def _status(error: Exception) -> int | None:
    return getattr(getattr(error, "response", None), "status_code", None)


@contextmanager
def _polite(wanted: HubId, writing: bool = False) -> Iterator[None]:
    """Turns what the Hub's client raises into InputErrors of one sentence."""
    from huggingface_hub import errors

    try:
        yield
    except errors.GatedRepoError as error:
        raise InputError(
            f"{wanted} is gated: accept its terms on huggingface.co, then give a token (HF_TOKEN or `hf auth login`)."
        ) from error
    except errors.RevisionNotFoundError as error:
        raise InputError(f"{wanted.repo} has no revision {wanted.revision!r}.") from error
    except errors.RepositoryNotFoundError as error:
        raise InputError(
            f"There is no {wanted.repo} on this machine or on the Hugging Face Hub; check the spelling, "
            "or give a token if it is private."
        ) from error
    except _errors() as error:
        if isinstance(error, OSError) and error.errno in NO_ROOM_OR_RIGHT:
            raise InputError(f"{wanted} cannot be kept on this machine: {error.strerror}.") from error
        if _status(error) in (401, 403):
            right = "to write to" if writing else "to read"
            raise InputError(f"The token given, or none, has no right {right} {wanted}.") from error
        did = "answered with an error" if _status(error) else "cannot be reached"
        raise InputError(f"The Hugging Face Hub {did}, so {wanted} was not transferred; try again later.") from error
