"""What the database knows of a deployment, in numbers: counted anew whenever it is asked.

Nothing is kept in a process, so that any number of workers, threads and hosts on one database give
one truth, and a restart loses nothing. No user, team, challenge name or flag is ever read here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from engines.state.audit_log import container_events, event_totals
from engines.state.database import Database, UtcDateTime
from engines.state.instances import InstanceState
from engines.state.lease import leases

DURATION_BOUNDS_MS = (25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 30_000, 60_000)
"""Upper bounds of the buckets that durations are counted in; beyond the last there is one more."""

EVERYBODYS = "hybrid"
"""The backend whose worker does the rounds of all the others."""
INSTANCE_TABLES = {"cre": "cre_instances", "whale": "whale_instances"}
"""Each backend's table, as :func:`engines.state.instances.instance_table` makes it."""

_PASSING = (InstanceState.STARTING, InstanceState.EXTENDING, InstanceState.STOPPING)
_OPEN = (InstanceState.START_OPEN, InstanceState.EXTEND_OPEN, InstanceState.STOP_OPEN)

# Only the columns that are counted; whoever owns these tables defines them.
_pool: Any = sa.table("cre_pool", sa.column("challenge_id", sa.BigInteger), sa.column("state"))
_reservations: Any = sa.table("cre_reservations", sa.column("kind"))
_traits: Any = sa.table("whale_traits", sa.column("name"), sa.column("value"))


@dataclass(frozen=True)
class Backlog:
    """The instances of one backend."""

    states: Mapping[str, int]
    """How many are live, expired (its time is over, nobody removes it yet), starting, extending,
    stopping, abandoned (in one of those three, by somebody who died) or open (what became of a
    request is not known). Every instance is in one of them."""
    lag_seconds: float
    """Since when the longest overdue instance should be gone; 0 when none is overdue."""
    worker_alive: bool
    """Whether a cleanup worker was heard of lately."""


@dataclass(frozen=True)
class CallFigures:
    """All events of one backend, action and code."""

    backend: str
    action: str
    code: str
    count: int
    total_ms: int
    within: tuple[int, ...]
    """How many took at most each of :data:`DURATION_BOUNDS_MS`. Of calls that share a row each
    counts with the time of the first."""

    def plus(self, more: CallFigures) -> CallFigures:
        """These calls and more of the same kind."""
        return replace(
            self,
            count=self.count + more.count,
            total_ms=self.total_ms + more.total_ms,
            within=tuple(map(sum, zip(self.within, more.within, strict=True))),
        )


@dataclass(frozen=True)
class Figures:
    """Everything that is counted."""

    backlogs: Mapping[str, Backlog] = field(default_factory=dict)
    """By backend; one that has no instance, no event and no worker is not in use, and left out."""
    calls: Sequence[CallFigures] = ()
    pool: Mapping[int, int] = field(default_factory=dict)
    """Ready containers that wait for a start, by challenge id."""
    reservations: Mapping[str, int] = field(default_factory=dict)
    """Numbers in use (ports, subnets …), by kind."""
    whale: Mapping[str, str] = field(default_factory=dict)
    """What Whale was seen to do (:mod:`engines.whale.traits`); empty while nothing is known."""


def read_figures(database: Database, now: datetime) -> Figures:
    """Count, in one transaction that only reads; a table that is not there yet counts as empty.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: the database cannot be read.
    """
    with database.read() as connection:
        there = set(sa.inspect(connection).get_table_names())
        counted = {container_events.name, event_totals.name} <= there
        calls = _all_calls(connection) if counted else ()
        held = _leases(connection, now) if leases.name in there else {}
        for_all = held.pop(EVERYBODYS, False)
        backlogs = {
            backend: _backlog(
                connection, backend, now, worker_alive=for_all or held.get(backend, False)
            )
            for backend, table in INSTANCE_TABLES.items()
            if table in there
        }
        used = {*held, *(call.backend for call in calls)}
        return Figures(
            backlogs={
                backend: backlog
                for backend, backlog in backlogs.items()
                if backend in used or any(backlog.states.values())
            },
            calls=calls,
            pool=_pool_levels(connection) if _pool.name in there else {},
            reservations=_reserved(connection) if _reservations.name in there else {},
            whale=_whale_traits(connection) if _traits.name in there else {},
        )


def _backlog(connection: Connection, backend: str, now: datetime, *, worker_alive: bool) -> Backlog:
    rows: Any = sa.table(
        INSTANCE_TABLES[backend],
        sa.column("state", sa.String),
        sa.column("lease_until", UtcDateTime),
        sa.column("expires_at", UtcDateTime),
    )
    conditions = _conditions(rows, now)
    oldest = sa.func.min(rows.c.expires_at)
    found = connection.execute(
        sa.select(oldest, *(_count(condition) for condition in conditions.values()))
    ).one()
    overdue = 0.0 if found[0] is None else (now - found[0]).total_seconds()
    return Backlog(
        states={name: int(found[n] or 0) for n, name in enumerate(conditions, start=1)},
        lag_seconds=max(0.0, overdue),
        worker_alive=worker_alive,
    )


def _conditions(rows: Any, now: datetime) -> dict[str, Any]:
    running = rows.c.state == InstanceState.RUNNING.value
    at_work = rows.c.lease_until > now
    return {
        "live": sa.and_(running, rows.c.expires_at > now),
        "expired": sa.and_(running, rows.c.expires_at <= now),
        **{state.value: sa.and_(rows.c.state == state.value, at_work) for state in _PASSING},
        "abandoned": sa.and_(
            rows.c.state.in_([state.value for state in _PASSING]), rows.c.lease_until <= now
        ),
        "open": rows.c.state.in_([state.value for state in _OPEN]),
    }


def _leases(connection: Connection, now: datetime) -> dict[str, bool]:
    """Whether the worker's lease still lasts, by backend."""
    rows = connection.execute(sa.select(leases.c.name, leases.c.until))
    found = {str(name): bool(until > now) for name, until in rows}
    return {
        backend: found[f"cleanup {backend}"]
        for backend in (*INSTANCE_TABLES, EVERYBODYS)
        if f"cleanup {backend}" in found
    }


def _all_calls(connection: Connection) -> tuple[CallFigures, ...]:
    """Those on record and those whose rows were deleted. Where a row goes while it is counted, as
    PostgreSQL lets it, all is counted anew, so that no figure goes backwards for a moment."""
    past = totals(connection)
    while True:
        found = {(call.backend, call.action, call.code): call for call in _calls(connection)}
        now_past = totals(connection)
        if now_past == past:
            break
        past = now_past
    for figures in past:
        key = (figures.backend, figures.action, figures.code)
        found[key] = figures.plus(found[key]) if key in found else figures
    return tuple(found[key] for key in sorted(found))


def _calls(connection: Connection) -> list[CallFigures]:
    events = container_events.c
    kind = (events.backend, events.action, events.code)
    within = [
        sa.func.sum(sa.case((events.duration_ms <= bound, events.times), else_=0))
        for bound in DURATION_BOUNDS_MS
    ]
    took = sa.func.sum(events.times * events.duration_ms)
    rows = connection.execute(
        sa.select(*kind, sa.func.sum(events.times), took, *within).group_by(*kind)
    )
    return [
        # MariaDB and PostgreSQL add up to decimals.
        CallFigures(
            row[0], row[1], row[2], int(row[3]), int(row[4]), tuple(int(n) for n in row[5:])
        )
        for row in rows
    ]


def totals(connection: Connection, *, for_update: bool = False) -> list[CallFigures]:
    """The calls whose rows were deleted; ``for_update``: nobody else adds to them meanwhile."""
    query = sa.select(event_totals)
    return [
        CallFigures(row[0], row[1], row[2], row[3], row[4], tuple(json.loads(row[5])))
        for row in connection.execute(query.with_for_update() if for_update else query)
    ]


def _pool_levels(connection: Connection) -> dict[int, int]:
    challenge = _pool.c.challenge_id
    rows = connection.execute(
        sa.select(challenge, _count(_pool.c.state == "ready"))
        .group_by(challenge)
        .order_by(challenge)
    )
    return {int(row[0]): int(row[1]) for row in rows}


def _reserved(connection: Connection) -> dict[str, int]:
    kind = _reservations.c.kind
    rows = connection.execute(sa.select(kind, sa.func.count()).group_by(kind).order_by(kind))
    return {str(row[0]): int(row[1]) for row in rows}


def _whale_traits(connection: Connection) -> dict[str, str]:
    rows = connection.execute(sa.select(_traits.c.name, _traits.c.value))
    return {str(row[0]): str(row[1]) for row in rows}


def _count(condition: Any) -> Any:
    return sa.func.sum(sa.case((condition, 1), else_=0))
