"""A circuit breaker: a backend that fails again and again is left alone for a while.

Our own, though there are libraries: pybreaker holds its lock while the call is made, so that one
request to a server that hangs would hold up all the others, and reads the machine's clock;
circuitbreaker and purgatory cannot be given a clock either, and are not made for many threads.
"""

from __future__ import annotations

import threading
from datetime import datetime, timedelta

from engines.clock import Clock


class Breaker:
    """Counts failures in a row; at ``failures`` of them nothing is let through for ``seconds``.

    After that one call at a time is let through: it closes the breaker or keeps it open. One that
    never tells how it ended is forgotten after ``seconds``. Safe in any thread; no lock is held
    while a call is made.
    """

    def __init__(self, clock: Clock, *, failures: int, seconds: float) -> None:
        self._clock = clock
        self._limit = failures
        self._pause = timedelta(seconds=seconds)
        self._lock = threading.Lock()
        self._failures = 0
        self._closed_until: datetime | None = None
        """While open: when the next call is let through."""

    @property
    def open(self) -> bool:
        """Whether it has tripped and not recovered yet."""
        with self._lock:
            return self._closed_until is not None

    @property
    def failures(self) -> int:
        """Failures in a row."""
        with self._lock:
            return self._failures

    def lets_through(self) -> bool:
        """Whether a call may be made now; whoever makes it tells how it ended."""
        now = self._clock.now()
        with self._lock:
            if self._closed_until is None:
                return True
            # A clock that was stepped back must not keep it open for longer.
            if self._closed_until - self._pause <= now < self._closed_until:
                return False
            self._closed_until = now + self._pause
            return True

    def succeeded(self) -> None:
        """A call was answered."""
        with self._lock:
            self._failures = 0
            self._closed_until = None

    def failed(self) -> None:
        """A call was not answered."""
        now = self._clock.now()
        with self._lock:
            self._failures += 1
            if self._closed_until is not None or self._failures >= self._limit:
                self._closed_until = now + self._pause
