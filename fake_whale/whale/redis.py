"""What CTFd and Whale keep in redis: sessions, locks, free ports and rate limits."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from random import Random
from typing import Any

from .clock import EpochClock
from .errors import RedisError
from .locks import Locks

MOST_SESSIONS = 20_000
"""Every token call leaves a session behind; beyond this the oldest go."""

SessionData = dict[str, Any]


@dataclass
class _Counter:
    count: int
    expires_at: float


class Redis:
    """One redis. :meth:`flush` empties it, as ``FLUSHALL`` does.

    Args:
        absent: there is none, and CTFd keeps all this in files: without locks, and with ports that
            Whale makes anew from its records whenever it looks for one.
    """

    def __init__(
        self, clock: EpochClock, random: Random, cancel: threading.Event, *, absent: bool = False
    ) -> None:
        self.absent = absent
        self._clock = clock
        self._random = random
        self._lock = threading.Lock()
        self._sessions: OrderedDict[str, SessionData] = OrderedDict()
        self._ports: set[int] = set()
        self._counters: dict[str, _Counter] = {}
        self.locks = Locks(clock, cancel, none=absent)

    def flush(self) -> None:
        """Everything is gone: sessions, locks, free ports, counters. Files are not."""
        if self.absent:
            return
        with self._lock:
            self._sessions.clear()
            self._ports.clear()
            self._counters.clear()
        self.locks.clear()

    def load_session(self, sid: str) -> SessionData:
        """A copy of the session's data; empty when there is none."""
        return dict(self._sessions.get(sid, {}))

    def save_session(self, sid: str, data: SessionData) -> None:
        """Store the session's data; empty data removes it."""
        if not data:
            self._sessions.pop(sid, None)
            return
        with self._lock:
            self._sessions[sid] = dict(data)
            if len(self._sessions) > MOST_SESSIONS:
                self._sessions.popitem(last=False)

    def drop_session(self, sid: str) -> None:
        """Remove a session; no error when there is none."""
        self._sessions.pop(sid, None)

    def fill_ports(self, ports: Iterable[int]) -> None:
        """Make exactly ``ports`` the free ones."""
        with self._lock:
            self._ports = set(ports)

    def take_port(self) -> int:
        """A free port, drawn by redis; the first of a file's. Raises :class:`RedisError`."""
        with self._lock:
            if not self._ports:
                raise RedisError("no free port")
            free = sorted(self._ports)
            port = free[0] if self.absent else self._random.choice(free)
            self._ports.discard(port)
            return port

    def give_port_back(self, port: int) -> None:
        """Whale gives ports back without asking whether anything still answers on them."""
        with self._lock:
            self._ports.add(port)

    def free_ports(self) -> int:
        """How many ports are free."""
        return len(self._ports)

    def cool_down(self, key: str, seconds: int) -> int:
        """Begin a time in which ``key`` may not; or, while it runs, its seconds that are left."""
        if seconds <= 0:
            raise RedisError("invalid expire time in 'set' command")
        now = self._clock.time()
        with self._lock:
            counter = self._counters.get(key)
            if counter is not None and counter.expires_at > now:
                return round(counter.expires_at - now)
            self._counters[key] = _Counter(1, now + seconds)
            return 0

    def count(self, key: str, limit: int, interval_seconds: float) -> bool:
        """Count one event; False when ``limit`` was reached (each event prolongs the interval)."""
        now = self._clock.time()
        with self._lock:
            counter = self._counters.get(key)
            if counter is None or counter.expires_at <= now:
                self._counters[key] = _Counter(1, now + interval_seconds)
                return True
            if counter.count >= limit:
                return False
            counter.count += 1
            counter.expires_at = now + interval_seconds
            return True
