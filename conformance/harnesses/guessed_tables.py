"""Tables of a state as others leave them: what CTFd's import makes of those it does not know.

It drops every table. One that had rows is made again from them (``CTFd/utils/exports``, with
``dataset``): an ``id`` that counts up, numbers as BIGINT, all else as TEXT, no key and no index.
One that had none is not made again.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa

from engines.state import schema
from engines.state.database import Database
from engines.state.schema.tables import all_tables


@contextmanager
def replaced(database: Database, *, rows_kept: bool) -> Iterator[None]:
    """Our tables are replaced, by guessed ones or by none; after the block they are put right,
    whatever the backend has made of them, for who comes next."""
    ours = frozenset({schema.VERSION_TABLE, *all_tables().tables})
    exported = _dropped(database, ours)
    if rows_kept:
        _guess(database, exported)
    try:
        yield
    finally:
        schema.upgrade(database.engine)


def export_and_import(database: Database) -> None:
    """Both, of everything in the database."""
    _guess(database, _dropped(database))


def _dropped(
    database: Database, names: frozenset[str] | None = None
) -> dict[str, list[dict[str, Any]]]:
    """Drop the tables of these names, or all; returns their rows as an export has them."""
    tables = sa.MetaData()

    def wanted(name: str, _: object) -> bool:
        return not name.startswith("sqlite_") if names is None else name in names

    with database.write() as connection:
        tables.reflect(connection, only=wanted)
        exported = {
            name: json.loads(
                json.dumps([dict(row) for row in _rows(connection, table)], default=_text)
            )
            for name, table in tables.tables.items()
        }
        for table in reversed(tables.sorted_tables):
            table.drop(connection)
    return exported


def _guess(database: Database, exported: dict[str, list[dict[str, Any]]]) -> None:
    guessed = sa.MetaData()
    with database.write() as connection:
        for name, rows in exported.items():
            if rows:
                table = _guessed(guessed, name, rows[0])
                table.create(connection)
                connection.execute(table.insert(), rows)


def _rows(connection: Any, table: sa.Table) -> Any:
    return connection.execute(sa.select(table)).mappings().all()


def _text(value: Any) -> str:
    return str(value.isoformat())


def _guessed(tables: sa.MetaData, name: str, row: dict[str, Any]) -> sa.Table:
    counting = sa.Column("id", sa.Integer, primary_key=True, autoincrement=True)
    kinds = {
        key: sa.BigInteger if isinstance(value, int) else sa.Text for key, value in row.items()
    }
    columns = [sa.Column(key, kind) for key, kind in kinds.items() if key != "id"]
    return sa.Table(name, tables, counting, *columns)
