"""Rows of instances in the database: claims within limits, compare-and-set, and their events."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from engines.audit import Action, ContainerEvent
from engines.state.audit_log import AuditLog
from engines.state.database import Database, metadata
from engines.state.instances import (
    AccountFull,
    Claimed,
    Instance,
    InstanceRequest,
    InstanceState,
    Obstacle,
    SystemFull,
    Taken,
    UserTaken,
    columns,
    from_row,
)

gates = sa.Table("instance_gates", metadata, sa.Column("name", sa.String(64), primary_key=True))
"""A row per table of instances; whoever claims within a capacity holds it while counting."""


Admission = Callable[[Connection, datetime], Obstacle | None]
"""Asked within a claim for what else stands in its way."""
Beside = Callable[[Connection], bool]
"""A further change in the same transaction; False undoes both."""


class _TooLate(Exception):
    """Another process was faster than our look: the account's last slot, say, is gone."""


class InstanceStore:
    """Rows of instances, and the events that belong to their changes."""

    def __init__(self, database: Database, audit: AuditLog, table: sa.Table) -> None:
        self._database = database
        self._audit = audit
        self._table = table
        self._per_user: bool = table.info["per_user"]
        # Built once: every status asks it, and building it costs more than running it.
        self._by_key = sa.select(table).where(
            table.c.account == sa.bindparam("account"),
            table.c.challenge_id == sa.bindparam("challenge_id"),
        )
        database.ensure_schema()
        self._gate = gates.c.name == table.name
        self._hang_gate()

    def claim(
        self, request: InstanceRequest, now: datetime, admit: Admission | None = None
    ) -> Claimed | Obstacle:
        """Insert the row that allows a start, or say what stands in the way.

        ``admit`` decides in the same transaction whether there is room for it, in the place of the
        capacity; a claim that met another one's is tried again, and it is asked again.
        """

        def enter(connection: Connection) -> Claimed | Obstacle:
            if admit is not None or request.capacity is not None:
                self.hold_gate(connection)
            obstacle = self._obstacle(connection, request) or (
                admit(connection, now) if admit else self._full(connection, request, now)
            )
            return obstacle or Claimed(self._insert(connection, request, now))

        while True:
            try:
                return self._database.transact(enter)
            except (sa.exc.IntegrityError, _TooLate):
                continue  # another process took the key or the slot in between: look again

    def find(self, account: str, challenge_id: int) -> Instance | None:
        """The row of this account and challenge, in whatever state."""
        with self._database.read() as connection:
            row = connection.execute(
                self._by_key, {"account": account, "challenge_id": challenge_id}
            ).first()
        return None if row is None else from_row(row)

    def of_user(self, user_id: int) -> list[Instance]:
        """The rows that this user started, whatever account they are for."""
        with self._database.read() as connection:
            return self._select(connection, self._table.c.user_id == user_id)

    def all(self) -> list[Instance]:
        """Every row."""
        with self._database.read() as connection:
            return self._select(connection)

    def empty(self) -> bool:
        """Whether there is no row at all."""
        with self._database.read() as connection:
            return connection.execute(sa.select(self._table.c.id).limit(1)).first() is None

    def due(self, now: datetime) -> list[Instance]:
        """Running rows whose time is over, the longest overdue first."""
        with self._database.read() as connection:
            rows = connection.execute(
                sa.select(self._table)
                .where(
                    self._table.c.state == InstanceState.RUNNING.value,
                    self._table.c.expires_at <= now,
                )
                .order_by(self._table.c.expires_at)
            )
            return [from_row(row) for row in rows]

    def save(
        self, after: Instance, event: ContainerEvent | None = None, also: Beside | None = None
    ) -> bool:
        """Write a changed row together with its event; False when another was faster.

        ``after`` comes from one of the methods of :class:`Instance` that make the next version.
        """
        statement = (
            self._table.update()
            .where(self._table.c.id == after.id, self._table.c.version == after.version - 1)
            .values(**columns(after))
        )
        return self._change(statement, event, also)

    def delete(
        self, row: Instance, event: ContainerEvent | None, also: Beside | None = None
    ) -> bool:
        """Remove the row together with its event; False when another was faster."""
        statement = self._table.delete().where(
            self._table.c.id == row.id, self._table.c.version == row.version
        )
        return self._change(statement, event, also)

    def hold_gate(self, connection: Connection) -> None:
        """Let nobody else count and claim until this transaction is over.

        First of all in it, so that its counting sees what was there a moment ago.
        """
        hold = sa.select(gates).where(self._gate).with_for_update()
        if connection.execute(hold).first() is not None:
            return
        # An import has removed the row under our hands: nothing would be held.
        postgresql = connection.dialect.name == "postgresql"  # where an error ends a transaction
        undone = connection.begin_nested() if postgresql else contextlib.nullcontext()
        with contextlib.suppress(sa.exc.IntegrityError), undone:
            connection.execute(gates.insert().values(name=self._table.name))
        connection.execute(hold)

    def occupied(self, connection: Connection, now: datetime, *conditions: Any) -> int:
        """How many rows take up room: all but those that only wait for their removal."""
        there = sa.or_(
            self._table.c.state != InstanceState.RUNNING.value, self._table.c.expires_at > now
        )
        counted = sa.select(sa.func.count()).select_from(self._table).where(there, *conditions)
        return int(connection.execute(counted).scalar_one())

    def orphaned(self, user_id: int, container_id: str) -> bool:
        """Whether this container is on record as one whose owner, with this number, is gone."""
        return self._audit.tells(Action.ORPHANED, user_id, container_id)

    def _change(self, statement: Any, event: ContainerEvent | None, also: Beside | None) -> bool:
        """Change one row as it was seen, and all that belongs to it, or nothing."""

        def change(connection: Connection) -> bool:
            if connection.execute(statement).rowcount != 1:
                return False
            if also is not None and not also(connection):
                raise _TooLate
            if event is not None:
                self._audit.append(connection, event)
            return True

        try:
            return self._database.transact(change)
        except _TooLate:
            return False

    def _select(self, connection: Connection, *conditions: Any) -> list[Instance]:
        rows = connection.execute(
            sa.select(self._table).where(*conditions).order_by(self._table.c.id)
        )
        return [from_row(row) for row in rows]

    def _obstacle(self, connection: Connection, request: InstanceRequest) -> Obstacle | None:
        rows = self._select(connection, self._table.c.account == request.account)
        for row in rows:
            if row.challenge_id == request.challenge_id:
                return Taken(row)
        if len(rows) >= request.account_limit:
            return AccountFull(tuple(rows))
        return self._held_elsewhere(connection, request, rows) if self._per_user else None

    def _held_elsewhere(
        self, connection: Connection, request: InstanceRequest, rows: list[Instance]
    ) -> UserTaken | None:
        """What the user holds for other accounts, where it stands in the way."""
        theirs = self._select(connection, self._table.c.user_id == request.user_id)
        others = [row for row in theirs if row.account != request.account]
        if {row.id for row in theirs if row.account == request.account} - {row.id for row in rows}:
            raise _TooLate  # PostgreSQL shows what was committed since the first look
        for row in others:
            if row.challenge_id == request.challenge_id:
                return UserTaken(row)
        full = len(rows) + len(others) >= request.account_limit
        return UserTaken(others[0]) if others and full else None

    def _full(
        self, connection: Connection, request: InstanceRequest, now: datetime
    ) -> Obstacle | None:
        if request.capacity is None or self.occupied(connection, now) < request.capacity:
            return None
        return SystemFull()

    def _hang_gate(self) -> None:
        with self._database.read() as connection:
            if connection.execute(sa.select(gates).where(self._gate)).first() is not None:
                return
        with contextlib.suppress(sa.exc.IntegrityError), self._database.write() as connection:
            connection.execute(gates.insert().values(name=self._table.name))

    def _insert(self, connection: Connection, request: InstanceRequest, now: datetime) -> Instance:
        owned = self._table.c.account == request.account
        if self._per_user:
            owned = sa.or_(owned, self._table.c.user_id == request.user_id)
        taken = set(connection.execute(sa.select(self._table.c.slot).where(owned)).scalars())
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
            state=InstanceState.STARTING,
            version=1,
            lease_until=now + timedelta(seconds=request.lease_seconds),
            flag=request.flag,
            container_id=None,
            host="",
            ports=(),
            started_at=None,
            expires_at=None,
            extension_count=0,
            mark=request.mark,
        )
        done = connection.execute(self._table.insert().values(**columns(row)))
        key: Any = done.inserted_primary_key
        return replace(row, id=key[0])
