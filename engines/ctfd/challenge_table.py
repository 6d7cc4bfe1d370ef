"""Our table beside CTFd's ``challenges``: its columns, whatever version of ours made it.

CTFd's own migrations do nothing on SQLite, and nothing for a table that an import brought back as
an older version had it.
"""

from __future__ import annotations

import secrets

import sqlalchemy as sa
from alembic.migration import MigrationContext
from alembic.operations import Operations

from engines.ctfd.fields import FIELDS

TABLE = "whale_ready_challenge"
BORN = "container_born"
"""Tells a challenge from others that had, or will have, its id; no field, and never changed."""
BORN_LENGTH = 32


def new_born() -> str:
    """A word that no other challenge has."""
    return secrets.token_hex(8)


def complete_table(engine: sa.engine.Engine) -> None:
    """Add the columns that came after the table was made, and a word for each challenge.

    Of several processes that do so at once, each may do some.
    """
    wanted = [sa.Column(BORN, sa.String(BORN_LENGTH), nullable=True)]
    wanted += [sa.Column(field.column, sa.Text(), nullable=True) for field in FIELDS]
    for column in wanted:
        if column.name in _columns(engine):
            continue
        try:
            with engine.begin() as connection:
                Operations(MigrationContext.configure(connection)).add_column(TABLE, column)
        except sa.exc.DBAPIError:
            if column.name not in _columns(engine):
                raise
    _name_all(engine)


def _name_all(engine: sa.engine.Engine) -> None:
    table = sa.table(TABLE, sa.column("id"), sa.column(BORN))
    nameless = table.c[BORN].is_(None)
    with engine.begin() as connection:
        for number in connection.execute(sa.select(table.c.id).where(nameless)).scalars().all():
            one = table.update().where(table.c.id == number, nameless)
            connection.execute(one.values({BORN: new_born()}))


def _columns(engine: sa.engine.Engine) -> set[str]:
    return {column["name"] for column in sa.inspect(engine).get_columns(TABLE)}
