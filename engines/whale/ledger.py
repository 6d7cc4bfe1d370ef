"""The ledger: who started what for which account on Whale, held against what Whale says.

Whale knows users, not teams, holds one container per user and tells neither when it was renewed
nor by whom it was started. The ledger does, in rows of the engine's own shape: its unique keys
allow one row per account and one per user, and a row in a passing state is the lock that keeps
two writes for one account apart, across threads and processes.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from enum import Enum

from engines import replies
from engines.audit import Action
from engines.base import Call
from engines.clock import Clock
from engines.contract import Code, InstanceStatus, StartResult
from engines.errors import WhaleFault
from engines.instances import Instance, InstanceStore, State
from engines.replies import iso
from engines.whale.api import WhaleAPI
from engines.whale.dialects import Running

log = logging.getLogger(__name__)

DRIFT_SECONDS = 2.0
"""Whale tells whole seconds; a difference up to this is rounding and the ledger's value stays."""


class Standing(Enum):
    """What became of a row, as Whale says."""

    LIVE = "live"
    EXPIRED = "expired"
    """Its time is over; Whale's cleaner may not have come yet."""
    GONE = "gone"
    """Destroyed, or replaced by another container, behind our back."""


class Ledger:
    """Keeps the rows true to Whale.

    Args:
        lease_seconds: how long a row in a passing state belongs to who set it.
        lifetime: Whale's own time-out, from which a start time is reckoned back.
    """

    def __init__(
        self,
        backend: str,
        store: InstanceStore,
        api: WhaleAPI,
        clock: Clock,
        *,
        lease_seconds: float,
        lifetime: timedelta,
        max_extensions: int,
    ) -> None:
        self._backend = backend
        self._store = store
        self._api = api
        self._clock = clock
        self._lease = timedelta(seconds=lease_seconds)
        self._lifetime = lifetime
        self._max_extensions = max_extensions

    def lease_end(self) -> datetime:
        """When work that begins now must be over."""
        return self._clock.now() + self._lease

    def examine(self, row: Instance) -> tuple[Standing, Instance]:
        """Ask Whale, as the row's owner, what became of it; returns the row brought up to date.

        Raises:
            WhaleFault: Whale cannot be asked.
        """
        try:
            found = self._api.look(row.user_id, row.challenge_id)
        except WhaleFault as fault:
            if fault.code is not Code.CHALLENGE_UNAVAILABLE:
                raise
            # Hidden while it runs: Whale shows it no more, but it is there until its time is over.
            return (Standing.LIVE if row.live(self._clock.now()) else Standing.EXPIRED), row
        if not isinstance(found, Running) or found.uuid != row.container_id:
            return Standing.GONE, row
        row = self._brought_up_to_date(row, found)
        live = found.remaining_seconds > 0 and row.live(self._clock.now())
        return (Standing.LIVE if live else Standing.EXPIRED), row

    def confirmed(self, row: Instance) -> Instance | None:
        """The row if it is live, or in somebody's hands; else clear it away and return None.

        Raises:
            WhaleFault: Whale cannot be asked, or an expired container cannot be destroyed.
        """
        if row.state is not State.RUNNING and not row.abandoned(self._clock.now()):
            return row
        if row.abandoned(self._clock.now()):
            return self._settled(row)
        standing, row = self.examine(row)
        if standing is Standing.LIVE:
            return row
        self.end(row, self._call_about(row), standing)
        return None

    def activated(self, row: Instance, found: Running) -> Instance:
        """The row's next version, with what Whale says about its container."""
        expires_at = self._clock.now() + timedelta(seconds=found.remaining_seconds)
        return row.activated(
            container_id=found.uuid,
            host=found.access.host,
            ports=(str(found.access.port),),
            started_at=expires_at - self._lifetime,
            expires_at=expires_at,
        )

    def adopt(self, call: Call, row: Instance, found: Running) -> Instance | None:
        """Record a container that the user started on Whale's own page; None when too late."""
        live = self.activated(row, found)
        event = call.event(
            Action.ADOPTED, Code.OK, container_id=found.uuid, new_expiry=iso(live.expires_at)
        )
        return live if self._store.save(live, event) else None

    def describe(self, row: Instance) -> InstanceStatus:
        """A live row as the contract shows it."""
        return replies.describe(
            row,
            now=self._clock.now(),
            max_extensions=self._max_extensions,
            backend=self._backend,
        )

    def already(self, row: Instance) -> StartResult:
        """What a start says that met this row of its own."""
        if row.state is not State.RUNNING:
            return replies.busy_start()
        return replies.already_running(self.describe(row))

    def end(self, row: Instance, call: Call, standing: Standing) -> bool:
        """Remove a row that is not live any more, and what an expired one still holds on Whale.

        Raises:
            WhaleFault: the container could not be destroyed; the row is as it was.
        """
        mine = row.stopping(self.lease_end())
        if not self._store.save(mine):
            return False
        if standing is Standing.EXPIRED:
            self.destroy(mine)
        past_due = row.expires_at is not None and row.expires_at <= self._clock.now()
        action = Action.EXPIRED if past_due else Action.LOST
        event = call.event(
            action, Code.OK, container_id=row.container_id, old_expiry=iso(row.expires_at)
        )
        return self._store.delete(mine, event)

    def destroy(self, mine: Instance) -> None:
        """DELETE for a row that is ours; a container that is gone already counts as destroyed.

        Raises:
            WhaleFault: it was not destroyed and the row runs again; or, when ``definite`` is
                False, nobody knows, and the row is left to be settled by the next call.
        """
        try:
            self._api.destroy(mine.user_id, mine.challenge_id)
        except WhaleFault as fault:
            if fault.code is Code.NOT_FOUND:
                return
            if fault.definite:
                self._store.save(mine.running_again())
            else:
                self.leave_open(mine)
            raise

    def leave_open(self, mine: Instance) -> None:
        """The outcome of our write is not known: let the next call settle it."""
        self._store.save(mine.stopping(lease_until=self._clock.now()))

    def expire_due(self) -> int:
        """End the rows whose time is over; returns how many. One that fails is left for later."""
        return self._each(
            self._store.due(self._clock.now()), lambda row: self.confirmed(row) is None
        )

    def reconcile(self) -> int:
        """Settle the rows that somebody left half-way; returns how many."""
        now = self._clock.now()
        abandoned = [row for row in self._store.all() if row.abandoned(now)]
        return self._each(abandoned, lambda row: self._settled(row) is None or True)

    def _each(self, rows: list[Instance], work: Callable[[Instance], bool]) -> int:
        done = 0
        for row in rows:
            try:
                done += work(row)
            except WhaleFault as fault:
                log.warning("challenge %d is left for later: %s", row.challenge_id, fault.code)
        return done

    def _settled(self, row: Instance) -> Instance | None:
        """Find out what became of abandoned work: the row, live again, or None and it is gone."""
        found = self._api.look(row.user_id, row.challenge_id)
        ours = isinstance(found, Running) and row.container_id in (None, found.uuid)
        if isinstance(found, Running) and ours and found.remaining_seconds > 0:
            return self._revived(row, found)
        event = self._call_about(row).event(Action.REPAIRED, Code.OK, state=row.state.value)
        mine = row.stopping(self.lease_end())
        if self._store.save(mine):
            self._store.delete(mine, event)
        return None

    def _revived(self, row: Instance, found: Running) -> Instance | None:
        live = self.activated(row, found)
        event = self._call_about(row).event(
            Action.REPAIRED, Code.OK, state=row.state.value, container_id=found.uuid
        )
        return live if self._store.save(live, event) else None

    def _brought_up_to_date(self, row: Instance, found: Running) -> Instance:
        """Follow Whale's expiry where somebody moved it: a renewal on its page, a new setting."""
        expires_at = self._clock.now() + timedelta(seconds=found.remaining_seconds)
        drift = (expires_at - row.expires_at).total_seconds() if row.expires_at else 0.0
        if abs(drift) <= DRIFT_SECONDS or row.state is not State.RUNNING:
            return row
        moved = row.rescheduled(expires_at)
        return moved if self._store.save(moved) else row

    def _call_about(self, row: Instance) -> Call:
        """A call on behalf of whoever started the instance, for events nobody called for."""
        return Call(self._backend, self._clock, row.user_id, row.challenge_id, row.team_id)
