"""Who may change a run: whoever started it, and the host, that is, the person at the machine itself."""

import contextlib
import hashlib
import ipaddress
import secrets
from dataclasses import dataclass
from urllib.parse import urlsplit

from gradio.context import LocalContext

from vae.errors import InputError
from vae.files import write_text
from vae.training.runs import Run

FILE = "owner"  # in a run's folder: a line for each token that may change it, as its SHA-256
TOKEN = (16, 128)  # characters


@dataclass(frozen=True)
class Visitor:
    """Who asks. keys: what a run's owner file may hold of theirs; host: whether they sit at the machine itself."""

    keys: frozenset[str] = frozenset()
    host: bool = False

    def may_change(self, run: Run) -> bool:
        return self.host or not self.keys.isdisjoint(owners(run))

    def check(self, run: Run, verb: str) -> None:
        """InputError unless they may `verb` the run."""
        if not self.may_change(run):
            raise InputError(f"Only whoever started the run {run.name}, or the host, can {verb} it.")

    def claim(self, run: Run) -> None:
        """From now on the run is theirs, too. A folder that takes no more files has no owner but the host."""
        with contextlib.suppress(OSError):
            write_text(run.folder / FILE, "".join(f"{key}\n" for key in sorted(self.keys | owners(run))))


def new_token() -> str:
    return secrets.token_urlsafe(16)


def visitor(token: object, public: bool) -> Visitor:
    """Whoever's event or call is being answered; on a public server nobody is its host.

    Known by the token that their browser keeps or their script was given, and, so that a client need not pass one, by
    their session.
    """
    request = LocalContext.request.get(None)
    known = {token} if isinstance(token, str) and TOKEN[0] <= len(token) <= TOKEN[1] else set()
    session = getattr(request, "session_hash", None)  # chosen by the client, eight letters or more
    if isinstance(session, str) and 8 <= len(session) <= TOKEN[1]:
        known.add(f"session {session}")
    keys = frozenset(hashlib.sha256(word.encode()).hexdigest() for word in known)
    return Visitor(keys, host=not public and is_host(request))


def owners(run: Run) -> frozenset[str]:
    try:
        return frozenset((run.folder / FILE).read_text(encoding="ascii").split())
    except (OSError, ValueError):
        return frozenset()


def is_host(request: object) -> bool:
    """Whether the request comes straight from a browser or script on this machine.

    A tunnel or proxy on this machine connects from loopback for strangers; it gives itself away by the headers it adds,
    or by the name by which its visitors know the server.
    """
    client, headers = getattr(request, "client", None), getattr(request, "headers", None)
    if client is None or headers is None or not _loopback(getattr(client, "host", None)):
        return False
    if any(name in headers for name in ("forwarded", "x-forwarded-for", "x-real-ip", "via")):
        return False
    if headers.get("x-gradio-user") == "mcp":  # an agent, whose call Gradio passes on to itself
        return False
    origin = headers.get("origin")
    return _loopback(_hostname(f"//{headers.get('host')}")) and (not origin or _loopback(_hostname(origin)))


def _hostname(address: str) -> str | None:
    try:
        return urlsplit(address).hostname
    except ValueError:
        return None


def _loopback(name: str | None) -> bool:
    try:
        return name == "localhost" or ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
