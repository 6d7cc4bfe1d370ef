"""The row is the lock: claims, limits and compare-and-set on the store."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
import sqlalchemy as sa

from engines.audit import Action, ContainerEvent
from engines.contract import Code
from engines.state.audit_log import AuditLog
from engines.state.database import Database, deadlocked, metadata
from engines.state.instance_store import InstanceStore
from engines.state.instances import (
    AccountFull,
    Claimed,
    Instance,
    InstanceRequest,
    InstanceState,
    SystemFull,
    Taken,
    UserTaken,
    instance_table,
)

NOW = datetime(2026, 1, 1, 12, 0, 0, 123456, tzinfo=timezone.utc)
SHARED = instance_table("test_instances", per_user=False)
EXCLUSIVE = instance_table("test_exclusive_instances", per_user=True)
for _table in (SHARED, EXCLUSIVE):
    metadata.remove(_table)  # no table of the product's

ASKED = InstanceRequest(
    account="user:1",
    challenge_id=5,
    user_id=1,
    team_id=None,
    flag="flag{store}",
    account_limit=1,
    capacity=100,
    lease_seconds=60,
)


@pytest.fixture
def database(any_database: Database) -> Database:
    with any_database.write() as connection:
        for table in (SHARED, EXCLUSIVE):
            table.create(connection)
    return any_database


@pytest.fixture
def audit(database: Database) -> AuditLog:
    return AuditLog(database)


@pytest.fixture
def store(database: Database, audit: AuditLog) -> InstanceStore:
    return InstanceStore(database, audit, SHARED)


def event(action: Action = Action.STARTED) -> ContainerEvent:
    return ContainerEvent(NOW, "cre", 1, None, 5, action, Code.OK, 3, {"container_id": "c"})


def claimed(store: InstanceStore, request: InstanceRequest = ASKED) -> Instance:
    outcome = store.claim(request, NOW)
    assert isinstance(outcome, Claimed)
    return outcome.row


def activated(row: Instance, lifetime: float = 3600) -> Instance:
    return row.activated(
        container_id="c",
        host="h",
        ports=("1", "2"),
        started_at=NOW,
        expires_at=NOW + timedelta(seconds=lifetime),
    )


def running(
    store: InstanceStore, request: InstanceRequest = ASKED, lifetime: float = 3600
) -> Instance:
    live = activated(claimed(store, request), lifetime)
    assert store.save(live)
    return live


def test_a_claim_is_there_for_everybody_as_starting(store: InstanceStore) -> None:
    row = claimed(store)
    assert store.find("user:1", 5) == row
    assert row.state is InstanceState.STARTING
    assert not row.live(NOW)
    assert not row.abandoned(NOW)
    assert row.abandoned(NOW + timedelta(seconds=60))


def test_what_was_saved_is_read_back_to_the_microsecond(store: InstanceStore) -> None:
    live = running(store)
    assert store.find("user:1", 5) == live
    assert live.started_at == NOW
    assert live.ports == ("1", "2")


def test_a_second_claim_meets_the_first(store: InstanceStore) -> None:
    row = claimed(store)
    assert store.claim(ASKED, NOW) == Taken(row)


def test_another_challenge_meets_the_account_limit(store: InstanceStore) -> None:
    row = claimed(store)
    assert store.claim(replace(ASKED, challenge_id=6), NOW) == AccountFull((row,))


def test_a_higher_limit_gives_each_its_own_slot(store: InstanceStore) -> None:
    rows = [
        claimed(store, replace(ASKED, challenge_id=number, account_limit=3)) for number in (1, 2, 3)
    ]
    assert [row.slot for row in rows] == [0, 1, 2]
    assert store.delete(rows[1], None)
    again = claimed(store, replace(ASKED, challenge_id=4, account_limit=3))
    assert again.slot == 1


def test_a_full_system_takes_no_more_but_does_not_count_the_expired(store: InstanceStore) -> None:
    running(store, lifetime=10)
    other = replace(ASKED, account="user:2", user_id=2, capacity=1)
    assert store.claim(other, NOW) == SystemFull()
    assert isinstance(store.claim(other, NOW + timedelta(seconds=10)), Claimed)


def test_an_exclusive_table_holds_one_row_per_user(database: Database, audit: AuditLog) -> None:
    store = InstanceStore(database, audit, EXCLUSIVE)
    row = claimed(store)
    for_team = replace(ASKED, account="team:9", team_id=9)
    assert store.claim(for_team, NOW) == UserTaken(row)
    assert isinstance(store.claim(replace(for_team, user_id=2), NOW), Claimed)
    assert store.of_user(1) == [row]
    assert store.of_user(3) == []


def test_a_user_with_room_for_two_holds_them_for_whatever_accounts(
    database: Database, audit: AuditLog
) -> None:
    """Where Whale holds one per user and challenge, two mates' calls for it meet in one."""
    store = InstanceStore(database, audit, EXCLUSIVE)
    roomy = replace(ASKED, account_limit=2)
    for_team = replace(roomy, account="team:9", team_id=9)
    row = claimed(store, roomy)
    assert store.claim(for_team, NOW) == UserTaken(row)
    second = claimed(store, replace(for_team, challenge_id=2))
    assert second.slot != row.slot
    assert store.claim(replace(for_team, challenge_id=3), NOW) == UserTaken(row)
    assert store.claim(replace(roomy, challenge_id=3), NOW) == UserTaken(second)
    mate = replace(for_team, user_id=2)
    assert isinstance(store.claim(mate, NOW), Claimed)
    assert isinstance(store.claim(replace(mate, challenge_id=3), NOW), AccountFull)


CHANGES: list[Callable[[Instance], Instance]] = [
    lambda row: row.extended(NOW + timedelta(hours=2)),
    lambda row: row.stopping(NOW),
    lambda row: row.extending(NOW),
    lambda row: row.running_again(),
    lambda row: row.rescheduled(NOW),
    activated,
]


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_from_an_old_reading_is_refused_and_writes_no_event(
    store: InstanceStore, audit: AuditLog, change: Callable[[Instance], Instance]
) -> None:
    old = running(store)
    assert store.save(old.extended(NOW + timedelta(hours=3)))
    before = store.find("user:1", 5)
    assert not store.save(change(old), event())
    assert not store.delete(old, event())
    assert store.find("user:1", 5) == before
    assert audit.events() == []


def test_a_change_and_what_belongs_to_it_are_made_together_or_not_at_all(
    store: InstanceStore, audit: AuditLog
) -> None:
    live = running(store)
    longer = live.extended(NOW + timedelta(hours=2))
    assert not store.save(longer, event(), also=lambda _connection: False)
    assert not store.delete(live, event(), also=lambda _connection: False)
    assert store.find("user:1", 5) == live
    assert audit.events() == []
    assert store.save(longer, event(), also=lambda _connection: True)


def test_an_event_is_written_with_the_change_and_only_with_it(
    store: InstanceStore, audit: AuditLog
) -> None:
    live = activated(claimed(store))
    assert store.save(live, event())
    assert store.delete(live, event(Action.STOPPED))
    assert [(each.action, each.metadata) for each in audit.events()] == [
        (Action.STARTED, {"container_id": "c"}),
        (Action.STOPPED, {"container_id": "c"}),
    ]


def test_a_change_whose_event_cannot_be_written_does_not_happen(
    store: InstanceStore, database: Database
) -> None:
    row = claimed(store)
    with database.write() as connection:
        connection.execute(sa.text("DROP TABLE container_events"))
    with pytest.raises(sa.exc.DatabaseError):
        store.save(activated(row), event())
    with pytest.raises(sa.exc.DatabaseError):
        store.delete(row, event())
    assert store.find("user:1", 5) == row


def test_a_copy_of_a_deleted_row_never_matches_a_younger_one(store: InstanceStore) -> None:
    old = claimed(store)
    assert store.delete(old, None)
    young = claimed(store, replace(ASKED, challenge_id=6))
    assert young.version == old.version
    assert not store.save(activated(old))
    assert not store.delete(old, None)
    assert store.find("user:1", 6) == young


def test_due_are_the_running_ones_whose_time_is_over_longest_first(store: InstanceStore) -> None:
    for user, lifetime in ((1, 20), (2, 10), (3, 30)):
        running(store, replace(ASKED, account=f"user:{user}", user_id=user), lifetime)
    claimed(store, replace(ASKED, account="user:4", user_id=4))
    due = store.due(NOW + timedelta(seconds=20))
    assert [row.account for row in due] == ["user:2", "user:1"]


def test_parallel_claims_of_one_key_give_one_row(store: InstanceStore) -> None:
    outcomes = in_parallel(16, lambda _: store.claim(ASKED, NOW))
    assert sum(isinstance(outcome, Claimed) for outcome in outcomes) == 1
    assert sum(isinstance(outcome, Taken) for outcome in outcomes) == 15


def test_parallel_claims_never_pass_the_capacity(store: InstanceStore) -> None:
    outcomes = in_parallel(
        16,
        lambda number: store.claim(
            replace(ASKED, account=f"user:{number}", user_id=number, capacity=3), NOW
        ),
    )
    assert sum(isinstance(outcome, Claimed) for outcome in outcomes) == 3
    assert sum(isinstance(outcome, SystemFull) for outcome in outcomes) == 13


def test_parallel_claims_never_pass_the_account_limit(store: InstanceStore) -> None:
    outcomes = in_parallel(
        16, lambda number: store.claim(replace(ASKED, challenge_id=number, account_limit=3), NOW)
    )
    assert sum(isinstance(outcome, Claimed) for outcome in outcomes) == 3
    assert sorted(row.slot for row in store.all()) == [0, 1, 2]


def test_the_flag_is_in_no_repr(store: InstanceStore) -> None:
    row = claimed(store)
    assert row.flag == "flag{store}"
    assert "flag{store}" not in repr(row) + repr(ASKED) + repr(Claimed(row))


def in_parallel(count: int, work: Callable[[int], object]) -> list[object]:
    """Run ``work(1)`` … ``work(count)`` in threads that begin together."""
    gate = threading.Barrier(count)
    outcomes: list[object] = []

    def run(number: int) -> None:
        gate.wait()
        outcomes.append(work(number))

    threads = [threading.Thread(target=run, args=(number,)) for number in range(1, count + 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return outcomes


def test_a_claim_that_lost_a_deadlock_is_tried_again(
    store: InstanceStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    errors = [
        sa.exc.OperationalError("INSERT", {}, Exception(1213, "Deadlock found")),
        sa.exc.OperationalError("INSERT", {}, Exception(2013, "Lost connection")),
    ]
    sound = store._insert

    def failing(*asked: Any) -> Instance:
        if errors:
            raise errors.pop(0)
        return sound(*asked)

    monkeypatch.setattr(store, "_insert", failing)
    with pytest.raises(sa.exc.OperationalError, match="Lost connection"):
        store.claim(ASKED, NOW)
    assert isinstance(store.claim(ASKED, NOW), Claimed)


@pytest.mark.parametrize("kind", ["mariadb", "postgresql"])
def test_a_real_deadlock_is_known_as_one(request: pytest.FixtureRequest, kind: str) -> None:
    """Two transactions that change two rows crosswise: one of them is given up."""
    database = Database(request.getfixturevalue(kind).create())
    table = sa.Table(
        "test_deadlock",
        sa.MetaData(),
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("n", sa.Integer),
    )
    with database.write() as connection:
        table.create(connection)
        connection.execute(table.insert(), [{"id": 1, "n": 0}, {"id": 2, "n": 0}])
    gate = threading.Barrier(2)

    def crosswise(number: int) -> bool:
        try:
            with database.write() as connection:
                for row in (number, 3 - number):
                    connection.execute(table.update().where(table.c.id == row).values(n=number))
                    if row == number:
                        gate.wait()
        except sa.exc.DBAPIError as error:
            return deadlocked(error)
        return False

    assert sorted(map(bool, in_parallel(2, crosswise))) == [False, True]
    database.close()
