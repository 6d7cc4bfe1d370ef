"""One deadline for a whole HTTP exchange, for http.client and for requests.

Their own time-outs bound each wait for bytes, so a server that sends one byte now and then, in the
headers or in the body, is never done. Here every wait is cut to what is left of the exchange,
headers included; connecting and the TLS handshake have the connect time-out. Only the
look-up of the host's name is not bounded.

A wait may also be given up before that, by a :class:`DeadlineWatch` that sees that nobody answers.
"""

from __future__ import annotations

import http.client
import io
import math
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from requests import PreparedRequest, Response
from requests.adapters import HTTPAdapter
from requests.structures import CaseInsensitiveDict
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.util.wait import wait_for_read

Ready = Callable[[float], bool]
"""Waits for so many seconds at most; returns whether what is waited for has come."""


class DeadlineWatch(Protocol):
    """Waits in the place of a bare time-out (:class:`engines.pulse.Pulse`)."""

    def wait(self, ready: Ready, seconds: float) -> None:
        """Return once it has come; raises TimeoutError when it will not, or not in time."""

    def connecting(self) -> float:
        """Seconds that a connection may take to come about."""
        ...


class _Running(threading.local):
    """What holds for this thread's exchanges."""

    until = math.inf
    looking = False
    watch: DeadlineWatch | None = None


_running = _Running()


@contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """Within, exchanges of this thread must be over ``seconds`` from now, or before if an outer
    deadline says so."""
    before = _running.until
    _running.until = min(before, time.monotonic() + seconds)
    try:
        yield
    finally:
        _running.until = before


@contextmanager
def looking(seconds: float) -> Iterator[None]:
    """A deadline for who only looks, and does without where nobody answers soon."""
    before = _running.looking
    _running.looking = True
    try:
        with deadline(seconds):
            yield
    finally:
        _running.looking = before


@contextmanager
def afresh(seconds: float) -> Iterator[None]:
    """A deadline whatever the outer ones say: for what must not be broken off by who looks."""
    until, looks = _running.until, _running.looking
    _running.until, _running.looking = time.monotonic() + seconds, False
    try:
        yield
    finally:
        _running.until, _running.looking = until, looks


def only_looks() -> bool:
    """Whether this thread is within :func:`looking`."""
    return _running.looking


@contextmanager
def watched(watch: DeadlineWatch) -> Iterator[None]:
    """Within, this thread waits as ``watch`` does."""
    before = _running.watch
    _running.watch = watch
    try:
        yield
    finally:
        _running.watch = before


def time_left() -> float:
    """Seconds until the running deadline, above 0. Raises TimeoutError when it is over."""
    left = _running.until - time.monotonic()
    if left <= 0:
        raise TimeoutError("the call took longer than one call may")
    return left


def wait(ready: Ready) -> None:
    """Wait as an exchange does; raises TimeoutError when the deadline is over before, or the watch
    gives up."""
    if _running.watch is not None:
        _running.watch.wait(ready, math.inf)
    elif not ready(min(time_left(), threading.TIMEOUT_MAX)):
        raise TimeoutError("the call took longer than one call may")


@contextmanager
def held(lock: threading.Lock) -> Iterator[None]:
    """Hold a lock that another thread may have until a server answers it.

    Raises:
        TimeoutError: the deadline was over before.
    """
    if not lock.acquire(timeout=min(time_left(), threading.TIMEOUT_MAX)):
        raise TimeoutError("the call took longer than one call may")
    try:
        yield
    finally:
        lock.release()


class BoundedAdapter(HTTPAdapter):
    """Keeps to :func:`deadline` and :func:`watched`; give it to ``Session.mount``."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """As requests does, with our connections."""
        super().init_poolmanager(*args, **kwargs)
        manager: Any = self.poolmanager
        manager.pool_classes_by_scheme = {"http": _HTTPPool, "https": _HTTPSPool}

    def send(
        self,
        request: PreparedRequest,
        stream: bool = False,
        timeout: Any = None,
        verify: bool | str = True,
        cert: Any = None,
        proxies: Any = None,
    ) -> Response:
        """As requests does; connecting, too, within the deadline."""
        most = time_left() if _running.watch is None else _running.watch.connecting()
        if math.isfinite(most) and (timeout is None or isinstance(timeout, (int, float, tuple))):
            connect, read = timeout if isinstance(timeout, tuple) else (timeout, timeout)
            timeout = (most if connect is None else min(connect, most), read)
        return super().send(request, stream, timeout, verify, cert, proxies)


class DeadlineAdapter(BoundedAdapter):
    """The same, and takes the answer as it came."""

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
        if _running.watch is not None and not _has_more(self._sock):
            _running.watch.wait(lambda seconds: wait_for_read(self._sock, seconds), self._allowed)
        left = min(self._allowed, time_left())
        self._sock.settimeout(left if math.isfinite(left) else None)
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


def _has_more(sock: socket.socket) -> bool:
    """Whether TLS has decrypted more than was read: nothing of it would be seen on the wire."""
    pending = getattr(sock, "pending", None)
    return pending is not None and pending() > 0


class BoundedResponse(http.client.HTTPResponse):
    """A response read within :func:`deadline`: a ``response_class`` for http.client."""

    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        buffered: Any = self.fp
        self.fp = io.BufferedReader(_Stream(buffered.detach(), sock))


class BoundedConnection(HTTPConnection):
    """A connection whose answers are read within :func:`deadline`."""

    response_class = BoundedResponse


class _BoundedTLS(HTTPSConnection):
    response_class = BoundedResponse


class _HTTPPool(HTTPConnectionPool):
    ConnectionCls = BoundedConnection


class _HTTPSPool(HTTPSConnectionPool):
    ConnectionCls = _BoundedTLS
