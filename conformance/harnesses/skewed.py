"""A machine whose clock differs from that of the database: the database's is the scenario's."""

from __future__ import annotations

from copy import copy
from datetime import datetime, timedelta

from sqlalchemy.engine import Connection

from engines.clock import Clock, SystemClock
from engines.state.database import Database, DatabaseClock


class AheadClock(SystemClock):
    """A machine's own clock, which is so many seconds ahead of another one."""

    def __init__(self, right: Clock, seconds: float) -> None:
        self._right = right
        self._ahead = timedelta(seconds=seconds)

    def now(self) -> datetime:
        return self._right.now() + self._ahead


class _ServersClock(DatabaseClock):
    """The database's clock, moved by the scenario."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def now(self) -> datetime:
        return self._clock.now()

    def look(self, connection: Connection) -> None:
        """It is known at any time."""


def on_the_clock_of(clock: Clock, database: Database) -> Database:
    """The database as a machine has it to which its server tells the time by this clock."""
    seen = copy(database)
    seen.clock = _ServersClock(clock)
    return seen
