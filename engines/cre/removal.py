"""How instances end: stopped, expired, lost, or cleared away when somebody died at work on them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

from sqlalchemy.engine import Connection

from engines.audit import Action, ContainerEvent
from engines.base import Call
from engines.contract import Code
from engines.cre.parts import Parts
from engines.errors import BackendUnavailable
from engines.instances import Instance, State
from engines.replies import iso

log = logging.getLogger(__name__)

REMOVAL_LEASE_SECONDS = 120.0
"""How long a row belongs to the process that removes its container."""


class Removal:
    """Ends instances: the container first, then its row together with the event.

    A row whose container cannot be removed stays known, and nothing that is live is ever ended
    here unless its owner asked for it.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def is_running(self, row: Instance) -> bool:
        """Whether the row's container really runs."""
        return row.container_id is not None and self._parts.runtime.is_running(row.container_id)

    def live(self, row: Instance) -> bool:
        """Whether the instance is live: running, not expired, its container really there, and its
        owner too."""
        return (
            row.live(self._parts.clock.now())
            and not self._parts.owners.lost(row)
            and self.is_running(row)
        )

    def in_the_way(self, row: Instance) -> bool:
        """Whether a row really stands against a start; clears it away when it does not.

        Raises:
            BackendUnavailable: it does not, but its container could not be removed.
        """
        now = self._parts.clock.now()
        if self.repaired(row):
            return False
        if row.state is not State.RUNNING:
            return True
        if not row.live(now):
            self.end(row, self._call_about(row), Action.EXPIRED)
            return False
        lost = self._parts.owners.lost(row)
        if lost:
            self.end(row, self._call_about(row), Action.ORPHANED, lost)
            return False
        if not self.is_running(row):
            self.clear_lost(row)
            return False
        return True

    def end(self, row: Instance, call: Call, action: Action, why: str = "") -> bool:
        """Remove a running row for ``call``; False when another call changes the row.

        ``why`` is told in the event.

        Raises:
            BackendUnavailable: the container could not be removed; the row is as it was.
        """
        mine = row.stopping(self._lease_end())
        if not self._parts.store.save(mine):
            return False
        try:
            self._clear(row)
        except BackendUnavailable:
            self._parts.store.save(mine.running_again())
            raise
        event = call.event(
            action,
            Code.OK,
            container_id=row.container_id,
            old_expiry=iso(row.expires_at),
            **({"why": why} if why else {}),
        )
        done = self.forget(mine, event)
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
        if not row.abandoned(self._parts.clock.now()):
            return False
        mine = row.stopping(self._lease_end())
        if self._parts.store.save(mine):
            try:
                self._clear(row)
            except BackendUnavailable:
                # Still abandoned work: whoever comes next may try again at once.
                self._parts.store.save(mine.stopping(self._parts.clock.now()))
                raise
            event = self._call_about(row).event(Action.REPAIRED, Code.OK, state=row.state.value)
            self.forget(mine, event)
        return True

    def expire_due(self) -> int:
        """Remove every expired instance, several at a time; returns how many went."""
        return self.in_parallel(self.expire, self._parts.store.due(self._parts.clock.now()))

    def end_orphans(self, rows: Iterable[Instance]) -> int:
        """End what belongs to nobody any more; returns how many. What is at work waits its turn.

        Raises:
            BackendUnavailable: it cannot be told whose instances are.
        """
        now = self._parts.clock.now()
        orphans: dict[int, str] = {}
        listed = [row for row in rows if row.state is State.RUNNING and row.live(now)]
        for row, mark, lost in self._parts.owners.examine(listed):
            if lost:
                orphans[row.id] = lost
            elif row.mark is None:
                self._parts.store.save(row.marked(mark))

        def end(row: Instance) -> bool:
            try:
                return self.end(row, self._call_about(row), Action.ORPHANED, orphans[row.id])
            except BackendUnavailable:
                log.warning(
                    "challenge %d: %s; it could not be removed", row.challenge_id, orphans[row.id]
                )
                return False

        return self.in_parallel(end, [row for row in listed if row.id in orphans])

    def forget(self, row: Instance, event: ContainerEvent | None) -> bool:
        """Drop a row of which nothing is left, and give back what was reserved for it."""
        name = self._parts.name_of(row)

        def release(connection: Connection) -> bool:
            if row.container_id is not None:
                self._parts.flags.end(connection, row, row.flag, self._parts.clock.now())
            self._parts.reservations.release(connection, name)
            return True

        return self._parts.store.delete(row, event, also=release)

    def undo(self, container_id: str) -> None:
        """Remove an instance that was made, except for a row that is not ours any more."""
        self._parts.runtime.remove(container_id)

    def in_parallel(self, work: Callable[[Instance], bool], rows: Iterable[Instance]) -> int:
        """Do this with every row, several at a time; returns how often it returned True."""
        with ThreadPoolExecutor(
            self._parts.settings.cre_parallel_removals, thread_name_prefix="cre-remove"
        ) as pool:
            return sum(pool.map(work, rows))

    def _clear(self, row: Instance) -> None:
        """Remove all that the runtime has of a row."""
        if row.container_id is None or not self._parts.runtime.remove(row.container_id):
            # Half made, or its own container is gone already: the rest goes by the name.
            self._parts.runtime.clear(self._parts.deployment, self._parts.name_of(row), row.id)

    def _call_about(self, row: Instance) -> Call:
        """A call on behalf of whoever started the instance, for events nobody called for."""
        return Call(
            self._parts.backend, self._parts.clock, row.user_id, row.challenge_id, row.team_id
        )

    def _lease_end(self) -> datetime:
        return self._parts.clock.now() + timedelta(seconds=REMOVAL_LEASE_SECONDS)
