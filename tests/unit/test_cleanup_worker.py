"""The worker: a thread that runs rounds, outlives one that fails, and stops for good."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from engines.catalog import ChallengeSpec, StaticCatalog
from engines.cleanup_worker import CleanupWorker
from engines.clock import VirtualClock
from engines.cre import ContainerRuntimeEngine
from engines.cre.runtimes.memory import MemoryRuntime
from engines.errors import BackendUnavailable
from engines.settings import Settings
from engines.state.database import Database

SOON = 10.0


class Counting(ContainerRuntimeEngine):
    """An engine that reports each round of its worker."""

    def __init__(self, database: Database, round_of: Callable[[int], None]) -> None:
        self._round_of = round_of
        self.rounds = 0
        super().__init__(
            Settings(),
            runtime=MemoryRuntime(),
            catalog=StaticCatalog([ChallengeSpec(1, "A", "a")]),
            database=database,
            clock=VirtualClock(),
        )

    def expire_due(self) -> int:
        self.rounds += 1
        self._round_of(self.rounds)
        return super().expire_due()


def test_rounds_go_on_after_one_that_failed(database: Database) -> None:
    third = threading.Event()

    def round_of(number: int) -> None:
        if number == 1:
            raise RuntimeError("the first round fails")
        if number >= 3:
            third.set()

    with CleanupWorker(Counting(database, round_of), 0.001):
        assert third.wait(SOON)


def test_stop_waits_for_the_round_at_work_and_no_other_follows(database: Database) -> None:
    inside, go_on = threading.Event(), threading.Event()

    def round_of(number: int) -> None:
        inside.set()
        assert go_on.wait(SOON)

    engine = Counting(database, round_of)
    worker = CleanupWorker(engine, 0.001)
    worker.start()
    assert inside.wait(SOON)
    stopper = threading.Thread(target=worker.stop)
    stopper.start()
    assert stopper.is_alive()
    go_on.set()
    stopper.join(SOON)
    assert not stopper.is_alive()
    assert not worker.running
    assert engine.rounds == 1


def test_starting_twice_makes_one_thread_and_stopping_twice_is_harmless(
    database: Database,
) -> None:
    worker = CleanupWorker(Counting(database, lambda number: None), 60)
    worker.start()
    before = threading.active_count()
    worker.start()
    assert threading.active_count() == before
    worker.stop()
    worker.stop()
    assert not worker.running


def test_it_can_be_started_again(database: Database) -> None:
    rounds = threading.Semaphore(0)
    worker = CleanupWorker(Counting(database, lambda number: rounds.release()), 60)
    for _ in range(2):
        worker.start()
        assert rounds.acquire(timeout=SOON)
        worker.stop()


def test_of_many_workers_one_does_the_rounds_and_another_takes_over(
    any_database: Database,
) -> None:
    rounds: list[threading.Semaphore] = [threading.Semaphore(0), threading.Semaphore(0)]

    def worker(number: int) -> CleanupWorker:
        engine = Counting(any_database, lambda _number: rounds[number].release())
        return CleanupWorker(engine, 60, database=any_database)

    first, second = worker(0), worker(1)
    with first:
        assert rounds[0].acquire(timeout=SOON)
        second.start()
        second.stop()
        assert not rounds[1].acquire(blocking=False)
    with second:  # the first gave the lease up when it ended
        assert rounds[1].acquire(timeout=SOON)


class Waits(threading.Event):
    """Notes how long it is waited for; set after seven waits."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds: list[float | None] = []

    def wait(self, timeout: float | None = None) -> bool:
        self.seconds.append(timeout)
        if len(self.seconds) == 7:
            self.set()
        return self.is_set()


def test_the_pause_doubles_while_rounds_fail_and_only_then(database: Database) -> None:
    def round_of(number: int) -> None:
        if number in (2, 3, 4, 5):
            raise RuntimeError("this round fails")

    waits = Waits()
    CleanupWorker(Counting(database, round_of), 60)._run(waits)
    assert waits.seconds == [60, 120, 240, 300, 300, 60, 60]


def test_a_period_of_zero_is_refused(tmp_path: Path, database: Database) -> None:
    with pytest.raises(ValueError, match="period must be above 0"):
        CleanupWorker(Counting(database, lambda number: None), 0)


class Pauses(threading.Event):
    """Is told how long to wait, and does not; ends after so many."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.seconds: list[float | None] = []
        self._number = number

    def wait(self, timeout: float | None = None) -> bool:
        self.seconds.append(timeout)
        if len(self.seconds) == self._number:
            self.set()
        return self.is_set()


@pytest.mark.parametrize(
    ("error", "longest"), [(RuntimeError("broken"), 300.0), (BackendUnavailable("down"), 30.0)]
)
def test_an_outage_is_looked_at_again_sooner_than_what_is_broken(
    database: Database, error: Exception, longest: float
) -> None:
    def fail(_number: int) -> None:
        raise error

    pauses = Pauses(8)
    CleanupWorker(Counting(database, fail), 10.0)._run(pauses)
    assert pauses.seconds[:2] == [20.0, min(40.0, longest)]
    assert pauses.seconds[-1] == longest
