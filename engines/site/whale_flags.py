"""Flags of instances on Whale, from the table of ctfd-whale itself.

Whale's API tells nobody a flag (docs/whale-wire.md). Its table does: ``whale_container``, in the
database of the CTFd it is a plugin of. Where that database can be read, a submission here can be
compared; where it cannot, CTFd's own flags decide alone.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from engines.database import Database, UtcDateTime

_containers: Any = sa.table(
    "whale_container",
    sa.column("uuid", sa.String),
    sa.column("challenge_id", sa.Integer),
    sa.column("flag", sa.String),
)
_ledger: Any = sa.table(
    "whale_instances",
    sa.column("account", sa.String),
    sa.column("challenge_id", sa.BigInteger),
    sa.column("container_id", sa.String),
    sa.column("expires_at", UtcDateTime()),
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

    def flag(self, account: str, challenge_id: int, now: datetime) -> str | None:
        """The flag of the account's live instance, or None.

        Raises:
            SQLAlchemyError: a database cannot be asked.
        """
        mine = sa.select(_ledger.c.container_id).where(
            _ledger.c.account == account,
            _ledger.c.challenge_id == challenge_id,
            _ledger.c.expires_at > now,
        )
        with self._ours.read() as connection:
            uuid = connection.execute(mine).scalars().first()
        if not uuid:
            return None
        theirs = sa.select(_containers.c.flag).where(
            _containers.c.uuid == uuid, _containers.c.challenge_id == challenge_id
        )
        with self._theirs.connect() as connection:
            flag = connection.execute(theirs).scalars().first()
        return str(flag) if flag else None

    def __repr__(self) -> str:
        return "WhaleFlags()"
