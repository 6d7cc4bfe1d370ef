"""How a database is connected with, and which of its errors are worth waiting for."""

from __future__ import annotations

import sqlite3
from typing import Any

import psycopg2
import pymysql
import pytest
import sqlalchemy as sa

from engines.state.database import connectable, may_come


class _Seen(Exception):
    pass


@pytest.mark.parametrize(
    ("url", "seconds"),
    [
        ("mysql+pymysql://h/x", "10"),
        ("postgresql+psycopg2://h/x", "10"),
        ("postgresql+psycopg2://h/x?connect_timeout=3", "3"),
        ("mysql+pymysql://h/x?connect_timeout=3", "3"),
    ],
)
def test_a_server_that_is_silent_is_given_up(url: str, seconds: str) -> None:
    engine = connectable(url)
    given: dict[str, Any] = {}

    @sa.event.listens_for(engine, "do_connect")
    def look(_dialect: object, _record: object, _arguments: object, options: Any) -> None:
        given.update(options)
        raise _Seen

    with pytest.raises(_Seen):
        engine.connect()
    assert str(given["connect_timeout"]) == seconds
    engine.dispose()


@pytest.mark.parametrize(
    ("said", "waits"),
    [
        (pymysql.OperationalError(2003, "Can't connect to MySQL server on 'h'"), True),
        (pymysql.OperationalError(2013, "Lost connection during query"), True),
        (pymysql.OperationalError(1040, "Too many connections"), True),
        (pymysql.OperationalError(1045, "Access denied for user 'u'@'h'"), False),
        (pymysql.OperationalError(1049, "Unknown database 'x'"), False),
        (psycopg2.OperationalError("connection to server failed: Connection refused"), True),
        (psycopg2.OperationalError('could not translate host name "db" to address'), True),
        (psycopg2.OperationalError("FATAL:  the database system is starting up"), True),
        (psycopg2.OperationalError("FATAL:  sorry, too many clients already"), True),
        (psycopg2.OperationalError('FATAL:  password authentication failed for "u"'), False),
        (psycopg2.OperationalError('FATAL:  database "x" does not exist'), False),
        (sqlite3.OperationalError("unable to open database file"), False),
    ],
    ids=str,
)
def test_what_is_waited_for(said: Exception, waits: bool) -> None:
    assert may_come(sa.exc.OperationalError("SELECT 1", {}, said)) is waits


def test_a_wrong_query_is_not_waited_for() -> None:
    assert not may_come(sa.exc.ProgrammingError("SELEKT", {}, pymysql.ProgrammingError(1064)))
