"""The audit log ``container_events``: every call that changes, or tries to change, something.

A change has a row of its own, written in the transaction of the change it reports: no change
without its event, no event without its change. Calls that changed nothing and are equal share a row
for a minute, which says how many they were (:meth:`AuditLog.record_refusal`): refused calls cost
their sender nothing, so that they could fill the database. The shape of a row is the same whatever
the backend. No flag, token or cookie is ever put into it.

How long rows are kept is :mod:`engines.state.audit_retention`'s business.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from engines.audit import Action, ContainerEvent
from engines.contract import Code
from engines.state.database import BigId, Database, UtcDateTime, metadata

MERGED_FOR = timedelta(seconds=60)
"""Equal calls that changed nothing share a row for so long, counted from the first of them."""
_SLOW_MS = (1_000, 10_000)
"""Calls below, between and above these are not equal: a time-out is not lost among quick answers,
and figures of durations stay what they are."""
_FREE_TEXTS = frozenset({"reason", "routed_because"})
"""Members of ``metadata`` that say in words why; those of the first call are kept."""
_REMEMBERED = 4096
"""Rows of refusals that a process knows the ids of; what it has forgotten costs it a look."""
_TRIES = 5


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
    sa.Column("times", sa.Integer, nullable=False, server_default="1"),
    sa.Column("last_at", UtcDateTime, nullable=True),
    sa.Column("same", sa.String(64), nullable=True),  # what a further equal refusal is counted by
    sa.Index("uq_container_events_same", "same", unique=True),
    sa.Index("ix_container_events_action_id", "action", "id"),
)


event_totals = sa.Table(
    "container_event_totals",
    metadata,
    sa.Column("backend", sa.String(64), primary_key=True),
    sa.Column("action", sa.String(32), primary_key=True),
    sa.Column("code", sa.String(32), primary_key=True),
    sa.Column("calls", sa.BigInteger, nullable=False),
    sa.Column("total_ms", sa.BigInteger, nullable=False),
    sa.Column("within", sa.Text, nullable=False),  # JSON; see engines.state.figures.CallFigures
)
"""What calls came to whose rows were deleted: figures count on."""


class AuditLog:
    """Writes and reads ``container_events``."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._open: dict[str, int] = {}
        """Ids of rows that further refusals may be counted in: a hint, which may be wrong."""
        database.ensure_schema()

    def append(self, connection: Connection, event: ContainerEvent) -> None:
        """Write ``event`` in the caller's transaction, beside the change it reports."""
        _insert(connection, event, None)

    def record(self, event: ContainerEvent) -> None:
        """Write ``event`` alone, beside no change."""
        self._database.transact(lambda connection: self.append(connection, event))

    def record_refusal(self, event: ContainerEvent, *, of_a_challenge: bool = True) -> None:
        """Write the event of a call that changed nothing, or count it in the row of an equal one.

        Equal are calls of one user for one account that came to the same on the same challenge,
        within :data:`MERGED_FOR` of the first, in whatever process. It takes one transaction on one
        row, as a row of its own would, so that nobody waits for anybody else's refusals.

        Args:
            of_a_challenge: False: no challenge has this id. All such ids of a user count as one,
                so that making them up makes no rows.
        """
        key = _sameness(event, of_a_challenge)
        for _ in range(_TRIES):
            if self._count(key, event) or self._begin(key, event):
                return
            self._find(key)  # another process has begun a row for it, or it is an old one
        self.record(event)

    def _count(self, key: str, event: ContainerEvent) -> bool:
        """Count the call in the row that is open for it; False when that is not known to be."""
        row_id = self._open.get(key)
        if row_id is None:
            return False
        given = {
            "row_id": row_id,
            "key": key,
            "now": event.at,
            "begun_after": event.at - MERGED_FOR,
        }
        return self._database.transact(
            lambda connection: connection.execute(_COUNT, given).rowcount == 1
        )

    def _begin(self, key: str, event: ContainerEvent) -> bool:
        """Write a row that further calls are counted in; False when there is one."""
        before = self._open.pop(key, None)
        if before is not None:
            row = container_events.c
            over = sa.or_(row.at <= event.at - MERGED_FOR, row.at > event.at)
            close = container_events.update().where(row.id == before, row.same == key, over)

        def begin(connection: Connection) -> int:
            if before is not None:
                connection.execute(close.values(same=None))
            return _insert(connection, event, key)

        try:
            row_id = self._database.transact(begin)
        except sa.exc.IntegrityError:
            return False
        self._remember(key, row_id)
        return True

    def _find(self, key: str) -> None:
        row = container_events.c
        with self._database.read() as connection:
            found = connection.execute(sa.select(row.id).where(row.same == key)).scalar()
        if found is not None:
            self._remember(key, int(found))

    def _remember(self, key: str, row_id: int) -> None:
        if len(self._open) >= _REMEMBERED:
            self._open.clear()
        self._open[key] = row_id

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


# Built once: each refused call sends one of them, and building it costs more than running it.
_INSERT = container_events.insert()
_COUNT = (
    container_events.update()
    .where(
        container_events.c.id == sa.bindparam("row_id"),
        container_events.c.same == sa.bindparam("key"),
        container_events.c.at > sa.bindparam("begun_after"),
        container_events.c.at <= sa.bindparam("now"),
    )
    .values(
        times=container_events.c.times + 1,
        last_at=sa.case(
            (container_events.c.last_at > sa.bindparam("now"), container_events.c.last_at),
            else_=sa.bindparam("now", type_=UtcDateTime),
        ),
    )
)


def _insert(connection: Connection, event: ContainerEvent, same: str | None) -> int:
    row = {
        "at": event.at,
        "backend": event.backend,
        "user_id": event.user_id,
        "team_id": event.team_id,
        "challenge_id": event.challenge_id,
        "action": event.action.value,
        "code": event.code.value,
        "duration_ms": event.duration_ms,
        "metadata": json.dumps(dict(event.metadata), sort_keys=True),
        "times": event.times,
        "last_at": event.last_at,
        "same": same,
    }
    done = connection.execute(_INSERT, row)
    key: Any = done.inserted_primary_key
    return int(key[0])


def _sameness(event: ContainerEvent, of_a_challenge: bool) -> str:
    """What two calls have alike that are told by one row."""
    said = {name: told for name, told in event.metadata.items() if name not in _FREE_TEXTS}
    alike = (
        *(event.backend, event.user_id, event.team_id),
        event.challenge_id if of_a_challenge else None,
        *(event.action.value, event.code.value),
        sum(event.duration_ms >= slow for slow in _SLOW_MS),
        said,
    )
    text = json.dumps(alike, sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


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
        times=row["times"],
        last_at=row["last_at"],
    )


Held = list[Callable[[], None]]
"""Events that wait for somebody's decision: each is written by calling it."""

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
