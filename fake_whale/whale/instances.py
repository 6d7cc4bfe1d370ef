"""Answers for the instances: what a player finds behind an address Whale gave out.

One event loop on a thread of its own serves the http listener (names told apart by Host header, as
frps does) and one listener per direct port. A listener exists as long as its rule is in force; a
port that cannot be bound is simply never answered, as with the real one.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import threading
import time
from collections.abc import Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass, replace
from email.utils import formatdate
from random import Random
from typing import Any, TypeVar

from .clock import EpochClock
from .engine import Engine, Service
from .errors import FakeWhaleError
from .routing import ProxyRule

REQUEST_SECONDS = 10.0
"""How long a visitor may take to send the head of a request."""
HEAD_LIMIT = 65_536
READY_DELAY_SECONDS = 0.6
"""From POST to 1/1 with a local image (docs/whale-wire.md, "The normal life")."""

_FRP_PAGE = (
    "<!DOCTYPE html>\n<html>\n<head>\n<title>Not Found</title>\n</head>\n<body>\n"
    "<h1>The page you requested was not found.</h1>\n<p><em>Faithfully yours, frp.</em></p>\n"
    "</body>\n</html>\n"
)

_log = logging.getLogger("fake_whale")
_T = TypeVar("_T")


@dataclass(frozen=True)
class InstanceOptions:
    """Where instances answer, whatever Whale's settings say.

    ``http_port`` 0 takes any free port. Direct ports are Whale's own numbers on ``direct_host``.
    ``ready_delay`` in seconds from POST; None: 0.6 with a real clock, 0 with a virtual one.
    ``reachable`` sets ``frp_http_port`` and ``frp_direct_ip_address`` so that the addresses Whale
    hands out lead here; without it they are what the settings say.
    """

    http_host: str = "127.0.0.1"
    http_port: int = 0
    direct_host: str = "127.0.0.1"
    ready_delay: float | None = None
    reachable: bool = False
    not_found_page: str | None = None
    """What frps' ``custom_404_page`` holds; None: frps' own page."""
    resolver_delay: float = 0.0
    """Seconds of real time that frpc's resolver takes to say that a name is unknown."""
    boot_seconds: tuple[float, float] = (0.0, 0.0)
    """Least and most of real time in which a new instance does not answer yet."""


FRP_MANNERS: Mapping[str, Mapping[str, Any]] = {
    "0.37": {"resolver_delay": 0.25, "boot_seconds": (0.9, 1.4)},
}
"""What :func:`as_frp` changes, by the release; measured (docs/whale-wire.md, "frp")."""


def as_frp(release: str, options: InstanceOptions) -> InstanceOptions:
    """``options`` with the manners of a measured frp; raises :class:`FakeWhaleError`."""
    try:
        return replace(options, **FRP_MANNERS[release])
    except KeyError:
        known = ", ".join(FRP_MANNERS)
        raise FakeWhaleError(f"frp: {release!r} was not measured; known are {known}") from None


class InstanceNetwork:
    """All listeners of one fake."""

    def __init__(
        self,
        options: InstanceOptions,
        clock: EpochClock,
        suffix: Callable[[], str],
        engine: Callable[[], Engine],
        random: Random,
    ) -> None:
        self._random = random
        self._booted: dict[str, float] = {}
        """When, in monotonic seconds, each service is up, whatever the clock says."""
        self._options = options
        self._clock = clock
        self._suffix = suffix
        self._engine = engine
        self._lock = threading.RLock()
        self._names: dict[str, str] = {}
        self._direct: dict[int, str] = {}
        self._listeners: dict[int, asyncio.Server] = {}
        self._open: set[asyncio.StreamWriter] = set()
        self._closed = False
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="fake-whale-instances", daemon=True
        )
        self._thread.start()
        http_socket = _bound(options.http_host, options.http_port)
        address = http_socket.getsockname()
        self.http_listener: tuple[str, int] = (address[0], address[1])
        self._http_server: asyncio.Server | None = None
        self._serve_names(http_socket)

    def sync(
        self,
        rules: Callable[[], Iterable[ProxyRule]],
        services: Callable[[], Iterable[Service]],
        *,
        http: bool = True,
    ) -> None:
        """Open and close listeners so that they follow ``rules`` and ``services``.

        Both are read when it is our turn: who comes last has seen the latest. ``http``: whether the
        names' own listener is open.
        """
        with self._lock:
            if self._closed:
                return
            exist = {service.whale_id for service in services()}
            now = time.monotonic()
            self._booted = {
                name: self._booted.get(name)
                or now + self._random.uniform(*self._options.boot_seconds)
                for name in exist
            }
            known = list(rules())  # whether or not anybody is there: frps listens for each
            self._names = {r.subdomain: r.whale_id for r in known if r.kind == "http"}
            self._direct = {r.remote_port: r.whale_id for r in known if r.kind == "tcp"}
            for port in [port for port in self._listeners if port not in self._direct]:
                self._call(self._shut(self._listeners.pop(port)))
            for port in [port for port in self._direct if port not in self._listeners]:
                self._listen(port)
            if http and self._http_server is None:
                self._serve_names(_bound(*self.http_listener))
            elif not http and self._http_server is not None:
                server, self._http_server = self._http_server, None
                self._call(self._shut(server))

    def close(self) -> None:
        """Close every listener and connection, and end the thread. Idempotent."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            for server in (self._http_server, *self._listeners.values()):
                if server is not None:
                    self._call(self._shut(server))
            self._call(self._hang_up())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=5)
        self._loop.close()

    def _serve_names(self, listener: socket.socket) -> None:
        self._http_server = self._call(asyncio.start_server(self._serve_http, sock=listener))

    def _listen(self, port: int) -> None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await self._attend(reader, writer, lambda _head: self._direct.get(port), found_by="")

        try:
            listener = _bound(self._options.direct_host, port)
        except OSError as error:
            _log.warning("direct port %d cannot be bound: %s", port, error.strerror)
            return
        self._listeners[port] = self._call(asyncio.start_server(serve, sock=listener))

    async def _serve_http(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._attend(reader, writer, self._by_host, found_by="host")

    def _by_host(self, head: bytes) -> str | None:
        host = _host_of(head)
        suffix = self._suffix().strip(".").lower()
        for name, whale_id in self._names.items():
            if host == f"{name}.{suffix}".strip(".").lower():
                return whale_id
        return None

    async def _service(self, whale_id: str | None) -> Service | None:
        """The service if it answers now."""
        if whale_id is None or time.monotonic() < self._booted.get(whale_id, 0.0):
            return None
        engine = self._engine()
        if engine.local:
            service = engine.find(whale_id)
        else:
            service = await asyncio.to_thread(engine.find, whale_id)
        return service if service and service.answers(self._clock.time()) else None

    async def _attend(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        find: Callable[[bytes], str | None],
        found_by: str,
    ) -> None:
        self._open.add(writer)
        try:
            if not found_by and await self._service(find(b"")) is None:
                await asyncio.sleep(self._options.resolver_delay)
                return  # frps accepted, frpc found nobody: hung up without a byte
            async with asyncio.timeout(REQUEST_SECONDS):
                head = await reader.readuntil(b"\r\n\r\n")
            service = await self._service(find(head))
            answered = False
            if service is not None and service.address is not None:
                answered = await _pass_on(service.address, head, reader, writer)
            elif service is not None:
                writer.write(_instance_answer(service, head))
                answered = True
            if found_by and not answered:  # nobody by that name, or nobody who listens yet
                page = self._options.not_found_page
                writer.write(_response(404, _FRP_PAGE if page is None else page, "text/html"))
            await writer.drain()
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # the visitor's problem, not ours
        finally:
            self._open.discard(writer)
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _shut(self, server: asyncio.Server) -> None:
        server.close()

    async def _hang_up(self) -> None:
        for writer in list(self._open):
            writer.transport.abort()
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        await asyncio.gather(*tasks, return_exceptions=True)

    def _call(self, work: Coroutine[Any, Any, _T]) -> _T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout=10)


def _bound(host: str, port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
    except OSError:
        listener.close()
        raise
    return listener


def _host_of(head: bytes) -> str:
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"host":
            host = value.strip().decode("latin-1").lower()
            return host.rsplit(":", 1)[0].rstrip(".") if ":" in host else host.rstrip(".")
    return ""


def _instance_answer(service: Service, head: bytes) -> bytes:
    words = head.split(b" ", 2)
    path = words[1].decode("latin-1").split("?", 1)[0] if len(words) > 1 else ""
    if path == "/cgi-bin/flag":
        return _response(200, f"{service.order.flag}\n", "text/plain")
    if path == "/":
        return _response(200, f"This is {service.order.challenge_name}.\n", "text/plain")
    return _response(404, "Not Found\n", "text/plain")


def _response(status: int, text: str, kind: str) -> bytes:
    body = text.encode()
    reason = {200: "OK", 404: "Not Found"}[status]
    head = f"HTTP/1.1 {status} {reason}\r\nDate: {formatdate(usegmt=True)}\r\n"
    head += f"Content-Type: {kind}; charset=utf-8\r\nContent-Length: {len(body)}\r\n"
    return head.encode() + b"Connection: close\r\n\r\n" + body


async def _pass_on(
    address: tuple[str, int],
    head: bytes,
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
) -> bool:
    """Be a plain pipe to a real container, as frp is; False when nothing came out of it."""
    answered = False
    try:
        there_reader, there_writer = await asyncio.open_connection(*address)
    except OSError:
        return answered
    upstream = asyncio.ensure_future(_pump(reader, there_writer))
    try:
        there_writer.write(head)
        while chunk := await there_reader.read(HEAD_LIMIT):
            answered = True
            writer.write(chunk)
            await writer.drain()
    except ConnectionResetError:
        pass  # by the container or by the visitor: either way there is no more to pass on
    finally:
        upstream.cancel()
        there_writer.close()
    return answered


async def _pump(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    while chunk := await source.read(HEAD_LIMIT):
        target.write(chunk)
        await target.drain()
    if target.can_write_eof():
        target.write_eof()
