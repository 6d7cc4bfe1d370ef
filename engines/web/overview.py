"""What admins see: every live instance and the audit log, read from the database.

No flag, token or cookie is read here: the audit log holds none, and of an instance the columns are
named one by one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Protocol

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from engines.bulk_stop import Chosen, InstanceSelection, chosen
from engines.clock import Clock
from engines.errors import BackendUnavailable
from engines.state.audit_log import container_events
from engines.state.database import Database, UtcDateTime, one_clock
from engines.state.figures import INSTANCE_TABLES

LARGEST_PAGE = 200
DEFAULT_PAGE = 50


@dataclass(frozen=True)
class LiveInstance:
    """A live instance as an admin sees it. Times are ISO 8601, in UTC."""

    backend: str
    user_id: int
    team_id: int | None
    challenge_id: int
    state: str
    """``running``, or what is being done to it; :class:`engines.state.instances.InstanceState`."""
    container_id: str
    host: str
    ports: list[str]
    started_at: str
    expires_at: str
    remaining_seconds: int
    extension_count: int


@dataclass(frozen=True)
class PastEvent:
    """A row of the audit log as an admin sees it."""

    id: int
    at: str
    """ISO 8601, in UTC."""
    backend: str
    user_id: int
    team_id: int | None
    challenge_id: int
    action: str
    code: str
    duration_ms: int
    metadata: Mapping[str, Any]
    times: int
    """How many equal calls the row tells of; more than one only of calls that changed nothing."""
    last_at: str | None
    """When the last of them came; None where there was one."""


@dataclass(frozen=True)
class HistoryQuery:
    """Which events, newest first.

    Args:
        before: only events with a smaller id than this.
    """

    limit: int = DEFAULT_PAGE
    before: int | None = None
    user_id: int | None = None
    team_id: int | None = None
    challenge_id: int | None = None


@dataclass(frozen=True)
class HistoryPage:
    """Some events, newest first; ``next_before`` asks for those behind them, None: no more."""

    events: list[PastEvent]
    next_before: int | None


class Overview(Protocol):
    """Where admins' lists come from. All raise BackendUnavailable when it cannot be asked."""

    def live(self) -> list[LiveInstance]: ...

    def history(self, query: HistoryQuery) -> HistoryPage: ...

    def chosen(self, selection: InstanceSelection) -> list[Chosen]:
        """What is on record, live or just starting, to end it; see :mod:`engines.bulk_stop`."""
        ...


class DatabaseOverview:
    """All backends of one database: what each process has recorded there, whoever asks."""

    def __init__(self, database: Database, clock: Clock | None = None) -> None:
        self._database = database
        self._clock = one_clock(database, clock)
        database.ensure_schema()

    def live(self) -> list[LiveInstance]:
        """Instances that have started and not expired, the oldest first."""
        now = self._clock.now()
        found: list[LiveInstance] = []
        try:
            with self._database.read() as connection:
                for backend, table in _TABLES.items():
                    rows = connection.execute(_live(table, now)).mappings()
                    found += [_instance(backend, row, now) for row in rows]
        except SQLAlchemyError as error:
            raise BackendUnavailable("the state database cannot be read") from error
        return sorted(found, key=lambda each: (each.started_at, each.backend))

    def chosen(self, selection: InstanceSelection) -> list[Chosen]:
        """What is on record, live or just starting."""
        return chosen(self._database, selection)

    def history(self, query: HistoryQuery) -> HistoryPage:
        """One page of the audit log."""
        events = container_events.c
        wanted = {
            events.user_id: query.user_id,
            events.team_id: query.team_id,
            events.challenge_id: query.challenge_id,
        }
        statement = sa.select(container_events).order_by(events.id.desc()).limit(query.limit + 1)
        for column, value in wanted.items():
            if value is not None:
                statement = statement.where(column == value)
        if query.before is not None:
            statement = statement.where(events.id < query.before)
        try:
            with self._database.read() as connection:
                rows = [_event(row) for row in connection.execute(statement).mappings()]
        except SQLAlchemyError as error:
            raise BackendUnavailable("the audit log cannot be read") from error
        page = rows[: query.limit]
        return HistoryPage(page, page[-1].id if len(rows) > query.limit else None)


def plain(row: LiveInstance | PastEvent) -> dict[str, Any]:
    """A row as JSON."""
    return asdict(row)


def _table(name: str) -> Any:
    return sa.table(
        name,
        sa.column("user_id", sa.BigInteger),
        sa.column("team_id", sa.BigInteger),
        sa.column("challenge_id", sa.BigInteger),
        sa.column("state", sa.String),
        sa.column("container_id", sa.String),
        sa.column("host", sa.String),
        sa.column("ports", sa.Text),
        sa.column("started_at", UtcDateTime()),
        sa.column("expires_at", UtcDateTime()),
        sa.column("extension_count", sa.Integer),
    )


# Without the column of flags.
_TABLES = {backend: _table(name) for backend, name in INSTANCE_TABLES.items()}


def _live(table: Any, now: datetime) -> Any:
    return sa.select(table).where(table.c.container_id.is_not(None), table.c.expires_at > now)


def _instance(backend: str, row: Any, now: datetime) -> LiveInstance:
    return LiveInstance(
        backend=backend,
        user_id=row["user_id"],
        team_id=row["team_id"],
        challenge_id=row["challenge_id"],
        state=row["state"],
        container_id=row["container_id"],
        host=row["host"],
        ports=list(json.loads(row["ports"])),
        started_at=row["started_at"].isoformat(),
        expires_at=row["expires_at"].isoformat(),
        remaining_seconds=int((row["expires_at"] - now).total_seconds()),
        extension_count=row["extension_count"],
    )


def _event(row: Any) -> PastEvent:
    return PastEvent(
        id=row["id"],
        at=row["at"].isoformat(),
        backend=row["backend"],
        user_id=row["user_id"],
        team_id=row["team_id"],
        challenge_id=row["challenge_id"],
        action=row["action"],
        code=row["code"],
        duration_ms=row["duration_ms"],
        metadata=json.loads(row["metadata"]),
        times=row["times"],
        last_at=None if row["last_at"] is None else row["last_at"].isoformat(),
    )
