"""Faults of the connection itself: what the client sees instead of a well-formed answer.

A WSGI layer decides which fault hits (before Whale sees the call, or after it has done its work);
a waitress task of our own then spoils the answer on the socket.
"""

from __future__ import annotations

import io
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from typing import TYPE_CHECKING, Any

from waitress.channel import HTTPChannel
from waitress.task import WSGITask

from ..fuzz import PAUSE_SECONDS, End, FuzzedAnswer, fuzzed
from ..whale.clock import Cancelled
from ..whale.faults import TRANSPORT, Fault, WhaleFaultKind, When
from ..whale.journal import CurrentRequest, working_on
from ..whale.machine import Machine
from ..whale.sessions import COOKIE_NAME

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

CONTROL_PREFIX = "/_fake"
WIRE_KEY = "fake_whale.wire"
_GATEWAYS = {
    WhaleFaultKind.BAD_GATEWAY: "502 Bad Gateway",
    WhaleFaultKind.LATE: "504 Gateway Time-out",
}
REPLACED = (WhaleFaultKind.HTML, *_GATEWAYS)
"""Whole answers of something in between, which keeps the connection."""
RESETS = (
    WhaleFaultKind.RESET_BEFORE_HEADERS,
    WhaleFaultKind.RESET_AFTER_HEADERS,
    WhaleFaultKind.REFUSE,
)
ENDLESS = 1_000_000_000
"""The Content-Length a dribbling answer promises."""

_HTML = b"<!DOCTYPE html>\n<html><head><title>Just a moment...</title></head><body></body></html>\n"
_GATEWAYS_PAGE = (
    "<html>\r\n<head><title>{status}</title></head>\r\n<body>\r\n"
    "<center><h1>{status}</h1></center>\r\n<hr><center>nginx</center>\r\n"
    "</body>\r\n</html>\r\n"
)


@dataclass
class Wire:
    """How the running task is to spoil its answer; ``pause`` waits, False when cancelled."""

    fault: Fault | None = None
    pause: Callable[[float], bool] = bool
    fuzzed: FuzzedAnswer | None = None
    """What is sent instead, where the fault says so."""


class TransportFaults:
    """The WSGI layer between waitress and the Flask app."""

    def __init__(
        self,
        app: WSGIApplication,
        machine: Callable[[], Machine],
        refuse: Callable[[float], None],
    ) -> None:
        self._app = app
        self._machine = machine
        self._refuse = refuse

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer, or spoil the answer."""
        machine = self._machine()
        path = environ.get("PATH_INFO", "")
        if machine.faults.empty or path.startswith(CONTROL_PREFIX):
            return self._app(environ, start_response)
        caller = machine.caller(environ.get("HTTP_AUTHORIZATION"), _cookie(environ))
        with working_on(CurrentRequest(environ["REQUEST_METHOD"], path, caller)):
            refusal = machine.faults.fire(WhaleFaultKind.REFUSE)
            if refusal is not None:
                if refusal.seconds:
                    self._refuse(refusal.seconds)
                return _answer_before(environ, start_response, machine, refusal)
            fault = machine.faults.fire(*TRANSPORT, when=When.BEFORE)
            if fault is not None and fault.kind is WhaleFaultKind.HANG:
                machine.hang(fault)
            elif fault is not None and fault.kind is WhaleFaultKind.LATE:
                machine.later(fault, self._postponed(environ))
                return _replaced(start_response, fault)
            elif fault is not None:
                return _answer_before(environ, start_response, machine, fault)
            return self._after(environ, start_response, machine)

    def _postponed(self, environ: WSGIEnvironment) -> Callable[[], None]:
        """The call, to be worked on when its client is gone."""
        length = int(environ.get("CONTENT_LENGTH") or 0)
        kept = {**environ, "wsgi.input": io.BytesIO(environ["wsgi.input"].read(length))}

        def work() -> None:
            for _ in self._app(kept, lambda *_answer: lambda _data: None):
                pass

        return work

    def _after(
        self, environ: WSGIEnvironment, start_response: StartResponse, machine: Machine
    ) -> Iterable[bytes]:
        kept: list[Any] = []

        def keep(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
            kept[:] = [status, headers]
            return lambda _data: None

        body = b"".join(self._app(environ, keep))
        fault = machine.faults.fire(*TRANSPORT, when=When.AFTER)
        if fault is not None and fault.kind in REPLACED:
            return _replaced(start_response, fault)
        if fault is not None and fault.kind is WhaleFaultKind.HANG:
            machine.hang(fault)
        elif fault is not None:
            _spoil(environ, machine, fault)
        start_response(kept[0], kept[1])
        return [body]


def _answer_before(
    environ: WSGIEnvironment, start_response: StartResponse, machine: Machine, fault: Fault
) -> Iterable[bytes]:
    """Whale never sees the call; where something must be answered it is a gateway's page."""
    if fault.kind in REPLACED:
        return _replaced(start_response, fault)
    _spoil(environ, machine, fault)
    return _replaced(start_response, Fault(WhaleFaultKind.BAD_GATEWAY))


def _replaced(start_response: StartResponse, fault: Fault) -> Iterable[bytes]:
    gateway = _GATEWAYS.get(fault.kind)
    body = _HTML if gateway is None else _GATEWAYS_PAGE.format(status=gateway).encode()
    headers = [("Content-Type", "text/html"), ("Content-Length", str(len(body)))]
    if gateway is not None:
        headers.append(("Server", "nginx"))
    start_response(gateway or "200 OK", headers)
    return [body]


def _spoil(environ: WSGIEnvironment, machine: Machine, fault: Fault) -> None:
    if fault.kind is WhaleFaultKind.SLOW_FIRST_BYTE:
        try:
            machine.wait(fault.seconds)
        except Cancelled:
            return
    wire = environ.get(WIRE_KEY)
    if isinstance(wire, Wire):
        wire.fault = fault
        # A trickle has to be real whatever the clock: it is the client's socket that waits.
        wire.pause = lambda seconds: not machine.cancel.wait(seconds)
        wire.fuzzed = fuzzed(machine.fuzz) if fault.kind is WhaleFaultKind.FUZZED else None


def _cookie(environ: WSGIEnvironment) -> str | None:
    try:
        morsel = SimpleCookie(environ.get("HTTP_COOKIE", "")).get(COOKIE_NAME)
    except CookieError:
        return None
    return morsel.value if morsel else None


class SpoiledTask(WSGITask):
    """waitress's task, which can end an answer in all the ways a network can."""

    def __init__(self, channel: Any, request: Any) -> None:
        super().__init__(channel, request)
        self._wire = Wire()

    def get_environment(self) -> Any:
        """The WSGI environment, with the wire in it."""
        environ = super().get_environment()
        environ[WIRE_KEY] = self._wire
        return environ

    def write(self, data: bytes) -> None:
        """Send the answer, spoiled if a fault says so."""
        fault, self._wire.fault = self._wire.fault, None
        if fault is None or fault.kind is WhaleFaultKind.SLOW_FIRST_BYTE:
            channel: Any = self.channel
            with channel.answer_lock:
                super().write(data)
                if self.content_bytes_written == self.content_length:
                    channel.answered = self.request
            return
        head = self._head_for(fault.kind)
        if fault.kind in (
            WhaleFaultKind.RESET_BEFORE_HEADERS,
            WhaleFaultKind.EMPTY_REPLY,
            WhaleFaultKind.REFUSE,
        ):
            head = data = b""
        elif fault.kind is WhaleFaultKind.RESET_AFTER_HEADERS:
            data = b""
        elif fault.kind is WhaleFaultKind.HALF_BODY:
            data = data[: len(data) // 2]
        if self._wire.fuzzed is not None:
            self._send_fuzzed(self._wire.fuzzed)
            return
        self._send(head)
        if fault.kind is WhaleFaultKind.DRIBBLE:
            self._dribble(data, fault.seconds)
        else:
            self._send(data)
        self._hang_up(reset=fault.kind in RESETS)

    def _head_for(self, kind: WhaleFaultKind) -> bytes:
        head: bytes = self.build_response_header()
        self.wrote_header = True
        self.chunked_response = False
        self.content_bytes_written = self.content_length or 0
        length = self.content_length or 0
        promised = {
            WhaleFaultKind.DRIBBLE: ENDLESS,
            WhaleFaultKind.WRONG_CONTENT_LENGTH: length + 10,
        }.get(kind, length)
        return head.replace(
            f"Content-Length: {length}\r\n".encode(), f"Content-Length: {promised}\r\n".encode()
        )

    def _send(self, data: bytes) -> None:
        if not data:
            return
        channel: Any = self.channel
        channel.write_soon(data)
        with channel.outbuf_lock:
            channel._flush_some(do_close=False)  # waitress flushes by itself only when idle

    def _dribble(self, data: bytes, seconds: float) -> None:
        position = 0
        while self._wire.pause(seconds):
            # write_soon raises ClientDisconnected once the client has gone
            self._send(data[position : position + 1] or b" ")
            position += 1

    def _send_fuzzed(self, answer: FuzzedAnswer) -> None:
        for piece in answer.pieces:
            self._send(piece)
            if not self._wire.pause(PAUSE_SECONDS if len(answer.pieces) > 1 else 0.0):
                break
        self._hang_up(reset=answer.end is End.RESET)

    def _hang_up(self, *, reset: bool) -> None:
        if reset:
            option = struct.pack("ii", 1, 0)
            connection: Any = self.channel.socket
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, option)
        self.close_on_finish = True
        self.channel.will_close = True


class SpoiledChannel(HTTPChannel):
    """waitress's channel with our task."""

    task_class = SpoiledTask
    answered_at: float | None = None
    """When it has answered last, on the monotonic clock."""

    answered: Any = None
    """The request that was answered last, to the last byte; waitress still lists it for a moment,
    in which the client may be at its next call already."""

    last = False
    """Whether it is to be closed once it has nothing left to answer."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.answer_lock = threading.Lock()
        """Held to write an answer, and to decide when to hang up."""

    def service(self) -> None:
        """Work on the requests received."""
        super().service()
        self.answered_at = time.monotonic()
        with self.answer_lock:
            if self.last:
                self.close_when_flushed = True
                self.server.pull_trigger()

    def close_when_idle(self) -> None:
        """Hang up: now when nothing is being answered, else after the answer."""
        with self.answer_lock:
            if all(request is self.answered for request in self.requests):
                self.handle_close()
            else:
                self.last = True
