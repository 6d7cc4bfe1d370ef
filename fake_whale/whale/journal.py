"""What happened, in order: calls, faults that fired, the cleaner's work. Never a secret."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from .clock import EpochClock

CAPACITY = 5000
"""Entries kept; the oldest go first."""


@dataclass
class CurrentRequest:
    """The request (or the cleaner's run) that is being worked on right now."""

    method: str
    path: str
    user: str | None = None
    faults: list[str] = field(default_factory=list)


_current: ContextVar[CurrentRequest | None] = ContextVar("fake_whale_call", default=None)


def current_call() -> CurrentRequest | None:
    """The call the running thread works on, or None."""
    return _current.get()


@contextmanager
def working_on(call: CurrentRequest) -> Iterator[CurrentRequest]:
    """Within, :func:`current_call` is ``call``."""
    token = _current.set(call)
    try:
        yield call
    finally:
        _current.reset(token)


class Journal:
    """The last :data:`CAPACITY` entries, as plain dicts."""

    def __init__(self, clock: EpochClock) -> None:
        self._clock = clock
        self._entries: deque[dict[str, Any]] = deque(maxlen=CAPACITY)
        self._lock = threading.Lock()
        self._sequence = 0

    def note(self, kind: str, **facts: Any) -> None:
        """Add an entry; ``facts`` must hold nothing secret."""
        with self._lock:
            self._sequence += 1
            self._entries.append(
                {"seq": self._sequence, "at": round(self._clock.time(), 3), "kind": kind, **facts}
            )

    def entries(self) -> list[dict[str, Any]]:
        """All entries kept, oldest first."""
        with self._lock:
            return list(self._entries)

    def clear(self) -> None:
        """Forget every entry; numbering goes on."""
        with self._lock:
            self._entries.clear()
