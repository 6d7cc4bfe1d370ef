"""How long the audit log is kept: deleted in small steps, exported before where that is wanted.

Rows go when they are too old. Where there are too many, those of calls that changed nothing go
first, so that who floods the log with refused calls does not push out what others did; then the
oldest. What goes is added to ``container_event_totals``, so that no figure ever counts backwards.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from engines.audit import UNCHANGED, Action
from engines.clock import Clock
from engines.state.audit_export import ExportFolder
from engines.state.audit_log import container_events, event_totals
from engines.state.database import Database, one_clock
from engines.state.figures import DURATION_BOUNDS_MS, CallFigures, totals

BATCH = 500
"""Rows that one transaction deletes: it holds up nobody for long."""
BATCHES = 10
"""Transactions of one step."""
ORPHANS_KEPT = timedelta(days=90)
"""Rows of this kind are asked whether a container on Whale is a former owner's: they stay for
longer than any instance lives, however many rows there are."""
_COUNT_SHARE = 100
"""Counting all rows is followed by so many times as long without."""

Row = Mapping[str, Any]


class Retention:
    """Deletes what is too old or too much.

    Args:
        keep: for how long rows are kept; None for ever.
        most: how many are kept; 0 for any number.
        export: the folder they are written to before; None: nowhere.
    """

    def __init__(
        self,
        database: Database,
        clock: Clock,
        keep: timedelta | None,
        most: int,
        export: Path | None,
    ) -> None:
        self._database = database
        self._clock = one_clock(database, clock)
        self._keep = keep
        self._most = most
        self._folder = None if export is None else ExportFolder(export)
        self._surplus = 0
        self._count_again_at = 0.0
        database.ensure_schema()

    def step(self, batches: int = BATCHES) -> int:
        """Delete at most so many batches; returns how many rows.

        Raises:
            SQLAlchemyError: the database cannot be asked.
            OSError: the export cannot be written; what it would have held is kept.
            ExportBusy: another process is at work on the export.
        """
        if not self._some_due() and (self._folder is None or not self._folder.unfinished()):
            return 0
        with nullcontext() if self._folder is None else self._folder.held():
            if self._folder is not None:
                with self._database.read() as connection:
                    self._folder.recover(connection)
            return sum(self._batches(batches))

    def _batches(self, most: int) -> Iterator[int]:
        for _ in range(most):
            now = self._clock.now()
            with self._database.read() as connection:
                due = self._due(connection, now)
            if not due:
                return
            deleted = self._database.transact(lambda found: self._take(found, due, now))  # noqa: B023 - done before the next round
            if self._folder is not None:
                self._folder.publish()
            self._surplus = max(0, self._surplus - deleted)
            yield deleted

    def _some_due(self) -> bool:
        with self._database.read() as connection:
            return bool(self._due(connection, self._clock.now()))

    def _take(self, connection: Connection, due: Sequence[int], now: datetime) -> int:
        """Export, count and delete these rows, as they are now, where nobody else has."""
        events = container_events.c
        mine = sa.select(container_events).where(events.id.in_(due)).order_by(events.id)
        rows = [dict(row) for row in connection.execute(mine.with_for_update()).mappings()]
        if self._folder is not None and rows:
            self._folder.stage(connection, rows, now)
        _add_up(connection, rows)
        connection.execute(container_events.delete().where(events.id.in_(due)))
        return len(rows)

    def _due(self, connection: Connection, now: datetime) -> list[int]:
        """Ids of rows to delete next, a batch at most. The newest row stays: where ids are counted
        from the largest there is, none must come twice."""
        events = container_events.c
        newest = connection.execute(sa.select(sa.func.max(events.id))).scalar()
        if newest is None:
            return []
        rows = sa.select(events.id).where(events.id < newest)
        if self._keep is not None:
            orphans = now - max(self._keep, ORPHANS_KEPT)
            asked_for = sa.and_(events.action == Action.ORPHANED.value, events.at > orphans)
            old = rows.where(events.at <= now - self._keep, sa.not_(asked_for)).order_by(events.at)
            found = list(connection.execute(old.limit(BATCH)).scalars())
            if found:
                return found
        most = min(BATCH, self._too_many(connection, newest))
        return self._surplus_rows(connection, rows, most) if most > 0 else []

    def _surplus_rows(self, connection: Connection, rows: Any, most: int) -> list[int]:
        events = container_events.c
        refused: list[int] = []
        for action in UNCHANGED:  # one by one, so that the index has them in their order
            of_it = rows.where(events.action == action.value).order_by(events.id).limit(most)
            refused += connection.execute(of_it).scalars()
        found = sorted(refused)[:most]
        if len(found) < most:
            spared = [action.value for action in (*UNCHANGED, Action.ORPHANED)]
            oldest = rows.where(events.action.not_in(spared)).order_by(events.id)
            found += connection.execute(oldest.limit(most - len(found))).scalars()
        return found

    def _too_many(self, connection: Connection, newest: int) -> int:
        """How many rows there are beyond what is kept, as they were last counted."""
        if not self._most:
            return 0
        if self._surplus or time.monotonic() < self._count_again_at:
            return self._surplus
        oldest = connection.execute(sa.select(sa.func.min(container_events.c.id))).scalar()
        if oldest is None or newest - oldest < self._most:
            return 0  # so many cannot be there
        began = time.monotonic()
        count = sa.select(sa.func.count()).select_from(container_events)
        self._surplus = max(0, int(connection.execute(count).scalar_one()) - self._most)
        took = time.monotonic() - began
        self._count_again_at = time.monotonic() + _COUNT_SHARE * took
        return self._surplus


def _add_up(connection: Connection, rows: Sequence[Row]) -> None:
    """Add what is about to be deleted to the totals."""
    sums: dict[tuple[str, str, str], CallFigures] = {}
    for row in rows:
        key = (row["backend"], row["action"], row["code"])
        times, took = row["times"], row["duration_ms"]
        within = tuple(times * (took <= bound) for bound in DURATION_BOUNDS_MS)
        calls = CallFigures(*key, count=times, total_ms=times * took, within=within)
        sums[key] = sums[key].plus(calls) if key in sums else calls
    of = event_totals.c
    locked = totals(connection, for_update=True)
    before = {(figures.backend, figures.action, figures.code): figures for figures in locked}
    for key, calls in sums.items():
        after = calls.plus(before[key]) if key in before else calls
        values = {
            "calls": after.count,
            "total_ms": after.total_ms,
            "within": json.dumps(after.within),
        }
        if key in before:
            same = (of.backend == key[0], of.action == key[1], of.code == key[2])
            connection.execute(event_totals.update().where(*same).values(**values))
        else:
            names = dict(zip(("backend", "action", "code"), key, strict=True))
            connection.execute(event_totals.insert().values(**names, **values))
