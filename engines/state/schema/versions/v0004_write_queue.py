"""The queue in front of Whale's writes."""

from __future__ import annotations

import sqlalchemy as sa
from alembic.operations import Operations

from engines.state.schema.columns import BigId, Moment, create_missing

revision = "0004"
down_revision = "0003"

tables = sa.MetaData()

sa.Table(
    "whale_write_queue",
    tables,
    sa.Column("id", BigId, primary_key=True, autoincrement=True),
    sa.Column("place", sa.Integer, nullable=True),
    sa.Column("until", Moment, nullable=False),
    sa.UniqueConstraint("place", name="uq_whale_write_queue_place"),
    sqlite_autoincrement=True,
)


def upgrade(op: Operations) -> None:
    create_missing(op.get_bind(), tables)
