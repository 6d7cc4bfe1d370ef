"""Load: workers that call again and again (closed loop), or calls that come when they are due.

In a *closed loop* each worker calls, waits for the answer and calls again: what is found is how
much a system can do. It says nothing of how long players wait, for a system that stalls is asked
less often meanwhile. In an *open loop* calls are due at moments of a schedule, whatever the system
does, and their time begins when they were due: a stall of four seconds at fifty calls a second is
seen by two hundred calls, not by one.
"""

from __future__ import annotations

import heapq
import random
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from benchmarks.time_source import Time

Visit = Callable[[float], None]
"""Makes the calls of one visitor, the first of which was due at the moment given."""

PATIENCE_SECONDS = 30.0
"""How long after the last moment of a schedule calls of it may still begin."""


@dataclass(frozen=True)
class LoadLimits:
    """What a loop ends at, whichever comes first."""

    seconds: float
    visits: int = 1_000_000


def closed_loop(visit: Visit, workers: int, limits: LoadLimits, time: Time) -> None:
    """So many workers, each of whose visits follows the last at once.

    Raises:
        KeyboardInterrupt: after visits that were under way have ended.
    """
    until = time.now() + limits.seconds
    budget = iter(range(limits.visits))
    lock = threading.Lock()

    def work() -> None:
        while not time.stopped and time.now() < until:
            with lock:
                if next(budget, None) is None:
                    return
            visit(time.now())

    time.run(work, workers)


def open_loop(
    visit: Visit,
    moments: Iterable[float],
    workers: int,
    outstanding: int,
    dropped: Callable[[float], None],
    time: Time,
) -> None:
    """Visits at moments of ``time``, in ascending order.

    Args:
        workers: how many visits may be under way at one time; one that is due meanwhile waits, and
            its time runs.
        outstanding: how many may be under way or waiting; one that is due when there are so many is
            not made, and ``dropped`` is told the moment.

    Raises:
        ValueError: fewer may be outstanding than there are workers.
        KeyboardInterrupt: after visits that were under way have ended.
    """
    if outstanding < workers:
        raise ValueError("outstanding: must be at least as many as there are workers")
    arrivals = _Arrivals(moments, outstanding, dropped, time)

    def work() -> None:
        for moment in arrivals:
            time.sleep_until(moment)
            if time.stopped:
                return
            visit(moment)
            arrivals.ended()

    time.run(work, workers)


def steady(rate: float, seconds: float) -> list[float]:
    """Moments from 0 that come ``rate`` times a second, evenly."""
    return [number / rate for number in range(round(rate * seconds))]


def at_random(rate: float, seconds: float, rng: random.Random) -> list[float]:
    """The same at random, as calls of many players who know nothing of one another (Poisson)."""
    moments: list[float] = []
    moment = rng.expovariate(rate)
    while moment < seconds:
        moments.append(moment)
        moment += rng.expovariate(rate)
    return moments


class _Arrivals:
    """Hands out moments to workers, and drops those at which too many were outstanding."""

    def __init__(
        self,
        moments: Iterable[float],
        outstanding: int,
        dropped: Callable[[float], None],
        time: Time,
    ) -> None:
        self._moments = list(moments)
        self._last = self._moments[-1] if self._moments else 0.0
        self._left = iter(self._moments)
        self._outstanding = outstanding
        self._dropped = dropped
        self._time = time
        self._open = 0
        self._ends: list[float] = []
        self._lock = threading.Lock()

    def __iter__(self) -> Iterator[float]:
        while (moment := self._next()) is not None:
            yield moment

    def ended(self) -> None:
        """A visit is over."""
        with self._lock:
            heapq.heappush(self._ends, self._time.now())

    def _next(self) -> float | None:
        with self._lock:
            for moment in self._left:
                if self._time.stopped:
                    return None
                # How many were outstanding when it was due, not when a worker found time for it.
                while self._ends and self._ends[0] <= moment:
                    heapq.heappop(self._ends)
                    self._open -= 1
                too_late = self._time.now() > self._last + PATIENCE_SECONDS
                if self._open >= self._outstanding or too_late:
                    self._dropped(moment)
                    continue
                self._open += 1
                return moment
            return None
