"""Ready containers that wait for a start."""

from __future__ import annotations

import sqlalchemy as sa

from engines.database import BigId, UtcDateTime, metadata

pool = sa.Table(
    "cre_pool",
    metadata,
    sa.Column("id", BigId, primary_key=True, autoincrement=True),
    sa.Column("challenge_id", sa.BigInteger, nullable=False),
    sa.Column("fingerprint", sa.String(128), nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("lease_until", UtcDateTime, nullable=False),
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
