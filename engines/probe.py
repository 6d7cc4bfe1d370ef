"""Does an address answer? Asked by the engine and by the Whale adapter of a fresh instance.

A bare TCP connect proves little: Docker's userland proxy and frps accept connections for
containers that do not listen yet. These probes therefore want an answer, or a connection that
stays open. Deadlines here are real time: sockets do not follow a moved clock. Every probe ends at
its time-out, however slowly the other side drips, a name is looked up or a handshake goes.
"""

from __future__ import annotations

import http.client
import queue
import socket
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urljoin, urlsplit

from engines.deadline import BoundedResponse, deadline, time_left

ATTEMPT_SECONDS = 2.0
"""Longest single attempt."""
HELD_OPEN_SECONDS = 0.15
"""A silent connection that is still open after this long belongs to a listening server.

True of Docker's proxies, which connect at once. frpc looks a name up first:
:mod:`engines.whale.direct_probe`.
"""
PAGE_BYTES = 65_536
"""How much of a page is read."""
BODY_SECONDS = 0.5
"""How long a page is read for: an instance whose page never ends has answered too."""
GATEWAY_ERRORS = (502, 503, 504)
"""What a proxy answers in the place of a server that it cannot reach."""
REDIRECTS = (301, 302, 303, 307, 308)
_FIRST_PAUSE, _LONGEST_PAUSE = 0.01, 0.25

AddressInfo = tuple[int, int, int, str, Any]
"""One of :func:`socket.getaddrinfo`'s."""


@dataclass(frozen=True)
class ProbedPage:
    """What an HTTP server answered: its status and the beginning of its body."""

    status: int
    body: bytes
    location: str = ""
    """Where it redirects to; empty where it does not."""


def answers_http(url: str, *, timeout: float) -> bool:
    """True when an HTTP server behind ``url`` answers anything but a proxy's 502, 503 or 504."""
    page = fetch_page(url, timeout=timeout)
    return page is not None and page.status not in GATEWAY_ERRORS


def fetch_page(url: str, *, host: str | None = None, timeout: float) -> ProbedPage | None:
    """One GET, within ``timeout`` seconds; None when no HTTP answer came.

    ``host`` replaces the name in ``url`` in the Host header, to ask a gateway for another name.
    """
    parts = urlsplit(url)
    if not parts.hostname or timeout <= 0:
        return None
    kind = _HTTPS if parts.scheme == "https" else _HTTP
    connection = kind(parts.hostname, parts.port)
    try:
        with deadline(timeout):
            connection.request("GET", parts.path or "/", headers={"Host": host} if host else {})
            response = connection.getresponse()
            location = response.getheader("Location") or ""
            redirects = location and response.status in REDIRECTS
            body = _beginning(response, min(BODY_SECONDS, time_left()))
            return ProbedPage(response.status, body, urljoin(url, location) if redirects else "")
    except (OSError, http.client.HTTPException, ValueError):
        return None
    finally:
        connection.close()


def _beginning(response: http.client.HTTPResponse, seconds: float) -> bytes:
    """What comes of the body within the time, at most :data:`PAGE_BYTES`."""
    body = b""
    try:
        with deadline(seconds):
            while len(body) < PAGE_BYTES and (read := response.read1(PAGE_BYTES - len(body))):
                body += read
    except (OSError, http.client.HTTPException):
        pass  # a page that breaks off, or takes its time
    return body


class _HTTP(http.client.HTTPConnection):
    """Connects, too, within :func:`engines.deadline.deadline`."""

    response_class = BoundedResponse

    def connect(self) -> None:
        self.sock: Any = connected(self.host, self.port, time_left())


class _HTTPS(_HTTP):
    default_port = http.client.HTTPS_PORT

    def connect(self) -> None:
        super().connect()
        self.sock.settimeout(time_left())
        self.sock = ssl.create_default_context().wrap_socket(self.sock, server_hostname=self.host)


def answers_tcp(host: str, port: int, *, timeout: float) -> bool:
    """True when a server accepts a connection and speaks, or keeps it open in silence."""
    until = time.monotonic() + timeout
    try:
        with connected(host, port, timeout) as connection:
            left = max(0.0, until - time.monotonic())
            connection.settimeout(min(HELD_OPEN_SECONDS, left))
            try:
                return connection.recv(1) != b""
            except (TimeoutError, BlockingIOError):
                return left >= HELD_OPEN_SECONDS
    except OSError:
        return False


def connected(host: str, port: int, seconds: float) -> socket.socket:
    """A TCP connection to the first of the host's addresses that accepts one within ``seconds``.

    Raises:
        OSError: none does, or the name is not known by then.
    """
    until = time.monotonic() + seconds
    refusal = OSError(f"{port} is not reached")
    for family, kind, protocol, _, address in look_up(host, port, seconds):
        left = until - time.monotonic()
        if left <= 0:
            raise TimeoutError("no address has accepted in time")
        connection = socket.socket(family, kind, protocol)
        try:
            connection.settimeout(left)
            connection.connect(address)
        except OSError as error:
            connection.close()
            refusal = error
        else:
            return connection
    raise refusal


def look_up(host: str, port: int, seconds: float) -> list[AddressInfo]:
    """The host's addresses, for a stream; waits at most ``seconds`` for a resolver.

    Raises:
        OSError: the name is not known, or not within that time.
    """
    host = host.strip("[]")
    try:
        return [
            *socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
        ]
    except socket.gaierror:
        pass  # a name
    found: queue.SimpleQueue[list[AddressInfo] | Exception] = queue.SimpleQueue()

    def ask() -> None:
        try:
            found.put(list(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)))
        except (OSError, UnicodeError) as error:  # a label that is too long is a UnicodeError
            found.put(error)

    # The resolver's own time-out ends the thread: nothing else can.
    threading.Thread(target=ask, name="whale-ready-look-up", daemon=True).start()
    try:
        answer = found.get(timeout=max(0.0, seconds))
    except queue.Empty:
        raise TimeoutError("the name was not looked up in time") from None
    if isinstance(answer, Exception):
        raise OSError("the name is not known") from answer
    return answer


def wait_until(
    ready: Callable[[float], bool], seconds: float, *, longest: float = ATTEMPT_SECONDS
) -> bool:
    """Ask ``ready(timeout of the attempt)`` until it says True or ``seconds`` are over.

    ``longest`` bounds a single attempt.
    """
    until = time.monotonic() + seconds
    pause = _FIRST_PAUSE
    while (left := until - time.monotonic()) > 0:
        if ready(min(left, longest)):
            return True
        time.sleep(max(0.0, min(pause, until - time.monotonic())))
        pause = min(pause * 2, _LONGEST_PAUSE)
    return False
