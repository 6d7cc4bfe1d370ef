"""The fake's clock: the machine's own, or a virtual one that only moves when it is told to.

With a virtual clock nothing ever waits: a wait moves the clock by that much and returns at once.
"""

from __future__ import annotations

import threading
import time
from typing import Protocol

DEFAULT_START = 1_767_225_600.0
"""2026-01-01T00:00:00Z, in epoch seconds: where a virtual clock starts unless told otherwise."""


class Cancelled(Exception):
    """The wait was cut short because the fake was reset or closed."""


class Timer(Protocol):
    """Something that happens at moments of its own while a virtual clock moves."""

    def next_beat(self, until: float) -> float | None:
        """The first moment not later than ``until`` (epoch seconds) with work to do, or None."""

    def beat(self, moment: float) -> None:
        """Do the work that was due at ``moment``; the clock stands there meanwhile."""


class EpochClock(Protocol):
    """Tells the time in epoch seconds, and waits."""

    @property
    def virtual(self) -> bool: ...

    def time(self) -> float: ...

    def advance(self, seconds: float) -> None: ...

    def wait(self, seconds: float, cancel: threading.Event) -> None: ...

    def subscribe(self, timer: Timer) -> None: ...

    def unsubscribe(self, timer: Timer) -> None: ...


class SystemEpochClock:
    """The machine's clock. It cannot be moved."""

    virtual = False

    def time(self) -> float:
        """Epoch seconds."""
        return time.time()

    def advance(self, seconds: float) -> None:
        """Raises RuntimeError: only a virtual clock can be moved."""
        raise RuntimeError("the clock is real and cannot be moved; use a virtual clock")

    def wait(self, seconds: float, cancel: threading.Event) -> None:
        """Wait ``seconds``; raises :class:`Cancelled` when ``cancel`` is set meanwhile."""
        if cancel.wait(max(0.0, seconds)):
            raise Cancelled

    def subscribe(self, timer: Timer) -> None:
        """Nothing to do: with real time, timers run on threads of their own."""

    def unsubscribe(self, timer: Timer) -> None:
        """See :meth:`subscribe`."""


class VirtualEpochClock:
    """A clock that stands still until it is moved.

    Moving it runs everything that falls due on the way, in order and each at its own moment: after
    ``advance(60)`` the cleaner has run six times, at its own beats.
    """

    virtual = True

    def __init__(self, start: float = DEFAULT_START) -> None:
        self._now = float(start)
        self._timers: list[Timer] = []
        self._moving = threading.RLock()

    def time(self) -> float:
        """Epoch seconds."""
        return self._now

    def advance(self, seconds: float) -> None:
        """Move by ``seconds``; raises ValueError when negative (see :meth:`set_back`)."""
        if seconds < 0:
            raise ValueError("seconds must not be negative; set_back() moves the clock back")
        with self._moving:
            self._move_to(self._now + seconds)

    def set_back(self, seconds: float) -> None:
        """Move back by ``seconds``, as a machine's clock that is corrected does."""
        with self._moving:
            self._now -= seconds

    def wait(self, seconds: float, cancel: threading.Event) -> None:
        """Move the clock by ``seconds`` instead of waiting."""
        if cancel.is_set():
            raise Cancelled
        self.advance(max(0.0, seconds))

    def subscribe(self, timer: Timer) -> None:
        """Have ``timer`` run whenever the clock moves past one of its beats."""
        with self._moving:
            self._timers.append(timer)

    def unsubscribe(self, timer: Timer) -> None:
        """Undo :meth:`subscribe`; no error when it was not subscribed."""
        with self._moving:
            if timer in self._timers:
                self._timers.remove(timer)

    def _move_to(self, target: float) -> None:
        while True:
            due = [(beat, timer) for timer in self._timers if (beat := timer.next_beat(target))]
            if not due:
                break
            moment, timer = min(due, key=lambda pair: pair[0])
            self._now = max(self._now, moment)
            timer.beat(moment)
        self._now = max(self._now, target)
