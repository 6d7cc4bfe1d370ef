"""Whom Whale locks out: an error leaves its lock on the user behind for ten seconds.

A write that meets the lock waits at Whale for two seconds, only to be refused, and with the queue
in front of Whale so does everybody else (docs/whale-wire.md, "Locks and the frequency limit"). So
what Whale would refuse is refused here, in the same words. A process knows of its own writes only.
"""

from __future__ import annotations

import threading
from datetime import datetime, timedelta

from engines.clock import Clock
from engines.contract import Code
from engines.errors import WhaleFault
from engines.whale.client import WhaleAnswer
from engines.whale.wire import LEFT_LOCK_SECONDS, too_fast

PATIENCE = timedelta(seconds=1.95)
"""How long Whale itself waits for the lock."""
_BEFORE_THE_LOCK = frozenset({Code.RATE_LIMITED, Code.CHALLENGE_UNAVAILABLE, Code.UNAUTHENTICATED})
"""What Whale or its CTFd refuses without having taken the lock."""


class LeftLocks:
    """The locks that this process's writes left behind."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._until: dict[int, datetime] = {}
        self._lock = threading.Lock()

    def check(self, user_id: int) -> None:
        """Raises :class:`engines.errors.WhaleFault` when Whale would refuse the user's write."""
        now = self._clock.now()
        with self._lock:
            left = self._until.get(user_id, now) - now
        if PATIENCE < left <= timedelta(seconds=LEFT_LOCK_SECONDS):
            raise too_fast(left.total_seconds())

    def note(self, user_id: int, answer: WhaleAnswer, fault: WhaleFault) -> None:
        """What Whale answered to a write."""
        if answer.status not in (403, 500) or fault.code in _BEFORE_THE_LOCK:
            return
        now = self._clock.now()
        with self._lock:
            self._until = {each: until for each, until in self._until.items() if until > now}
            self._until[user_id] = now + timedelta(seconds=LEFT_LOCK_SECONDS)
