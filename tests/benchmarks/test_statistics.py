"""The statistics, held against distributions that are known.

Every test draws from a seed, so that it goes the same way each time.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats

from benchmarks import statistics
from benchmarks.decisions import MarginDecision, judged, margin_of
from benchmarks.statistics import Floats, Series

RUNS = 200
TURNS = 20
Draw = Callable[[np.random.Generator, int], Floats]

LOGNORMAL = stats.lognorm(s=0.5)


def lognormal(rng: np.random.Generator, count: int) -> Floats:
    return rng.lognormal(0, 0.5, count)


def bimodal(rng: np.random.Generator, count: int) -> Floats:
    """Four of five calls about 10 ms, the fifth about 200."""
    slow = rng.random(count) < 0.2
    return np.where(slow, rng.lognormal(0, 0.2, count) * 0.2, rng.lognormal(0, 0.2, count) * 0.01)


def bimodal_quantile(part: float) -> float:
    """Of the above: of its slow calls, the part that is left."""
    fast, slow = (stats.lognorm(s=0.2, scale=scale) for scale in (0.01, 0.2))
    if part > 0.8:
        return float(slow.ppf((part - 0.8) / 0.2))
    return float(fast.ppf(part / 0.8))


def series(rng: np.random.Generator, draw: Draw, by_turn: Floats, each: int) -> Series:
    """So many times a turn, each turn slower or faster by a factor of its own."""
    turns = np.repeat(np.arange(by_turn.size), each)
    return Series(draw(rng, turns.size) * by_turn[turns], turns)


def pair(rng: np.random.Generator, factor: float, each: int) -> tuple[Series, Series]:
    """B and A on a machine that drifts by a fifth: B slower by ``factor``, and a little besides."""
    drift = np.exp(rng.normal(0, 0.2, TURNS))
    own = [np.exp(rng.normal(0, 0.05, TURNS)) for _ in range(2)]
    over, under = (series(rng, lognormal, drift * noise, each) for noise in own)
    return Series(over.seconds * factor, over.turns), under


@pytest.mark.parametrize(
    ("draw", "part", "truth"),
    [
        (lognormal, 0.50, float(LOGNORMAL.ppf(0.50))),
        (lognormal, 0.95, float(LOGNORMAL.ppf(0.95))),
        (lognormal, 0.99, float(LOGNORMAL.ppf(0.99))),
        (bimodal, 0.50, bimodal_quantile(0.50)),
        (bimodal, 0.95, bimodal_quantile(0.95)),
    ],
)
def test_an_interval_holds_the_true_quantile_as_often_as_it_says(
    draw: Draw, part: float, truth: float
) -> None:
    rng = np.random.default_rng(1)
    held = 0
    for _ in range(RUNS):
        found = statistics.quantile(series(rng, draw, np.ones(TURNS), 20), part, rng)
        assert found is not None
        held += found.low <= truth <= found.high
    # 95 %, give or take what 200 runs leave open; 100 % of the time would be too wide to be of use.
    assert 0.90 <= held / RUNS <= 0.995


def verdicts(
    factor: float, margin: str, each: int, seed: int, runs: int = RUNS
) -> dict[MarginDecision, int]:
    rng = np.random.default_rng(seed)
    agreed = margin_of(margin)
    found = []
    for _ in range(runs):
        value = statistics.ratio(*pair(rng, factor, each), 0.95, rng)
        found.append(judged(agreed, value, TURNS).decision)
    return {decision: found.count(decision) for decision in MarginDecision}


@pytest.mark.parametrize("margin", ["p95=1", "p95=1.2"])
def test_equal_systems_are_called_fail_in_at_most_one_of_twenty_runs(margin: str) -> None:
    assert verdicts(1.0, margin, 20, seed=2)[MarginDecision.FAIL] <= RUNS * 0.05


def test_systems_exactly_at_the_margin_are_called_fail_or_pass_as_rarely() -> None:
    found = verdicts(1.2, "p95=1.2", 20, seed=3)
    assert found[MarginDecision.FAIL] <= RUNS * 0.05
    assert found[MarginDecision.PASS] <= RUNS * 0.05


def test_a_true_slowdown_by_half_is_called_fail() -> None:
    assert verdicts(1.5, "p95=1.2", 40, seed=4, runs=100)[MarginDecision.FAIL] >= 90


def test_equal_systems_measured_long_enough_pass() -> None:
    assert verdicts(1.0, "p95=1.2", 60, seed=5, runs=50)[MarginDecision.PASS] >= 40


def test_a_machine_that_drifts_is_not_taken_for_a_difference() -> None:
    # given a machine that takes three times as long in the second half, for both systems
    rng = np.random.default_rng(6)
    drift = np.where(np.arange(TURNS) < TURNS // 2, 1.0, 3.0)
    over, under = (series(rng, lognormal, drift, 60) for _ in range(2))
    # when the turns are resampled together, and when each system's are by themselves
    together = statistics.ratio(over, under, 0.5, rng)
    apart = statistics.ratio_of_runs(over, under, 0.5, rng)
    # then only together does the drift cancel
    assert together is not None
    assert apart is not None
    assert together.high / together.low < 1.4
    assert apart.high / apart.low > 1.8


def test_calls_of_one_turn_are_not_taken_for_independent() -> None:
    # given turns that differ much more than the calls in them
    rng = np.random.default_rng(7)
    by_turn = np.exp(rng.normal(0, 0.5, TURNS))
    made = series(rng, lambda _rng, count: np.ones(count), by_turn, 200)
    # then 4000 calls tell hardly more than 20 turns do
    found = statistics.quantile(made, 0.5, rng)
    assert found is not None
    assert found.high / found.low > 1.3


@pytest.mark.parametrize(("part", "count"), [(0.5, 30), (0.9, 36), (0.95, 72), (0.99, 368)])
def test_a_quantile_of_too_few_times_is_not_told(part: float, count: int) -> None:
    assert statistics.needed(part) == count
    assert count == 30 or part**count <= 0.025 < part ** (count - 1)
    rng = np.random.default_rng(8)
    times = lognormal(rng, count)
    enough = Series(times, np.arange(count))
    fewer = Series(times[1:], np.arange(count - 1))
    assert statistics.quantile(enough, part, rng) is not None
    assert statistics.quantile(fewer, part, rng) is None
    assert statistics.ratio(enough, fewer, part, rng) is None
    assert statistics.ratio_of_runs(fewer, enough, part, rng) is None


def test_a_call_that_never_ended_makes_a_quantile_worse_and_not_better() -> None:
    # given that one call in ten was dropped
    rng = np.random.default_rng(9)
    times = lognormal(rng, 400)
    times[::10] = math.inf
    made = Series(times, np.repeat(np.arange(TURNS), 20))
    half, tail = (statistics.quantile(made, part, rng) for part in (0.5, 0.95))
    assert half is not None
    assert tail is not None
    # then the median is known, and p95 is known to be beyond all that was seen
    assert half.high < 2
    assert tail.value == math.inf
    # and one such system over another says nothing
    both = statistics.ratio(made, made, 0.95, rng)
    assert both is not None
    assert (both.low, both.high) == (0.0, math.inf)


def test_rates_have_wilsons_intervals_and_their_difference_newcombes() -> None:
    none = statistics.wilson(0, 100)
    assert (none.low, round(none.high, 4)) == (0.0, 0.0370)
    # Newcombe (1998), table II, example (a): 56/70 less 48/80
    found = statistics.difference(statistics.wilson(56, 70), statistics.wilson(48, 80))
    assert round(found.value, 4) == 0.2
    assert (round(found.low, 4), round(found.high, 4)) == (0.0524, 0.3339)
    assert statistics.wilson(0, 0) == statistics.Interval(0.0, 0.0, 1.0)


def test_an_ecdf_rises_from_the_fastest_to_the_slowest() -> None:
    curve = statistics.ecdf(np.array([3.0, 1.0, 2.0, math.inf]), points=5)
    assert curve == [(1.0, 0.0), (1.0, 0.25), (2.0, 0.5), (3.0, 0.75)]


def test_times_that_are_no_numbers_are_refused() -> None:
    with pytest.raises(ValueError, match="leave failed calls out"):
        Series(np.array([math.nan]), np.array([0]))
    with pytest.raises(ValueError, match="one turn for each time"):
        Series(np.array([1.0]), np.array([0, 1]))
