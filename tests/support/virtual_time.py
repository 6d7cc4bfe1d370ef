"""A time for tests: workers run one at a time, and when all of them wait it moves on by itself."""

from __future__ import annotations

import heapq
import threading
from collections.abc import Callable


class VirtualTime:
    """Nothing in it takes time but what waits; the same run always goes the same way.

    Args:
        interrupt_at: when Ctrl-C is pressed.
    """

    def __init__(self, interrupt_at: float = float("inf")) -> None:
        self._now = 0.0
        self._interrupt_at = interrupt_at
        self._waiting: list[tuple[float, int, threading.Event]] = []
        self._count = 0
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._workers = 0

    @property
    def stopped(self) -> bool:
        return self._now >= self._interrupt_at

    def now(self) -> float:
        return self._now

    def sleep_until(self, moment: float) -> None:
        turn = threading.Event()
        self._enter(min(moment, max(self._now, self._interrupt_at)), turn)
        self._next()
        turn.wait()

    def sleep(self, seconds: float) -> None:
        """As a server does that works: Ctrl-C does not cut it short."""
        turn = threading.Event()
        self._enter(self._now + seconds, turn)
        self._next()
        turn.wait()

    def run(self, work: Callable[[], None], workers: int) -> None:
        failed: list[BaseException] = []

        def worker(turn: threading.Event) -> None:
            turn.wait()
            try:
                work()
            except BaseException as error:  # noqa: BLE001 - raised where the run is awaited
                failed.append(error)
            self._ends()

        self._over.clear()
        self._workers = workers
        for _ in range(workers):
            turn = threading.Event()
            self._enter(self._now, turn)
            threading.Thread(target=worker, args=(turn,), daemon=True).start()
        self._next()
        assert self._over.wait(60), "the workers never ended"
        if failed:
            raise failed[0]
        if self.stopped:
            raise KeyboardInterrupt

    def _enter(self, moment: float, turn: threading.Event) -> None:
        with self._lock:
            self._count += 1
            heapq.heappush(self._waiting, (moment, self._count, turn))

    def _next(self) -> None:
        """Let the worker go on that has waited for the earliest moment."""
        with self._lock:
            moment, _, turn = heapq.heappop(self._waiting)
            self._now = max(self._now, moment)
        turn.set()

    def _ends(self) -> None:
        self._workers -= 1
        if self._workers:
            self._next()
        else:
            self._over.set()
