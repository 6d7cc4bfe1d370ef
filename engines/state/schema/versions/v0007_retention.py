"""Equal refusals in one row; what is deleted from the audit log, counted; calls counted by account.

A row of before tells of one call.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic.operations import Operations

from engines.state.schema.columns import Moment, create_missing

revision = "0007"
down_revision = "0006"

tables = sa.MetaData()

sa.Table(
    "container_event_totals",
    tables,
    sa.Column("backend", sa.String(64), primary_key=True),
    sa.Column("action", sa.String(32), primary_key=True),
    sa.Column("code", sa.String(32), primary_key=True),
    sa.Column("calls", sa.BigInteger, nullable=False),
    sa.Column("total_ms", sa.BigInteger, nullable=False),
    sa.Column("within", sa.Text, nullable=False),
)

sa.Table(
    "audit_exports",
    tables,
    sa.Column("folder", sa.String(32), primary_key=True),
    sa.Column("written", sa.String(32), nullable=False),
)

sa.Table(
    "account_calls",
    tables,
    sa.Column("account", sa.String(64), primary_key=True),
    sa.Column("since", Moment, nullable=False),
    sa.Column("calls", sa.Integer, nullable=False),
)

_EVENTS = "container_events"
_INDEXES = {
    "uq_container_events_same": (["same"], True),
    "ix_container_events_action_id": (["action", "id"], False),
}


def upgrade(op: Operations) -> None:
    connection = op.get_bind()
    create_missing(connection, tables)
    there = {column["name"] for column in sa.inspect(connection).get_columns(_EVENTS)}
    for column in (
        sa.Column("times", sa.Integer, nullable=False, server_default="1"),
        sa.Column("last_at", Moment, nullable=True),
        sa.Column("same", sa.String(64), nullable=True),
    ):
        if column.name not in there:
            op.add_column(_EVENTS, column)
    present = {index["name"] for index in sa.inspect(connection).get_indexes(_EVENTS)}
    for name, (columns, unique) in _INDEXES.items():
        if name not in present:
            op.create_index(name, _EVENTS, columns, unique=unique)
