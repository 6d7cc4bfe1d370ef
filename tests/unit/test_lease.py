"""One of many holds a lease; who dies loses it when its time is over."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from engines.clock import VirtualClock
from engines.state.database import Database
from engines.state.lease import Lease


def test_one_holds_it_and_keeps_it_by_asking(any_database: Database) -> None:
    clock = VirtualClock()
    mine, theirs = (Lease(any_database, clock, "job", 30) for _ in range(2))
    assert mine.acquire()
    for _ in range(3):
        clock.advance(29)
        assert not theirs.acquire()
        assert mine.acquire()


def test_it_passes_on_when_its_time_is_over(any_database: Database) -> None:
    clock = VirtualClock()
    dead, next_one = (Lease(any_database, clock, "job", 30) for _ in range(2))
    assert dead.acquire()
    clock.advance(30)
    assert next_one.acquire()
    assert not dead.acquire()


def test_it_passes_on_when_it_is_given_up_and_by_its_holder_alone(any_database: Database) -> None:
    clock = VirtualClock()
    mine, theirs = (Lease(any_database, clock, "job", 30) for _ in range(2))
    assert mine.acquire()
    theirs.release()
    assert not theirs.acquire()
    mine.release()
    assert theirs.acquire()


def test_jobs_do_not_stand_in_each_others_way(any_database: Database) -> None:
    clock = VirtualClock()
    assert Lease(any_database, clock, "one", 30).acquire()
    assert Lease(any_database, clock, "two", 30).acquire()


def test_of_many_who_ask_at_once_one_gets_it(any_database: Database) -> None:
    clock = VirtualClock()
    for job in range(10):
        candidates = [Lease(any_database, clock, f"job {job}", 30) for _ in range(8)]
        with ThreadPoolExecutor(8) as pool:
            assert sum(pool.map(Lease.acquire, candidates)) == 1
