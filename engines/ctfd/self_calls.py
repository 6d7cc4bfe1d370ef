"""Whether a call to Whale would wait for this very process.

ctfd-whale answers in the CTFd that it is a plugin of. Where that is also the CTFd that asks, the
server needs a second worker or thread to answer; with one sync worker the whole site stands still
until ``WHALE_CALL_SECONDS`` are over, and the start fails.
"""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from engines.printable import printable

_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True)
class Server:
    """What serves this site, as its WSGI environment tells."""

    threads: bool
    """One process answers several requests at a time: threads, gevent."""
    processes: bool
    """There are several processes."""
    names: frozenset[tuple[str, int]]
    """Hosts and ports this request came to."""
    software: str = ""
    """What the server calls itself."""

    @property
    def words(self) -> str:
        """Server and kind of worker, as far as a request tells."""
        at_a_time = "several requests" if self.threads else "one request"
        kind = " (gevent)" if _greenlets() else ""
        workers = "several worker processes" if self.processes else "one worker process"
        return f"{self.software or 'unnamed'}, {workers}, {at_a_time} at a time in each{kind}"

    @classmethod
    def of(cls, environ: Mapping[str, object]) -> Server:
        """The server that made this WSGI environment."""
        scheme = str(environ.get("wsgi.url_scheme", "http"))
        names = {_name(f"{scheme}://{environ.get('HTTP_HOST', '')}")}
        names.add((str(environ.get("SERVER_NAME", "")).lower(), _whole(environ.get("SERVER_PORT"))))
        return cls(
            threads=bool(environ.get("wsgi.multithread")),
            processes=bool(environ.get("wsgi.multiprocess")),
            names=frozenset(names),
            software=printable(str(environ.get("SERVER_SOFTWARE", ""))),
        )


def warning(
    whale_url: str | None,
    server: Server,
    whale_is_here: bool,
    addresses: Callable[[str], frozenset[str]] | None = None,
) -> str | None:
    """What to change where calls to Whale wait for this server itself; None where they do not.

    Args:
        whale_is_here: ctfd-whale is a plugin of this CTFd.
        addresses: the addresses of a host name; asks the system unless given.
    """
    if whale_url is None or server.threads:
        return None
    if not _is_here(whale_url, server, whale_is_here, addresses or _addresses):
        return None
    fix = (
        "Start CTFd with a worker class that answers several requests at a time, as its own "
        "image does: WORKER_CLASS=gevent (gunicorn --worker-class gevent)."
    )
    if server.processes:
        return (
            "WHALE_API_URL leads to this very site, whose workers answer one request at a time: "
            f"when as many players start at once as there are workers, all of them wait. {fix}"
        )
    return (
        "WHALE_API_URL leads to this very site, and it has one worker that answers one request at "
        f"a time: every call to Whale waits for itself and fails. {fix}"
    )


def _greenlets() -> bool:
    """Whether gevent serves this process."""
    monkey = sys.modules.get("gevent.monkey")
    return monkey is not None and bool(monkey.is_module_patched("socket"))


def _is_here(
    url: str,
    server: Server,
    whale_is_here: bool,
    addresses: Callable[[str], frozenset[str]],
) -> bool:
    host, port = _name(url)
    if (host, port) in server.names:
        return True
    own = {addresses(name) for name, _ in server.names} | {addresses(socket.gethostname())}
    there = addresses(host)
    local = bool(there) and (there & frozenset().union(*own) or _all_loopback(there))
    return bool(local) and (port in {own_port for _, own_port in server.names} or whale_is_here)


def _all_loopback(addresses: frozenset[str]) -> bool:
    return all(address.startswith("127.") or address == "::1" for address in addresses)


def _name(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    try:
        port = parts.port
    except ValueError:
        port = None
    return (parts.hostname or "").lower(), port or _PORTS.get(parts.scheme, 0)


def _whole(value: object) -> int:
    text = str(value)
    return int(text) if text.isdecimal() else 0


def _addresses(name: str) -> frozenset[str]:
    """The addresses of a host name; none where it has none."""
    try:
        return frozenset(str(found[4][0]) for found in socket.getaddrinfo(name, None))
    except (OSError, UnicodeError):
        return frozenset()
