"""The time that load is generated in: the machine's, or a test's own."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Protocol

GRACE_SECONDS = 30.0
"""How long calls in flight may take after Ctrl-C; then they are left to themselves."""
_LOOK_SECONDS = 0.05


class Time(Protocol):
    """Tells the time in seconds, waits, and runs workers that do both."""

    @property
    def stopped(self) -> bool:
        """Whether workers are to end after the call they are in."""

    def now(self) -> float: ...

    def sleep_until(self, moment: float) -> None:
        """Wait; returns at once when stopped."""

    def run(self, work: Callable[[], None], workers: int) -> None:
        """Do the work in so many threads, until all have ended.

        Raises:
            KeyboardInterrupt: workers were told to stop, and have.
        """


class RealTime:
    """The machine's own, from 0 where it is made.

    Args:
        check: called again and again while workers work; may raise KeyboardInterrupt.
    """

    def __init__(self, check: Callable[[], None] = lambda: None) -> None:
        self._check = check
        self._began = time.perf_counter()
        self._stop = threading.Event()

    @property
    def stopped(self) -> bool:
        return self._stop.is_set()

    def now(self) -> float:
        return time.perf_counter() - self._began

    def sleep_until(self, moment: float) -> None:
        left = moment - self.now()
        if left > 0:
            self._stop.wait(left)

    def run(self, work: Callable[[], None], workers: int) -> None:
        failed: list[BaseException] = []

        def guarded() -> None:
            try:
                work()
            except BaseException as error:  # noqa: BLE001 - it is raised where the run is awaited
                failed.append(error)
                self._stop.set()

        threads = [threading.Thread(target=guarded, daemon=True) for _ in range(workers)]
        for thread in threads:
            thread.start()
        try:
            for thread in threads:
                while thread.is_alive():
                    thread.join(_LOOK_SECONDS)
                    self._check()
        except KeyboardInterrupt:
            self._stop.set()
            until = self.now() + GRACE_SECONDS
            for thread in threads:
                thread.join(max(0.0, until - self.now()))
            raise
        if failed:
            raise failed[0]
