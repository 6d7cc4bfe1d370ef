"""Flags of instances on Whale, from the table of ctfd-whale itself.

Whale's API tells nobody a flag (docs/whale-wire.md). Its table does: ``whale_container``, in the
database of the CTFd it is a plugin of. Where that database can be read, a submission here can be
compared; where it cannot, CTFd's own flags decide alone.
"""

from __future__ import annotations

import logging
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Engine
from sqlalchemy.exc import SQLAlchemyError

from engines.clock import Clock
from engines.reasons import reason
from engines.settings import Settings
from engines.state.database import Database
from engines.state.given_flags import GivenFlags
from engines.state.instances import Instance, from_row
from engines.whale.manager import whale_instances

log = logging.getLogger(__name__)

_containers: Any = sa.table(
    "whale_container",
    sa.column("uuid", sa.String),
    sa.column("challenge_id", sa.Integer),
    sa.column("flag", sa.String),
)


class WhaleFlags:
    """Reads one flag at a time.

    Args:
        ours: where the adapter's ledger is, which knows an account's container.
        theirs: the database of Whale's CTFd.
    """

    def __init__(self, ours: Database, theirs: Engine) -> None:
        self._ours = ours
        self._theirs = theirs

    def possible(self) -> bool:
        """Whether there is such a table; asks the database.

        Raises:
            SQLAlchemyError: it cannot be asked.
        """
        return bool(sa.inspect(self._theirs).has_table("whale_container"))

    def flag(self, account: str, challenge_id: int, mark: str | None, now: datetime) -> str | None:
        """The flag of the account's live instance, or None.

        Raises:
            SQLAlchemyError: a database cannot be asked.
        """
        mine = (
            whale_instances.c.account == account,
            whale_instances.c.challenge_id == challenge_id,
        )
        rows = [row for row in self._live(now, *mine) if row.mark in (None, mark)]
        return next(iter(self._read(rows).values()), None)

    def note(self, given: GivenFlags, now: datetime) -> None:
        """Have the flags of what runs now remembered, since Whale forgets them with the container.

        Raises:
            SQLAlchemyError: a database cannot be asked.
        """
        live = self._live(now)
        noted = given.open_ones()
        fresh = [row for row in live if row.container_id not in noted]
        flags = self._read(fresh) if fresh else {}
        for row in fresh:
            if row.id in flags:
                given.remember(row, flags[row.id], now)
        given.tidy({row.container_id for row in live}, now)

    def _live(self, now: datetime, *conditions: Any) -> list[Instance]:
        table = whale_instances
        query = sa.select(table).where(
            table.c.container_id.is_not(None), table.c.expires_at > now, *conditions
        )
        with self._ours.read() as connection:
            return [from_row(row) for row in connection.execute(query)]

    def _read(self, rows: list[Instance]) -> dict[int, str]:
        """The flags of these rows, by the rows' ids."""
        found = {}
        with self._theirs.connect() as connection:
            for row in rows:
                theirs = sa.select(_containers.c.flag).where(
                    _containers.c.uuid == row.container_id,
                    _containers.c.challenge_id == row.challenge_id,
                )
                flag = connection.execute(theirs).scalars().first()
                if flag:
                    found[row.id] = str(flag)
        return found

    def __repr__(self) -> str:
        return "WhaleFlags()"


def readable(settings: Settings, found: WhaleFlags) -> WhaleFlags | None:
    """Whale's own flags, where there is a Whale and they can be read."""
    if settings.whale_api_url is None:
        return None
    try:
        return found if found.possible() else None
    except SQLAlchemyError as error:
        log.error("Whale's own database cannot be asked for flags: %s", type(error).__name__)
        return None


def note(flags: WhaleFlags, given: GivenFlags, clock: Clock) -> None:
    """See :meth:`WhaleFlags.note`; what fails is logged, and the next round tries again."""
    try:
        flags.note(given, clock.now())
    except SQLAlchemyError as error:
        log.warning("flags on Whale are noted in the next round: %s", reason(error))
