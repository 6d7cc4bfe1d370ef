"""One deadline for a whole HTTP exchange, for http.client and for requests.

Their own time-outs bound each wait for bytes, so a server that sends one byte now and then, in the
headers or in the body, is never done. Here every wait is cut to what is left of the exchange,
headers included; connecting and the TLS handshake have the connect time-out. Only the
look-up of the host's name is not bounded.
"""

from __future__ import annotations

import http.client
import io
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from requests import PreparedRequest, Response
from requests.adapters import HTTPAdapter
from requests.structures import CaseInsensitiveDict
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

_running = threading.local()


@contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """Within, exchanges of this thread must be over ``seconds`` from now."""
    _running.until = time.monotonic() + seconds
    try:
        yield
    finally:
        _running.until = None


def time_left() -> float:
    """Seconds until the running deadline, above 0. Raises TimeoutError when it is over."""
    until: float | None = getattr(_running, "until", None)
    if until is None:
        return float("inf")
    left = until - time.monotonic()
    if left <= 0:
        raise TimeoutError("the call took longer than one call may")
    return left


class DeadlineAdapter(HTTPAdapter):
    """Keeps to :func:`deadline`; give it to ``Session.mount``."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """As requests does, with our connections."""
        super().init_poolmanager(*args, **kwargs)
        manager: Any = self.poolmanager
        manager.pool_classes_by_scheme = {"http": _HTTPPool, "https": _HTTPSPool}

    def build_response(self, req: PreparedRequest, resp: Any) -> Response:
        """The answer as it came: requests would read its cookies and its charset, and the library's
        cookie jar writes a traceback to stderr about some that a stranger may send."""
        response = Response()
        response.status_code = resp.status
        response.headers = CaseInsensitiveDict(resp.headers)
        response.raw = resp
        response.request = req
        return response


class _Stream(io.RawIOBase):
    """Reads from a socket; each wait is as long as the socket allows, or as is left."""

    def __init__(self, raw: io.RawIOBase, sock: socket.socket) -> None:
        self._raw = raw
        self._sock = sock
        allowed = sock.gettimeout()
        self._allowed = float("inf") if allowed is None else allowed

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._sock.settimeout(min(self._allowed, time_left()))
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


class BoundedResponse(http.client.HTTPResponse):
    """A response read within :func:`deadline`: a ``response_class`` for http.client."""

    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        buffered: Any = self.fp
        self.fp = io.BufferedReader(_Stream(buffered.detach(), sock))


class _Bounded(HTTPConnection):
    response_class = BoundedResponse


class _BoundedTLS(HTTPSConnection):
    response_class = BoundedResponse


class _HTTPPool(HTTPConnectionPool):
    ConnectionCls = _Bounded


class _HTTPSPool(HTTPSConnectionPool):
    ConnectionCls = _BoundedTLS
