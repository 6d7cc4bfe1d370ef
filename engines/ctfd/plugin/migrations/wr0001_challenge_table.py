"""The table of our challenge type."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

revision = "wr0001"
down_revision = None
branch_labels = None
depends_on = None

TABLE = "whale_ready_challenge"
COLUMNS = (
    *("image", "ports", "readiness", "pull", "flag_prefix", "host", "timeout_seconds"),
    *("ends_at", "limit", "warm", "memory_mb", "cpus", "pids_limit", "egress", "read_only"),
    *("user", "capabilities", "ulimits", "command", "environment", "companions", "nodes"),
)


def upgrade(op: Any = None) -> None:
    """Make the table; of several processes that do so at once, one does."""
    bind = op.get_bind()
    if sa.inspect(bind).has_table(TABLE):
        return
    try:
        op.create_table(
            TABLE,
            sa.Column(
                "id",
                sa.Integer(),
                sa.ForeignKey("challenges.id", ondelete="CASCADE"),
                primary_key=True,
            ),
            *(sa.Column(f"container_{name}", sa.Text(), nullable=True) for name in COLUMNS),
        )
    except sa.exc.DBAPIError:
        if not sa.inspect(bind).has_table(TABLE):
            raise
