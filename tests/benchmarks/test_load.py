"""Closed and open loop, on a time of the test's own."""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np
import pytest
from support.timed_backend import Timed
from support.virtual_time import VirtualTime

from benchmarks import statistics
from benchmarks.load import (
    PATIENCE_SECONDS,
    LoadLimits,
    at_random,
    closed_loop,
    open_loop,
    steady,
)
from benchmarks.recorder import CallRecorder, Heading
from benchmarks.samples import DROPPED, Measure, RunPart, Sample
from benchmarks.time_source import RealTime
from conformance.harness import Player

RATE, SECONDS, STALL_AT, STALL = 50, 60, 20.0, 4.0
SERVICE = 0.01
PLAYER = Player(1)


def stalled(now: float) -> float:
    """A server that answers in 10 ms, except for four seconds in which it answers nobody."""
    if STALL_AT <= now < STALL_AT + STALL:
        return STALL_AT + STALL - now + SERVICE
    return SERVICE


class Load:
    """Status calls on a server of which it is known how long it takes."""

    def __init__(self, takes: Callable[[float], float], interrupt_at: float = float("inf")) -> None:
        self.time = VirtualTime(interrupt_at)
        self.server = Timed(self.time, takes)
        heading = Heading(RunPart.MAIN, "timed", "status", 0, 1)
        self.recorder = CallRecorder(heading, self.server, 1, None, self.time)

    def visit(self, intended: float) -> None:
        self.recorder.status(PLAYER, intended)

    def dropped(self, moment: float) -> None:
        self.recorder.dropped("status", moment)

    def open(self, moments: list[float], workers: int, outstanding: int) -> list[Sample]:
        open_loop(self.visit, moments, workers, outstanding, self.dropped, self.time)
        return self.recorder.samples

    def closed(self, workers: int, limits: LoadLimits) -> list[Sample]:
        closed_loop(self.visit, workers, limits, self.time)
        return self.recorder.samples


def p99(samples: list[Sample]) -> float:
    times = [sample.seconds(Measure.ANSWER) for sample in samples]
    return statistics.quantile_of(np.array(times, dtype=np.float64), 0.99)


def test_the_open_loop_sees_a_stall_as_everybody_who_came_meanwhile() -> None:
    # given fifty calls a second, and four seconds in which none is answered
    moments = steady(RATE, SECONDS)
    # when there are workers enough for all who wait
    samples = Load(stalled).open(moments, workers=256, outstanding=1024)
    # then 200 of 3000 calls waited, evenly from four seconds down: p99 is the 31st longest wait
    waits = sorted((stalled(moment) for moment in moments), reverse=True)
    assert len(samples) == len(moments)
    assert p99(samples) == pytest.approx(waits[30])
    assert p99(samples) == pytest.approx(STALL - 29 / RATE, abs=2 / RATE)


def test_it_sees_the_same_when_its_workers_are_fewer_than_those_who_wait() -> None:
    # when calls that are due must wait for a worker: their time runs all the same
    samples = Load(stalled).open(steady(RATE, SECONDS), workers=8, outstanding=1024)
    # then p99 is about the same: the queue is worked off at 800 calls a second
    assert p99(samples) == pytest.approx(STALL - 29 / RATE, abs=0.3)
    late = [sample for sample in samples if sample.began and sample.began - sample.intended > 1]
    assert len(late) > 100, "the generator's own lateness is in the samples"


def test_the_closed_loop_hides_that_stall() -> None:
    # given as many calls, one after the other
    samples = Load(stalled).closed(workers=1, limits=LoadLimits(SECONDS, RATE * SECONDS))
    # then one call saw the stall, and p99 knows nothing of it
    assert len(samples) == RATE * SECONDS
    assert sum((sample.seconds(Measure.ANSWER) or 0) > 1 for sample in samples) == 1
    assert p99(samples) == pytest.approx(SERVICE)


def test_the_closed_loop_ends_at_its_time_or_count_whichever_is_first() -> None:
    by_time = Load(lambda _now: 0.5).closed(workers=4, limits=LoadLimits(10.0))
    assert len(by_time) == 4 * 20
    load = Load(lambda _now: 0.5)
    by_count = load.closed(workers=4, limits=LoadLimits(10.0, visits=9))
    assert len(by_count) == 9
    assert load.server.most == 4


def test_calls_due_when_too_many_are_outstanding_are_dropped_and_counted() -> None:
    # given a server that answers nobody within the first ten seconds, and one call a second
    load = Load(lambda now: 10.5 - now if now < 10 else 0.1)
    # when two may be under way and four outstanding
    samples = load.open([float(number) for number in range(20)], workers=2, outstanding=4)
    # then the first four wait, the six that come until then are dropped, and the rest are made
    dropped = [sample.intended for sample in samples if sample.code == DROPPED]
    assert dropped == [4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0]
    assert all(sample.answered is None for sample in samples if sample.code == DROPPED)
    assert len(samples) == 20
    assert load.server.most == 2


def test_an_open_loop_ends_though_a_server_does_not_keep_up() -> None:
    # given a server that takes a minute for each call
    load = Load(lambda _now: 60.0)
    samples = load.open([0.0, 0.1, 0.2, 0.3], workers=1, outstanding=10)
    # then no call begins long after the last was due
    assert [sample.code for sample in samples].count(DROPPED) == 3
    assert load.time.now() == pytest.approx(60.0)
    assert load.time.now() > PATIENCE_SECONDS


def test_fewer_outstanding_than_workers_is_refused() -> None:
    with pytest.raises(ValueError, match="outstanding"):
        Load(stalled).open([0.0], workers=2, outstanding=1)


@pytest.mark.parametrize("loop", ["open", "closed"])
def test_what_was_measured_until_ctrl_c_is_kept(loop: str) -> None:
    # given a Ctrl-C in the eleventh second of a run of a minute
    load = Load(lambda _now: 0.3, interrupt_at=10.4)
    run = {
        "open": lambda: load.open(steady(1, 60), workers=2, outstanding=4),
        "closed": lambda: load.closed(1, LoadLimits(60.0)),
    }[loop]
    with pytest.raises(KeyboardInterrupt):
        run()
    # then every call that was begun until then is there, with its answer
    samples = load.recorder.samples
    assert len(samples) == (11 if loop == "open" else 35)
    assert all(sample.answered is not None for sample in samples)
    assert load.time.now() < 11


def test_moments_are_steady_or_at_random_and_repeatable() -> None:
    assert steady(4, 1) == [0.0, 0.25, 0.5, 0.75]
    drawn = [at_random(50, 100, random.Random(seed)) for seed in (1, 1, 2)]  # noqa: S311 - repeatable
    assert drawn[0] == drawn[1] != drawn[2]
    # 5000 are expected, give or take five times the root of it
    assert 4650 < len(drawn[0]) < 5350
    assert drawn[0] == sorted(drawn[0])
    assert 0 < drawn[0][0] < drawn[0][-1] < 100
    gaps = np.diff(drawn[0])
    assert np.std(gaps) == pytest.approx(np.mean(gaps), rel=0.1)  # Poisson's, not steady


def test_an_error_of_the_generator_itself_is_not_swallowed() -> None:
    def broken(_intended: float) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        closed_loop(broken, 3, LoadLimits(10.0), RealTime())
