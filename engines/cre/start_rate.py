"""How often an account has started lately: kept in the database, so that no new session helps."""

from __future__ import annotations

from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from engines.state.database import BigId, UtcDateTime, metadata

starts = sa.Table(
    "cre_starts",
    metadata,
    sa.Column("id", BigId, primary_key=True, autoincrement=True),
    sa.Column("account", sa.String(64), nullable=False),
    sa.Column("at", UtcDateTime, nullable=False),
    sa.Index("ix_cre_starts_account_at", "account", "at"),
)


def too_soon(
    connection: Connection, account: str, now: datetime, *, limit: int, window: timedelta
) -> float | None:
    """Seconds until the account may start again; None when it may now.

    A start that a clock stepped back has put into the future does not count.
    """
    within = connection.execute(
        sa.select(starts.c.at)
        .where(starts.c.account == account, starts.c.at > now - window, starts.c.at <= now)
        .order_by(starts.c.at.desc())
        .limit(limit)
    ).all()
    if len(within) < limit:
        return None
    return float((within[-1].at + window - now).total_seconds())


def count_start(connection: Connection, account: str, now: datetime, *, window: timedelta) -> None:
    """Note a start, and forget the account's starts that no window reaches any more."""
    connection.execute(
        starts.delete().where(starts.c.account == account, starts.c.at <= now - window)
    )
    connection.execute(starts.insert().values(account=account, at=now))
