"""The first version: the tables as the code made them by itself before there were versions.

A database of that time may have some of them only; the rest is created. Older SQLite files lack
AUTOINCREMENT on the tables of instances and are left so, which is how they have run: an id may be
used again there once the youngest row is gone. A fresh file has it.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic.operations import Operations

from engines.state.schema.columns import BigId, Moment, create_missing

revision = "0001"
down_revision = None

tables = sa.MetaData()

sa.Table(
    "container_events",
    tables,
    sa.Column("id", BigId, primary_key=True, autoincrement=True),
    sa.Column("at", Moment, nullable=False, index=True),
    sa.Column("backend", sa.String(64), nullable=False),
    sa.Column("user_id", sa.BigInteger, nullable=False),
    sa.Column("team_id", sa.BigInteger, nullable=True),
    sa.Column("challenge_id", sa.BigInteger, nullable=False),
    sa.Column("action", sa.String(32), nullable=False),
    sa.Column("code", sa.String(32), nullable=False),
    sa.Column("duration_ms", sa.Integer, nullable=False),
    sa.Column("metadata", sa.Text, nullable=False),
)

for _name in ("cre_instances", "whale_instances"):
    sa.Table(
        _name,
        tables,
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
        sa.UniqueConstraint("account", "challenge_id", name=f"uq_{_name}_account_challenge"),
        sa.UniqueConstraint("account", "slot", name=f"uq_{_name}_account_slot"),
        sqlite_autoincrement=True,
    )

_whale = tables.tables["whale_instances"]
_whale.append_constraint(sa.UniqueConstraint(_whale.c.user_id, name="uq_whale_instances_user"))

sa.Table("instance_gates", tables, sa.Column("name", sa.String(64), primary_key=True))

sa.Table(
    "worker_leases",
    tables,
    sa.Column("name", sa.String(64), primary_key=True),
    sa.Column("holder", sa.String(64), nullable=False),
    sa.Column("until", Moment, nullable=False),
)

sa.Table(
    "cre_meta",
    tables,
    sa.Column("key", sa.String(64), primary_key=True),
    sa.Column("value", sa.String(255), nullable=False),
)


def upgrade(op: Operations) -> None:
    create_missing(op.get_bind(), tables)
