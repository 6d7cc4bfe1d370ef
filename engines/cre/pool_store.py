"""Rows of the warm pool: ready containers that wait for a start, and who has claimed which.

A row goes ``making`` → ``ready`` → ``claimed`` and is deleted in the transaction that makes its
container somebody's instance; or from any of them to ``retiring``, when the container goes. Each
step is a compare-and-set on ``version``, so a container is never handed to two.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import Enum
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from engines.state.database import BigId, Database, UtcDateTime, metadata


class WarmState(str, Enum):
    MAKING = "making"
    READY = "ready"
    CLAIMED = "claimed"
    RETIRING = "retiring"


pool = sa.Table(
    "cre_pool",
    metadata,
    sa.Column("id", BigId, primary_key=True, autoincrement=True),
    sa.Column("challenge_id", sa.BigInteger, nullable=False),
    sa.Column("fingerprint", sa.String(128), nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("lease_until", UtcDateTime, nullable=False),
    sa.Column("name", sa.String(200), nullable=False),
    sa.Column("flag", sa.String(255), nullable=False),
    sa.Column("container_id", sa.String(128), nullable=True),
    sa.Column("host", sa.String(255), nullable=False),
    sa.Column("ports", sa.Text, nullable=False),
    sa.Column("claimed_by", sa.String(200), nullable=True),
    sa.UniqueConstraint("name", name="uq_cre_pool_name"),
    sa.Index("ix_cre_pool_challenge_state", "challenge_id", "state"),
    sqlite_autoincrement=True,
)


@dataclass(frozen=True)
class Warm:
    """A container of the pool."""

    id: int
    challenge_id: int
    fingerprint: str
    """Of its challenge and its images, as they were when it was made."""
    state: WarmState
    version: int
    lease_until: datetime
    """Until then it is somebody's work, unless it is ready."""
    name: str
    flag: str = field(repr=False)
    container_id: str | None = None
    host: str = ""
    ports: tuple[str, ...] = ()
    claimed_by: str | None = None

    def ready(self, container_id: str, host: str, ports: tuple[str, ...]) -> Warm:
        """The next version: it runs and answers."""
        made = replace(self, container_id=container_id, host=host, ports=ports)
        return replace(made, version=self.version + 1, state=WarmState.READY)

    def claimed(self, by: str, lease_until: datetime) -> Warm:
        """The next version: a start has it until the lease ends."""
        taken = replace(self, state=WarmState.CLAIMED, claimed_by=by, lease_until=lease_until)
        return replace(taken, version=self.version + 1)

    def given_back(self) -> Warm:
        """The next version: the start that had it came to nothing."""
        return replace(self, version=self.version + 1, state=WarmState.READY, claimed_by=None)

    def retiring(self, lease_until: datetime) -> Warm:
        """The next version: whoever saved it removes the container."""
        gone = replace(self, state=WarmState.RETIRING, lease_until=lease_until)
        return replace(gone, version=self.version + 1)

    def abandoned(self, now: datetime) -> bool:
        """Whether whoever worked on it died."""
        return self.state is not WarmState.READY and self.lease_until <= now


class PoolStore:
    """The rows, one transaction a call but where a connection is given."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def all(self) -> list[Warm]:
        """Every row, the oldest first."""
        with self._database.read() as connection:
            return [_warm(row) for row in connection.execute(sa.select(pool).order_by(pool.c.id))]

    def count(self, connection: Connection) -> int:
        """How many places the pool takes up. One that is claimed counts as its start's row."""
        counted = sa.select(sa.func.count()).where(pool.c.state != WarmState.CLAIMED.value)
        return int(connection.execute(counted).scalar_one())

    def insert(self, warm: Warm, room: Callable[[Connection], bool]) -> Warm | None:
        """Write a new row, unless the same transaction finds that there is no room for it."""

        def enter(connection: Connection) -> Warm | None:
            if not room(connection):
                return None
            key: Any = connection.execute(pool.insert().values(**_columns(warm)))
            return replace(warm, id=key.inserted_primary_key[0])

        return self._database.transact(enter)

    def take(
        self, connection: Connection, challenge_id: int, fingerprint: str, by: str, until: datetime
    ) -> Warm | None:
        """Claim a ready container made from this challenge, in the caller's transaction."""
        waiting = connection.execute(
            sa.select(pool)
            .where(
                pool.c.challenge_id == challenge_id,
                pool.c.state == WarmState.READY.value,
                pool.c.fingerprint.startswith(f"{fingerprint}."),
            )
            .order_by(pool.c.id)
        ).all()
        for row in waiting:
            mine = _warm(row).claimed(by, until)
            if self._save(connection, mine):
                return mine
        return None

    def save(self, after: Warm) -> bool:
        """Write the next version; False when another was faster."""
        return self._database.transact(lambda connection: self._save(connection, after))

    def delete(self, connection: Connection, warm: Warm) -> bool:
        """Forget the row in the caller's transaction; False when another was faster."""
        same = sa.and_(pool.c.id == warm.id, pool.c.version == warm.version)
        return bool(connection.execute(pool.delete().where(same)).rowcount == 1)

    def _save(self, connection: Connection, after: Warm) -> bool:
        before = sa.and_(pool.c.id == after.id, pool.c.version == after.version - 1)
        done = connection.execute(pool.update().where(before).values(**_columns(after)))
        return bool(done.rowcount == 1)


def _columns(warm: Warm) -> dict[str, Any]:
    return {
        "challenge_id": warm.challenge_id,
        "fingerprint": warm.fingerprint,
        "state": warm.state.value,
        "version": warm.version,
        "lease_until": warm.lease_until,
        "name": warm.name,
        "flag": warm.flag,
        "container_id": warm.container_id,
        "host": warm.host,
        "ports": json.dumps(warm.ports),
        "claimed_by": warm.claimed_by,
    }


def _warm(row: Any) -> Warm:
    values = dict(row._mapping)
    values["state"] = WarmState(values["state"])
    values["ports"] = tuple(json.loads(values["ports"]))
    return Warm(**values)
