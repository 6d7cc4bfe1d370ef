"""Does an address answer? Asked by the engine and by the Whale adapter of a fresh instance.

A bare TCP connect proves little: Docker's userland proxy and frps accept connections for
containers that do not listen yet. These probes therefore want an answer, or a connection that
stays open. Deadlines here are real time: sockets do not follow a moved clock. Every probe ends at
its time-out, however slowly the other side drips; only the look-up of a host's name may take
longer.
"""

from __future__ import annotations

import http.client
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urljoin, urlsplit

from engines.deadline import BoundedResponse, deadline, time_left

ATTEMPT_SECONDS = 2.0
"""Longest single attempt."""
HELD_OPEN_SECONDS = 0.15
"""A silent connection that is still open after this long belongs to a listening server.

True of Docker's proxies, which connect at once. frpc looks a name up first:
:mod:`engines.whale.readiness`.
"""
PAGE_BYTES = 65_536
"""How much of a page is read."""
BODY_SECONDS = 0.5
"""How long a page is read for: an instance whose page never ends has answered too."""
GATEWAY_ERRORS = (502, 503, 504)
"""What a proxy answers in the place of a server that it cannot reach."""
REDIRECTS = (301, 302, 303, 307, 308)
_FIRST_PAUSE, _LONGEST_PAUSE = 0.01, 0.25


@dataclass(frozen=True)
class Page:
    """What an HTTP server answered: its status and the beginning of its body."""

    status: int
    body: bytes
    location: str = ""
    """Where it redirects to; empty where it does not."""


def answers_http(url: str, *, timeout: float) -> bool:
    """True when an HTTP server behind ``url`` answers anything but a proxy's 502, 503 or 504."""
    page = fetch_page(url, timeout=timeout)
    return page is not None and page.status not in GATEWAY_ERRORS


def fetch_page(url: str, *, host: str | None = None, timeout: float) -> Page | None:
    """One GET, within ``timeout`` seconds; None when no HTTP answer came.

    ``host`` replaces the name in ``url`` in the Host header, to ask a gateway for another name.
    """
    parts = urlsplit(url)
    if not parts.hostname or timeout <= 0:
        return None
    connection = _connection(parts.scheme, parts.hostname, parts.port, timeout)
    try:
        with deadline(timeout):
            connection.request("GET", parts.path or "/", headers={"Host": host} if host else {})
            response = connection.getresponse()
            location = response.getheader("Location") or ""
            redirects = location and response.status in REDIRECTS
            body = _beginning(response, min(BODY_SECONDS, time_left()))
            return Page(response.status, body, urljoin(url, location) if redirects else "")
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


def _connection(
    scheme: str, host: str, port: int | None, timeout: float
) -> http.client.HTTPConnection:
    kind = http.client.HTTPSConnection if scheme == "https" else http.client.HTTPConnection
    connection = kind(host, port, timeout=timeout)
    connection.response_class = BoundedResponse
    return connection


def answers_tcp(host: str, port: int, *, timeout: float) -> bool:
    """True when a server accepts a connection and speaks, or keeps it open in silence."""
    try:
        with socket.create_connection((host, port), timeout=timeout) as connection:
            connection.settimeout(min(HELD_OPEN_SECONDS, timeout))
            try:
                return connection.recv(1) != b""
            except TimeoutError:
                return True
    except OSError:
        return False


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
