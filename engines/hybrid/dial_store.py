"""The dial in the database: read by every process within seconds, changed with name and reason."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from engines.clock import Clock
from engines.hybrid.dial import Dial
from engines.state.database import BigId, Database, UtcDateTime, metadata, one_clock

NAME = "dial"
WHO_LENGTH = 128
TRIES = 20
"""How often a change is made anew because another one came in between."""

dials = sa.Table(
    "rollout_dial",
    metadata,
    sa.Column("name", sa.String(32), primary_key=True),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("value", sa.Text, nullable=False),
)

changes = sa.Table(
    "rollout_changes",
    metadata,
    sa.Column("id", BigId, primary_key=True, autoincrement=True),
    sa.Column("at", UtcDateTime, nullable=False),
    sa.Column("who", sa.String(WHO_LENGTH), nullable=False),
    sa.Column("action", sa.String(32), nullable=False),
    sa.Column("why", sa.Text, nullable=False),
    sa.Column("before", sa.Text, nullable=False),
    sa.Column("after", sa.Text, nullable=False),
    sqlite_autoincrement=True,
)
"""The rollout's audit log: one row per change of the dial, and per difference in shadow mode."""


@dataclass(frozen=True)
class Change:
    """One row of the rollout's audit log."""

    at: datetime
    who: str
    action: str
    """``set``, ``challenge``, ``back``, ``step_back``, ``advance``, ``pause`` …"""
    why: str
    before: str
    after: str
    """The dial's position, as people read it."""


Turn = Callable[[Dial], Dial]


class DialStore:
    """Reads and changes the dial."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = one_clock(database, clock)
        database.ensure_schema()

    def load(self) -> Dial:
        """The dial as it stands; one that was never set when there is none."""
        with self._database.read() as connection:
            return _load(connection)

    def change(self, who: str, action: str, why: str, turn: Turn) -> Dial:
        """Turn the dial and write who did it and why, in one transaction; returns the new dial.

        ``turn`` is asked again when somebody else turned it in between. A turn that changes
        nothing writes nothing.
        """

        def work(connection: Connection) -> Dial:
            before = _load(connection)
            after = turn(before)
            if after == before:
                return before
            now = self._clock.now()
            after = replace(after, version=before.version + 1)
            if (after.position, after.paused) != (before.position, before.paused):
                after = replace(after, changed_at=now)
            if not _write(connection, before, after):
                raise _Overtaken
            _record(connection, Change(now, who, action, why, _told(before), _told(after)))
            return after

        for _ in range(TRIES):
            try:
                return self._database.transact(work)
            except (sa.exc.IntegrityError, _Overtaken):
                continue
        raise RuntimeError(f"the dial was turned {TRIES} times by others meanwhile")

    def note(self, who: str, action: str, why: str, before: str = "", after: str = "") -> None:
        """Write a row of the rollout's audit log without a change of the dial."""
        change = Change(self._clock.now(), who, action, why, before, after)
        self._database.transact(lambda connection: _record(connection, change))

    def changes(self, limit: int = 20) -> list[Change]:
        """The last rows of the rollout's audit log, the latest first."""
        with self._database.read() as connection:
            rows = connection.execute(
                sa.select(changes).order_by(changes.c.id.desc()).limit(limit)
            ).mappings()
            return [
                Change(
                    row["at"], row["who"], row["action"], row["why"], row["before"], row["after"]
                )
                for row in rows
            ]


class DialReader:
    """The dial, at most so many seconds old; safe in any thread.

    While the database cannot be read the last dial that was seen holds.
    """

    def __init__(self, store: DialStore, clock: Clock, seconds: float) -> None:
        self._store = store
        self._clock = clock
        self._age = timedelta(seconds=seconds)
        self._lock = threading.Lock()
        self._seen: tuple[datetime, Dial] | None = None

    def __call__(self) -> Dial:
        now = self._clock.now()
        with self._lock:
            seen = self._seen
        if seen is not None and seen[0] <= now < seen[0] + self._age:
            return seen[1]
        try:
            dial = self._store.load()
        except sa.exc.SQLAlchemyError:
            if seen is None:
                raise
            return seen[1]
        with self._lock:
            self._seen = now, dial
        return dial

    def forget(self) -> None:
        """Read it anew next time: it was just changed here."""
        with self._lock:
            self._seen = None


class _Overtaken(Exception):
    """Somebody else turned the dial since we looked."""


def _load(connection: Connection) -> Dial:
    row = connection.execute(sa.select(dials).where(dials.c.name == NAME)).first()
    if row is None:
        return Dial()
    values = row._mapping
    return Dial.from_json(values["value"], values["version"])


def _write(connection: Connection, before: Dial, after: Dial) -> bool:
    values: dict[str, Any] = {"version": after.version, "value": after.to_json()}
    if before.version == 0:
        connection.execute(dials.insert().values(name=NAME, **values))
        return True
    mine = dials.update().where(dials.c.name == NAME, dials.c.version == before.version)
    return connection.execute(mine.values(**values)).rowcount == 1


def _record(connection: Connection, change: Change) -> None:
    connection.execute(
        changes.insert().values(
            at=change.at,
            who=change.who[:WHO_LENGTH],
            action=change.action,
            why=change.why,
            before=change.before,
            after=change.after,
        )
    )


def _told(dial: Dial) -> str:
    words = [str(dial.position)]
    words += ["paused"] if dial.paused else []
    words += ["in shadow"] if dial.shadow else []
    words += [f"plan step {dial.step + 1} of {len(dial.plan)}"] if dial.plan else []
    return "; ".join(words)
