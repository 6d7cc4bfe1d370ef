"""What CTFd's import leaves of tables it does not know (``CTFd/utils/exports``, with ``dataset``).

Every table is dropped. One that had rows is made again from them: an ``id`` that counts up, numbers
as BIGINT, all else as TEXT, no key and no index. One that had none is not made again.
"""

from __future__ import annotations

import json
from typing import Any

import sqlalchemy as sa

from engines.database import Database


def export_and_import(database: Database) -> None:
    """Both, of everything in the database."""
    tables = sa.MetaData()
    with database.write() as connection:
        tables.reflect(connection, only=lambda name, _: not name.startswith("sqlite_"))
        exported = {
            name: json.loads(
                json.dumps([dict(row) for row in _rows(connection, table)], default=_text)
            )
            for name, table in tables.tables.items()
        }
        for table in reversed(tables.sorted_tables):
            table.drop(connection)
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
