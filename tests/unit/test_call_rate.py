"""How often an account may call, over any number of processes."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
import sqlalchemy as sa

from engines.call_rate import WINDOW, CallRate
from engines.clock import VirtualClock
from engines.settings import Settings
from engines.state.database import Database
from engines.upkeep import Upkeep


@contextmanager
def transactions(database: Database) -> Iterator[list[str]]:
    """The statements that are sent meanwhile."""
    seen: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        seen.append(statement)

    sa.event.listen(database.engine, "before_cursor_execute", note)
    yield seen
    sa.event.remove(database.engine, "before_cursor_execute", note)


def test_an_account_calls_as_often_as_it_may_and_then_waits(any_database: Database) -> None:
    clock = VirtualClock()
    rate = CallRate(any_database, clock, 3)
    assert [rate.throttle(7) for _ in range(3)] == [None] * 3
    clock.advance(20)
    assert rate.throttle(7) == pytest.approx(40)
    assert rate.throttle(8) is None, "another account had to wait too"
    clock.advance(40)
    assert [rate.throttle(7) for _ in range(3)] == [None] * 3
    assert rate.throttle(7) == pytest.approx(60)


def test_a_team_is_one_account(database: Database) -> None:
    rate = CallRate(database, VirtualClock(), 2)
    assert [rate.throttle(user, 4) for user in (7, 8)] == [None, None]
    assert rate.throttle(9, 4) == pytest.approx(60)
    assert rate.throttle(7) is None, "a player of his own is another account than his team"


def test_what_processes_let_through_together_is_the_limit(any_database: Database) -> None:
    clock = VirtualClock()
    processes = [CallRate(any_database, clock, 25) for _ in range(8)]
    for _ in range(2):  # with the account's row to be made, and with one that is over
        with ThreadPoolExecutor(8) as threads:
            waits = threads.map(lambda rate: [rate.throttle(7) for _ in range(8)], processes)
        assert sum(wait is None for each in waits for wait in each) == 25
        clock.advance(WINDOW.total_seconds())


def test_who_has_to_wait_costs_no_query(database: Database) -> None:
    rate = CallRate(database, VirtualClock(), 1)
    rate.throttle(7)
    assert rate.throttle(7) is not None
    with transactions(database) as seen:
        assert rate.throttle(7) is not None
    assert seen == []


def test_a_clock_that_was_set_back_locks_nobody_out(database: Database) -> None:
    clock = VirtualClock()
    rate = CallRate(database, clock, 1)
    rate.throttle(7)
    assert rate.throttle(7) is not None
    clock.advance(-3600)
    assert rate.throttle(7) is None


def test_no_limit_asks_nobody(database: Database) -> None:
    rate = CallRate(database, VirtualClock(), 0)
    with transactions(database) as seen:
        assert [rate.throttle(7) for _ in range(5)] == [None] * 5
    assert seen == []


def test_a_database_that_cannot_be_asked_stops_nobody(database: Database) -> None:
    upkeep = Upkeep(database, VirtualClock(), Settings())
    with database.write() as connection:
        connection.execute(sa.text("DROP TABLE account_calls"))
    assert upkeep.throttle(7, None) is None


def test_counts_of_long_ago_are_forgotten(any_database: Database) -> None:
    clock = VirtualClock()
    upkeep = Upkeep(any_database, clock, Settings())
    upkeep.throttle(7, None)
    clock.advance(3600)
    upkeep.throttle(8, None)
    assert upkeep.forget_old() == 1
    with any_database.read() as connection:
        left = connection.execute(sa.text("SELECT account FROM account_calls")).scalars().all()
    assert left == ["user:8"]
