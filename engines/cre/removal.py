"""How instances end: stopped, expired, lost, or cleared away after a crash."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

from engines.audit import Action
from engines.base import Call
from engines.clock import Clock
from engines.contract import Code
from engines.cre.runtimes.base import Found, Runtime
from engines.errors import BackendUnavailable
from engines.instances import Instance, InstanceStore, State
from engines.replies import iso

log = logging.getLogger(__name__)

REMOVAL_LEASE_SECONDS = 120.0
"""How long a row belongs to the process that removes its container."""
PARALLEL_REMOVALS = 4
"""Removals at once by the worker; Docker gets slower, not faster, with many more."""


class Removal:
    """Ends instances: the container first, then its row together with the event.

    A row whose container cannot be removed stays known, and nothing that is live is ever ended
    here unless its owner asked for it.
    """

    def __init__(
        self, backend: str, store: InstanceStore, runtime: Runtime, clock: Clock, deployment: str
    ) -> None:
        self._backend = backend
        self._store = store
        self._runtime = runtime
        self._clock = clock
        self._deployment = deployment

    def container_name(self, account: str, challenge_id: int) -> str:
        """The name of the one container an (account, challenge) can have."""
        return f"wr-{self._deployment}-{account.replace(':', '-')}-c{challenge_id}"

    def is_running(self, row: Instance) -> bool:
        """Whether the row's container really runs."""
        return row.container_id is not None and self._runtime.is_running(row.container_id)

    def live(self, row: Instance) -> bool:
        """Whether the instance is live: running, not expired, and its container really there."""
        return row.live(self._clock.now()) and self.is_running(row)

    def in_the_way(self, row: Instance) -> bool:
        """Whether a row really stands against a start; clears it away when it does not.

        Raises:
            BackendUnavailable: it does not, but its container could not be removed.
        """
        now = self._clock.now()
        if self.repaired(row):
            return False
        if row.state is not State.RUNNING:
            return True
        if not row.live(now):
            self.end(row, self._call_about(row), Action.EXPIRED)
            return False
        if not self.is_running(row):
            self.clear_lost(row)
            return False
        return True

    def end(self, row: Instance, call: Call, action: Action) -> bool:
        """Remove a running row for ``call``; False when another call changes the row.

        Raises:
            BackendUnavailable: the container could not be removed; the row is as it was.
        """
        mine = row.stopping(self._lease_end())
        if not self._store.save(mine):
            return False
        try:
            self._runtime.remove(row.container_id or "")
        except BackendUnavailable:
            self._store.save(mine.running_again())
            raise
        event = call.event(
            action, Code.OK, container_id=row.container_id, old_expiry=iso(row.expires_at)
        )
        done = self._store.delete(mine, event)
        call.recorded = call.recorded or done
        return done

    def expire(self, row: Instance) -> bool:
        """Remove an expired row; False when it could not be removed now."""
        try:
            return self.end(row, self._call_about(row), Action.EXPIRED)
        except BackendUnavailable:
            log.warning("expired container of challenge %d could not be removed", row.challenge_id)
            return False

    def clear_lost(self, row: Instance) -> bool:
        """Clear away a row whose container died or was removed behind our back."""
        return self.end(row, self._call_about(row), Action.LOST)

    def repaired(self, row: Instance) -> bool:
        """Clear away a row whose owner died half-way, and what it may have made.

        Returns whether this was such a row. False means that somebody is at work on it, or none
        needs to be.

        Raises:
            BackendUnavailable: it is one, but its container could not be removed.
        """
        if not row.abandoned(self._clock.now()):
            return False
        mine = row.stopping(self._lease_end())
        if self._store.save(mine):
            self._runtime.clear(
                self._deployment, self.container_name(row.account, row.challenge_id)
            )
            event = self._call_about(row).event(Action.REPAIRED, Code.OK, state=row.state.value)
            self._store.delete(mine, event)
        return True

    def expire_due(self) -> int:
        """Remove every expired instance, several at a time; returns how many went."""
        return _in_parallel(self.expire, self._store.due(self._clock.now()))

    def reconcile(self) -> int:
        """Make rows and containers agree; returns how many were put right.

        Raises:
            BackendUnavailable: the runtime cannot be asked.
        """
        found = self._runtime.find(self._deployment)  # before the rows: a newer one is not judged
        now = self._clock.now()
        rows = self._store.all()
        names = {self.container_name(row.account, row.challenge_id) for row in rows}
        repaired = sum(self._remove_stray(each) for each in found if each.name not in names)
        for row in rows:
            if self.repaired(row):
                repaired += 1
            elif row.state is State.RUNNING and row.live(now) and not self.is_running(row):
                repaired += self.clear_lost(row)
        return repaired

    def _remove_stray(self, found: Found) -> bool:
        log.warning("removing container %s, which no row knows", found.name)
        return self._runtime.clear(self._deployment, found.name)

    def _call_about(self, row: Instance) -> Call:
        """A call on behalf of whoever started the instance, for events nobody called for."""
        return Call(self._backend, self._clock, row.user_id, row.challenge_id, row.team_id)

    def _lease_end(self) -> datetime:
        return self._clock.now() + timedelta(seconds=REMOVAL_LEASE_SECONDS)


def _in_parallel(work: Callable[[Instance], bool], rows: Iterable[Instance]) -> int:
    with ThreadPoolExecutor(PARALLEL_REMOVALS, thread_name_prefix="cre-remove") as pool:
        return sum(pool.map(work, rows))
