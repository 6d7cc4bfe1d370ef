"""Reservations of ports and subnets, the warm pool, and the starts that the start rate counts."""

from __future__ import annotations

import sqlalchemy as sa
from alembic.operations import Operations

from engines.state.schema.columns import BigId, Moment, create_missing

revision = "0002"
down_revision = "0001"

tables = sa.MetaData()

sa.Table(
    "cre_reservations",
    tables,
    sa.Column("kind", sa.String(32), primary_key=True),
    sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("owner", sa.String(200), nullable=False, index=True),
    sa.Column("at", Moment, nullable=False),
)

sa.Table(
    "cre_pool",
    tables,
    sa.Column("id", BigId, primary_key=True, autoincrement=True),
    sa.Column("challenge_id", sa.BigInteger, nullable=False),
    sa.Column("fingerprint", sa.String(128), nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("lease_until", Moment, nullable=False),
    sa.Column("name", sa.String(200), nullable=False),
    sa.Column("flag", sa.String(255), nullable=False),
    sa.Column("container_id", sa.String(128), nullable=True),
    sa.Column("host", sa.String(255), nullable=False),
    sa.Column("ports", sa.Text, nullable=False),
    sa.Column("claimed_by", sa.String(200), nullable=True),
    sa.UniqueConstraint("name", name="uq_cre_pool_name"),
    sa.Index("ix_cre_pool_challenge_state", "challenge_id", "state"),
    sqlite_autoincrement=True,
)

sa.Table(
    "cre_starts",
    tables,
    sa.Column("id", BigId, primary_key=True, autoincrement=True),
    sa.Column("account", sa.String(64), nullable=False),
    sa.Column("at", Moment, nullable=False),
    sa.Index("ix_cre_starts_account_at", "account", "at"),
)


def upgrade(op: Operations) -> None:
    create_missing(op.get_bind(), tables)
