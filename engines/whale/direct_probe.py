"""Whether anybody listens behind a direct port, where frps accepts in the instance's place.

frps accepts at once. frpc then looks the container's name up, dials, and closes when nobody is
there (docs/whale-wire.md, "frp"), so a dead connection is open and silent for as long as the
look-up takes. Until then nothing tells it from a service that says nothing by itself: no probe can
be faster than the look-up. What it takes is learned from the connections that die before the
container listens; they overlap, so that the one which counts begins with the service.
"""

from __future__ import annotations

import errno
import selectors
import socket
import time
from dataclasses import dataclass, field
from typing import Any

from engines.probe import AddressInfo, look_up

PACE_SECONDS = 0.1
"""Between the beginnings of two connections, at least: part of what a silent service costs."""
LATER_PACE_SECONDS = 0.2
"""The same after :data:`LATER_SECONDS`, to spare frpc's resolver while an image is pulled."""
LATER_SECONDS = 5.0
MOST_OPEN = 6
"""Connections held at once, about; a slow resolver spreads them out."""
MARGIN_SECONDS = 0.1
MARGIN_TIMES = 1.25
"""How much longer than the longest dead connection a live one stays open, whichever is more."""


@dataclass
class _Held:
    """A connection that has not ended yet."""

    begun_at: float
    opened_at: float | None = None
    doubted: bool = False
    """A later connection was closed: this one may only have met a slower look-up."""


@dataclass
class DirectWatch:
    """What the connections to one port have shown. All times are given, in seconds.

    Args:
        hold_seconds: how long a silent connection must stay open as long as no dead one was seen.
        short_hold_seconds: the least, however soon dead ones were closed.
    """

    hold_seconds: float
    short_hold_seconds: float
    _held: dict[object, _Held] = field(default_factory=dict)
    _dead_seconds: float | None = None
    """The longest that a dead connection took, from its beginning to its end."""
    _first: float | None = None
    _last: float = 0.0

    def due(self, now: float) -> float:
        """Seconds until the next connection is to begin, 0 or less for now."""
        if self._first is None:
            return 0.0
        later = now - self._first >= LATER_SECONDS
        pace = max(LATER_PACE_SECONDS if later else PACE_SECONDS, self._hold(False) / MOST_OPEN)
        return self._last + pace - now

    def begun(self, key: object, now: float) -> None:
        """A connection is about to be made."""
        self._first = now if self._first is None else self._first
        self._last = now
        self._held[key] = _Held(now)

    def opened(self, key: object, now: float) -> None:
        """It was accepted."""
        self._held[key].opened_at = now

    def closed(self, key: object, now: float) -> None:
        """The other side closed it without a byte, or never accepted it."""
        ended = self._held.pop(key)
        if ended.opened_at is None:
            return
        self._dead_seconds = max(now - ended.begun_at, self._dead_seconds or 0.0)
        for earlier in self._held.values():
            earlier.doubted |= earlier.begun_at < ended.begun_at

    def ready_in(self, now: float) -> float:
        """Seconds until an open connection counts, if none ends before; 0 or less: one does."""
        return min(
            (
                held.opened_at + self._hold(held.doubted) - now
                for held in self._held.values()
                if held.opened_at is not None
            ),
            default=float("inf"),
        )

    def _hold(self, doubted: bool) -> float:
        dead = self._dead_seconds
        if dead is None:
            return self.hold_seconds
        known = max(self.short_hold_seconds, dead + MARGIN_SECONDS, MARGIN_TIMES * dead)
        return max(known, self.hold_seconds) if doubted else known


def answers_direct(host: str, port: int, *, watch: DirectWatch, seconds: float) -> bool:
    """True once a server behind the port speaks, or keeps a connection open as ``watch`` asks.

    Takes at most ``seconds``.
    """
    until = time.monotonic() + seconds
    with selectors.DefaultSelector() as selector:
        probe = _Probe(selector, watch)
        try:
            while (left := until - time.monotonic()) > 0:
                if watch.due(time.monotonic()) <= 0:
                    probe.begin(host, port, left)
                if probe.answered(left):
                    return True
        finally:
            probe.close()
    return False


class _Probe:
    def __init__(self, selector: selectors.BaseSelector, watch: DirectWatch) -> None:
        self._selector = selector
        self._watch = watch
        self._addresses: list[AddressInfo] = []
        self._begun = 0

    def begin(self, host: str, port: int, left: float) -> None:
        """Begin one more connection, to each of the name's addresses in turn."""
        pending = [
            key for key in self._selector.get_map().values() if key.events & selectors.EVENT_WRITE
        ]
        if len(pending) >= MOST_OPEN:  # nobody refuses them: a packet filter drops them
            self._end(pending[0].fileobj)
        self._begun += 1
        self._watch.begun(self._begun, time.monotonic())
        try:
            self._addresses = self._addresses or look_up(host, port, left)
            family, _, _, _, address = self._addresses[self._begun % len(self._addresses)]
            connection = socket.socket(family, socket.SOCK_STREAM)
        except OSError:
            self._watch.closed(self._begun, time.monotonic())
            return
        connection.setblocking(False)
        self._selector.register(connection, selectors.EVENT_WRITE, self._begun)
        if connection.connect_ex(address) not in (0, errno.EINPROGRESS, errno.EWOULDBLOCK):
            self._end(connection)

    def answered(self, left: float) -> bool:
        """Whether the port answers, after what comes until something is to be done."""
        now = time.monotonic()
        wait = min(left, self._watch.due(now), self._watch.ready_in(now))
        for key, _ in self._selector.select(max(wait, 0.0)):
            connection: Any = key.fileobj
            if key.events & selectors.EVENT_WRITE:
                if connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                    self._end(connection)
                    continue
                self._watch.opened(key.data, time.monotonic())
                self._selector.modify(connection, selectors.EVENT_READ, key.data)
            elif self._spoke(connection):
                return True
            else:
                self._end(connection)
        # As of before the wait: what has ended by then has been seen.
        return self._watch.ready_in(now) <= 0

    def close(self) -> None:
        for key in list(self._selector.get_map().values()):
            connection: Any = key.fileobj
            connection.close()

    def _end(self, connection: Any) -> None:
        self._watch.closed(self._selector.unregister(connection).data, time.monotonic())
        connection.close()

    def _spoke(self, connection: socket.socket) -> bool:
        try:
            return connection.recv(1) != b""
        except OSError:
            return False
