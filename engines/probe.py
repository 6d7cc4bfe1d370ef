"""Does an address answer? Asked by the engine and by the Whale adapter of a fresh instance.

A bare TCP connect proves little: Docker's userland proxy and frps accept connections for
containers that do not listen yet. These probes therefore want an answer, or a connection that
stays open. Deadlines here are real time: sockets do not follow a moved clock.
"""

from __future__ import annotations

import http.client
import socket
import time
from collections.abc import Callable
from urllib.parse import urlsplit

ATTEMPT_SECONDS = 2.0
"""Longest single attempt."""
HELD_OPEN_SECONDS = 0.15
"""A silent connection that is still open after this long belongs to a listening server."""
_FIRST_PAUSE, _LONGEST_PAUSE = 0.01, 0.25


def answers_http(url: str, *, host_header: str | None = None, timeout: float) -> bool:
    """True when an HTTP server behind ``url`` answers anything but a proxy's refusal.

    ``host_header`` replaces the name in ``url``, to reach a named instance by an inner address.
    A 404 from frps itself (it names itself in the Server header) and a 502, 503 or 504 are not
    answers of the instance.
    """
    parts = urlsplit(url)
    if not parts.hostname:
        return False
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname, parts.port, timeout=timeout)
    try:
        headers = {"Host": host_header} if host_header else {}
        connection.request("GET", parts.path or "/", headers=headers)
        response = connection.getresponse()
        from_frps = (response.getheader("Server") or "").lower().startswith("frp/")
        return response.status not in (502, 503, 504) and not (from_frps and response.status == 404)
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


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


def wait_until(ready: Callable[[float], bool], seconds: float) -> bool:
    """Ask ``ready(timeout of the attempt)`` until it says True or ``seconds`` are over."""
    deadline = time.monotonic() + seconds
    pause = _FIRST_PAUSE
    while (left := deadline - time.monotonic()) > 0:
        if ready(min(left, ATTEMPT_SECONDS)):
            return True
        time.sleep(max(0.0, min(pause, deadline - time.monotonic())))
        pause = min(pause * 2, _LONGEST_PAUSE)
    return False
