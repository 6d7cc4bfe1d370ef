"""Nothing grows for ever: how often accounts may call, and what is deleted when it is old enough.

docs/database.md says of every table what bounds it.
"""

from __future__ import annotations

import logging
import time
from datetime import timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from engines.call_rate import WINDOW, CallRate
from engines.clock import Clock
from engines.reasons import reason
from engines.settings import Settings
from engines.state.audit_export import ExportBusy
from engines.state.audit_retention import Retention
from engines.state.database import Database, UtcDateTime, one_clock

log = logging.getLogger(__name__)

SWEEP_SECONDS = 60.0
"""Between two looks at the small tables."""
SWEPT_AT_ONCE = 500

# Only the columns that are needed; whoever owns these tables defines them.
_calls: Any = sa.table("account_calls", sa.column("account"), sa.column("since", UtcDateTime))
_starts: Any = sa.table("cre_starts", sa.column("id"), sa.column("at", UtcDateTime))
_changes: Any = sa.table(
    "rollout_changes", sa.column("id"), sa.column("at", UtcDateTime), sa.column("action")
)


class Upkeep:
    """What one process does for its database, by the settings."""

    def __init__(self, database: Database, clock: Clock, settings: Settings) -> None:
        self._database = database
        self._clock = one_clock(database, clock)
        self._keep = timedelta(days=settings.audit_days) if settings.audit_days else None
        self._start_window = timedelta(seconds=settings.cre_start_window_seconds)
        self._rate = CallRate(database, clock, settings.calls_per_minute)
        self.retention = Retention(
            database,
            clock,
            keep=self._keep,
            most=settings.audit_rows,
            export=settings.audit_export_folder,
        )
        self._sweep_at = 0.0
        self._told = ""

    def throttle(self, user_id: int, team_id: int | None) -> float | None:
        """See :meth:`engines.contract.ContainerBackend.throttle`."""
        try:
            return self._rate.throttle(user_id, team_id)
        except SQLAlchemyError as error:
            # The call itself will say so, if it is so still.
            log.warning("a call was not counted: %s", reason(error))
            return None

    def forget_old(self) -> int:
        """See :meth:`engines.contract.ContainerBackend.forget_old`."""
        said, gone = "", 0
        try:
            gone = self.retention.step()
        except ExportBusy:
            log.info("another process exports the audit log")
        except OSError as error:
            said = f"the audit log cannot be exported, and is kept: {error.strerror}"
        except (SQLAlchemyError, ValueError) as error:
            said = f"the audit log was not looked through: {reason(error)}"
        if said and said != self._told:
            log.error("%s", said)
        self._told = said
        return gone + self._sweep()

    def _sweep(self) -> int:
        """Forget counts that no window reaches any more, and old differences of shadow mode."""
        if time.monotonic() < self._sweep_at:
            return 0
        self._sweep_at = time.monotonic() + SWEEP_SECONDS
        now = self._clock.now()
        old = [
            (_calls, _calls.c.account, _calls.c.since <= now - 2 * WINDOW),
            (_starts, _starts.c.id, _starts.c.at <= now - self._start_window),
        ]
        if self._keep is not None:
            difference = _changes.c.action == "difference"
            past = sa.and_(difference, _changes.c.at <= now - self._keep)
            old.append((_changes, _changes.c.id, past))
        try:
            return sum(self._forget(table, key, over) for table, key, over in old)
        except SQLAlchemyError as error:
            log.warning("old counts are left for the next round: %s", reason(error))
            return 0

    def _forget(self, table: Any, key: Any, over: Any) -> int:
        with self._database.read() as connection:
            found = list(
                connection.execute(sa.select(key).where(over).limit(SWEPT_AT_ONCE)).scalars()
            )
        if not found:
            return 0
        # Over still: an account may have begun a new window meanwhile.
        gone = table.delete().where(key.in_(found), over)
        return self._database.transact(lambda connection: int(connection.execute(gone).rowcount))
