"""How the new backend does, out of the audit log: every process's starts, not this one's alone."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa

from engines.audit import Action
from engines.contract import Code
from engines.hybrid.routing import RoutedBy
from engines.settings import Settings
from engines.state.audit_log import MERGED_FOR, container_events
from engines.state.database import Database

FAILURES = frozenset(
    {
        *(Code.UNAVAILABLE, Code.INTERNAL, Code.START_FAILED, Code.NOT_READY),
        *(Code.PORT_UNAVAILABLE, Code.IMAGE_MISSING, Code.UNAUTHENTICATED),
    }
)
"""Codes of a start that the backend owes the player. A full house or a limit is no failure."""
_NOT_THERE = frozenset({RoutedBy.CATALOGUE.value, RoutedBy.UNKNOWN_THERE.value})


@dataclass(frozen=True)
class Health:
    """Starts on one backend since a moment."""

    started: int = 0
    failed: int = 0
    fallbacks: int = 0
    """Starts that went home because the backend was down; they count as failed too."""
    not_there: int = 0
    """Starts that went home because the backend does not have their challenge: no fault of its."""
    ready_seconds: float | None = None
    """What 95 percent of the successful starts took at most; None when there was none."""

    @property
    def starts(self) -> int:
        return self.started + self.failed

    @property
    def error_percent(self) -> float:
        return 100 * self.failed / self.starts if self.starts else 0.0

    def __str__(self) -> str:
        told = [self._of_starts() if self.starts else "no starts on Whale since the last change"]
        if self.not_there:
            told.append(f"{self.not_there} more went to CRE: Whale does not have the challenge")
        return "; ".join(told)

    def _of_starts(self) -> str:
        said = (
            f"{self.starts} starts, {self.failed} failed ({self.error_percent:.1f} %), "
            f"{self.fallbacks} fell back to CRE"
        )
        if self.ready_seconds is None:
            return said
        return f"{said}; 95 % were ready within {self.ready_seconds:.1f} s"


@dataclass(frozen=True)
class HealthLimits:
    """What the new backend must keep to."""

    window: timedelta
    min_starts: int
    error_percent: float
    ready_seconds: float

    @classmethod
    def of(cls, settings: Settings) -> HealthLimits:
        return cls(
            window=timedelta(seconds=settings.rollout_window_seconds),
            min_starts=settings.rollout_min_starts,
            error_percent=settings.rollout_error_percent,
            ready_seconds=settings.rollout_ready_seconds,
        )

    def since(self, now: datetime, changed_at: datetime | None) -> datetime:
        """From when on is measured: what another position of the dial has seen does not count."""
        begin = now - self.window
        return begin if changed_at is None else max(begin, changed_at)

    def complaint(self, health: Health) -> str | None:
        """Which limit is passed, in words; None when none is, or too little was seen."""
        if health.starts < self.min_starts:
            return None
        if health.error_percent > self.error_percent:
            return f"more than {self.error_percent:g} % of the starts failed: {health}"
        if health.ready_seconds is not None and health.ready_seconds > self.ready_seconds:
            return f"starts took longer than {self.ready_seconds:g} s: {health}"
        return None


def measure(database: Database, backend: str, since: datetime) -> Health:
    """The health of a backend after a moment, by every process's events.

    A start that the backend refused on the record and that fell back then counts twice, as the
    failure of the one and as the fallback of the other.
    """
    events = container_events.c
    # Of calls that share a row, and of which the first came earlier, the last is sure to count.
    times = sa.case((events.at > since, events.times), else_=1)
    query = sa.select(
        events.backend, events.action, events.code, events.duration_ms, events.metadata, times
    )
    query = query.where(
        events.at > since - MERGED_FOR,
        sa.func.coalesce(events.last_at, events.at) > since,
        events.action.in_([Action.STARTED.value, Action.START_FAILED.value]),
    )
    took: list[int] = []
    failed = fallbacks = not_there = 0
    with database.read() as connection:
        for name, action, code, duration_ms, metadata, calls in connection.execute(query):
            routed_by = json.loads(metadata).get("routed_by")
            if routed_by == RoutedBy.FALLBACK.value:
                fallbacks += calls
            elif routed_by in _NOT_THERE:
                not_there += calls
            elif name == backend and action == Action.STARTED.value:
                took.append(duration_ms)
            elif name == backend and Code(code) in FAILURES:
                failed += calls
    return Health(len(took), failed + fallbacks, fallbacks, not_there, _percentile_95(took))


def _percentile_95(took_ms: list[int]) -> float | None:
    if not took_ms:
        return None
    return sorted(took_ms)[math.ceil(0.95 * len(took_ms)) - 1] / 1000
