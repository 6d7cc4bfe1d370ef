"""Lines up calls that really arrive together, as CTFd's single busy worker does.

CTFd needs 15 ms or more of work before a call reaches Whale's lock, so calls sent at once have all
begun, and taken their picture of the database, before the first of them changes it. The fake is
much faster; without this, parallel calls would pass one by one and look better behaved than the
real ones. A call alone is held up 10 ms with a real clock (its time in CTFd); with a virtual one
only while other connections are in use, so that whoever calls alone never waits.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

ALONE_SECONDS = 0.010
QUIET_SECONDS = 0.040
LONGEST_SECONDS = 0.6


class Company:
    """Counts the calls under way that change something."""

    def __init__(self, crowd: Callable[[], int], *, virtual: bool) -> None:
        self._crowd = crowd
        self._virtual = virtual
        self._changed = threading.Condition()
        self._present = 0
        self._last_arrival = 0.0

    @contextmanager
    def joined(self) -> Iterator[None]:
        """Within, the caller counts as present."""
        with self._changed:
            self._present += 1
            self._last_arrival = time.monotonic()
            self._changed.notify_all()
        try:
            yield
        finally:
            with self._changed:
                self._present -= 1
                self._changed.notify_all()

    def settle(self) -> None:
        """Wait until nobody new has joined for a moment; call it after the first database read."""
        arrived = time.monotonic()
        with self._changed:
            if self._present == 1 and (not self._virtual or self._crowd() > 1):
                self._changed.wait(QUIET_SECONDS if self._virtual else ALONE_SECONDS)
            while self._present > 1:
                now = time.monotonic()
                quiet_at = self._last_arrival + QUIET_SECONDS
                left = min(quiet_at, arrived + LONGEST_SECONDS) - now
                if left <= 0:
                    return
                self._changed.wait(left)
