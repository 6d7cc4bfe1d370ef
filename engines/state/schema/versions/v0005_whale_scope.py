"""A user may hold an instance of each of several challenges on Whale; what Whale was seen to do.

Until now a user held one row, whatever it was for. On SQLite the table is made anew with its rows,
in one transaction; elsewhere the new keys come before the old one goes.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic.operations import Operations
from sqlalchemy.engine import Connection

from engines.state.schema.columns import BigId, Moment, create_missing

revision = "0005"
down_revision = "0004"

_NAME = "whale_instances"
_OLD_KEY = "uq_whale_instances_user"
_NEW_KEYS = {
    "uq_whale_instances_user_challenge": ["user_id", "challenge_id"],
    "uq_whale_instances_user_slot": ["user_id", "slot"],
}

tables = sa.MetaData()

sa.Table(
    "whale_traits",
    tables,
    sa.Column("name", sa.String(16), primary_key=True),
    sa.Column("value", sa.String(16), nullable=False),
)

_instances = sa.Table(
    _NAME,
    sa.MetaData(),
    sa.Column("id", BigId, primary_key=True, autoincrement=True),
    sa.Column("account", sa.String(64), nullable=False),
    sa.Column("challenge_id", sa.BigInteger, nullable=False),
    sa.Column("slot", sa.Integer, nullable=False),
    sa.Column("user_id", sa.BigInteger, nullable=False),
    sa.Column("team_id", sa.BigInteger, nullable=True),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("lease_until", Moment, nullable=False),
    sa.Column("flag", sa.String(255), nullable=False),
    sa.Column("container_id", sa.String(128), nullable=True),
    sa.Column("host", sa.String(255), nullable=False),
    sa.Column("ports", sa.Text, nullable=False),
    sa.Column("started_at", Moment, nullable=True),
    sa.Column("expires_at", Moment, nullable=True, index=True),
    sa.Column("extension_count", sa.Integer, nullable=False),
    sa.UniqueConstraint("account", "challenge_id", name="uq_whale_instances_account_challenge"),
    sa.UniqueConstraint("account", "slot", name="uq_whale_instances_account_slot"),
    *(sa.UniqueConstraint(*columns, name=key) for key, columns in _NEW_KEYS.items()),
    sqlite_autoincrement=True,
)


def upgrade(op: Operations) -> None:
    connection = op.get_bind()
    create_missing(connection, tables)
    there = {str(key["name"]) for key in sa.inspect(connection).get_unique_constraints(_NAME)}
    if connection.dialect.name == "sqlite":
        if _OLD_KEY in there:
            _make_anew(connection)
        return
    for key, columns in _NEW_KEYS.items():
        if key not in there:
            op.create_unique_constraint(key, _NAME, columns)
    if _OLD_KEY in there:
        op.drop_constraint(_OLD_KEY, _NAME, type_="unique")


def _make_anew(connection: Connection) -> None:
    """SQLite cannot drop a key."""
    before = f"{_NAME}_0004"
    connection.execute(sa.text(f"ALTER TABLE {_NAME} RENAME TO {before}"))
    connection.execute(sa.text(f"DROP INDEX IF EXISTS ix_{_NAME}_expires_at"))
    _instances.create(connection)
    columns = [column.name for column in _instances.columns]
    old = sa.table(before, *(sa.column(name) for name in columns))
    connection.execute(_instances.insert().from_select(columns, sa.select(old)))
    _keep_counting(connection, before)
    connection.execute(sa.text(f"DROP TABLE {before}"))


def _keep_counting(connection: Connection, before: str) -> None:
    """No id is given a second time."""
    counters = sa.table("sqlite_sequence", sa.column("name", sa.String), sa.column("seq"))
    reached = sa.select(counters.c.seq).where(counters.c.name == before)
    seen = connection.execute(reached).scalar()
    if seen is not None:
        connection.execute(counters.delete().where(counters.c.name == _NAME))
        connection.execute(counters.insert().values(name=_NAME, seq=seen))
