"""Ways to break what has to outlast restarts, full disks and corrected clocks."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any

from conformance.harness import FaultKind, Options
from engines.audit import Action
from engines.contract import ActionResult, Code, InstanceStatus, StartResult, account_key
from engines.errors import BackendUnavailable
from reference.backend import STEP, Record, ReferenceBackend
from reference.machine import Container, Machine


class LostButLive(ReferenceBackend):
    """What is recorded runs, as far as anybody asks."""

    def alive(self, record: Record) -> bool:
        self.machine.ask()
        return True


class LostTwice(ReferenceBackend):
    """The worker and the start that finds it both tell of a loss."""

    def lose(self, record: Record) -> None:
        super().lose(record)
        owner = (record.user_id, record.challenge_id, record.team_id)
        self.audit(Action.LOST, Code.OK, *owner)


class LostInSilence(ReferenceBackend):
    """A loss leaves no trace in the audit log."""

    def lose(self, record: Record) -> None:
        self.drop(record)


class DeadHoldTheirPlaces(ReferenceBackend):
    """What is lost is looked for when its own owner starts again, and not before."""

    def reconcile(self) -> int:
        with self.lock:
            return self.clear_doubt()

    def cleared(self, key: tuple[str, int]) -> None:
        if self.records[key].expires_at <= self.clock.now():
            super().cleared(key)


class TakesAllForDead(ReferenceBackend):
    """After a restart nothing from before it is believed to run."""

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self.born: dict[str, int] = {}

    def launch(self, challenge_id: int | None) -> Container:
        made = super().launch(challenge_id)
        self.born[made.id] = self.machine.boots
        return made

    def alive(self, record: Record) -> bool:
        return super().alive(record) and self.born[record.container.id] == self.machine.boots


class _MovingMachine(Machine):
    def restarted(self) -> None:
        super().restarted()
        for container in self.containers.values():
            container.ports = [f"5{port[1:]}" for port in container.ports]


class MovedByARestart(ReferenceBackend):
    """After a restart containers are published on other ports than the record says."""

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self.machine = _MovingMachine()

    def launch(self, challenge_id: int | None) -> Container:
        return replace(super().launch(challenge_id))


class StartsAgainAfterARestart(ReferenceBackend):
    """A start after a restart makes a container, whatever runs already."""

    def start(
        self, user_id: int, challenge_id: int, team_id: int | None
    ) -> tuple[StartResult, Action]:
        if self.machine.boots and self.live(user_id, challenge_id, team_id) is not None:
            self.machine.run([])
        return super().start(user_id, challenge_id, team_id)


class NoMoreExtendsAfterARestart(ReferenceBackend):
    """After a restart the record is looked up by what only the process before knew."""

    def extend(
        self, user_id: int, challenge_id: int, team_id: int | None, times: dict[str, str]
    ) -> ActionResult:
        if self.machine.boots:
            return ActionResult(False, "Nothing is running", code=Code.NOT_FOUND)
        return super().extend(user_id, challenge_id, team_id, times)


class RunsWithoutRoom(ReferenceBackend):
    """A start makes its container before it finds no room to record it."""

    def begin(self, user_id: int, challenge_id: int, team_id: int | None) -> Record:
        if self.room == 0:
            self.machine.run([])
        return super().begin(user_id, challenge_id, team_id)


class ExtendedByHalves(ReferenceBackend):
    """An extend moves the expiry and then finds no room to count itself."""

    def extend(
        self, user_id: int, challenge_id: int, team_id: int | None, times: dict[str, str]
    ) -> ActionResult:
        record = self.live(user_id, challenge_id, team_id)
        if record is not None and self.room == 0:
            record.expires_at += timedelta(seconds=STEP)
        return super().extend(user_id, challenge_id, team_id, times)


class LookingTakesRoom(ReferenceBackend):
    """A status writes down that somebody has looked."""

    def get_instance_status(
        self, user_id: int, challenge_id: int, team_id: int | None = None
    ) -> InstanceStatus | None:
        self.note()
        return super().get_instance_status(user_id, challenge_id, team_id)


class AuditedBeforeItIsDone(ReferenceBackend):
    """A start is audited as started before it finds no room."""

    def begin(self, user_id: int, challenge_id: int, team_id: int | None) -> Record:
        if self.room == 0:
            self.audit(Action.STARTED, Code.OK, user_id, challenge_id, team_id)
        return super().begin(user_id, challenge_id, team_id)


class AuditedInEveryRound(ReferenceBackend):
    """The worker tells of an expiry before it finds no room to forget the instance."""

    def expire(self, record: Record) -> None:
        if self.room == 0:
            owner = (record.user_id, record.challenge_id, record.team_id)
            self.audit(Action.EXPIRED, Code.OK, *owner)
        super().expire(record)


class FreshLifeFromTheFuture(ReferenceBackend):
    """The worker gives a fresh life to what seems to have begun in the future."""

    def reconcile(self) -> int:
        now = self.clock.now()
        for record in self.records.values():
            if record.started_at > now:
                record.started_at = now
                record.expires_at = now + timedelta(seconds=self.options.timeout_seconds)
        return super().reconcile()


class FutureIsGarbage(ReferenceBackend):
    """The worker removes what seems to have begun in the future."""

    def reconcile(self) -> int:
        for record in list(self.records.values()):
            if record.started_at > self.clock.now():
                self.lose(record)
        return super().reconcile()


class DoubtFromTheFuture(ReferenceBackend):
    """What broke off at a moment that has not come yet is forgotten."""

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self.broke_off_at = self.clock.now()

    def start_broke_off(self) -> StartResult:
        self.broke_off_at = self.clock.now()
        return super().start_broke_off()

    def clear_doubt(self) -> int:
        if self.broke_off_at > self.clock.now():
            self.doubts.clear()
        return super().clear_doubt()


class OneRoundBehind(ReferenceBackend):
    """The worker compares expiries with the time of its last round."""

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self.round = self.clock.now()

    def expire_due(self) -> int:
        due = [each for each in self.records.values() if each.expires_at <= self.round]
        self.round = self.clock.now()
        for record in due:
            self.expire(record)
        return len(due)


class NaiveLocalTime(ReferenceBackend):
    """The expiry is counted on the machine's wall clock, which is put forward and back."""

    def last(self, expiry: datetime, challenge_id: int) -> datetime:
        now = self.clock.now()
        wall = now.astimezone().replace(tzinfo=None) + (expiry - now)
        return super().last(wall.astimezone().astimezone(timezone.utc), challenge_id)


class AuditsInLocalTime(ReferenceBackend):
    """Events carry the machine's wall clock and call it UTC."""

    def audit(self, action: Action, *rest: Any, **metadata: Any) -> None:
        super().audit(action, *rest, **metadata)
        wall = self.clock.now().astimezone().replace(tzinfo=timezone.utc)
        self.events[-1] = replace(self.events[-1], at=wall)


class ReaperCountsFromTheStart(ReferenceBackend):
    """The worker reckons the expiry by itself, and knows of no extension."""

    def expire_due(self) -> int:
        removed = super().expire_due()
        life = timedelta(seconds=self.options.timeout_seconds)
        for record in list(self.records.values()):
            if record.started_at + life <= self.clock.now():
                self.expire(record)
                removed += 1
        return removed


class DayWraps(ReferenceBackend):
    """What remains is looked at within a day: a whole day later an instance lives again."""

    def live(self, user_id: int, challenge_id: int, team_id: int | None) -> Record | None:
        record = self.records.get((account_key(user_id, team_id), challenge_id))
        if record is None or not self.alive(record):
            return None
        left = (record.expires_at - self.clock.now()).seconds
        return record if 0 < left <= self.options.timeout_seconds * 2 else None

    def describe(self, record: Record) -> InstanceStatus:
        told = super().describe(record)
        told["remaining_seconds"] = (record.expires_at - self.clock.now()).seconds
        return told


class FallsOverNonsense(ReferenceBackend):
    """An answer that makes no sense comes out as whatever it broke."""

    def start(
        self, user_id: int, challenge_id: int, team_id: int | None
    ) -> tuple[StartResult, Action]:
        try:
            return super().start(user_id, challenge_id, team_id)
        except BackendUnavailable as error:
            if self.machine.fault is FaultKind.FUZZED:
                raise OverflowError from error
            raise


CAUGHT_BY: dict[type[ReferenceBackend], tuple[str, ...]] = {
    LostButLive: ("RESTART-002", "RESTART-003", "RESTART-004", "RESTART-005", "RESTART-006"),
    LostTwice: ("RESTART-006",),
    LostInSilence: ("RESTART-006",),
    DeadHoldTheirPlaces: ("RESTART-005",),
    TakesAllForDead: ("RESTART-007", "RESTART-008", "RESTART-009"),
    MovedByARestart: ("RESTART-007",),
    StartsAgainAfterARestart: ("RESTART-008",),
    NoMoreExtendsAfterARestart: ("RESTART-009",),
    RunsWithoutRoom: ("STATE-001", "STATE-002"),
    ExtendedByHalves: ("STATE-004",),
    LookingTakesRoom: ("STATE-005",),
    AuditedBeforeItIsDone: ("STATE-007",),
    AuditedInEveryRound: ("STATE-008",),
    FreshLifeFromTheFuture: ("TIME-003", "TIME-004"),
    FutureIsGarbage: ("TIME-003", "TIME-004"),
    DoubtFromTheFuture: ("TIME-005",),
    OneRoundBehind: ("TIME-006",),
    NaiveLocalTime: ("TIME-008", "TIME-009"),
    AuditsInLocalTime: ("TIME-007",),
    ReaperCountsFromTheStart: ("EXPIRY-010",),
    DayWraps: ("TIME-006",),
    FallsOverNonsense: ("FAULT-018",),
}
"""Every breakage and the scenarios that must fail on it."""
