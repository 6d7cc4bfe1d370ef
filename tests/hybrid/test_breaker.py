"""The breaker opens after failures in a row, and lets one call through after its pause."""

from __future__ import annotations

import threading

from engines.clock import VirtualClock
from engines.hybrid import Breaker

FAILURES, SECONDS = 3, 30.0


def breaker() -> tuple[Breaker, VirtualClock]:
    clock = VirtualClock()
    return Breaker(clock, failures=FAILURES, seconds=SECONDS), clock


def tripped() -> tuple[Breaker, VirtualClock]:
    made, clock = breaker()
    for _ in range(FAILURES):
        assert made.lets_through()
        made.failed()
    return made, clock


def test_it_opens_at_so_many_failures_in_a_row_and_not_before() -> None:
    made, _ = breaker()
    for _ in range(FAILURES - 1):
        made.failed()
    made.succeeded()
    for _ in range(FAILURES - 1):
        made.failed()
        assert made.lets_through()
    made.failed()
    assert made.open
    assert not made.lets_through()


def test_after_the_pause_one_call_goes_through_and_its_answer_decides() -> None:
    made, clock = tripped()
    clock.advance(SECONDS - 1)
    assert not made.lets_through()
    clock.advance(1)
    assert [made.lets_through() for _ in range(5)] == [True, *[False] * 4]
    made.failed()
    assert not made.lets_through()
    clock.advance(SECONDS)
    assert made.lets_through()
    made.succeeded()
    assert not made.open
    assert all(made.lets_through() for _ in range(5))


def test_a_call_that_never_tells_is_forgotten() -> None:
    made, clock = tripped()
    clock.advance(SECONDS)
    assert made.lets_through()
    clock.advance(SECONDS)
    assert made.lets_through()


def test_a_clock_that_is_stepped_back_does_not_keep_it_open() -> None:
    made, clock = tripped()
    clock.advance(-86_400)
    assert made.lets_through()


def test_of_many_threads_one_goes_through() -> None:
    made, clock = tripped()
    clock.advance(SECONDS)
    gate, passed = threading.Barrier(16), []

    def ask() -> None:
        gate.wait()
        passed.append(made.lets_through())

    threads = [threading.Thread(target=ask) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(passed) == [*[False] * 15, True]
