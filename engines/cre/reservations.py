"""Numbers that two instances must not share: ports to publish on, subnets of own networks.

A number is reserved in the database before Docker is asked for it, and given back in the
transaction that forgets its owner, so that none is ever held by nobody.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from secrets import SystemRandom

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from engines.clock import Clock
from engines.errors import NoRoom
from engines.state.database import Database, UtcDateTime, metadata, one_clock

SUBNET = "subnet"

reservations = sa.Table(
    "cre_reservations",
    metadata,
    sa.Column("kind", sa.String(32), primary_key=True),
    sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("owner", sa.String(200), nullable=False, index=True),
    sa.Column("at", UtcDateTime, nullable=False),
)


class Reservations:
    """Who holds which number. An owner is an instance, by the name the runtime knows it by."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = one_clock(database, clock)
        self._random = SystemRandom()

    def reserve(
        self,
        kind: str,
        among: Sequence[int],
        count: int,
        owner: str,
        avoiding: Collection[int] = (),
    ) -> tuple[int, ...]:
        """Reserve ``count`` free numbers, at random, so that two processes seldom meet.

        Raises:
            NoRoom: fewer are free.
        """
        while True:
            try:
                return self._database.transact(
                    lambda connection: self._pick(connection, kind, among, count, owner, avoiding)
                )
            except sa.exc.IntegrityError:
                continue  # another process took one of them in between

    def release(self, connection: Connection, owner: str) -> None:
        """Give back all that the owner holds, in the caller's transaction."""
        connection.execute(reservations.delete().where(reservations.c.owner == owner))

    def drop(self, owner: str) -> None:
        """Give back all that the owner holds."""
        self._database.transact(lambda connection: self.release(connection, owner))

    def give_back(self, owner: str, numbers: Mapping[str, Collection[int]]) -> None:
        """Give back those of these numbers, by kind, that the owner holds."""

        def give(connection: Connection) -> None:
            for kind, given in numbers.items():
                connection.execute(
                    reservations.delete().where(
                        reservations.c.owner == owner,
                        reservations.c.kind == kind,
                        reservations.c.number.in_(given),
                    )
                )

        self._database.transact(give)

    def hand_over(self, connection: Connection, owner: str, to: str) -> None:
        """Let another owner hold what this one holds, in the caller's transaction."""
        connection.execute(
            reservations.update().where(reservations.c.owner == owner).values(owner=to)
        )

    def owners(self, before: datetime) -> set[str]:
        """Who holds something since before this time."""
        with self._database.read() as connection:
            held = sa.select(reservations.c.owner).where(reservations.c.at < before).distinct()
            return set(connection.execute(held).scalars())

    def _pick(
        self,
        connection: Connection,
        kind: str,
        among: Sequence[int],
        count: int,
        owner: str,
        avoiding: Collection[int],
    ) -> tuple[int, ...]:
        held = sa.select(reservations.c.number).where(reservations.c.kind == kind)
        taken = {*connection.execute(held).scalars(), *avoiding}
        free = [number for number in among if number not in taken]
        if len(free) < count:
            raise NoRoom(f"no {kind} number is free")
        picked = tuple(self._random.sample(free, count))
        now = self._clock.now()
        connection.execute(
            reservations.insert(),
            [{"kind": kind, "number": each, "owner": owner, "at": now} for each in picked],
        )
        return picked
