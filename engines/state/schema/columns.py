"""What revisions are built from. Revisions are history: what is here never changes, it is added to.

The tests compare what version 0001 makes with a copy of what the code before it made.
"""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects import mysql
from sqlalchemy.engine import Connection

Moment = (
    sa.DateTime()
    .with_variant(mysql.DATETIME(fsp=6), "mysql")
    .with_variant(mysql.DATETIME(fsp=6), "mariadb")
)
"""A time in UTC with microseconds."""

BigId = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
"""A 64-bit id; SQLite counts up by itself only in a column called INTEGER, which holds 64 bits."""


def create_missing(connection: Connection, tables: sa.MetaData) -> None:
    """Create the tables and indexes that are missing; what is there is left as it is."""
    for table in tables.sorted_tables:
        table.create(connection, checkfirst=True)
        for index in sorted(table.indexes, key=lambda each: str(each.name)):
            # Of a table whose maker died before its index was made.
            index.create(connection, checkfirst=True)
