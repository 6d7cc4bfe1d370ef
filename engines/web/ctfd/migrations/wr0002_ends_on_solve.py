"""A column for whether an instance ends when its challenge is solved."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

revision = "wr0002"
down_revision = "wr0001"
branch_labels = None
depends_on = None

TABLE = "whale_ready_challenge"
COLUMNS = ("ends_on_solve",)


def upgrade(op: Any = None) -> None:
    """Add what is missing; of several processes that do so at once, one does each."""
    bind = op.get_bind()
    for name in COLUMNS:
        if not _has(bind, f"container_{name}"):
            try:
                op.add_column(TABLE, sa.Column(f"container_{name}", sa.Text(), nullable=True))
            except sa.exc.DBAPIError:
                if not _has(bind, f"container_{name}"):
                    raise


def _has(bind: Any, column: str) -> bool:
    return any(each["name"] == column for each in sa.inspect(bind).get_columns(TABLE))
