"""Whose an instance is, beyond the numbers; the flags that accounts were given.

An older instance has no mark: the worker gives it that of the account with its numbers.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic.operations import Operations

from engines.state.schema.columns import BigId, Moment, create_missing

revision = "0006"
down_revision = "0005"

tables = sa.MetaData()

sa.Table(
    "given_flags",
    tables,
    sa.Column("id", BigId, primary_key=True, autoincrement=True),
    sa.Column("digest", sa.String(64), nullable=False),
    sa.Column("account", sa.String(64), nullable=False),
    sa.Column("challenge_id", sa.BigInteger, nullable=False),
    sa.Column("user_id", sa.BigInteger, nullable=False),
    sa.Column("team_id", sa.BigInteger, nullable=True),
    sa.Column("mark", sa.String(64), nullable=True),
    sa.Column("backend", sa.String(64), nullable=False),
    sa.Column("container_id", sa.String(128), nullable=False),
    sa.Column("given_at", Moment, nullable=False),
    sa.Column("ended_at", Moment, nullable=True),
    sa.Column("flag", sa.String(255), nullable=True),
    sa.Index("ix_given_flags_challenge_account", "challenge_id", "account"),
    sqlite_autoincrement=True,
)


def upgrade(op: Operations) -> None:
    connection = op.get_bind()
    create_missing(connection, tables)
    for name in ("cre_instances", "whale_instances"):
        there = {column["name"] for column in sa.inspect(connection).get_columns(name)}
        if "mark" not in there:
            op.add_column(name, sa.Column("mark", sa.String(64), nullable=True))
