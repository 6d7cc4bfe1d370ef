"""Where starts are held up, for harnesses that offer the hook SLOW_START."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

LONGEST_WAIT_SECONDS = 20.0


class Turnstile:
    """Inside :meth:`shut` nobody gets through.

    At the block's end they go on one by one, each when the one before is through, and the youngest
    first: it is the oldest that has missed most.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._shut = False
        self._waiting: list[object] = []
        """The oldest first."""

    @property
    def is_shut(self) -> bool:
        return self._shut

    @contextmanager
    def shut(self) -> Iterator[Callable[[], int]]:
        """Gives what tells how many are waiting."""
        self._shut = True
        try:
            yield lambda: len(self._waiting)
        finally:
            with self._changed:
                self._shut = False
                self._changed.notify_all()

    @contextmanager
    def passing(self) -> Iterator[None]:
        """Get through: the block is run in its turn.

        Raises:
            TimeoutError: nobody has let it go on.
        """
        if not self._shut:
            yield
            return
        me = object()
        try:
            with self._changed:
                self._waiting.append(me)
                if not self._changed.wait_for(lambda: self._my_turn(me), LONGEST_WAIT_SECONDS):
                    raise TimeoutError("a slow start was never let go on")
            yield
        finally:
            with self._changed:
                self._waiting.remove(me)
                self._changed.notify_all()

    def _my_turn(self, me: object) -> bool:
        return not self._shut and self._waiting[-1] is me
