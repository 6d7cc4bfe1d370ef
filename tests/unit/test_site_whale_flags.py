"""Whale's flags, from ctfd-whale's own table beside the adapter's ledger."""

from __future__ import annotations

from datetime import timedelta

import pytest
import sqlalchemy as sa

from engines.clock import VirtualClock
from engines.ctfd.whale_flags import WhaleFlags
from engines.state.database import Database, UtcDateTime
from engines.state.given_flags import GivenFlags

FLAG = "flag{of-whale}"
ledger = sa.table(
    "whale_instances",
    *(sa.column(n) for n in ("account", "challenge_id", "slot", "user_id", "state", "version")),
    *(sa.column(n) for n in ("flag", "container_id", "host", "ports", "extension_count")),
    *(sa.column(n, UtcDateTime()) for n in ("lease_until", "expires_at")),
)


@pytest.fixture
def flags(database: Database) -> WhaleFlags:
    """A ledger with one instance of team 3, and Whale's table in the same database."""
    database.ensure_schema()
    now = VirtualClock().now()
    with database.write() as connection:
        connection.exec_driver_sql(
            "CREATE TABLE whale_container (uuid TEXT, challenge_id INTEGER, flag TEXT)"
        )
        insert = sa.text("INSERT INTO whale_container VALUES ('u-1', 5, :flag)")
        connection.execute(insert, {"flag": FLAG})
        connection.execute(
            ledger.insert().values(
                account="team:3",
                challenge_id=5,
                slot=1,
                user_id=7,
                flag="",
                state="running",
                version=1,
                container_id="u-1",
                host="h",
                ports="[]",
                extension_count=0,
                lease_until=now,
                expires_at=now + timedelta(hours=1),
            )
        )
    return WhaleFlags(database, database.engine)


def test_the_accounts_own_flag(flags: WhaleFlags) -> None:
    now = VirtualClock().now()
    assert flags.possible()
    assert flags.flag("team:3", 5, None, now) == FLAG
    assert flags.flag("team:4", 5, None, now) is None
    assert flags.flag("team:3", 6, None, now) is None
    assert flags.flag("team:3", 5, None, now + timedelta(hours=2)) is None
    assert FLAG not in repr(flags)


def test_whales_flags_are_noted_and_outlive_their_containers(
    flags: WhaleFlags, database: Database
) -> None:
    """Whale forgets a flag with its container; source: ctfer-io/chall-manager#1046."""
    now, grace = VirtualClock().now(), timedelta(minutes=10)
    given = GivenFlags(database, "whale", grace)
    for _ in range(2):
        flags.note(given, now)
    assert given.open_ones() == {"u-1"}
    assert given.counting("team:3", 5, None, now) == ()  # it runs: the row says so
    with database.write() as connection:
        connection.exec_driver_sql("DELETE FROM whale_container")
        connection.exec_driver_sql("DELETE FROM whale_instances")
    flags.note(given, now)
    assert given.counting("team:3", 5, None, now) == (FLAG,)
    assert given.counting("team:4", 5, None, now) == ()
    assert [holder.account for holder in given.holders(FLAG, 5)] == ["team:3"]
    flags.note(given, now + grace)
    assert given.counting("team:3", 5, None, now) == ()  # wiped


def test_the_flag_of_another_owner_of_the_number(flags: WhaleFlags, database: Database) -> None:
    with database.write() as connection:
        connection.exec_driver_sql("UPDATE whale_instances SET mark = 'a.c'")
    now = VirtualClock().now()
    assert flags.flag("team:3", 5, "a.c", now) == FLAG
    assert flags.flag("team:3", 5, "b.c", now) is None


def test_a_database_without_such_a_table(database: Database) -> None:
    assert not WhaleFlags(database, database.engine).possible()
