"""Ways to break what has to outlast the death of a process in the middle of a call."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from conformance.harness import Options
from engines.audit import Action
from engines.contract import ActionResult, Code, StartResult, account_key
from reference.backend import STEP, Key, Record, ReferenceBackend
from reference.machine import Container


class LooksForStraysLater(ReferenceBackend):
    """A start makes its container whatever one that died has left; the worker clears up."""

    def launch(self, challenge_id: int | None) -> Container:
        kept, self.doubts = self.doubts, []
        try:
            return super().launch(challenge_id)
        finally:
            kept += self.doubts
            self.doubts = kept


class LeavesStraysToTheNext(ReferenceBackend):
    """What a start that died has left stays until somebody starts."""

    def reconcile(self) -> int:
        kept, self.doubts = self.doubts, []
        try:
            return super().reconcile()
        finally:
            self.doubts = kept


class _Marked(ReferenceBackend):
    """Keeps a list of keys beside the records, for all processes."""

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self.marked: set[Key] = set()

    def another(self) -> ReferenceBackend:
        other = super().another()
        assert isinstance(other, _Marked)
        other.marked = self.marked
        return other


class LockedUntilTheWorkerComes(_Marked):
    """An account whose start died is locked, and the worker alone has the key."""

    def begin(self, user_id: int, challenge_id: int, team_id: int | None) -> Record:
        key = account_key(user_id, team_id), challenge_id
        self.marked.add(key)
        try:
            made = super().begin(user_id, challenge_id, team_id)
        except Exception:
            self.marked.discard(key)
            raise
        self.marked.discard(key)
        return made

    def refusal(self, user_id: int, challenge_id: int, team_id: int | None) -> Any:
        if (account_key(user_id, team_id), challenge_id) in self.marked:
            return self.start_broke_off()
        return super().refusal(user_id, challenge_id, team_id)

    def reconcile(self) -> int:
        self.marked.clear()
        return super().reconcile()


class LockedForTheLongestStart(ReferenceBackend):
    """An account whose start died is locked for as long as the longest start takes."""

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self.locked: dict[Key, datetime] = {}
        """Until when."""

    def another(self) -> ReferenceBackend:
        other = super().another()
        assert isinstance(other, LockedForTheLongestStart)
        other.locked = self.locked
        return other

    def begin(self, user_id: int, challenge_id: int, team_id: int | None) -> Record:
        key = account_key(user_id, team_id), challenge_id
        self.locked[key] = self.clock.now() + timedelta(minutes=2)
        made = super().begin(user_id, challenge_id, team_id)
        del self.locked[key]
        return made

    def start_broke_off(self) -> StartResult:
        self.locked.clear()
        return super().start_broke_off()

    def refusal(self, user_id: int, challenge_id: int, team_id: int | None) -> Any:
        until = self.locked.get((account_key(user_id, team_id), challenge_id))
        if until is not None and self.clock.now() < until:
            return StartResult(False, "At work", code=Code.BUSY, retry_after=1.0)
        return super().refusal(user_id, challenge_id, team_id)


class MovesThenCounts(ReferenceBackend):
    """An extend moves the expiry first of all, and counts itself when it is done."""

    def extend(
        self, user_id: int, challenge_id: int, team_id: int | None, times: dict[str, str]
    ) -> ActionResult:
        record = self.live(user_id, challenge_id, team_id)
        if record is None or self.life is None:
            return super().extend(user_id, challenge_id, team_id, times)
        before = record.expires_at
        record.expires_at = before + timedelta(seconds=STEP)
        self.machine.renew()
        record.expires_at = before
        return super().extend(user_id, challenge_id, team_id, times)


class StoppingForEver(_Marked):
    """What somebody began to stop is his to stop, for ever."""

    def stop(self, user_id: int, challenge_id: int, team_id: int | None) -> ActionResult:
        key = account_key(user_id, team_id), challenge_id
        if key in self.marked:
            return ActionResult(False, "Being stopped", code=Code.BUSY, retry_after=1.0)
        self.marked.add(key)
        try:
            result = super().stop(user_id, challenge_id, team_id)
        except Exception:
            self.marked.discard(key)
            raise
        self.marked.discard(key)
        return result


class ExpiryToldFirst(ReferenceBackend):
    """The worker tells of an expiry, and then removes the container."""

    told = False

    def expire(self, record: Record) -> None:
        owner = (record.user_id, record.challenge_id, record.team_id)
        super().audit(Action.EXPIRED, Code.OK, *owner)
        self.told = True
        try:
            super().expire(record)
        finally:
            self.told = False

    def audit(self, action: Action, *rest: Any, **metadata: Any) -> None:
        if not (self.told and action is Action.EXPIRED):
            super().audit(action, *rest, **metadata)


class StartToldFirst(ReferenceBackend):
    """A start is told before its container is made, by a process that trusts itself."""

    told = False

    def begin(self, user_id: int, challenge_id: int, team_id: int | None) -> Record:
        if self.life is not None:
            self.audit(Action.STARTED, Code.OK, user_id, challenge_id, team_id)
            self.told = True
        return super().begin(user_id, challenge_id, team_id)

    def audit(self, action: Action, *rest: Any, **metadata: Any) -> None:
        if not (self.told and action is Action.STARTED):
            super().audit(action, *rest, **metadata)


class DeathClearsAll(ReferenceBackend):
    """What a start that died has left is cleared away with a broad brush."""

    def clear_doubt(self) -> int:
        if any(mark not in self.under_way for mark in self.doubts):
            self.records.clear()
        return super().clear_doubt()


CAUGHT_BY: dict[type[ReferenceBackend], tuple[str, ...]] = {
    LooksForStraysLater: ("CRASH-001",),
    LeavesStraysToTheNext: ("CRASH-002",),
    LockedUntilTheWorkerComes: ("CRASH-003",),
    MovesThenCounts: ("CRASH-004",),
    StoppingForEver: ("CRASH-005",),
    ExpiryToldFirst: ("CRASH-006",),
    StartToldFirst: ("CRASH-007",),
    DeathClearsAll: ("CRASH-008",),
    LockedForTheLongestStart: ("CRASH-009",),
}
"""Every breakage and the scenarios that must fail on it."""
