"""Who asks: the host, that is, the person at the machine itself, or a stranger; and what each may open and change."""

import contextlib
import hashlib
import ipaddress
import secrets
import socket
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from urllib.parse import urlsplit

from gradio.context import LocalContext

from vae.errors import InputError
from vae.files import write_text
from vae.limits import for_strangers
from vae.training.runs import Run
from vae.ui.settings import Settings

FILE = "owner"  # in a run's folder: a line for each token that may change it, as its SHA-256
TOKEN = (16, 128)  # characters
UNKNOWN = "unknown"  # address
PROXY = frozenset(["forwarded", "via", "x-real-ip", "cf-connecting-ip", "true-client-ip", "x-client-ip"])
PROXY_PREFIXES = ("x-forwarded", "x-original-", "cf-")


@dataclass(frozen=True)
class Visitor:
    """Who asks. keys: what a run's owner file may hold of theirs; host: whether they sit at the machine itself;
    address: where they come from, if they have a share to keep to, see Audience.address."""

    keys: frozenset[str] = frozenset()
    host: bool = False
    address: str | None = None

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


class Audience:
    """Who uses this server. It listens to the world or not by how it is launched, which is only known then."""

    def __init__(self, settings: Settings | None = None):
        """settings: how the server is run; left out, as on somebody's own machine."""
        self.settings = settings
        self.listens_beyond = self.shared = False
        self._share_url: Callable[[], str | None] = lambda: None
        self.settle(settings and settings.server_name, bool(settings and settings.share))

    def settle(
        self, server_name: str | None, share: bool = False, share_url: Callable[[], str | None] | None = None
    ) -> None:
        """Say what the server listens on, whether a tunnel leads to it, and how to find out the tunnel's address."""
        self.server_name = server_name
        self.listens_beyond = bool(server_name) and not _loopback(server_name.strip("[]"))
        self.shared = share
        self._share_url = share_url or self._share_url

    @property
    def public(self) -> bool:
        """Whether strangers use this server."""
        said = self.settings and self.settings.public
        return (self.listens_beyond or self.shared or not self._has_host) if said is None else said

    @property
    def _has_host(self) -> bool:
        return self.settings is None or self.settings.host

    def may_open_paths(self) -> bool:
        """Whether whoever is being answered may open files and folders of this machine, or learn that they exist.

        On a public server the host alone may; on a private one whoever comes to it straight, and where VAE_PUBLIC=off
        says that all who reach it are trusted, they all.
        """
        request = LocalContext.request.get(None)
        if self.public:
            return self._has_host and is_host(request)
        return bool(self.settings and self.settings.public is False) or request is None or is_local(request)

    def asked_by_stranger(self) -> bool:
        """Whether whoever is being answered has to leave others their part of this server."""
        return self.public and not self.may_open_paths()

    def limits(self) -> AbstractContextManager[None]:
        """Inside, memory and downloads are limited as whoever is being answered may have them."""
        return for_strangers(self.asked_by_stranger())

    def visitor(self, token: object) -> "Visitor":
        """Whoever's event or call is being answered.

        Known by the token that their browser keeps or their script was given, and, so that a client need not pass one,
        by their session.
        """
        request = LocalContext.request.get(None)
        known = {token} if isinstance(token, str) and TOKEN[0] <= len(token) <= TOKEN[1] else set()
        session = getattr(request, "session_hash", None)  # chosen by the client, eight letters or more
        if isinstance(session, str) and 8 <= len(session) <= TOKEN[1]:
            known.add(f"session {session}")
        keys = frozenset(hashlib.sha256(word.encode()).hexdigest() for word in known)
        return Visitor(keys, host=self._has_host and is_host(request), address=self.address(request))

    @property
    def visitors_per_address(self) -> int:
        return self.settings.visitors_per_address if self.settings else 1

    def address(self, request: object) -> str | None:
        """The network address that whoever asks is known by where shares are counted; of IPv6 the network, since one
        visitor has all of it. None for whoever has no share to keep to: the host, programs on the machine itself, and
        everybody where VAE_PUBLIC=off trusts all.

        What a request says of having been forwarded is believed of a proxy on this machine or one that
        FORWARDED_ALLOW_IPS names (uvicorn has then made it the client's address), and on Spaces, where each request
        comes through their own. UNKNOWN for the visitors of a proxy that says nothing of them.
        """
        trusted = self.settings is not None and self.settings.public is False
        if trusted or request is None or (self._has_host and is_local(request)):
            return None
        client = getattr(request, "client", None)
        found = _address(getattr(client, "host", None))
        if self.settings and self.settings.space:
            through = str(request.headers.get("x-forwarded-for") or "").split(",")
            known = [address for address in map(_address, map(str.strip, through)) if address and address.is_global]
            found = known[-1] if known else found
        if isinstance(found, IPv6Address):
            return str(found.ipv4_mapped or ipaddress.ip_network((found, 64), strict=False))
        return str(found) if found and not found.is_loopback else UNKNOWN

    def knows(self, host: str | None) -> bool:
        """Whether a request's Host header is a name of this server.

        A page elsewhere can have its own name lead to this machine (DNS rebinding), so another name is nobody's who
        means this server. An address in numbers is always one: no name was looked up. A server on the open network
        has names that only its operator can tell; until VAE_SERVER_NAMES does, it takes any, and whoever comes by one
        is a stranger, who may do no more than they could from a machine of their own.
        """
        settings = self.settings
        if settings and settings.space:  # Spaces' own proxy looks at it
            return True
        name = _hostname(f"//{host}")
        if name is None:
            return False
        if name == "localhost" or name.endswith(".localhost") or _address(name):
            return True
        names = settings.names if settings else ()
        if self.listens_beyond and self.public and not names:
            return True
        if any(name == known or name.endswith(f".{known}") for known in names):
            return True
        machine = socket.gethostname().lower() if self.listens_beyond else None
        return name in (self.server_name, machine, _hostname(self._share_url() or ""))


def new_token() -> str:
    return secrets.token_urlsafe(16)


def owners(run: Run) -> frozenset[str]:
    try:
        return frozenset((run.folder / FILE).read_text(encoding="ascii").split())
    except (OSError, ValueError):
        return frozenset()


def is_local(request: object) -> bool:
    """Whether the request comes straight from a browser or script on this machine.

    A tunnel or proxy on this machine connects from loopback for strangers; it gives itself away by the headers it adds,
    or by the name by which its visitors know the server. A page that another server on this machine serves has another
    port than this one.
    """
    client, headers = getattr(request, "client", None), getattr(request, "headers", None)
    if client is None or headers is None or not _loopback(getattr(client, "host", None)):
        return False
    if any(name.lower() in PROXY or name.lower().startswith(PROXY_PREFIXES) for name in headers):
        return False
    host, origin = headers.get("host"), headers.get("origin")
    return _loopback(_hostname(f"//{host}")) and (not origin or same_site(origin, host))


def is_host(request: object) -> bool:
    """Whether the person at this machine asks: as is_local, but no agent, whose call Gradio passes on to itself."""
    return is_local(request) and request.headers.get("x-gradio-user") != "mcp"


def same_site(origin: str, host: str | None) -> bool:
    """Whether an Origin header names the server that a Host header does, port included."""
    try:
        ours, theirs = urlsplit(f"//{host}"), urlsplit(origin)
        usual = {"http": 80, "https": 443}.get(theirs.scheme)
        # A Host without a port leaves the scheme's own, which a server behind TLS does not know.
        return theirs.hostname == ours.hostname is not None and (theirs.port or usual) == (ours.port or usual)
    except ValueError:
        return False


def _hostname(address: str) -> str | None:
    try:
        return urlsplit(address).hostname
    except ValueError:
        return None


def _address(name: str | None) -> IPv4Address | IPv6Address | None:
    try:
        return ipaddress.ip_address(name)
    except ValueError:
        return None


def _loopback(name: str | None) -> bool:
    address = _address(name)
    return name == "localhost" or (address is not None and address.is_loopback)
