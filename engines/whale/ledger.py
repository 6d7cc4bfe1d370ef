"""The ledger: who started what for which account on Whale, held against what Whale says.

Whale knows users, not teams, holds one container per user (some forks: per user and challenge) and
tells neither when it was renewed nor by whom it was started. The ledger does, in rows of the
engine's own shape: its unique keys allow as many rows per account and per user as Whale has room
for, and a row in a passing state is the lock that keeps two writes apart, across threads and
processes.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from enum import Enum
from typing import TypeGuard

from engines import replies
from engines.audit import Action
from engines.clock import Clock
from engines.contract import Code, InstanceStatus, StartResult
from engines.errors import BackendUnavailable, WhaleFault
from engines.front import Call
from engines.owners import ACCOUNT, Ownership
from engines.replies import iso
from engines.state.instance_store import InstanceStore
from engines.state.instances import Instance, InstanceState
from engines.whale.api import WhaleAPI
from engines.whale.wire import Another, Look, Nothing, RunningContainer

log = logging.getLogger(__name__)

DRIFT_SECONDS = 2.0
"""Whale tells whole seconds; a difference up to this is rounding and the ledger's value stays."""
LONGEST_RETRY_SECONDS = 10.0
"""``retry_after`` at most, while it is not known what became of a request."""
_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 0.5


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
        settle_seconds: how long Whale may be at work on a request whose answer was lost.
        look_again_seconds: how long, of real time, to look for what became of one.
        lifetime: Whale's own time-out, from which a start time is reckoned back.
        owners: whose the rows are.
    """

    def __init__(
        self,
        backend: str,
        store: InstanceStore,
        api: WhaleAPI,
        clock: Clock,
        *,
        lease_seconds: float,
        settle_seconds: float,
        look_again_seconds: float,
        lifetime: timedelta,
        max_extensions: int,
        owners: Ownership,
    ) -> None:
        self._backend = backend
        self._store = store
        self._api = api
        self._clock = clock
        self._lease = timedelta(seconds=lease_seconds)
        self._settle = timedelta(seconds=settle_seconds)
        self._look_again_seconds = look_again_seconds
        self._lifetime = lifetime
        self._max_extensions = max_extensions
        self._owners = owners

    def now(self) -> datetime:
        """The present time, by our own clock."""
        return self._clock.now()

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
        if not isinstance(found, RunningContainer) or found.uuid != row.container_id:
            return Standing.GONE, row
        row = self._bring_up_to_date(row, found)
        live = found.remaining_seconds > 0 and row.live(self._clock.now())
        return (Standing.LIVE if live else Standing.EXPIRED), row

    def confirm(self, row: Instance) -> Instance | None:
        """The row if it is live, in somebody's hands or open; else clear it away, None.

        A row whose owner is another one than the number's is cleared away too.

        Raises:
            WhaleFault: Whale cannot be asked, or an expired container cannot be destroyed.
        """
        if row.open or row.abandoned(self._clock.now()):
            return self.settle(row)
        if row.state is not InstanceState.RUNNING:
            return row
        lost = self.lost(row) if row.live(self._clock.now()) else ""
        if lost:
            self.end_orphan(row, lost)
            return None
        standing, row = self.examine(row)
        if standing is Standing.LIVE:
            return row
        self.end(row, self._call_about(row), standing)
        return None

    def activated(self, row: Instance, found: RunningContainer) -> Instance:
        """The row's next version, with what Whale says about its container."""
        expires_at = self.expiry(found)
        return row.activated(
            container_id=found.uuid,
            host=found.access.host,
            ports=(str(found.access.port),),
            started_at=expires_at - self._lifetime,
            expires_at=expires_at,
        )

    def adopt(self, call: Call, row: Instance, found: RunningContainer) -> Instance | None:
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
        if row.state is not InstanceState.RUNNING:
            return replies.busy_start(self.retry_after(row))
        return replies.already_running(self.describe(row))

    def retry_after(self, row: Instance) -> float:
        """Seconds until a row that is not running may be so."""
        if not row.open:
            return replies.RETRY_SOON_SECONDS
        left = (row.lease_until - self._clock.now()).total_seconds()
        return min(max(left, replies.RETRY_SOON_SECONDS), LONGEST_RETRY_SECONDS)

    def end(self, row: Instance, call: Call, standing: Standing) -> bool:
        """Remove a row that is not live any more, and what an expired one still holds on Whale.

        Raises:
            WhaleFault: the container could not be destroyed; the row is as it was.
        """
        mine = row.stopping(self.lease_end())
        if not self._store.save(mine):
            return False
        if standing is Standing.EXPIRED:
            self.destroy(mine, row)
        past_due = row.expires_at is not None and row.expires_at <= self._clock.now()
        action = Action.EXPIRED if past_due else Action.LOST
        if row.condemned:
            action = Action.REPAIRED
        event = call.event(
            action, Code.OK, container_id=row.container_id, old_expiry=iso(row.expires_at)
        )
        return self._store.delete(mine, event)

    def destroy(self, mine: Instance, before: Instance) -> None:
        """DELETE for a row that is ours; a container that is gone already counts as destroyed.

        ``before`` is the row as it was when we took it.

        Raises:
            WhaleFault: it was not destroyed and the row is as before; or, when ``definite`` is
                False, nobody knows, and the row is left open.
        """
        try:
            self._api.destroy(mine.user_id, mine.challenge_id)
        except WhaleFault as fault:
            if fault.code is Code.NOT_FOUND:
                return
            found = None
            if fault.code is Code.UNAVAILABLE:  # it may be done all the same
                found = self.look_again(mine, lambda found: not _is(found, mine), fault)
            if found is not None and not _is(found, mine):
                return
            if fault.definite or (found is not None and not fault.pending):
                # An earlier DELETE may be under way still: this one's refusal says nothing of it.
                still = mine.left_open(before.lease_until) if before.open else mine.running_again()
                self._store.save(still)
                raise settled_fault(fault) from None
            self.leave_open(mine)
            raise

    def look_again(
        self, mine: Instance, decided: Callable[[Look], bool], fault: WhaleFault
    ) -> Look | None:
        """What Whale holds after a request that may or may not have been carried out.

        Looks until ``decided``, once only when Whale is not at work on it any more. Returns what
        was seen last, None when nothing could be.
        """
        until = time.monotonic() + (self._look_again_seconds if fault.pending else 0.0)
        pause = _FIRST_PAUSE
        while True:
            try:
                found: Look | None = self._api.look(mine.user_id, mine.challenge_id)
            except WhaleFault:
                found = None
            left = until - time.monotonic()
            if (found is not None and decided(found)) or left <= 0:
                return found
            time.sleep(min(pause, left))
            pause = min(2 * pause, _LONGEST_PAUSE)

    def leave_open(self, mine: Instance) -> None:
        """The outcome of our write is not known: calls to come settle it."""
        self._store.save(mine.left_open(self._clock.now() + self._settle))

    def expire_due(self) -> int:
        """End the rows whose time is over; returns how many. One that fails is left for later."""
        return self._each(self._store.due(self._clock.now()), lambda row: self.confirm(row) is None)

    def reconcile(self) -> int:
        """Settle the rows that somebody left half-way; returns how many."""
        try:
            self.end_orphans()
        except BackendUnavailable as error:
            log.warning("whose the instances are is looked up in the next round: %s", error)
        now = self._clock.now()
        unfinished = [row for row in self._store.all() if row.open or row.abandoned(now)]

        def settle(row: Instance) -> bool:
            settled = self.settle(row)
            return settled is None or not settled.open

        return self._each(unfinished, settle)

    def lost(self, row: Instance) -> str:
        """See :meth:`engines.owners.Ownership.lost`."""
        return self._owners.lost(row)

    def was_orphaned(self, user_id: int, found: RunningContainer) -> bool:
        """Whether a container on Whale is one that we left there when its owner was gone."""
        return self._store.orphaned(user_id, found.uuid)

    def end_orphan(self, row: Instance, why: str) -> bool:
        """Destroy what belongs to nobody any more, as far as Whale lets us, and drop its row.

        Whale knows its own users: one who is deleted there, or whose access we have not, cannot
        ask for anything. Their container is then left to Whale, which ends it with its time.

        Raises:
            WhaleFault: Whale cannot be asked now; the row is as it was.
        """
        mine = row.stopping(self.lease_end())
        if not self._store.save(mine):
            return False
        try:
            left = not self._destroyed(row, why)
        except WhaleFault:
            self._store.save(mine.running_again())
            raise
        event = self._call_about(row).event(
            Action.ORPHANED,
            Code.OK,
            container_id=row.container_id,
            old_expiry=iso(row.expires_at),
            reason=why,
            **({"left_on_whale": True} if left else {}),
        )
        return self._store.delete(mine, event)

    def _destroyed(self, row: Instance, why: str) -> bool:
        """Whether the container is gone; False where Whale lets nobody of ours ask."""
        try:
            found: Look | None = self._api.look(row.user_id, row.challenge_id)
        except WhaleFault as fault:
            if fault.code is Code.UNAUTHENTICATED:
                return False
            if fault.code is not Code.CHALLENGE_UNAVAILABLE:
                raise
            found = None  # hidden or deleted there: it may run on
            if why.startswith(ACCOUNT):
                return False  # what the number has on Whale may be its new owner's
        if found is not None and not _is(found, row):
            return True
        try:
            self._api.destroy(row.user_id, row.challenge_id)
        except WhaleFault as fault:
            if fault.code is not Code.NOT_FOUND:
                raise
        return True

    def end_orphans(self) -> int:
        """End what belongs to nobody any more; returns how many. One that fails is left for later.

        Raises:
            BackendUnavailable: it cannot be told whose instances are.
        """
        now = self._clock.now()
        rows = [row for row in self._store.all() if row.state is InstanceState.RUNNING]
        found = self._owners.examine(row for row in rows if row.live(now))
        for row, mark, lost in found:
            if not lost and row.mark is None:
                self._store.save(row.marked(mark))
        orphans = {row.id: why for row, _, why in found if why}
        return self._each(
            [row for row, _, why in found if why],
            lambda row: self.end_orphan(row, orphans[row.id]),
        )

    def _each(self, rows: list[Instance], work: Callable[[Instance], bool]) -> int:
        done = 0
        for row in rows:
            try:
                done += work(row)
            except WhaleFault as fault:
                log.warning("challenge %d is left for later: %s", row.challenge_id, fault.code)
        return done

    def settle(self, row: Instance) -> Instance | None:
        """What became of work that broke off: the row, live again or open still, or None: gone.

        Raises:
            WhaleFault: Whale cannot be asked.
        """
        now = self._clock.now()
        found = self._seen(row)
        may_change = row.open and now < row.lease_until
        alive = found if found is not None and _is(found, row) and not row.condemned else None
        if alive is not None and alive.remaining_seconds <= 0:
            alive = None
        if found is None or alive is not None:
            if row.state is InstanceState.STOP_OPEN and may_change:
                return row  # what shows may still go
            return self._revived(row, alive)
        if row.state is InstanceState.START_OPEN and may_change and not isinstance(found, Another):
            return row  # what does not show may still come
        if _is(found, row):
            gone = self.end(row, self._call_about(row), Standing.EXPIRED)
            return None if gone else self._store.find(row.account, row.challenge_id)
        event = self._call_about(row).event(Action.REPAIRED, Code.OK, state=row.state.value)
        mine = row.stopping(self.lease_end())
        if self._store.save(mine) and self._store.delete(mine, event):
            return None
        return self._store.find(row.account, row.challenge_id)  # somebody else settled it

    def _seen(self, row: Instance) -> Look | None:
        """What Whale shows; None when it hides the challenge of a container that has time left."""
        try:
            return self._api.look(row.user_id, row.challenge_id)
        except WhaleFault as fault:
            if fault.code is not Code.CHALLENGE_UNAVAILABLE:
                raise
            return None if row.live(self._clock.now()) else Nothing()

    def _revived(self, row: Instance, found: RunningContainer | None) -> Instance | None:
        """The row as running; a renewal that went through unseen is counted."""
        if found is None or row.expires_at is None:
            live = row.running_again() if found is None else self.activated(row, found)
        else:
            expires_at = self.expiry(found)
            renewed = row.state in (
                InstanceState.EXTENDING,
                InstanceState.EXTEND_OPEN,
            ) and self.renewed(row, found)
            live = row.extended(expires_at) if renewed else row.running_again()
        event = self._call_about(row).event(
            Action.REPAIRED, Code.OK, state=row.state.value, container_id=live.container_id
        )
        if self._store.save(live, event):
            return live
        return self._store.find(row.account, row.challenge_id)  # somebody else settled it

    def expiry(self, found: RunningContainer) -> datetime:
        """When a container ends, as Whale says."""
        return self._clock.now() + timedelta(seconds=found.remaining_seconds)

    def renewed(self, row: Instance, found: RunningContainer) -> bool:
        """Whether the container has more time than the row knows of."""
        if row.expires_at is None:
            return False
        return (self.expiry(found) - row.expires_at).total_seconds() > DRIFT_SECONDS

    def _bring_up_to_date(self, row: Instance, found: RunningContainer) -> Instance:
        """Follow Whale's expiry where somebody moved it: a renewal on its page, a new setting."""
        expires_at = self.expiry(found)
        drift = (expires_at - row.expires_at).total_seconds() if row.expires_at else 0.0
        if abs(drift) <= DRIFT_SECONDS or row.state is not InstanceState.RUNNING or row.condemned:
            return row
        moved = row.rescheduled(expires_at)
        return moved if self._store.save(moved) else row

    def _call_about(self, row: Instance) -> Call:
        """A call on behalf of whoever started the instance, for events nobody called for."""
        return Call(self._backend, self._clock, row.user_id, row.challenge_id, row.team_id)


def settled_fault(fault: WhaleFault) -> WhaleFault:
    """The same refusal, now that a look has shown that nothing was done."""
    return WhaleFault(fault.code, fault.message, retry_after=fault.retry_after, said=fault.said)


def _is(found: Look, row: Instance) -> TypeGuard[RunningContainer]:
    """Whether that is the row's container; a row that knows none takes whatever runs."""
    return isinstance(found, RunningContainer) and row.container_id in (None, found.uuid)
