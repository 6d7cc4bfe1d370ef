"""A lease in the database: of many processes that may do a job, one does it at a time."""

from __future__ import annotations

import secrets
from datetime import timedelta

import sqlalchemy as sa

from engines.clock import Clock
from engines.state.database import Database, UtcDateTime, metadata, one_clock

leases = sa.Table(
    "worker_leases",
    metadata,
    sa.Column("name", sa.String(64), primary_key=True),
    sa.Column("holder", sa.String(64), nullable=False),
    sa.Column("until", UtcDateTime, nullable=False),
)


class Lease:
    """The right to a job called ``name``, for ``seconds`` at a time.

    Who holds it keeps it by asking again; when the holder dies, another gets it once the time is
    over. Nobody else waits for it.
    """

    def __init__(self, database: Database, clock: Clock, name: str, seconds: float) -> None:
        self._database = database
        self._clock = one_clock(database, clock)
        self._name = name
        self._time = timedelta(seconds=seconds)
        self._holder = secrets.token_hex(16)
        database.ensure_schema()

    def acquire(self) -> bool:
        """Take the lease or prolong it; False when somebody else holds it."""
        now = self._clock.now()
        free = sa.or_(leases.c.holder == self._holder, leases.c.until <= now)
        row = {"holder": self._holder, "until": now + self._time}
        with self._database.write() as connection:
            taken = connection.execute(
                leases.update().where(leases.c.name == self._name, free).values(**row)
            )
            if taken.rowcount == 1:
                return True
        try:
            with self._database.write() as connection:
                connection.execute(leases.insert().values(name=self._name, **row))
        except sa.exc.IntegrityError:
            return False  # it is there, and another's
        return True

    def release(self) -> None:
        """Give the lease up, so that another need not wait; no error when it is not ours."""
        mine = sa.and_(leases.c.name == self._name, leases.c.holder == self._holder)
        with self._database.write() as connection:
            connection.execute(leases.delete().where(mine))
