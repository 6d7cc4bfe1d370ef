"""Numbers that one owner holds at a time: ports and subnets."""

from __future__ import annotations

import sqlalchemy as sa

from engines.database import UtcDateTime, metadata

reservations = sa.Table(
    "cre_reservations",
    metadata,
    sa.Column("kind", sa.String(32), primary_key=True),
    sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("owner", sa.String(200), nullable=False, index=True),
    sa.Column("at", UtcDateTime, nullable=False),
)
