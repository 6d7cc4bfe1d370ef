"""What tells a challenge from others with its number."""

from __future__ import annotations

import secrets
from typing import Any

import sqlalchemy as sa

revision = "wr0002"
down_revision = "wr0001"
branch_labels = None
depends_on = None

TABLE = "whale_ready_challenge"
COLUMN = "container_born"


def upgrade(op: Any = None) -> None:
    """Add the column, with a value for each challenge there is; of several processes, one does."""
    bind = op.get_bind()
    if not _there(bind):
        try:
            op.add_column(TABLE, sa.Column(COLUMN, sa.String(32), nullable=True))
        except sa.exc.DBAPIError:
            if not _there(bind):
                raise
    table = sa.table(TABLE, sa.column("id"), sa.column(COLUMN))
    born = table.c[COLUMN]
    without = bind.execute(sa.select(table.c.id).where(born.is_(None))).scalars().all()
    for number in without:
        one = table.update().where(table.c.id == number, born.is_(None))
        bind.execute(one.values({COLUMN: secrets.token_hex(8)}))


def _there(bind: Any) -> bool:
    return COLUMN in {column["name"] for column in sa.inspect(bind).get_columns(TABLE)}
