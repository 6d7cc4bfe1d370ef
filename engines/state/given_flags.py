"""Flags that accounts were given, remembered beyond their containers.

A flag is kept as its SHA-256 digest. It is random, so the digest gives nothing away, and tells
what is needed: whether a submission is an account's own earlier flag, or another's. Within the
grace time after the container's end the flag itself is kept too, as it is for a running instance;
then it is wiped.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from engines.state.database import BigId, Database, UtcDateTime, metadata
from engines.state.instances import Instance

KEPT_DAYS = 90
"""How long a digest is kept after the end of its container: longer than any contest."""

given_flags = sa.Table(
    "given_flags",
    metadata,
    sa.Column("id", BigId, primary_key=True, autoincrement=True),
    sa.Column("digest", sa.String(64), nullable=False),
    sa.Column("account", sa.String(64), nullable=False),
    sa.Column("challenge_id", sa.BigInteger, nullable=False),
    sa.Column("user_id", sa.BigInteger, nullable=False),
    sa.Column("team_id", sa.BigInteger, nullable=True),
    sa.Column("mark", sa.String(64), nullable=True),
    sa.Column("backend", sa.String(64), nullable=False),
    sa.Column("container_id", sa.String(128), nullable=False),
    sa.Column("given_at", UtcDateTime, nullable=False),
    sa.Column("ended_at", UtcDateTime, nullable=True),
    sa.Column("flag", sa.String(255), nullable=True),
    sa.Index("ix_given_flags_challenge_account", "challenge_id", "account"),
    sqlite_autoincrement=True,
)


@dataclass(frozen=True)
class GivenFlag:
    """Whose a flag is, and of which instance."""

    account: str
    user_id: int
    team_id: int | None
    mark: str | None
    backend: str
    ended_at: datetime | None


def digest(flag: str) -> str:
    """What is kept of a flag."""
    return hashlib.sha256(flag.encode()).hexdigest()


class GivenFlags:
    """Writes and reads ``given_flags``.

    Args:
        grace: how long a flag counts after the end of its container.
    """

    def __init__(self, database: Database, backend: str, grace: timedelta) -> None:
        self._database = database
        self._backend = backend
        self._grace = grace
        database.ensure_schema()

    @property
    def grace(self) -> timedelta:
        """How long a flag counts after the end of its container."""
        return self._grace

    def give(self, connection: Connection, row: Instance, flag: str, now: datetime) -> None:
        """Note that an instance has this flag, in the transaction that makes it live."""
        connection.execute(given_flags.insert().values(**self._values(row, flag), given_at=now))

    def remember(self, row: Instance, flag: str, now: datetime) -> None:
        """Note the flag of an instance that keeps none itself, in a transaction of its own."""
        values = {**self._values(row, flag), "given_at": now, "flag": flag}
        self._database.transact(
            lambda connection: connection.execute(given_flags.insert().values(**values))
        )

    def open_ones(self) -> frozenset[str]:
        """Container ids of this backend's instances that are noted and not over."""
        query = sa.select(given_flags.c.container_id).where(
            given_flags.c.backend == self._backend, given_flags.c.ended_at.is_(None)
        )
        with self._database.read() as connection:
            return frozenset(connection.execute(query).scalars())

    def end(self, connection: Connection, row: Instance, flag: str, now: datetime) -> None:
        """Note that the instance is over, in the transaction that forgets it."""
        until = now if row.expires_at is None else min(now, row.expires_at)
        values = {"ended_at": until, "flag": flag if until + self._grace > now else None}
        done = connection.execute(given_flags.update().where(*self._same(row, flag)).values(values))
        if done.rowcount == 0:  # started before flags were noted
            values.update(self._values(row, flag), given_at=row.started_at or now)
            connection.execute(given_flags.insert().values(**values))

    def counting(
        self, account: str, challenge_id: int, mark: str | None, now: datetime
    ) -> tuple[str, ...]:
        """The account's flags whose containers have ended within the grace time, newest first."""
        query = (
            sa.select(given_flags.c.flag)
            .where(
                *_of(account, challenge_id, mark),
                given_flags.c.flag.is_not(None),
                given_flags.c.ended_at > now - self._grace,
            )
            .order_by(given_flags.c.ended_at.desc(), given_flags.c.id.desc())
        )
        with self._database.read() as connection:
            return tuple(connection.execute(query).scalars())

    def digests(self, account: str, challenge_id: int, mark: str | None) -> frozenset[str]:
        """Digests of every flag that the account was given for the challenge."""
        query = sa.select(given_flags.c.digest).where(*_of(account, challenge_id, mark))
        with self._database.read() as connection:
            return frozenset(connection.execute(query).scalars())

    def holders(self, flag: str, challenge_id: int) -> list[GivenFlag]:
        """The accounts that were given this flag for the challenge, the newest first."""
        wanted = ("account", "user_id", "team_id", "mark", "backend", "ended_at")
        query = (
            sa.select(*(given_flags.c[name] for name in wanted))
            .where(given_flags.c.digest == digest(flag), given_flags.c.challenge_id == challenge_id)
            .order_by(given_flags.c.id.desc())
        )
        with self._database.read() as connection:
            return [GivenFlag(**row) for row in connection.execute(query).mappings()]

    def tidy(self, live: Collection[str | None], now: datetime) -> None:
        """Close what no instance stands for any more, wipe flags past the grace time, and forget
        what is old.

        Args:
            live: the container ids of this backend's instances.
        """
        table, mine = given_flags, given_flags.c.backend == self._backend
        open_ones = sa.select(table.c.id, table.c.container_id).where(
            mine, table.c.ended_at.is_(None)
        )
        past = sa.and_(table.c.flag.is_not(None), table.c.ended_at <= now - self._grace)
        old = table.c.ended_at <= now - timedelta(days=KEPT_DAYS)
        with self._database.read() as connection:
            closed = [row.id for row in connection.execute(open_ones) if row[1] not in live]
            work = (
                closed
                or connection.execute(
                    sa.select(table.c.id).where(mine, sa.or_(past, old)).limit(1)
                ).first()
            )
        if not work:
            return

        def change(connection: Connection) -> None:
            for each in closed:
                one = table.update().where(table.c.id == each, table.c.ended_at.is_(None))
                connection.execute(one.values(ended_at=now))
            connection.execute(table.update().where(mine, past).values(flag=None))
            connection.execute(table.delete().where(mine, old))

        self._database.transact(change)

    def _values(self, row: Instance, flag: str) -> dict[str, Any]:
        return {
            "digest": digest(flag),
            "account": row.account,
            "challenge_id": row.challenge_id,
            "user_id": row.user_id,
            "team_id": row.team_id,
            "mark": row.mark,
            "backend": self._backend,
            "container_id": row.container_id or "",
        }

    def _same(self, row: Instance, flag: str) -> tuple[Any, ...]:
        return (
            given_flags.c.digest == digest(flag),
            given_flags.c.account == row.account,
            given_flags.c.challenge_id == row.challenge_id,
            given_flags.c.backend == self._backend,
        )


def _of(account: str, challenge_id: int, mark: str | None) -> tuple[Any, ...]:
    same = given_flags.c.mark.is_(None) if mark is None else given_flags.c.mark == mark
    return (given_flags.c.account == account, given_flags.c.challenge_id == challenge_id, same)
