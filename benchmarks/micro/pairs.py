"""A subject and its baseline, measured in turns within one run, and the ratio of the two."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks import statistics
from benchmarks.statistics import Series

WARM_UP = 3
"""Calls of each that are not timed, or as many as are timed if those are fewer."""


class NotDone(Exception):
    """A call did not do what it was to do, so that its time means nothing."""


def _nothing() -> None:
    pass


@dataclass(frozen=True)
class Variant:
    """One way to do a thing.

    Args:
        call: what is timed. It raises when it did not do what it was to do.
        before, after: what makes the next call possible; not timed.
    """

    call: Callable[[], object]
    before: Callable[[], object] = _nothing
    after: Callable[[], object] = _nothing

    def seconds(self) -> float:
        """Do it once; returns how long the call took."""
        self.before()
        began = time.perf_counter()
        self.call()
        took = time.perf_counter() - began
        self.after()
        return took


@dataclass(frozen=True)
class PairRatio:
    """The subject's median over the baseline's. ``low`` and ``high`` are its interval at 95 %;
    None: n too small for one."""

    ratio: float
    low: float | None
    high: float | None
    n: int
    subject_ms: float
    baseline_ms: float

    def differs(self, saved: Mapping[str, Any]) -> bool:
        """Whether the interval of a saved one lies wholly beside this one."""
        ends = (self.low, self.high, saved.get("low"), saved.get("high"))
        if None in ends:
            return False
        low, high, was_low, was_high = ends
        return bool(high < was_low or was_high < low)  # type: ignore[operator] # none is None


class Pair:
    """Times the two in turns A B B A, so that both see the same machine.

    pytest-benchmark times the subject; the baseline has its turns in what it does between rounds.

    Args:
        rounds: in the place of what a benchmark asks for.
    """

    def __init__(
        self,
        benchmark: BenchmarkFixture,
        rounds: int | None,
        keep: Callable[[str, PairRatio, Mapping[str, object]], None],
    ) -> None:
        self._benchmark = benchmark
        self._rounds = rounds
        self._keep = keep

    def __call__(
        self, subject: Variant, baseline: Variant, rounds: int, **notes: Callable[[], object]
    ) -> None:
        """Measure both, and keep the ratio in ``extra_info``.

        Args:
            rounds: timed calls of each.
            notes: further things to keep, asked at the end.
        """
        rounds = self._rounds or rounds
        for _ in range(min(WARM_UP, rounds)):
            baseline.seconds()
            subject.seconds()
        turns = Turns(subject, baseline)
        timed: Any = self._benchmark.pedantic  # it has no types
        timed(subject.call, setup=turns.between, rounds=rounds)
        turns.end()
        if self._benchmark.stats is None:  # --benchmark-disable: it was only tried
            return
        found = ratio_of(self._benchmark.stats.stats.data, turns.baseline_seconds)
        told = {name: note() for name, note in notes.items()}
        self._benchmark.extra_info.update(asdict(found), **told)
        self._keep(self._benchmark.fullname, found, told)


class Turns:
    """What is done between two calls of the subject: twice the baseline, or nothing."""

    def __init__(self, subject: Variant, baseline: Variant) -> None:
        self.baseline_seconds: list[float] = []
        self._subject = subject
        self._baseline = baseline
        self._calls = 0

    def between(self) -> None:
        if self._calls:
            self._subject.after()
        if self._calls % 2 == 0:
            self._measure(2 if self._calls else 1)
        self._subject.before()
        self._calls += 1

    def end(self) -> None:
        self._subject.after()
        if self._calls % 2 == 0:
            self._measure(1)

    def _measure(self, times: int) -> None:
        self.baseline_seconds += [self._baseline.seconds() for _ in range(times)]


def ratio_of(subject: list[float], baseline: list[float]) -> PairRatio:
    """The ratio of as many times of each, in the order in which they were measured."""
    over, under = (
        Series(np.array(each, dtype=np.float64), np.arange(len(each)) // 2)
        for each in (subject, baseline)
    )
    found = statistics.ratio(over, under, 0.5, np.random.default_rng(0))
    medians = [statistics.quantile_of(series.seconds, 0.5) for series in (over, under)]
    return PairRatio(
        ratio=round(medians[0] / medians[1], 4),
        low=None if found is None else round(found.low, 4),
        high=None if found is None or math.isinf(found.high) else round(found.high, 4),
        n=len(subject),
        subject_ms=round(1000 * medians[0], 4),
        baseline_ms=round(1000 * medians[1], 4),
    )
