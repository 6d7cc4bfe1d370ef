"""The queue in front of Whale's writes: so many are at Whale at once, for a whole deployment.

Whale does not keep its own writes apart: of those that meet, frpc loses its token on disk, a start
fails by another's reload, and more are let in than the limit says (docs/whale-wire.md, "frp" and
"Concurrency"). So a write draws a ticket in the database and waits until it holds a place.

The unique key on ``place`` keeps two from holding one; the number of a ticket decides whose turn it
is. Each step is a short transaction of its own: nobody waits with one open. A ticket that is not
renewed lapses, and the next who comes by removes it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from engines.clock import Clock
from engines.contract import Code
from engines.errors import WhaleFault
from engines.state.database import BigId, Database, UtcDateTime, metadata, one_clock

log = logging.getLogger(__name__)

write_queue = sa.Table(
    "whale_write_queue",
    metadata,
    sa.Column("id", BigId, primary_key=True, autoincrement=True),
    sa.Column("place", sa.Integer, nullable=True),  # None: it waits
    sa.Column("until", UtcDateTime, nullable=False),
    sa.UniqueConstraint("place", name="uq_whale_write_queue_place"),
    sqlite_autoincrement=True,
)

WAITING_SECONDS = 10.0
"""How long the ticket of one who waits is good for, unless renewed."""
CALL_MARGIN_SECONDS = 5.0
"""Beyond a call's own deadline, until its place is free though nobody gave it up."""
PAUSE_SECONDS = 0.02
"""Between two looks, for each write that comes before; short beside the 0.3 s of a real one."""
LONGEST_PAUSE_SECONDS = 0.5
RETRY_SECONDS = 5.0
"""``retry_after`` of who waited too long; a dozen writes are done by then."""


@dataclass(frozen=True)
class _Queue:
    """What one ticket sees of the queue."""

    known: bool
    """Whether the ticket is there and good for a while."""
    before: int
    """Writes that hold a place or come before it."""
    place: int | None
    """The place that it may take now."""
    lapsed: list[int]
    """Tickets of the dead."""


class WriteQueue:
    """Lets writes through to Whale, first come, first served.

    Args:
        places: how many may be at Whale at once; 0 for any number.
        wait_seconds: how long one waits, in real time, until it gives up.
        call_seconds: the deadline of a write once it is let through.
    """

    def __init__(
        self,
        database: Database,
        clock: Clock,
        *,
        places: int,
        wait_seconds: float,
        call_seconds: float,
    ) -> None:
        self._database = database
        self._clock = one_clock(database, clock)
        self._places = places
        self._wait_seconds = wait_seconds
        self._waiting = timedelta(seconds=WAITING_SECONDS)
        self._holding = timedelta(seconds=call_seconds + CALL_MARGIN_SECONDS)

    def patience(self) -> float:
        """Until when, on the monotonic clock, a write that begins now may wait."""
        return time.monotonic() + self._wait_seconds

    @contextmanager
    def place(self, patience: float) -> Iterator[None]:
        """Hold a place within; waits for it until ``patience``.

        Raises:
            WhaleFault: with ``BUSY`` when none became free in time; nothing was sent.
        """
        if self._places == 0:
            yield
            return
        ticket, seen = self._step(None)
        try:
            while seen.place is None:
                left = patience - time.monotonic()
                if left <= 0:
                    raise _crowded()
                time.sleep(min(left, PAUSE_SECONDS * max(seen.before, 1), LONGEST_PAUSE_SECONDS))
                with self._database.read() as connection:
                    seen = self._look(connection, ticket)
                if seen.place is not None or not seen.known:
                    ticket, seen = self._step(ticket)
            yield
        finally:
            self._give_up(ticket)

    def _step(self, ticket: int | None) -> tuple[int, _Queue]:
        """Draw a ticket, or renew one, and take a place when it is its turn."""
        try:
            return self._database.transact(lambda connection: self._stepped(connection, ticket))
        except sa.exc.IntegrityError:
            # Another took the place in the same moment; of ours, nothing was written.
            return self._database.transact(
                lambda connection: self._stepped(connection, ticket, take=False)
            )

    def _stepped(
        self, connection: Connection, ticket: int | None, *, take: bool = True
    ) -> tuple[int, _Queue]:
        ticket = self._renewed(connection, ticket)
        seen = self._look(connection, ticket)
        if seen.lapsed:
            dead = write_queue.c.id.in_(seen.lapsed)
            connection.execute(write_queue.delete().where(dead))
        if not take or seen.place is None:
            return ticket, _Queue(True, seen.before, None, [])
        until = self._clock.now() + self._holding
        mine = write_queue.update().where(write_queue.c.id == ticket)
        connection.execute(mine.values(place=seen.place, until=until))
        return ticket, seen

    def _renewed(self, connection: Connection, ticket: int | None) -> int:
        until = self._clock.now() + self._waiting
        if ticket is not None:
            mine = write_queue.update().where(write_queue.c.id == ticket)
            if connection.execute(mine.values(until=until)).rowcount == 1:
                return ticket
        # None yet, or it lapsed while this process stood still: then it has lost its turn.
        key: Any = connection.execute(write_queue.insert().values(until=until)).inserted_primary_key
        return int(key[0])

    def _look(self, connection: Connection, ticket: int) -> _Queue:
        now = self._clock.now()
        # A clock that was set back must not make the ticket of a dead process good for hours.
        latest = now + 2 * max(self._holding, self._waiting)
        columns = (write_queue.c.id, write_queue.c.place, write_queue.c.until)
        rows = connection.execute(sa.select(*columns)).all()
        good = {row.id: row for row in rows if now < row.until <= latest}
        held = {row.place for row in good.values() if row.place is not None}
        ahead = sum(row.place is None and row.id < ticket for row in good.values())
        free = [place for place in range(self._places) if place not in held]
        mine = good.get(ticket)
        return _Queue(
            known=mine is not None and mine.until - now > self._waiting / 2,
            before=len(held) + ahead,
            place=free[ahead] if ahead < len(free) else None,
            lapsed=[row.id for row in rows if row.id not in good],
        )

    def _give_up(self, ticket: int) -> None:
        """Leave the queue. Should that fail, the ticket lapses by itself."""
        mine = write_queue.delete().where(write_queue.c.id == ticket)
        try:
            self._database.transact(lambda connection: connection.execute(mine))
        except sa.exc.SQLAlchemyError as error:
            log.warning("ticket %d is left to lapse: %s", ticket, type(error).__name__)


def _crowded() -> WhaleFault:
    return WhaleFault(
        Code.BUSY,
        "Many containers are being started and stopped; please try again in a moment",
        retry_after=RETRY_SECONDS,
    )
