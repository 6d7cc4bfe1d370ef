"""The name under which one deployment's containers are known, kept in its database."""

from __future__ import annotations

import secrets

import sqlalchemy as sa

from engines.state.database import Database, metadata

meta = sa.Table(
    "cre_meta",
    metadata,
    sa.Column("key", sa.String(64), primary_key=True),
    sa.Column("value", sa.String(255), nullable=False),
)

DEPLOYMENT_KEY = "deployment"


def deployment_name(database: Database) -> str:
    """The random name of this database's deployment, made on first use by whoever is first."""
    database.ensure_schema()
    found = _read(database)
    if found is None:
        try:
            with database.write() as connection:
                value = secrets.token_hex(6)
                connection.execute(meta.insert().values(key=DEPLOYMENT_KEY, value=value))
        except sa.exc.IntegrityError:
            pass  # another process was first; its value is read below
        found = _read(database)
    return str(found)


def _read(database: Database) -> str | None:
    with database.read() as connection:
        row = connection.execute(
            sa.select(meta.c.value).where(meta.c.key == DEPLOYMENT_KEY)
        ).first()
    return None if row is None else str(row[0])
