"""Rows that somebody is at work on, kept by a heartbeat: who dies loses them within seconds.

A row in a passing state belongs to who set it until its lease ends. A lease as long as the longest
start would shut a player out for minutes after a server has killed one of its workers. So leases
are short, and a process prolongs its own while it lives, up to the moment at which it must be
done. A process that was held up for longer than a lease is found out by the row's version and the
fence of what it made.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from engines.clock import Clock
from engines.reasons import reason
from engines.state.database import Database

log = logging.getLogger(__name__)

LAPSE_SECONDS = 15.0
"""How long a row belongs to a process that is not heard of any more."""
BEAT_SECONDS = 3.0


@dataclass(frozen=True, eq=False)
class _Held:
    """A row that this process is at work on."""

    row_id: int
    version: int
    until: datetime
    """It is never prolonged beyond this."""


class Heartbeat:
    """Prolongs the leases of this process's rows in one table, from a thread while there are any.

    Args:
        table: has the columns ``id``, ``version`` and ``lease_until``.
        lapse: seconds that a lease is for.
        beat: seconds after which it is prolonged.
    """

    def __init__(
        self,
        database: Database,
        clock: Clock,
        table: sa.Table,
        *,
        lapse: float = LAPSE_SECONDS,
        beat: float = BEAT_SECONDS,
    ) -> None:
        self._database = database
        self._clock = clock
        self._table = table
        self._lapse = timedelta(seconds=lapse)
        self._beat = beat
        self._lock = threading.Lock()
        self._held: set[_Held] = set()
        self._thread: threading.Thread | None = None
        self._closing = threading.Event()

    def lease(self, longest: timedelta) -> timedelta:
        """For how long to take a row at first, by who is done after ``longest`` at the latest."""
        return min(self._lapse, longest)

    @contextmanager
    def kept(self, row_id: int, version: int, longest: timedelta) -> Iterator[None]:
        """Keep this version of a row while the block is at work, but not for longer."""
        held = _Held(row_id, version, self._clock.now() + longest)
        with self._lock:
            self._held.add(held)
            if self._thread is None or not self._thread.is_alive():  # none outlives a fork
                self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)
                self._thread.start()
        try:
            yield
        finally:
            with self._lock:
                self._held.discard(held)

    def close(self) -> None:
        """End the thread; what is still kept lapses unless its owner is done before."""
        self._closing.set()
        with self._lock:
            thread = self._thread
        if thread is not None:
            thread.join()

    def _run(self) -> None:
        while True:
            closing = self._closing.wait(self._beat)
            with self._lock:
                held = list(self._held)
                if closing or not held:
                    self._thread = None
                    return
            try:
                self._prolong(held)
            except SQLAlchemyError as error:
                log.warning("leases were not prolonged: %s", reason(error))

    def _prolong(self, held: list[_Held]) -> None:
        ends = self._clock.now() + self._lapse
        columns = self._table.c
        with self._database.write() as connection:
            for each in held:
                connection.execute(
                    self._table.update()
                    .where(columns.id == each.row_id, columns.version == each.version)
                    .values(lease_until=min(ends, each.until))
                )
