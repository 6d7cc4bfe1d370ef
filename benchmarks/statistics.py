"""Quantiles, rates and ratios of measured times, each with the interval in which it may lie.

Times are measured in *turns*, A B, then B A, then A B again: both systems see the same machine, and
neither always comes first. Calls of one turn resemble one another more than those of another, so
an interval is made by resampling whole turns, the same ones for both systems: a machine that is
slow for a while then moves numerator and denominator together.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Floats = NDArray[np.float64]
Whole = NDArray[np.integer]

LEVEL = 0.95
REPLICATES = 1000
MINIMUM_SAMPLES = 30
MINIMUM_TURNS = 6
"""Of fewer turns too little can be learned about how much turns differ."""
_CELLS_AT_ONCE = 4_000_000
"""Resampled numbers held in memory at one time."""


@dataclass(frozen=True)
class Series:
    """The times of one kind of call on one system.

    Args:
        seconds: one per call; infinite for one that was never made or answered in time.
        turns: the turn of each, from 0.
    """

    seconds: Floats
    turns: Whole

    def __post_init__(self) -> None:
        if self.seconds.shape != self.turns.shape:
            raise ValueError("seconds and turns: one turn for each time")
        if np.isnan(self.seconds).any():
            raise ValueError("seconds: a time that is no number; leave failed calls out")

    @property
    def count(self) -> int:
        return int(self.seconds.size)

    @property
    def turn_count(self) -> int:
        return int(np.unique(self.turns).size)


@dataclass(frozen=True)
class Interval:
    """An estimate, and where the true value is with the level asked for; infinite: not bounded."""

    value: float
    low: float
    high: float


def needed(quantile: float, level: float = LEVEL) -> int:
    """How many times a quantile needs so that an interval of it has two ends.

    With n independent times, all of them are below the true quantile q with probability q**n, and
    then no time that was measured can be an upper end. It must not be above half of what the level
    leaves: 36 times for p90, 72 for p95, 368 for p99 at 0.95. Never fewer than 30.
    """
    extreme = max(quantile, 1 - quantile)
    return max(MINIMUM_SAMPLES, math.ceil(math.log((1 - level) / 2) / math.log(extreme)))


def quantile_of(seconds: Floats, quantile: float) -> float:
    """The nearest rank: the smallest time that so large a part of the times does not exceed."""
    return float(np.quantile(seconds, quantile, method="inverted_cdf"))


def quantile(
    series: Series, quantile: float, rng: np.random.Generator, level: float = LEVEL
) -> Interval | None:
    """A quantile with its interval; None when there are too few times for one."""
    if series.count < needed(quantile, level):
        return None
    drawn = _resampled(series, quantile, _draws(series.turns, rng))
    return _interval(quantile_of(series.seconds, quantile), drawn, series.turn_count, level)


def ratio(
    over: Series, under: Series, quantile: float, rng: np.random.Generator, level: float = LEVEL
) -> Interval | None:
    """A quantile of ``over`` divided by the same of ``under``, measured in the same turns.

    None when one has too few times. An end that is not bounded is 0 or infinite.
    """
    if min(over.count, under.count) < needed(quantile, level):
        return None
    times = _draws(np.concatenate([over.turns, under.turns]), rng)
    above = _resampled(over, quantile, times)
    below = _resampled(under, quantile, times)
    value = _divided(quantile_of(over.seconds, quantile), quantile_of(under.seconds, quantile))
    turns = min(over.turn_count, under.turn_count)
    return _interval(float(value), _divided(above, below), turns, level)


def ratio_of_runs(
    over: Series, under: Series, quantile: float, rng: np.random.Generator, level: float = LEVEL
) -> Interval | None:
    """The same for two runs, whose turns have nothing to do with one another."""
    if min(over.count, under.count) < needed(quantile, level):
        return None
    above = _resampled(over, quantile, _draws(over.turns, rng))
    below = _resampled(under, quantile, _draws(under.turns, rng))
    value = _divided(quantile_of(over.seconds, quantile), quantile_of(under.seconds, quantile))
    turns = min(over.turn_count, under.turn_count)
    return _interval(float(value), _divided(above, below), turns, level)


def wilson(hits: int, count: int, level: float = LEVEL) -> Interval:
    """The rate ``hits / count`` with Wilson's interval; of nothing it is anywhere from 0 to 1."""
    if not count:
        return Interval(0.0, 0.0, 1.0)
    found = stats.binomtest(hits, count).proportion_ci(level, method="wilson")
    return Interval(hits / count, float(found.low), float(found.high))


def difference(over: Interval, under: Interval) -> Interval:
    """The difference of two rates, made of their Wilson intervals as Newcombe (1998) has it."""
    value = over.value - under.value
    low = value - math.hypot(over.value - over.low, under.high - under.value)
    high = value + math.hypot(over.high - over.value, under.value - under.low)
    return Interval(value, low, high)


def ecdf(seconds: Floats, points: int = 101) -> list[tuple[float, float]]:
    """``(seconds, part not slower)`` at evenly spaced parts, for a curve; finite times only."""
    parts = np.linspace(0, 1, points)
    values = np.quantile(seconds, parts, method="inverted_cdf")
    return [
        (float(value), float(part))
        for value, part in zip(values, parts, strict=True)
        if math.isfinite(value)
    ]


def _draws(turns: Whole, rng: np.random.Generator) -> Whole:
    """How often each turn is drawn, in each of the replicates."""
    there, number = np.unique(turns), int(turns.max()) + 1
    drawn = np.zeros((REPLICATES, number), dtype=np.int32)
    drawn[:, there] = rng.multinomial(there.size, np.full(there.size, 1 / there.size), REPLICATES)
    return drawn


def _resampled(series: Series, quantile: float, times: Whole) -> Floats:
    """The quantile in each replicate, where a call weighs as often as its turn is drawn."""
    order = np.argsort(series.seconds, kind="stable")
    seconds, turns = series.seconds[order], series.turns[order]
    found = []
    step = max(1, _CELLS_AT_ONCE // seconds.size)
    for first in range(0, REPLICATES, step):
        summed = np.cumsum(times[first : first + step, turns], axis=1, dtype=np.int32)
        wanted = np.maximum(np.ceil(quantile * summed[:, -1:]), 1)
        places = (summed < wanted).sum(axis=1)
        found.append(seconds[np.minimum(places, seconds.size - 1)])
    return np.concatenate(found)


def _divided(over: Floats | float, under: Floats | float) -> Floats:
    """``over / under``; not a number where both are infinite or nothing."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.divide(over, under)


def _interval(value: float, drawn: Floats, turns: int, level: float) -> Interval:
    """The middle ``level`` of what was drawn, widened where there are few turns.

    Few turns show too little of how turns differ, as few values show too little of a variance;
    the ends are moved out, in the logarithm, by what Student's t is above the normal and by the
    root of n over n - 1.
    """
    if np.isnan(drawn).any() or math.isnan(value):
        return Interval(value, 0.0, math.inf)
    tail = (1 - level) / 2
    low, high = np.quantile(drawn, [tail, 1 - tail], method="inverted_cdf")
    free = max(1, turns - 1)
    wider = float(stats.t.ppf(1 - tail, free) / stats.norm.ppf(1 - tail)) * math.sqrt(1 + 1 / free)
    return Interval(value, _moved(value, float(low), wider), _moved(value, float(high), wider))


def _moved(value: float, end: float, factor: float) -> float:
    """``end`` so many times as far from ``value``, as a ratio."""
    if not (0 < value < math.inf and 0 < end < math.inf):
        return end
    return value * math.exp(math.log(end / value) * factor)
