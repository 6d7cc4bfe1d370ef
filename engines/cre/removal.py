"""How instances end: stopped, expired, lost, or cleared away when somebody died at work on them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta

from sqlalchemy.engine import Connection

from engines.audit import Action, ContainerEvent
from engines.contract import Code
from engines.cre.context import EngineContext
from engines.cre.evidence import FailureEvidence, Redactor
from engines.cre.runtimes.base import Cleared
from engines.errors import BackendUnavailable
from engines.front import Call
from engines.replies import iso
from engines.state.instances import Instance, InstanceState

log = logging.getLogger(__name__)

REMOVAL_LEASE = timedelta(seconds=120)
"""How long, at most, a row belongs to the process that removes its container."""


class InstanceRemoval:
    """Ends instances: the container first, then its row together with the event.

    A row whose container cannot be removed stays known, and nothing that is live is ever ended
    here unless its owner asked for it.
    """

    def __init__(self, parts: EngineContext) -> None:
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

    def clear_unless_live(self, row: Instance) -> bool:
        """Clear a row away unless it really stands against a start; returns whether it does.

        Raises:
            BackendUnavailable: it does not, but its container could not be removed.
        """
        now = self._parts.clock.now()
        if self.repair(row):
            return False
        if row.state is not InstanceState.RUNNING:
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
            with self._parts.heartbeat.kept(mine.id, mine.version, REMOVAL_LEASE):
                told = self._why_lost(row) if action is Action.LOST else FailureEvidence(why)
                left = self._clear(row)
        except BackendUnavailable:
            self._parts.store.save(mine.running_again())
            raise
        event = call.event(
            action,
            Code.OK,
            container_id=row.container_id,
            old_expiry=iso(row.expires_at),
            **told.detail(),
            **left,
        )
        done = self.forget(mine, event)
        call.recorded = call.recorded or done
        return done

    def give_way(self, row: Instance) -> bool:
        """End an instance whose challenge is solved, for another's sake; raises as :meth:`end`."""
        call = self._call_about(row)
        call.detail["reason"] = "the challenge was solved, and another start needed the place"
        return self.end(row, call, Action.STOPPED)

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

    def end_by_engine(self, row: Instance, action: Action, detail: Mapping[str, int]) -> bool:
        """End a running row that nobody called for; the event says why."""
        return self.end(row, self._call_about(row, detail), action)

    def repair(self, row: Instance) -> bool:
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
                with self._parts.heartbeat.kept(mine.id, mine.version, REMOVAL_LEASE):
                    left = self._clear(row)
            except BackendUnavailable:
                # Still abandoned work: whoever comes next may try again at once.
                self._parts.store.save(mine.stopping(self._parts.clock.now()))
                raise
            event = self._call_about(row).event(
                Action.REPAIRED, Code.OK, state=row.state.value, **left
            )
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
        listed = [row for row in rows if row.state is InstanceState.RUNNING and row.live(now)]
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
        """See :meth:`engines.cre.rounds.ParallelRounds.each`."""
        return self._parts.rounds.each(
            work, rows, lambda row: f"instance {row.id} of challenge {row.challenge_id}"
        )

    def _why_lost(self, row: Instance) -> FailureEvidence:
        """What is left of a container tells why it ended; asked before it goes."""
        redactor = Redactor.of(row.flag, self._parts.catalog.get(row.challenge_id))
        found = self._parts.runtime.why_ended(str(row.container_id), redactor)
        log.warning(
            "the instance of challenge %d of %s is lost: %s",
            row.challenge_id,
            row.account,
            found,
        )
        return found

    def _clear(self, row: Instance) -> dict[str, list[str]]:
        """Remove all that the runtime has of a row; what had to be left, for the event."""
        runtime = self._parts.runtime
        done = Cleared() if row.container_id is None else runtime.remove(row.container_id)
        if not done:
            # Half made, or its own container is gone already: the rest goes by the name.
            done = runtime.clear(self._parts.deployment, self._parts.name_of(row), row.id)
        for each in done.left:
            log.warning("challenge %d has ended, but %s", row.challenge_id, each)
        return {"left": list(done.left)} if done.left else {}

    def _call_about(self, row: Instance, detail: Mapping[str, int] | None = None) -> Call:
        """A call on behalf of whoever started the instance, for events nobody called for."""
        return Call(
            self._parts.backend,
            self._parts.clock,
            row.user_id,
            row.challenge_id,
            row.team_id,
            detail,
        )

    def _lease_end(self) -> datetime:
        return self._parts.clock.now() + self._parts.heartbeat.lease(REMOVAL_LEASE)
