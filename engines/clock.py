"""One clock for everything that is stored or compared: expiry, audit, limits.

Waiting for sockets and containers is not this clock's business: those deadlines are real time.
"""

from __future__ import annotations

import threading
from datetime import datetime, timedelta, timezone
from typing import Protocol


class Clock(Protocol):
    """Tells the time, as an aware datetime in UTC."""

    def now(self) -> datetime: ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        return datetime.now(timezone.utc)


class VirtualClock:
    """A clock that stands still until it is moved, for tests and for the in-memory runtime."""

    def __init__(self, start: datetime = datetime(2026, 1, 1, tzinfo=timezone.utc)) -> None:
        if start.tzinfo is None:
            raise ValueError("start must be an aware datetime; add tzinfo=timezone.utc")
        self._now = start.astimezone(timezone.utc)
        self._lock = threading.Lock()

    def now(self) -> datetime:
        with self._lock:
            return self._now

    def advance(self, seconds: float) -> None:
        """Move by ``seconds``; negative moves back, as a clock that is corrected does."""
        with self._lock:
            self._now += timedelta(seconds=seconds)
