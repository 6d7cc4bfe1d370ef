"""Metrics: what the database says, in any process, and nothing about anybody in person."""

from __future__ import annotations

import logging
import re
import subprocess
import sys
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.parser import text_string_to_metric_families

from engines.audit import Action, ContainerEvent
from engines.catalog import ChallengeSpec, StaticCatalog
from engines.clock import VirtualClock
from engines.contract import Code
from engines.cre import ContainerRuntimeEngine
from engines.cre.pool_store import pool
from engines.cre.reservations import reservations
from engines.cre.runtimes.memory import MemoryRuntime
from engines.cre.tables import cre_instances
from engines.metrics import InstanceCollector, exposition
from engines.settings import Settings
from engines.state.audit_log import AuditLog
from engines.state.database import Database
from engines.state.instance_store import InstanceStore
from engines.state.instances import Claimed, Instance, InstanceRequest
from engines.state.lease import Lease

ROOT = Path(__file__).parents[2]
HOUR = timedelta(hours=1)
NOWHERE = "postgresql+psycopg2://ctfd:hunter2@127.0.0.1:9/ctfd"


def families(database: Database, clock: VirtualClock) -> list[Metric]:
    return list(text_string_to_metric_families(exposition(database, clock).decode()))


def values(found: Iterable[Metric], sample: str) -> dict[tuple[str, ...], float]:
    """Values of one sample name, by the values of its labels in the order of their names."""
    return {
        tuple(text for _, text in sorted(each.labels.items())): each.value
        for family in found
        for each in family.samples
        if each.name == sample
    }


class Rows:
    """Rows of the engine's table in every state."""

    def __init__(self, database: Database, clock: VirtualClock) -> None:
        self.store = InstanceStore(database, AuditLog(database), cre_instances)
        self.clock = clock
        self.users = 0

    def starting(self, lease_seconds: float = 60) -> Instance:
        self.users += 1
        claimed = self.store.claim(
            InstanceRequest(
                account=f"user:{self.users}",
                challenge_id=1,
                user_id=self.users,
                team_id=None,
                flag="flag{secret}",
                account_limit=1,
                capacity=None,
                lease_seconds=lease_seconds,
            ),
            self.clock.now(),
        )
        assert isinstance(claimed, Claimed)
        return claimed.row

    def running(self, life: timedelta = HOUR) -> Instance:
        now = self.clock.now()
        row = self.starting().activated(
            container_id="c", host="h", ports=("1",), started_at=now, expires_at=now + life
        )
        return self.saved(row)

    def saved(self, row: Instance) -> Instance:
        assert self.store.save(row)
        return row


def test_a_database_without_tables_has_nothing_to_show(any_database: Database) -> None:
    found = families(any_database, VirtualClock())
    assert values(found, "whale_ready_up") == {(): 1}
    assert [family.name for family in found if family.samples] == ["whale_ready_up"]


def test_every_instance_is_counted_in_one_state(any_database: Database) -> None:
    clock = VirtualClock()
    rows = Rows(any_database, clock)
    soon, later = clock.now() + timedelta(seconds=10), clock.now() + HOUR
    rows.running()
    rows.running()
    rows.running(life=timedelta(seconds=10))
    rows.starting()
    rows.starting(lease_seconds=5)
    rows.saved(rows.starting().left_open(later))
    rows.saved(rows.running().extending(later))
    rows.saved(rows.running().stopping(later))
    rows.saved(rows.running().stopping(soon))
    clock.advance(10)

    found = values(families(any_database, clock), "whale_ready_instances")

    assert found == {
        ("cre", "live"): 2,
        ("cre", "expired"): 1,
        ("cre", "starting"): 1,
        ("cre", "extending"): 1,
        ("cre", "stopping"): 1,
        ("cre", "abandoned"): 2,
        ("cre", "open"): 1,
    }
    assert sum(found.values()) == len(rows.store.all())


def test_the_workers_lag_is_the_age_of_what_is_longest_overdue(any_database: Database) -> None:
    clock = VirtualClock()
    rows = Rows(any_database, clock)
    rows.running()
    first = rows.running(life=timedelta(seconds=10))
    rows.running(life=timedelta(seconds=12))
    assert values(families(any_database, clock), "whale_ready_worker_lag_seconds") == {("cre",): 0}

    clock.advance(17.5)

    found = values(families(any_database, clock), "whale_ready_worker_lag_seconds")
    assert found == {("cre",): 7.5}
    assert rows.store.delete(first, None)
    found = values(families(any_database, clock), "whale_ready_worker_lag_seconds")
    assert found == {("cre",): 5.5}


def test_a_worker_is_alive_while_its_lease_is(any_database: Database) -> None:
    clock = VirtualClock()
    Rows(any_database, clock).running()
    assert values(families(any_database, clock), "whale_ready_worker_alive") == {("cre",): 0}

    Lease(any_database, clock, "cleanup cre", 30).acquire()

    assert values(families(any_database, clock), "whale_ready_worker_alive") == {("cre",): 1}
    clock.advance(30)
    assert values(families(any_database, clock), "whale_ready_worker_alive") == {("cre",): 0}


def test_a_backend_that_is_not_in_use_is_not_shown(any_database: Database) -> None:
    clock = VirtualClock()
    InstanceStore(any_database, AuditLog(any_database), cre_instances)
    assert values(families(any_database, clock), "whale_ready_worker_alive") == {}

    Lease(any_database, clock, "cleanup whale", 30).acquire()

    found = families(any_database, clock)
    assert values(found, "whale_ready_worker_alive") == {("whale",): 1}
    assert values(found, "whale_ready_instances")["whale", "live"] == 0


def test_events_are_counted_and_timed_by_their_outcome(any_database: Database) -> None:
    clock = VirtualClock()
    audit = AuditLog(any_database)

    def happened(action: Action, code: Code, *durations_ms: int) -> None:
        for duration in durations_ms:
            audit.record(ContainerEvent(clock.now(), "cre", 7, 8, 9, action, code, duration))

    happened(Action.STARTED, Code.OK, 25, 26, 700, 90_000)
    happened(Action.START_FAILED, Code.CAPACITY, 3)
    happened(Action.START_REPEATED, Code.ALREADY_RUNNING, 1)
    happened(Action.STOPPED, Code.OK, 120)
    happened(Action.STOP_FAILED, Code.OK, 130)  # done, but the log's own row was lost
    happened(Action.EXPIRED, Code.OK, 110)

    found = families(any_database, clock)

    counted = values(found, "whale_ready_events_total")
    assert counted["started", "cre", "ok"] == 4
    assert counted["start_failed", "cre", "capacity"] == 1
    assert counted["expired", "cre", "ok"] == 1
    buckets = values(found, "whale_ready_start_duration_seconds_bucket")
    of_ok = {le: number for (_, code, le), number in buckets.items() if code == "ok"}
    assert of_ok == dict(
        zip(
            ["0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "5", "10", "30", "60", "+Inf"],
            [1, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3, 4],
            strict=True,
        )
    )
    sums = values(found, "whale_ready_start_duration_seconds_sum")
    assert sums == {("cre", "ok"): pytest.approx(90.751), ("cre", "capacity"): 0.003}
    assert values(found, "whale_ready_stop_duration_seconds_count") == {("cre", "ok"): 2}


def test_the_pool_and_the_reservations_are_counted(any_database: Database) -> None:
    now = VirtualClock().now()
    any_database.ensure_schema()
    warm = {
        "fingerprint": "f",
        "version": 1,
        "lease_until": now,
        "flag": "flag{secret}",
        "host": "",
        "ports": "[]",
    }
    with any_database.write() as connection:
        for number, (challenge, state) in enumerate([(5, "ready"), (5, "ready"), (6, "making")]):
            connection.execute(
                pool.insert().values(name=f"n{number}", challenge_id=challenge, state=state, **warm)
            )
        for number in (30000, 30001):
            connection.execute(
                reservations.insert().values(kind="port", number=number, owner="x", at=now)
            )

    found = families(any_database, VirtualClock())

    assert values(found, "whale_ready_pool_ready") == {("5",): 2, ("6",): 0}
    assert values(found, "whale_ready_reservations") == {("port",): 2}


def test_nobody_is_named(database: Database) -> None:
    clock = VirtualClock()
    engine = ContainerRuntimeEngine(
        Settings(),
        runtime=MemoryRuntime(),
        catalog=StaticCatalog([ChallengeSpec(7654, "Cookie jar", "ctf/cookie")]),
        database=database,
        clock=clock,
    )
    assert engine.start_instance(987651, 7654, 987652).ok
    flag = engine.recorded_flag(987651, 7654, 987652)
    assert flag

    text = exposition(database, clock).decode()

    assert 'whale_ready_instances{backend="cre",state="live"} 1.0' in text
    assert 'whale_ready_events_total{action="started",backend="cre",code="ok"} 1.0' in text
    assert 'whale_ready_start_duration_seconds_count{backend="cre",code="ok"} 1.0' in text
    for personal in (flag, "987651", "987652", "7654", "Cookie", "ctf/", engine.deployment):
        assert personal not in text


def test_a_database_that_is_down_is_shown_as_down(caplog: pytest.LogCaptureFixture) -> None:
    database = Database(NOWHERE)
    with caplog.at_level(logging.WARNING):
        found = families(database, VirtualClock())
    assert [family.name for family in found] == ["whale_ready_up"]
    assert values(found, "whale_ready_up") == {(): 0}
    assert "cannot be read: OperationalError" in caplog.text
    assert "hunter2" not in caplog.text


def test_registering_asks_no_database_and_announces_every_name(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    describing = CollectorRegistry(auto_describe=True)
    describing.register(InstanceCollector(Database(NOWHERE)))
    assert not caplog.records
    Rows(database, VirtualClock())
    collector = InstanceCollector(database)
    assert {each.name for each in collector.describe()} == {
        each.name for each in collector.collect()
    }


def test_the_page_names_every_metric(database: Database) -> None:
    lines = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8").splitlines()
    named = {found[1] for line in lines if (found := re.match(r"\| `(whale_ready_\w+)`", line))}
    described = {
        f"{each.name}_total" if each.type == "counter" else each.name
        for each in InstanceCollector(database).describe()
    }
    assert named == described


def test_without_prometheus_client_the_engines_work_and_metrics_say_what_to_install() -> None:
    script = (
        "import sys; sys.modules['prometheus_client'] = None\n"
        "import engines, engines.cre, engines.whale, engines.state.figures\n"
        "import engines.metrics\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stderr.splitlines()[-1] == (
        "ImportError: metrics need prometheus_client, which is not installed: "
        "pip install 'whale-ready[metrics]'"
    )
