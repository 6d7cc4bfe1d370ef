"""How often an account has called lately: counted in the database, so that it holds over processes.

The libraries that limit calls for Flask count in memory, where each worker of the server has a
count of its own, or in a Redis, which a site need not have. The database is there anyway, and a
call that changes something writes to it many times. A call beyond the limit writes nothing: the
count is left as it is, and the process remembers until when it need not even look.
"""

from __future__ import annotations

from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from engines.clock import Clock
from engines.contract import account_key
from engines.state.database import Database, UtcDateTime, metadata, one_clock

WINDOW = timedelta(seconds=60)
_REMEMBERED = 4096
_TRIES = 5

account_calls = sa.Table(
    "account_calls",
    metadata,
    sa.Column("account", sa.String(64), primary_key=True),
    sa.Column("since", UtcDateTime, nullable=False),
    sa.Column("calls", sa.Integer, nullable=False),
)


# Built once: each call sends it, and building it costs more than running it.
_COUNT = (
    account_calls.update()
    .where(
        account_calls.c.account == sa.bindparam("who"),
        account_calls.c.calls < sa.bindparam("limit"),
        account_calls.c.since > sa.bindparam("begun_after"),
        account_calls.c.since <= sa.bindparam("now"),
    )
    .values(calls=account_calls.c.calls + 1)
)


class CallRate:
    """Counts the calls of each account in windows of a minute, which begin with a call.

    Args:
        limit: calls an account may make in one; 0 for as many as it likes.
    """

    def __init__(self, database: Database, clock: Clock, limit: int) -> None:
        self._database = database
        self._clock = one_clock(database, clock)
        self._limit = limit
        self._over: dict[str, datetime] = {}
        """Until when accounts have to wait that were refused here."""
        database.ensure_schema()

    def throttle(self, user_id: int, team_id: int | None = None) -> float | None:
        """Count a call: None where it may go on, or the seconds until the account may call again.

        Raises:
            SQLAlchemyError: the database cannot be asked.
        """
        if not self._limit:
            return None
        account, now = account_key(user_id, team_id), self._clock.now()
        until = self._over.get(account)
        if until is None or not until - WINDOW <= now < until:
            until = self._counted(account, now)
        if until is None:
            self._over.pop(account, None)
            return None
        if len(self._over) >= _REMEMBERED:
            self._over.clear()
        self._over[account] = until
        return (until - now).total_seconds()

    def _counted(self, account: str, now: datetime) -> datetime | None:
        """Count a call; the end of the window where it has as many as it may, and is left so."""
        given = {
            "who": account,
            "limit": self._limit,
            "begun_after": now - WINDOW,
            "now": now,
        }
        for _ in range(_TRIES):
            if self._database.transact(lambda found: found.execute(_COUNT, given).rowcount == 1):
                return None
            try:
                return self._database.transact(lambda found: self._look(found, account, now))
            except sa.exc.IntegrityError:
                continue  # another process has made the account's row in between
        return None

    def _look(self, connection: Connection, account: str, now: datetime) -> datetime | None:
        """Count a call that is not one more in a window with room."""
        row = account_calls.c
        mine = sa.select(row.since, row.calls).where(row.account == account)
        # Without a lock first: one on a row that is not there would keep others from making theirs.
        if connection.execute(mine).first() is None:
            first = {"account": account, "since": now, "calls": 1}
            connection.execute(account_calls.insert().values(**first))
            return None
        since, calls = connection.execute(mine.with_for_update()).one()
        # A window that a clock stepped back has put into the future is over too.
        within = since <= now < since + WINDOW
        if within and calls >= self._limit:
            end: datetime = since + WINDOW
            return end
        after = {"calls": calls + 1} if within else {"since": now, "calls": 1}
        connection.execute(account_calls.update().where(row.account == account).values(**after))
        return None
