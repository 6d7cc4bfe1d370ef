"""Work that takes so long that another one who wants the same arrives meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

GRACE_SECONDS = 0.1
"""How long one who seems to be alone waits for others."""
LONGEST_SECONDS = 10.0


class Crowd:
    """Calls that are under way, and which of them have come to a certain point."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._calls = 0
        self._there = 0

    @contextmanager
    def call(self) -> Iterator[None]:
        """A call is under way inside this block."""
        self._count(1)
        try:
            yield
        finally:
            self._count(-1)

    def slow(self, work: Callable[..., Any]) -> Callable[..., Any]:
        """``work``, begun when two have come to it, or when no other call is under way."""

        def awaited(*args: Any) -> Any:
            with self._changed:
                self._there += 1
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._there > 1, GRACE_SECONDS)
                self._changed.wait_for(lambda: self._there > 1 or self._calls < 2, LONGEST_SECONDS)
            return work(*args)

        return awaited

    def _count(self, change: int) -> None:
        with self._changed:
            self._calls += change
            self._changed.notify_all()
