"""A circuit breaker: a backend that fails again and again is left alone for a while.

pybreaker counts and keeps the state. It is told how a call ended, rather than given the call to
make: it holds its lock while it makes one, so that one request to a server that hangs would hold
up all the others. The pause is measured here, on the clock that everything else goes by.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta

import pybreaker

from engines.clock import Clock


class Breaker:
    """Counts failures in a row; at ``failures`` of them nothing is let through for ``seconds``.

    After that one call at a time is let through: it closes the breaker or keeps it open. One that
    never tells how it ended is forgotten after ``seconds``. Safe in any thread; no lock is held
    while a call is made.
    """

    def __init__(self, clock: Clock, *, failures: int, seconds: float) -> None:
        self._clock = clock
        self._pause = timedelta(seconds=seconds)
        self._lock = threading.Lock()
        self._circuit = pybreaker.CircuitBreaker(fail_max=failures, throw_new_error_on_trip=False)
        self._paused_at = clock.now()
        """While open: since when nothing is let through."""

    @property
    def open(self) -> bool:
        """Whether it has tripped and not recovered yet."""
        return self._circuit.current_state != pybreaker.STATE_CLOSED

    @property
    def failures(self) -> int:
        """Failures in a row."""
        return self._circuit.fail_counter

    def lets_through(self) -> bool:
        """Whether a call may be made now; whoever makes it tells how it ended."""
        now = self._clock.now()
        with self._lock:
            if not self.open:
                return True
            # A clock that was stepped back must not keep it open for longer.
            if self._paused_at <= now < self._paused_at + self._pause:
                return False
            self._paused_at = now
            return True

    def succeeded(self) -> None:
        """A call was answered."""
        self._ended(_answered)

    def failed(self) -> None:
        """A call was not answered."""
        self._ended(_not_answered)

    def _ended(self, how: Callable[[], None]) -> None:
        now = self._clock.now()
        with self._lock:
            if self.open:
                self._circuit.half_open()  # else it would ask the machine's clock for the pause
            with suppress(_NotAnswered):
                self._circuit.call(how)
            self._paused_at = now


class _NotAnswered(Exception):
    """What pybreaker counts as a failure."""


def _answered() -> None:
    pass


def _not_answered() -> None:
    raise _NotAnswered
