"""Ways to break what outlasts a contest: sites side by side, deletions, clocks, full disks."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from conformance.harness import Options
from conformance.harnesses.skewed import AheadClock
from engines.audit import Action
from engines.clock import Clock
from engines.contract import StartResult, account_key, validate_ids
from engines.errors import BackendUnavailable
from engines.replies import busy_start
from reference.backend import CHALLENGES, Key, Record, ReferenceBackend
from reference.machine import Container

LEASE = timedelta(minutes=2)


class TakesAllOfItsName(ReferenceBackend):
    """What bears the deployment's name and has no record here is a stray, whoever has made it."""

    def owns(self, container: Container) -> bool:
        return True

    def reconcile(self) -> int:
        self.doubts.append(object())
        return super().reconcile()


class SilentAboutOthers(ReferenceBackend):
    """That two sites bear one name is nobody's business."""

    def tell_of_others(self) -> None:
        return


class OneNameForBothSites(ReferenceBackend):
    """A start replaces what another site has made for the account of the same number."""

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self.named: dict[Key, str] = {}

    def another_site(self) -> ReferenceBackend:
        other = super().another_site()
        assert isinstance(other, OneNameForBothSites)
        other.named = self.named
        return other

    def begin(self, user_id: int, challenge_id: int, team_id: int | None) -> Record:
        record = super().begin(user_id, challenge_id, team_id)
        key = account_key(user_id, team_id), challenge_id
        before = self.machine.containers.get(self.named.get(key, ""))
        if before is not None and before.site != self.site:
            self.machine.remove(before.id)
        self.named[key] = record.container.id
        return record


class TheDeletedHoldTheirPlaces(ReferenceBackend):
    """What a deleted account has left counts for who has the number now."""

    def cleared(self, key: Key) -> None:
        if not self.orphaned(self.records[key]):
            super().cleared(key)


class TheDeletedForgottenInAnOutage(ReferenceBackend):
    """What belongs to nobody is struck off the list, whether or not it could be removed."""

    def reconcile(self) -> int:
        for key, record in list(self.records.items()):
            if self.orphaned(record):
                try:
                    self.lose(record, Action.ORPHANED)
                except BackendUnavailable:
                    del self.records[key]
        return super().reconcile()


class TeamsAreNumbers(ReferenceBackend):
    """Users are told apart, teams are their numbers."""

    def orphaned(self, record: Record) -> bool:
        return record.team_id is None and super().orphaned(record)


class FlagsForGood(ReferenceBackend):
    """A flag that was given once counts for ever."""

    grace = timedelta(days=3650)


class GraceFromTheWorker(ReferenceBackend):
    """The grace time begins when the worker comes."""

    def outlived(self, record: Record) -> bool:
        return False


class OneFlagAtATime(ReferenceBackend):
    """A new container makes the flag of the one before it wrong."""

    def counting_flags(self, *ids: Any) -> tuple[str, ...]:
        return super().counting_flags(*ids)[:1]


class DiskNotWatched(ReferenceBackend):
    """Whoever fills the disk fills it."""

    def watch(self) -> int:
        return 0


class EveryoneIsEnded(ReferenceBackend):
    """When one has filled the disk, all of its challenge are ended."""

    def watch(self) -> int:
        if ended := super().watch():
            for record in list(self.records.values()):
                if record.challenge_id == CHALLENGES.little_disk:
                    self.lose(record, Action.DISK_FULL)
        return ended


class EndedInSilence(ReferenceBackend):
    """A player whose instance was ended sees that nothing runs."""

    def why_ended(self, *_ids: Any) -> str | None:
        return None


class GoesByItsOwnClock(ReferenceBackend):
    """Every machine judges by its own clock what is over."""

    def on_machine_ahead(self, seconds: float) -> ReferenceBackend:
        other = super().on_machine_ahead(seconds)
        other.clock = AheadClock(self.clock, seconds)  # type: ignore[assignment] # the breakage
        return other


class GivesUpByItsOwnClock(ReferenceBackend):
    """Who is at work on a start has so long for it, by the clock of whoever looks."""

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self.own_clock: Clock = self.clock
        self.begun: dict[Key, datetime] = {}

    def another(self) -> ReferenceBackend:
        other = super().another()
        assert isinstance(other, GivesUpByItsOwnClock)
        other.own_clock, other.begun = self.own_clock, self.begun
        return other

    def on_machine_ahead(self, seconds: float) -> ReferenceBackend:
        other = super().on_machine_ahead(seconds)
        assert isinstance(other, GivesUpByItsOwnClock)
        other.own_clock = AheadClock(self.clock, seconds)
        return other

    def start_instance(
        self, user_id: int, challenge_id: int, team_id: int | None = None
    ) -> StartResult:
        validate_ids(user_id, challenge_id, team_id)
        self.begun.setdefault((account_key(user_id, team_id), challenge_id), self.clock.now())
        return super().start_instance(user_id, challenge_id, team_id)

    def start(
        self, user_id: int, challenge_id: int, team_id: int | None
    ) -> tuple[StartResult, Action]:
        if self.begun.pop((account_key(user_id, team_id), challenge_id), None) is None:
            return busy_start(), Action.START_FAILED
        return super().start(user_id, challenge_id, team_id)

    def reconcile(self) -> int:
        now = self.own_clock.now()
        for key in [key for key, began in self.begun.items() if now - began > LEASE]:
            del self.begun[key]
        return super().reconcile()


class HalfAnInstance(ReferenceBackend):
    """A start does not look what has become of its companion."""

    def never_starts(self, challenge_id: int) -> bool:
        return challenge_id != CHALLENGES.dying_companion and super().never_starts(challenge_id)


class TwoNumbersForAPair(ReferenceBackend):
    """The TCP and the UDP port of a protocol that speaks both are on two numbers."""

    def shown_ports(self, record: Record) -> list[str]:
        first, *more = super().shown_ports(record)
        return [first, *(str(int(port) + place) for place, port in enumerate(more, start=1))]


class KnocksFirst(ReferenceBackend):
    """A start connects to what it waits for."""

    def begin(self, user_id: int, challenge_id: int, team_id: int | None) -> Record:
        record = super().begin(user_id, challenge_id, team_id)
        record.container.connections += 1
        return record


class FlagInBoth(ReferenceBackend):
    """A flag that is to be in a file is in the environment besides."""

    def begin(self, user_id: int, challenge_id: int, team_id: int | None) -> Record:
        record = super().begin(user_id, challenge_id, team_id)
        record.container.flag_in_environment = True
        return record


CAUGHT_BY: dict[type[ReferenceBackend], tuple[str, ...]] = {
    TakesAllOfItsName: ("EXPIRY-018", "EXPIRY-019"),
    SilentAboutOthers: ("EXPIRY-019",),
    OneNameForBothSites: ("ACCOUNT-026",),
    TheDeletedHoldTheirPlaces: ("ACCOUNT-023",),
    TheDeletedForgottenInAnOutage: ("ACCOUNT-024",),
    TeamsAreNumbers: ("ACCOUNT-025",),
    FlagsForGood: ("FLAG-014", "FLAG-015", "FLAG-016"),
    GraceFromTheWorker: ("FLAG-015",),
    OneFlagAtATime: ("FLAG-016",),
    DiskNotWatched: ("ISOLATION-020",),
    EveryoneIsEnded: ("ISOLATION-020",),
    EndedInSilence: ("HTTP-016",),
    GoesByItsOwnClock: ("TIME-010", "TIME-012"),
    GivesUpByItsOwnClock: ("TIME-011",),
    TwoNumbersForAPair: ("PORT-006",),
    KnocksFirst: ("REACH-010",),
    FlagInBoth: ("FLAG-017",),
    HalfAnInstance: ("COMPANION-005",),
}
"""Every breakage and the scenarios that must fail on it."""
