"""Whale's flags, from ctfd-whale's own table beside the adapter's ledger."""

from __future__ import annotations

from datetime import timedelta

import pytest
import sqlalchemy as sa

from engines.clock import VirtualClock
from engines.database import Database, UtcDateTime
from engines.site.whale_flags import WhaleFlags

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


def test_a_database_without_such_a_table(database: Database) -> None:
    assert not WhaleFlags(database, database.engine).possible()
