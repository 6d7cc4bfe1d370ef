"""The engine's state: one row per instance, and the row is the lock.

A row is inserted as ``starting`` and committed before a container is asked for; the unique keys
(account, challenge) and (account, slot) make a second instance of the same, and one more than the
account's limit, impossible in any number of processes. Every later change is a compare-and-set on
``version``. A row in a passing state (``starting``, ``stopping``) is somebody's work until its
lease ends; after that anyone may repair it.
"""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import Enum
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from engines.audit import AuditLog, ContainerEvent
from engines.database import BigId, Database, UtcDateTime, metadata


class State(str, Enum):
    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"


instances = sa.Table(
    "cre_instances",
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
    sa.UniqueConstraint("account", "challenge_id", name="uq_cre_account_challenge"),
    sa.UniqueConstraint("account", "slot", name="uq_cre_account_slot"),
)

meta = sa.Table(
    "cre_meta",
    metadata,
    sa.Column("key", sa.String(64), primary_key=True),
    sa.Column("value", sa.String(255), nullable=False),
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
        """Running and not expired, as far as the database knows."""
        return self.state is State.RUNNING and self.expires_at is not None and now < self.expires_at

    def abandoned(self, now: datetime) -> bool:
        """In a passing state whose lease is over: whoever worked on it died."""
        return self.state is not State.RUNNING and self.lease_until <= now


@dataclass(frozen=True)
class Request:
    """Who wants an instance of what, and within which limits."""

    account: str
    challenge_id: int
    user_id: int
    team_id: int | None
    flag: str = field(repr=False)
    host: str
    account_limit: int
    capacity: int
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


class InstanceStore:
    """Rows of instances, and the events that belong to their changes."""

    def __init__(self, database: Database, audit: AuditLog) -> None:
        self._database = database
        self._audit = audit
        database.create_tables(instances, meta)

    def deployment(self) -> str:
        """The random name of this database's deployment, made on first use."""
        wanted = sa.select(meta.c.value).where(meta.c.key == "deployment")
        with self._database.read() as connection:
            found = connection.execute(wanted).scalar()
        if found is None:
            try:
                with self._database.write() as connection:
                    value = secrets.token_hex(6)
                    connection.execute(meta.insert().values(key="deployment", value=value))
            except sa.exc.IntegrityError:
                pass  # another process was first; its value is read below
            with self._database.read() as connection:
                found = connection.execute(wanted).scalar()
        return str(found)

    def claim(self, request: Request, now: datetime) -> Claimed | Taken | AccountFull | SystemFull:
        """Insert the row that allows a start, or say what stands in the way."""
        while True:
            try:
                with self._database.write() as connection:
                    obstacle = self._obstacle(connection, request, now)
                    if obstacle is not None:
                        return obstacle
                    return Claimed(self._insert(connection, request, now))
            except sa.exc.IntegrityError:
                continue  # another process took the key or the slot in between: look again

    def find(self, account: str, challenge_id: int) -> Instance | None:
        """The row of this account and challenge, in whatever state."""
        with self._database.read() as connection:
            row = connection.execute(
                sa.select(instances).where(
                    instances.c.account == account, instances.c.challenge_id == challenge_id
                )
            ).first()
        return None if row is None else _instance(row)

    def all(self) -> list[Instance]:
        """Every row."""
        with self._database.read() as connection:
            return [_instance(row) for row in connection.execute(sa.select(instances))]

    def due(self, now: datetime) -> list[Instance]:
        """Running rows whose time is over, the longest overdue first."""
        with self._database.read() as connection:
            rows = connection.execute(
                sa.select(instances)
                .where(instances.c.state == State.RUNNING.value, instances.c.expires_at <= now)
                .order_by(instances.c.expires_at)
            )
            return [_instance(row) for row in rows]

    def activate(
        self,
        row: Instance,
        *,
        container_id: str,
        ports: tuple[str, ...],
        started_at: datetime,
        lifetime: timedelta,
    ) -> Change:
        """``starting`` → ``running``."""
        return self._change(
            row,
            state=State.RUNNING,
            container_id=container_id,
            ports=ports,
            started_at=started_at,
            expires_at=started_at + lifetime,
        )

    def extend(self, row: Instance, expires_at: datetime) -> Change:
        """A later expiry, one extension more."""
        return self._change(row, expires_at=expires_at, extension_count=row.extension_count + 1)

    def stopping(self, row: Instance, lease_until: datetime) -> Change:
        """→ ``stopping`` until the lease ends: the right to remove the container."""
        return self._change(row, state=State.STOPPING, lease_until=lease_until)

    def running_again(self, row: Instance) -> Change:
        """``stopping`` → ``running``: the container could not be removed and stays known."""
        return self._change(row, state=State.RUNNING)

    def commit(self, change: Change, event: ContainerEvent | None = None) -> Instance | None:
        """Carry out a change together with its event; None when another was faster."""
        with self._database.write() as connection:
            done = connection.execute(
                instances.update()
                .where(instances.c.id == change.before.id)
                .where(instances.c.version == change.before.version)
                .values(**_columns(change.after))
            )
            if done.rowcount != 1:
                return None
            if event is not None:
                self._audit.append(connection, event)
        return change.after

    def delete(self, row: Instance, event: ContainerEvent | None) -> bool:
        """Remove the row together with its event; False when another was faster."""
        with self._database.write() as connection:
            done = connection.execute(
                instances.delete().where(
                    instances.c.id == row.id, instances.c.version == row.version
                )
            )
            if done.rowcount != 1:
                return False
            if event is not None:
                self._audit.append(connection, event)
        return True

    def _obstacle(
        self, connection: Connection, request: Request, now: datetime
    ) -> Taken | AccountFull | SystemFull | None:
        rows = [
            _instance(row)
            for row in connection.execute(
                sa.select(instances).where(instances.c.account == request.account)
            )
        ]
        for row in rows:
            if row.challenge_id == request.challenge_id:
                return Taken(row)
        if len(rows) >= request.account_limit:
            return AccountFull(tuple(rows))
        occupied = connection.execute(
            sa.select(sa.func.count())
            .select_from(instances)
            .where(sa.or_(instances.c.state != State.RUNNING.value, instances.c.expires_at > now))
        ).scalar_one()
        return SystemFull() if occupied >= request.capacity else None

    def _insert(self, connection: Connection, request: Request, now: datetime) -> Instance:
        taken = set(
            connection.execute(
                sa.select(instances.c.slot).where(instances.c.account == request.account)
            ).scalars()
        )
        row = Instance(
            id=0,
            account=request.account,
            challenge_id=request.challenge_id,
            slot=next(slot for slot in range(len(taken) + 1) if slot not in taken),
            user_id=request.user_id,
            team_id=request.team_id,
            state=State.STARTING,
            version=1,
            lease_until=now + timedelta(seconds=request.lease_seconds),
            flag=request.flag,
            container_id=None,
            host=request.host,
            ports=(),
            started_at=None,
            expires_at=None,
            extension_count=0,
        )
        done = connection.execute(instances.insert().values(**_columns(row)))
        key: Any = done.inserted_primary_key
        return replace(row, id=key[0])

    def _change(self, row: Instance, **values: Any) -> Change:
        return Change(row, replace(row, version=row.version + 1, **values))


@dataclass(frozen=True)
class Change:
    """A row as it was read and as it shall be; see :meth:`InstanceStore.commit`."""

    before: Instance
    after: Instance


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
