"""Something done in the middle of a process's work: what the hook MOMENTS needs.

A process that is looked at as one that dies (:mod:`conformance.spec.crash`) does not die here: at
one of its moments it waits until something else is done. Every step outside is such a moment,
reading too, but none within a transaction: whoever is given a turn there would wait for its end.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from conformance.spec.crash import Life


class Moments(Life):
    """The life of a process in the middle of which something is done, once.

    Args:
        moment: how many moments go by before it.
    """

    def __init__(self, moment: int, work: Callable[[], object]) -> None:
        super().__init__(0)
        self._moments_left = moment
        self._work = work
        self._counting = threading.Lock()

    def boundary(self) -> None:
        self.goes_on()

    def goes_on(self) -> None:
        with self._counting:
            due = self._moments_left == 0
            self._moments_left -= 1
        if due:
            self._work()


class BetweenTransactions(Life):
    """The same process as its database knows it: a moment before each transaction, none within."""

    def __init__(self, moments: Moments) -> None:
        super().__init__(0)
        self._moments = moments

    def boundary(self) -> None:
        """Within a transaction, or just after one: the next step is a moment."""

    def goes_on(self) -> None:
        self._moments.goes_on()


class NoMoments(Life):
    """A part of a process in which nothing else is given a turn."""

    def __init__(self) -> None:
        super().__init__(0)

    def boundary(self) -> None:
        """Goes on."""

    def goes_on(self) -> None:
        """Goes on."""
