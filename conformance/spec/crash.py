"""Processes that die in the middle of a call: what :meth:`conformance.harness.World.dying` needs.

A process deals with the outside: it sends a request to what it stands on, it commits a transaction.
Between two dealings it changes nothing that outlives it, so a death is told by the dealing it comes
at. A :class:`Life` counts them and ends at one of them; from then on every dealing is refused, so
that no clean-up of the dead (a ``finally``, another thread of it) has any effect.
"""

from __future__ import annotations

import threading


class ProcessDied(BaseException):
    """Thrown through a backend whose process has died; nothing may catch it and go on."""


class Life:
    """The life of one process.

    Args:
        boundary: how many boundaries it outlives; it dies at the next one.
    """

    def __init__(self, boundary: int) -> None:
        self._left = boundary
        self._over = False
        self._lock = threading.Lock()

    def boundary(self) -> None:
        """A moment just before or just after something is changed outside.

        Raises:
            ProcessDied: it is the last, or it was over before.
        """
        with self._lock:
            self._over = self._over or self._left == 0
            self._left -= 1
        self.goes_on()

    def goes_on(self) -> None:
        """Nobody who is dead reads or begins anything.

        Raises:
            ProcessDied: it is over.
        """
        if self._over:
            raise ProcessDied
