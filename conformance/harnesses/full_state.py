"""A state database without room: a real SQLITE_FULL, by a limit on its pages."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from engines.state.database import Database

_MORE_THAN_ANY_FREE_PAGES = 64 * 1024 * 1024
_NO_LIMIT = 1073741823
"""SQLite's own."""


@contextmanager
def full(database: Database, after: int) -> Iterator[None]:
    """Inside this block ``after`` more changes find room, and no further one does.

    As on a disk that is full, reading goes on. A change that must fail asks for more pages than
    are left, within its own transaction, so that what fails is SQLite and nothing is left of it.
    """
    room = after

    def begin(connection: Connection) -> None:
        nonlocal room
        if connection.get_execution_options().get("whale_ready_read"):
            return
        room -= 1
        if room < 0:
            _run_full(connection)

    sa.event.listen(database.engine, "begin", begin)
    try:
        yield
    finally:
        sa.event.remove(database.engine, "begin", begin)


def _run_full(connection: Connection) -> None:
    (pages,) = connection.exec_driver_sql("PRAGMA page_count").one()
    connection.exec_driver_sql(f"PRAGMA max_page_count={pages}")
    try:
        connection.exec_driver_sql("CREATE TABLE no_room (content BLOB)")
        connection.exec_driver_sql(
            "INSERT INTO no_room VALUES (zeroblob(?))", (_MORE_THAN_ANY_FREE_PAGES,)
        )
    finally:
        raw: Any = connection.connection.dbapi_connection
        with suppress(Exception):  # SQLite may have rolled back by itself
            raw.rollback()
        raw.execute(f"PRAGMA max_page_count={_NO_LIMIT}")
