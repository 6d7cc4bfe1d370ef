"""Leases and expiries are judged by the database's clock, whatever a machine's own says.

Sources: johanhaleby/occurrent#659, trinodb/trino#3730 (several machines on one database).
"""

from __future__ import annotations

import threading
from datetime import datetime, timedelta, timezone
from types import SimpleNamespace
from typing import Any

import pytest
import sqlalchemy as sa

import engines.state.database
from engines.catalog import ChallengeSpec, StaticCatalog
from engines.clock import SystemClock, VirtualClock
from engines.contract import StartResult
from engines.cre import ContainerRuntimeEngine
from engines.cre.runtimes.base import Launch, Launched
from engines.cre.runtimes.memory import MemoryRuntime
from engines.hybrid import DialStore
from engines.settings import Settings
from engines.state.database import CLOCK_SECONDS, Database, DatabaseClock, database_time, one_clock
from engines.state.lease import Lease
from engines.whale.write_queue import WriteQueue

FOUR_MINUTES = ChallengeSpec(id=1, name="Short", image="web", timeout_seconds=240)
SLOW = ChallengeSpec(id=2, name="Slow", image="slow")
WARM = ChallengeSpec(id=3, name="Warm", image="web", warm=1)


class Ahead(SystemClock):
    """Of a machine whose clock is five minutes ahead."""

    def now(self) -> datetime:
        return super().now() + timedelta(minutes=5)


class Slow(MemoryRuntime):
    """A start of one image lasts until it may end."""

    def __init__(self) -> None:
        super().__init__()
        self.at_work, self.may_end = threading.Event(), threading.Event()

    def wait_ready(self, launch: Launch, launched: Launched, seconds: float) -> None:
        if launch.spec.image == "slow":
            self.at_work.set()
            assert self.may_end.wait(60)
        super().wait_ready(launch, launched, seconds)


def test_a_machine_that_is_five_minutes_ahead_removes_nothing(any_database: Database) -> None:
    runtime, specs = Slow(), (FOUR_MINUTES, SLOW, WARM)
    settings = Settings(cre_deployment="skew", cre_account_limit=3)

    def machine(clock: SystemClock) -> ContainerRuntimeEngine:
        catalog = StaticCatalog(specs)
        return ContainerRuntimeEngine(
            settings, runtime=runtime, catalog=catalog, database=any_database, clock=clock
        )

    first, ahead = machine(SystemClock()), machine(Ahead())
    assert first.start_instance(1, 1).ok
    assert first.fill_pool() == 1
    results: list[StartResult] = []
    start = threading.Thread(target=lambda: results.append(first.start_instance(1, 2)))
    start.start()
    assert runtime.at_work.wait(60)
    there = runtime.running()
    assert ahead.cleanup_worker.run_once() == 0
    assert ahead.get_instance_status(1, 1) is not None
    assert runtime.running() == there
    runtime.may_end.set()
    start.join(60)
    assert [result.ok for result in results] == [True]
    for each in (first, ahead):
        each.close()


def test_a_lease_is_not_taken_from_who_holds_it(any_database: Database) -> None:
    mine = Lease(any_database, SystemClock(), "job", 60)
    theirs = Lease(any_database, Ahead(), "job", 60)
    assert mine.acquire()
    assert not theirs.acquire()
    assert mine.acquire()


def test_a_place_in_front_of_whale_is_not_taken_from_who_holds_it(any_database: Database) -> None:
    any_database.ensure_schema()
    mine, theirs = (
        WriteQueue(any_database, clock, places=1, wait_seconds=0, call_seconds=30)
        for clock in (SystemClock(), Ahead())
    )
    with mine.place(mine.patience()):
        with pytest.raises(Exception, match="Many containers"), theirs.place(theirs.patience()):
            pass
        with any_database.read() as connection:
            held = connection.exec_driver_sql("SELECT count(*) FROM whale_write_queue").scalar()
        assert held == 1


def test_a_change_of_the_dial_is_dated_by_the_database(any_database: Database) -> None:
    store = DialStore(any_database, Ahead())
    store.note("somebody", "set", "")
    assert store.changes()[0].at <= any_database.clock.now()


def test_a_clock_of_a_tests_own_is_gone_by(database: Database) -> None:
    virtual = VirtualClock()
    assert one_clock(database, virtual) is virtual
    assert one_clock(database, None) is database.clock
    assert one_clock(database, Ahead()) is database.clock


def test_the_clock_is_the_servers(any_database: Database) -> None:
    with any_database.read() as connection:
        before = database_time(connection)
        now = any_database.clock.now()
        after = database_time(connection)
    assert now.tzinfo is timezone.utc
    assert before - timedelta(seconds=1) <= now <= after + timedelta(seconds=1)


def test_the_clock_costs_no_call_a_query(any_database: Database) -> None:
    any_database.ensure_schema()
    any_database.clock.now()
    asked: list[str] = []
    sa.event.listen(
        any_database.engine, "before_cursor_execute", lambda *call: asked.append(call[2])
    )
    for _ in range(10):
        any_database.clock.now()
        with any_database.read() as connection:
            connection.exec_driver_sql("SELECT 1")
    assert set(asked) <= {"BEGIN", "SELECT 1"}


class Server:
    """A server's clock and this machine's monotonic one, moved by hand."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.monotonic, self.time = 1000.0, datetime(2026, 1, 1, tzinfo=timezone.utc)
        self.answer_takes = 0.0
        fake = SimpleNamespace(monotonic=lambda: self.monotonic)
        monkeypatch.setattr(engines.state.database, "time", fake)
        monkeypatch.setattr(engines.state.database, "database_time", self.asked)
        self.clock = DatabaseClock(Database("postgresql+psycopg2://nowhere/x"))

    def asked(self, _connection: object) -> datetime:
        self.goes_on(self.answer_takes)
        return self.time

    def goes_on(self, seconds: float) -> None:
        self.monotonic += seconds
        self.time += timedelta(seconds=seconds)

    def look(self) -> None:
        connection: Any = None
        self.clock.look(connection)

    @property
    def error(self) -> float:
        return (self.clock.now() - self.time).total_seconds()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Server:
    return Server(monkeypatch)


def test_between_two_looks_the_monotonic_clock_counts(server: Server) -> None:
    server.look()
    server.goes_on(CLOCK_SECONDS - 1)
    server.look()
    assert server.error == pytest.approx(0, abs=1e-3)


def test_a_machine_that_stood_still_is_right_after_its_next_transaction(server: Server) -> None:
    server.look()
    server.time += timedelta(minutes=10)  # its monotonic clock stands still while it sleeps
    assert server.error == pytest.approx(-600)
    server.monotonic += CLOCK_SECONDS
    server.look()
    assert server.error == pytest.approx(0, abs=1e-3)


def test_an_answer_that_took_long_does_not_move_the_clock(server: Server) -> None:
    server.look()
    server.goes_on(CLOCK_SECONDS)
    server.answer_takes = 7.0
    server.look()
    assert server.error == pytest.approx(0, abs=1e-3)
