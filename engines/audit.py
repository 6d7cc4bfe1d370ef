"""The audit log ``container_events``: one row per call that changes, or tries to change, something.

The row is written in the transaction of the change it reports: no change without its event, no
event without its change. Its shape is the same whatever the backend. No flag, token or cookie is
ever put into it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from types import MappingProxyType
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from engines.contract import Code
from engines.database import BigId, Database, UtcDateTime, metadata


class Action(str, Enum):
    """What a call did, or failed to do."""

    STARTED = "started"
    START_REPEATED = "start_repeated"
    """A start that found the instance live and changed nothing."""
    START_FAILED = "start_failed"
    EXTENDED = "extended"
    EXTEND_FAILED = "extend_failed"
    STOPPED = "stopped"
    STOP_FAILED = "stop_failed"
    EXPIRED = "expired"
    """Removed because its time was over, by the worker or by the next call that met it."""
    LOST = "lost"
    """Found dead or removed behind the backend's back; its record was cleared."""
    DISK_FULL = "disk_full"
    """Ended by the engine, as it had written more to the disk than its challenge allows."""
    ADOPTED = "adopted"
    """Found running on Whale without a record here (started on Whale's own page); recorded."""
    ORPHANED = "orphaned"
    """Ended because its account or its challenge was deleted, or became another's."""
    FOREIGN_FLAG = "foreign_flag"
    """A flag was submitted that another account was given; nothing was changed."""
    REPAIRED = "repaired"
    """Left half-way by a process that died or a call that broke off; cleared up."""


container_events = sa.Table(
    "container_events",
    metadata,
    sa.Column("id", BigId, primary_key=True, autoincrement=True),
    sa.Column("at", UtcDateTime, nullable=False, index=True),
    sa.Column("backend", sa.String(64), nullable=False),
    sa.Column("user_id", sa.BigInteger, nullable=False),
    sa.Column("team_id", sa.BigInteger, nullable=True),
    sa.Column("challenge_id", sa.BigInteger, nullable=False),
    sa.Column("action", sa.String(32), nullable=False),
    sa.Column("code", sa.String(32), nullable=False),
    sa.Column("duration_ms", sa.Integer, nullable=False),
    sa.Column("metadata", sa.Text, nullable=False),
)


@dataclass(frozen=True)
class ContainerEvent:
    """One row of the audit log."""

    at: datetime
    backend: str
    user_id: int
    team_id: int | None
    challenge_id: int
    action: Action
    code: Code
    duration_ms: int
    """From the call's begin to the moment the event was written."""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    """``container_id``, ``old_expiry``, ``new_expiry`` …; JSON values only."""
    id: int | None = None


audit_detail: ContextVar[Mapping[str, Any]] = ContextVar(
    "audit_detail", default=MappingProxyType({})
)
"""What the events of calls that are made now say besides; see :func:`with_detail`."""


@contextmanager
def with_detail(**detail: Any) -> Iterator[None]:
    """The events of calls made inside this block, by this thread, carry ``detail`` too.

    For who passes a call on and knows why: the signature of the calls has no room for it.
    """
    token = audit_detail.set({**audit_detail.get(), **detail})
    try:
        yield
    finally:
        audit_detail.reset(token)


@contextmanager
def done_by(user_id: int, name: str | None = None) -> Iterator[None]:
    """The events of calls made inside this block, by this thread, say who made them.

    For who acts on another's account, as admins do: the ``user_id`` of an event is the account's.
    """
    named = {} if name is None else {"actor_name": name}
    with with_detail(actor=user_id, **named):
        yield


class AuditLog:
    """Writes and reads ``container_events``."""

    def __init__(self, database: Database) -> None:
        self._database = database
        database.ensure_schema()

    def append(self, connection: Connection, event: ContainerEvent) -> None:
        """Write ``event`` in the caller's transaction, beside the change it reports."""
        connection.execute(
            container_events.insert().values(
                at=event.at,
                backend=event.backend,
                user_id=event.user_id,
                team_id=event.team_id,
                challenge_id=event.challenge_id,
                action=event.action.value,
                code=event.code.value,
                duration_ms=event.duration_ms,
                metadata=json.dumps(dict(event.metadata), sort_keys=True),
            )
        )

    def record(self, event: ContainerEvent) -> None:
        """Write ``event`` alone, for a call that changed nothing."""
        self._database.transact(lambda connection: self.append(connection, event))

    def tells(self, action: Action, user_id: int, container_id: str) -> bool:
        """Whether there is such an event about this user and container."""
        events = container_events.c
        query = sa.select(events.metadata).where(
            events.action == action.value, events.user_id == user_id
        )
        with self._database.read() as connection:
            return any(
                json.loads(text).get("container_id") == container_id
                for text in connection.execute(query).scalars()
            )

    def events(self) -> list[ContainerEvent]:
        """All events, oldest first."""
        with self._database.read() as connection:
            every = sa.select(container_events).order_by(container_events.c.id)
            return [_event(row) for row in connection.execute(every).mappings()]

    def newest(
        self, user_id: int, challenge_id: int, team_id: int | None, since: datetime
    ) -> ContainerEvent | None:
        """The last event of an account's instance of a challenge since then."""
        of = container_events.c
        whose = of.user_id == user_id if team_id is None else of.team_id == team_id
        newest = (
            sa.select(container_events)
            .where(of.at >= since, of.challenge_id == challenge_id, whose)
            .order_by(of.id.desc())
            .limit(1)
        )
        with self._database.read() as connection:
            row = connection.execute(newest).mappings().first()
        return None if row is None else _event(row)


def _event(row: Any) -> ContainerEvent:
    return ContainerEvent(
        at=row["at"],
        backend=row["backend"],
        user_id=row["user_id"],
        team_id=row["team_id"],
        challenge_id=row["challenge_id"],
        action=Action(row["action"]),
        code=Code(row["code"]),
        duration_ms=row["duration_ms"],
        metadata=json.loads(row["metadata"]),
        id=row["id"],
    )


Held = list[tuple[AuditLog, ContainerEvent]]
"""Events that wait for somebody's decision, with the log each belongs to."""

held_back: ContextVar[Held | None] = ContextVar("held_back", default=None)
"""Where events of calls that changed nothing wait; None: they are written at once."""


@contextmanager
def holding_back() -> Iterator[Held]:
    """Have the event of a call inside this block that changed nothing put aside, not written.

    For who passes a call on and may pass it on to another: one call is one event. Who leaves the
    block writes what is to be kept.
    """
    held: Held = []
    token = held_back.set(held)
    try:
        yield held
    finally:
        held_back.reset(token)
