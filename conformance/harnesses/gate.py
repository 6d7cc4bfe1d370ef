"""A gate on the way to a server: open, shut, or in one of the ways in which a way goes wrong.

It relays bytes on a loopback address, or on one that others are told to use, so that a server can
be down for those who come through it and for nobody else. Nothing is changed but the name in
``Host``.
"""

from __future__ import annotations

import re
import selectors
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit

from conformance.harness import FaultKind

WAYS = frozenset(
    {FaultKind.UNREACHABLE, FaultKind.LOST_ANSWER, FaultKind.LOST_REQUEST, FaultKind.GARBAGE}
)
"""What a way can do by itself; an HTTP server behind it knows nothing of it."""
MOST_BYTES = 65536
CONNECT_SECONDS = 10.0
_REQUEST = re.compile(rb"^([A-Z]+) \S+ HTTP/1\.[01]\r\n")
_HOST = re.compile(rb"(?i)(\r\nhost: )[^\r]*")
_PAGE = b"<!DOCTYPE html>\n<html><body><h1>Welcome</h1></body></html>\n"
GARBAGE = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\nConnection: close\r\n"
    b"Content-Length: %d\r\n\r\n%s" % (len(_PAGE), _PAGE)
)


class ConnectionGate:
    """Relays connections until :meth:`close`.

    Args:
        reach: connects to the server.
        host: the ``Host`` that the server is to be told; empty: what came.
        listen: where others come through; any free port of loopback unless given.

    Raises:
        OSError: it cannot listen there.
    """

    def __init__(
        self,
        reach: Callable[[], socket.socket],
        host: str = "",
        listen: tuple[str, int] = ("127.0.0.1", 0),
    ) -> None:
        self._reach = reach
        self._host = host.encode()
        self._fault: FaultKind | None = None
        self._lock = threading.Lock()
        self._pairs: set[tuple[socket.socket, socket.socket]] = set()
        self._listener = _bound(listen)
        self.address: tuple[str, int] = self._listener.getsockname()[:2]
        self._open()

    @property
    def url(self) -> str:
        """For those who speak HTTP through it."""
        return f"http://{self.address[0]}:{self.address[1]}"

    @contextmanager
    def fault(self, kind: FaultKind) -> Iterator[None]:
        """Inside the block the way goes wrong like this, for new connections and for open ones."""
        with self._lock:
            self._fault = kind
        if kind is FaultKind.UNREACHABLE:
            self._shut()
            # Bound, and nobody listens: the kernel refuses, and nobody else can take the port.
            self._listener = _bound(self.address)
        self._hang_up()
        try:
            yield
        finally:
            with self._lock:
                self._fault = None
            self._hang_up()
            if kind is FaultKind.UNREACHABLE:
                self._open()

    def close(self) -> None:
        """Take no more connections, and end those there are."""
        self._shut()
        self._hang_up()

    def _open(self) -> None:
        self._listener.listen(128)
        self._thread = threading.Thread(target=self._accept, args=(self._listener,), daemon=True)
        self._thread.start()

    def _shut(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes up who accepts
        self._listener.close()
        self._thread.join()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                caller, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self._attend, args=(caller,), daemon=True).start()

    def _attend(self, caller: socket.socket) -> None:
        try:
            server = self._reach()
        except OSError:
            caller.close()
            return
        pair = (caller, server)
        with self._lock:
            self._pairs.add(pair)
        try:
            _Relay(caller, server, self._host, lambda: self._fault).run()
        except (OSError, ValueError):
            pass  # either side hung up, or we did
        finally:
            with self._lock:
                self._pairs.discard(pair)
            for each in pair:
                each.close()

    def _hang_up(self) -> None:
        with self._lock:
            for each in (end for pair in self._pairs for end in pair):
                with suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)


class _Relay:
    """One connection, both ways, until one side ends it."""

    def __init__(
        self,
        caller: socket.socket,
        server: socket.socket,
        host: bytes,
        fault: Callable[[], FaultKind | None],
    ) -> None:
        self._caller = caller
        self._server = server
        self._host = host
        self._fault = fault
        self._lost = False
        """The answer to the request that is under way is to be lost."""
        self._garbled = False
        """It is to be replaced."""

    def run(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._caller, selectors.EVENT_READ, self._asked)
            selector.register(self._server, selectors.EVENT_READ, self._answered)
            going_on = True
            while going_on:
                going_on = all(key.data() for key, _ in selector.select())

    def _asked(self) -> bool:
        data = self._caller.recv(MOST_BYTES)
        if not data:
            return False
        request = _REQUEST.match(data)  # a caller sends the head of a request in one piece
        if request is not None:
            fault, writes = self._fault(), request[1] != b"GET"
            if fault is FaultKind.LOST_REQUEST and writes:
                return False
            self._lost = fault is FaultKind.LOST_ANSWER and writes
            self._garbled = fault is FaultKind.GARBAGE
            if self._host:
                data = _HOST.sub(rb"\g<1>" + self._host, data, count=1)
        self._server.sendall(data)
        return True

    def _answered(self) -> bool:
        data = self._server.recv(MOST_BYTES)
        while isinstance(self._server, ssl.SSLSocket) and self._server.pending():
            data += self._server.recv(MOST_BYTES)
        if not data or self._lost:
            return False
        if self._garbled:
            self._caller.sendall(GARBAGE)
            return False
        self._caller.sendall(data)
        return True


def _bound(address: tuple[str, int]) -> socket.socket:
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    listener = socket.socket(family)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError:
        listener.close()
        raise
    return listener


def reaching(
    url: str, context: Callable[[], ssl.SSLContext] = ssl.create_default_context
) -> Callable[[], socket.socket]:
    """Connects to the server of a URL: ``http``, ``https``, ``tcp`` or ``unix``."""
    parts = urlsplit(url)

    def by_path() -> socket.socket:
        server = socket.socket(socket.AF_UNIX)
        server.settimeout(CONNECT_SECONDS)
        server.connect(parts.path)
        server.settimeout(None)
        return server

    def by_name() -> socket.socket:
        secure = parts.scheme == "https"
        there = (str(parts.hostname), parts.port or (443 if secure else 80))
        server = socket.create_connection(there, CONNECT_SECONDS)
        if secure:
            try:
                server = context().wrap_socket(server, server_hostname=there[0])
            except BaseException:  # Ctrl-C too: no connection is left open; raised again
                server.close()
                raise
        server.settimeout(None)
        return server

    return by_path if parts.scheme == "unix" else by_name
