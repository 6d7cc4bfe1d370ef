"""A backend's state: one row per instance, and the row is the lock.

A row is inserted as ``starting`` and committed before a container is asked for; the unique keys
(account, challenge) and (account, slot) make a second instance of the same, and one more than the
account's limit, impossible in any number of processes. Every later change is a compare-and-set on
``version``. A row in a passing state is somebody's work until its lease ends; after that anyone may
repair it. A row in an open state is nobody's work: what became of a write is not known.

The engine and the Whale adapter each have a table of this shape (:func:`instance_table`).
"""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import Enum
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from engines.audit import AuditLog, ContainerEvent
from engines.database import BigId, Database, UtcDateTime, deadlocked, metadata

gates = sa.Table("instance_gates", metadata, sa.Column("name", sa.String(64), primary_key=True))
"""A row per table of instances; whoever claims within a capacity holds it while counting."""


class State(str, Enum):
    STARTING = "starting"
    RUNNING = "running"
    EXTENDING = "extending"
    STOPPING = "stopping"
    # Open: a request may have been carried out; by ``lease_until`` it has, or never will be.
    START_OPEN = "start_open"
    EXTEND_OPEN = "extend_open"
    STOP_OPEN = "stop_open"


_OPENED = {
    State.STARTING: State.START_OPEN,
    State.EXTENDING: State.EXTEND_OPEN,
    State.STOPPING: State.STOP_OPEN,
}


def instance_table(name: str, *, one_per_user: bool) -> sa.Table:
    """A table of instances. ``one_per_user``: a user holds one, whatever account it is for."""
    keys = [
        sa.UniqueConstraint("account", "challenge_id", name=f"uq_{name}_account_challenge"),
        sa.UniqueConstraint("account", "slot", name=f"uq_{name}_account_slot"),
    ]
    if one_per_user:
        keys.append(sa.UniqueConstraint("user_id", name=f"uq_{name}_user"))
    return sa.Table(
        name,
        metadata,
        sa.Column("id", BigId, primary_key=True, autoincrement=True),
        sa.Column("account", sa.String(64), nullable=False),
        sa.Column("challenge_id", sa.BigInteger, nullable=False),
        sa.Column("slot", sa.Integer, nullable=False),
        sa.Column("user_id", sa.BigInteger, nullable=False),
        sa.Column("team_id", sa.BigInteger, nullable=True),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("lease_until", UtcDateTime, nullable=False),
        sa.Column("flag", sa.String(255), nullable=False),
        sa.Column("container_id", sa.String(128), nullable=True),
        sa.Column("host", sa.String(255), nullable=False),
        sa.Column("ports", sa.Text, nullable=False),
        sa.Column("started_at", UtcDateTime, nullable=True),
        sa.Column("expires_at", UtcDateTime, nullable=True, index=True),
        sa.Column("extension_count", sa.Integer, nullable=False),
        *keys,
        info={"one_per_user": one_per_user},
        # An id is never used twice: a stale copy of a deleted row must not match a younger one.
        sqlite_autoincrement=True,
    )


@dataclass(frozen=True)
class Instance:
    """A row. Times are None while it is starting."""

    id: int
    account: str
    challenge_id: int
    slot: int
    user_id: int
    team_id: int | None
    state: State
    version: int
    lease_until: datetime
    flag: str = field(repr=False)
    container_id: str | None
    host: str
    ports: tuple[str, ...]
    started_at: datetime | None
    expires_at: datetime | None
    extension_count: int

    def live(self, now: datetime) -> bool:
        """Started and not expired, as far as the database knows; also while it is being stopped,
        for until that is done it may still fail."""
        return (
            self.container_id is not None and self.expires_at is not None and now < self.expires_at
        )

    def abandoned(self, now: datetime) -> bool:
        """In a passing state whose lease is over: whoever worked on it died."""
        return self.state in _OPENED and self.lease_until <= now

    @property
    def open(self) -> bool:
        """What became of a write is not known."""
        return self.state in _OPENED.values()

    def activated(
        self,
        *,
        container_id: str,
        host: str,
        ports: tuple[str, ...],
        started_at: datetime,
        expires_at: datetime,
    ) -> Instance:
        """The next version: the container runs."""
        return replace(
            self,
            version=self.version + 1,
            state=State.RUNNING,
            container_id=container_id,
            host=host,
            ports=ports,
            started_at=started_at,
            expires_at=expires_at,
        )

    def extended(self, expires_at: datetime) -> Instance:
        """The next version: a new expiry, one extension more."""
        return replace(
            self,
            version=self.version + 1,
            state=State.RUNNING,
            expires_at=expires_at,
            extension_count=self.extension_count + 1,
        )

    def rescheduled(self, expires_at: datetime) -> Instance:
        """The next version: another expiry, by nobody's call."""
        return replace(self, version=self.version + 1, expires_at=expires_at)

    def extending(self, lease_until: datetime) -> Instance:
        """The next version: whoever saved it may extend the container until the lease ends."""
        return replace(
            self, version=self.version + 1, state=State.EXTENDING, lease_until=lease_until
        )

    def stopping(self, lease_until: datetime) -> Instance:
        """The next version: whoever saved it may remove the container until the lease ends."""
        return replace(
            self, version=self.version + 1, state=State.STOPPING, lease_until=lease_until
        )

    def left_open(self, until: datetime) -> Instance:
        """The next version of a passing state: by ``until`` the write is done, or never will be."""
        return replace(self, version=self.version + 1, state=_OPENED[self.state], lease_until=until)

    def starting_again(self, lease_until: datetime) -> Instance:
        """The next version: whoever saved it may bring the start to its end."""
        return replace(
            self, version=self.version + 1, state=State.STARTING, lease_until=lease_until
        )

    def running_again(self) -> Instance:
        """The next version: what was begun did not happen; the container stays known."""
        return replace(self, version=self.version + 1, state=State.RUNNING)


@dataclass(frozen=True)
class Request:
    """Who wants an instance of what, and within which limits."""

    account: str
    challenge_id: int
    user_id: int
    team_id: int | None
    flag: str = field(repr=False)
    account_limit: int
    capacity: int | None
    """Live instances in the whole system; None for no limit."""
    lease_seconds: float


@dataclass(frozen=True)
class Claimed:
    """The row is ours: the container may be made."""

    row: Instance


@dataclass(frozen=True)
class Taken:
    """There is a row of this account and challenge already."""

    row: Instance


@dataclass(frozen=True)
class AccountFull:
    """The account holds as many rows as it may, for other challenges."""

    rows: tuple[Instance, ...]


@dataclass(frozen=True)
class SystemFull:
    """The whole system holds as many live instances as it may."""


@dataclass(frozen=True)
class UserTaken:
    """The user holds a row for another account, and may hold one only."""

    row: Instance


class _TooLate(Exception):
    """Another process took the account's last slot between our look and our claim."""


Obstacle = Taken | AccountFull | SystemFull | UserTaken


class InstanceStore:
    """Rows of instances, and the events that belong to their changes."""

    def __init__(self, database: Database, audit: AuditLog, table: sa.Table) -> None:
        self._database = database
        self._audit = audit
        self._table = table
        # Built once: every status asks it, and building it costs more than running it.
        self._by_key = sa.select(table).where(
            table.c.account == sa.bindparam("account"),
            table.c.challenge_id == sa.bindparam("challenge_id"),
        )
        database.create_tables(table, gates)
        self._gate = gates.c.name == table.name
        self._hang_gate()

    def claim(self, request: Request, now: datetime) -> Claimed | Obstacle:
        """Insert the row that allows a start, or say what stands in the way."""
        while True:
            try:
                with self._database.write() as connection:
                    if request.capacity is not None:
                        # First of all, so that the counting sees what was there a moment ago.
                        connection.execute(sa.select(gates).where(self._gate).with_for_update())
                    obstacle = self._obstacle(connection, request, now)
                    if obstacle is not None:
                        return obstacle
                    return Claimed(self._insert(connection, request, now))
            except (sa.exc.IntegrityError, _TooLate):
                continue  # another process took the key or the slot in between: look again
            except sa.exc.DBAPIError as error:
                if not deadlocked(error):
                    raise

    def find(self, account: str, challenge_id: int) -> Instance | None:
        """The row of this account and challenge, in whatever state."""
        with self._database.read() as connection:
            row = connection.execute(
                self._by_key, {"account": account, "challenge_id": challenge_id}
            ).first()
        return None if row is None else _instance(row)

    def find_by_user(self, user_id: int) -> Instance | None:
        """The first row that this user started, whatever account it is for."""
        with self._database.read() as connection:
            rows = self._select(connection, self._table.c.user_id == user_id)
        return rows[0] if rows else None

    def all(self) -> list[Instance]:
        """Every row."""
        with self._database.read() as connection:
            return self._select(connection)

    def due(self, now: datetime) -> list[Instance]:
        """Running rows whose time is over, the longest overdue first."""
        with self._database.read() as connection:
            rows = connection.execute(
                sa.select(self._table)
                .where(self._table.c.state == State.RUNNING.value, self._table.c.expires_at <= now)
                .order_by(self._table.c.expires_at)
            )
            return [_instance(row) for row in rows]

    def save(self, after: Instance, event: ContainerEvent | None = None) -> bool:
        """Write a changed row together with its event; False when another was faster.

        ``after`` comes from one of the methods of :class:`Instance` that make the next version.
        """
        with self._database.write() as connection:
            done = connection.execute(
                self._table.update()
                .where(self._table.c.id == after.id, self._table.c.version == after.version - 1)
                .values(**_columns(after))
            )
            if done.rowcount != 1:
                return False
            if event is not None:
                self._audit.append(connection, event)
        return True

    def delete(self, row: Instance, event: ContainerEvent | None) -> bool:
        """Remove the row together with its event; False when another was faster."""
        with self._database.write() as connection:
            done = connection.execute(
                self._table.delete().where(
                    self._table.c.id == row.id, self._table.c.version == row.version
                )
            )
            if done.rowcount != 1:
                return False
            if event is not None:
                self._audit.append(connection, event)
        return True

    def _select(self, connection: Connection, *conditions: Any) -> list[Instance]:
        rows = connection.execute(
            sa.select(self._table).where(*conditions).order_by(self._table.c.id)
        )
        return [_instance(row) for row in rows]

    def _obstacle(self, connection: Connection, request: Request, now: datetime) -> Obstacle | None:
        rows = self._select(connection, self._table.c.account == request.account)
        for row in rows:
            if row.challenge_id == request.challenge_id:
                return Taken(row)
        if len(rows) >= request.account_limit:
            return AccountFull(tuple(rows))
        if self._table.info["one_per_user"]:
            for row in self._select(connection, self._table.c.user_id == request.user_id):
                if row.account == request.account:
                    raise _TooLate  # PostgreSQL shows what was committed since the first look
                return UserTaken(row)
        if request.capacity is None:
            return None
        occupied = connection.execute(
            sa.select(sa.func.count())
            .select_from(self._table)
            .where(
                sa.or_(self._table.c.state != State.RUNNING.value, self._table.c.expires_at > now)
            )
        ).scalar_one()
        return SystemFull() if occupied >= request.capacity else None

    def _hang_gate(self) -> None:
        with self._database.read() as connection:
            if connection.execute(sa.select(gates).where(self._gate)).first() is not None:
                return
        with contextlib.suppress(sa.exc.IntegrityError), self._database.write() as connection:
            connection.execute(gates.insert().values(name=self._table.name))

    def _insert(self, connection: Connection, request: Request, now: datetime) -> Instance:
        taken = set(
            connection.execute(
                sa.select(self._table.c.slot).where(self._table.c.account == request.account)
            ).scalars()
        )
        # The look before this one may be older, where a transaction sees what others commit.
        slot = next((slot for slot in range(request.account_limit) if slot not in taken), None)
        if slot is None:
            raise _TooLate
        row = Instance(
            id=0,
            account=request.account,
            challenge_id=request.challenge_id,
            slot=slot,
            user_id=request.user_id,
            team_id=request.team_id,
            state=State.STARTING,
            version=1,
            lease_until=now + timedelta(seconds=request.lease_seconds),
            flag=request.flag,
            container_id=None,
            host="",
            ports=(),
            started_at=None,
            expires_at=None,
            extension_count=0,
        )
        done = connection.execute(self._table.insert().values(**_columns(row)))
        key: Any = done.inserted_primary_key
        return replace(row, id=key[0])


def _columns(row: Instance) -> dict[str, Any]:
    return {
        "account": row.account,
        "challenge_id": row.challenge_id,
        "slot": row.slot,
        "user_id": row.user_id,
        "team_id": row.team_id,
        "state": row.state.value,
        "version": row.version,
        "lease_until": row.lease_until,
        "flag": row.flag,
        "container_id": row.container_id,
        "host": row.host,
        "ports": json.dumps(row.ports),
        "started_at": row.started_at,
        "expires_at": row.expires_at,
        "extension_count": row.extension_count,
    }


def _instance(row: Any) -> Instance:
    values = dict(row._mapping)
    values["state"] = State(values["state"])
    values["ports"] = tuple(json.loads(values["ports"]))
    return Instance(**values)
