"""When each account started something, for the start rate."""

from __future__ import annotations

import sqlalchemy as sa

from engines.database import BigId, UtcDateTime, metadata

starts = sa.Table(
    "cre_starts",
    metadata,
    sa.Column("id", BigId, primary_key=True, autoincrement=True),
    sa.Column("account", sa.String(64), nullable=False),
    sa.Column("at", UtcDateTime, nullable=False),
    sa.Index("ix_cre_starts_account_at", "account", "at"),
)
