"""The locks Whale keeps in redis: they expire by themselves and outlive the request that took them.

Whale polls every 0.1 s for 2 s, so a refused write takes about 1.95 s (docs/whale-wire.md, "Locks
and the frequency limit"). A lock whose request has ended without giving it back is left over: with
a virtual clock waiting for it only moves the clock. A lock whose request still works is waited for.
"""

from __future__ import annotations

import math
import threading
import time
from dataclasses import dataclass

from .clock import Cancelled, EpochClock

POLL_SECONDS = 0.1
LAST_TRY_BEFORE_END = 0.05
"""Measured: with 2 s of patience the last try falls about 1.95 s after the first."""


@dataclass
class Lock:
    """A lock somebody holds; ``working`` until the request that took it has ended."""

    name: str
    expires_at: float
    working: bool = True


class Locks:
    """All locks of one fake, by name.

    Args:
        none: there is no redis, and every lock is granted.
    """

    def __init__(self, clock: EpochClock, cancel: threading.Event, *, none: bool = False) -> None:
        self._none = none
        self._clock = clock
        self._cancel = cancel
        self._held: dict[str, Lock] = {}
        self._changed = threading.Condition()

    def acquire(self, name: str, hold_seconds: float, patience_seconds: float) -> Lock | None:
        """Take the lock for ``hold_seconds``, waiting ``patience_seconds``; None when refused.

        Raises :class:`~fake_whale.whale.clock.Cancelled` when the fake is reset meanwhile.
        """
        if self._none:
            return Lock(name, self._clock.time())
        patience = patience_seconds - LAST_TRY_BEFORE_END
        self._wait_for_work_to_end(name, patience)
        with self._changed:
            lock = self._take(name, hold_seconds)
            if lock is not None or not self._clock.virtual:
                return lock
            left = self._held[name].expires_at - self._clock.time()
        polls = math.ceil(left / POLL_SECONDS) * POLL_SECONDS
        self._clock.wait(min(polls, patience), self._cancel)
        with self._changed:
            return self._take(name, hold_seconds)

    def release(self, lock: Lock) -> None:
        """Give the lock back; nothing happens when it has expired or is somebody else's by now."""
        with self._changed:
            lock.working = False
            if self._held.get(lock.name) is lock:
                del self._held[lock.name]
            self._changed.notify_all()

    def abandon(self, lock: Lock) -> None:
        """The request has ended without giving the lock back: it stays until it expires."""
        with self._changed:
            lock.working = False
            self._changed.notify_all()

    def left(self) -> dict[str, float]:
        """Locks that still hold, with the seconds they have left."""
        now = self._clock.time()
        with self._changed:
            return {
                name: round(lock.expires_at - now, 3)
                for name, lock in self._held.items()
                if lock.expires_at > now
            }

    def clear(self) -> None:
        """Forget every lock, as flushing redis does."""
        with self._changed:
            self._held.clear()
            self._changed.notify_all()

    def _wait_for_work_to_end(self, name: str, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        with self._changed:
            while self._held_now(name) and (self._held[name].working or not self._clock.virtual):
                left = deadline - time.monotonic()
                if left <= 0:
                    return
                self._changed.wait(min(POLL_SECONDS, left))
                if self._cancel.is_set():
                    raise Cancelled

    def _held_now(self, name: str) -> bool:
        lock = self._held.get(name)
        return lock is not None and lock.expires_at > self._clock.time()

    def _take(self, name: str, hold_seconds: float) -> Lock | None:
        if self._held_now(name):
            return None
        lock = Lock(name, self._clock.time() + hold_seconds)
        self._held[name] = lock
        return lock
