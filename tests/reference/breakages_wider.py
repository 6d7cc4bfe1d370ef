"""Ways to break the reference backend that only the third version of the contract sees."""

from __future__ import annotations

import logging
from datetime import timedelta

from engines.audit import Action
from engines.contract import ActionResult, Code, InstanceStatus, StartResult, account_key
from engines.errors import BackendUnavailable
from reference.backend import CHALLENGES, GRACE, Record, ReferenceBackend
from reference.machine import Container

LATE = timedelta(seconds=60)


class TooLateToExtend(ReferenceBackend):
    """In its last minute an instance is not extended any more."""

    def extend(
        self, user_id: int, challenge_id: int, team_id: int | None, times: dict[str, str]
    ) -> ActionResult:
        record = self.live(user_id, challenge_id, team_id)
        if record is not None and record.expires_at - self.clock.now() < LATE:
            return ActionResult(False, "Nothing is running", code=Code.NOT_FOUND)
        return super().extend(user_id, challenge_id, team_id, times)


class KnownByItsPort(ReferenceBackend):
    """Whatever has the instance's port is the instance."""

    def alive(self, record: Record) -> bool:
        self.machine.ask()
        return any(
            container.alive and container.ports == record.container.ports
            for container in self.machine.containers.values()
        )


class LastKnownIsTheUsers(ReferenceBackend):
    """What was last known is looked up by who started it, and told to nobody else."""

    def last_known(
        self, user_id: int, challenge_id: int, team_id: int | None = None
    ) -> InstanceStatus | None:
        record = self.records.get((account_key(user_id, team_id), challenge_id))
        if record is not None and record.user_id != user_id:
            return None
        return super().last_known(user_id, challenge_id, team_id)


class LetsAnybodyIn(ReferenceBackend):
    """Who is not let in by the machine is let in by way of somebody else."""

    def let_in(self, user_id: int) -> None:
        pass


class ForgetsWhoIsLockedOut(ReferenceBackend):
    """What belongs to a user who is not let in any more is taken for gone."""

    def get_instance_status(
        self, user_id: int, challenge_id: int, team_id: int | None = None
    ) -> InstanceStatus | None:
        if user_id in self.barred:
            return None
        return super().get_instance_status(user_id, challenge_id, team_id)


class TokenInTheLog(ReferenceBackend):
    """What it asks the machine with is logged."""

    def let_in(self, user_id: int) -> None:
        logging.getLogger(__name__).debug("asks with ctfd_%032x", user_id)
        super().let_in(user_id)


class TimeIsAsItWas(ReferenceBackend):
    """A time that was cut past the backend is not noticed."""

    def shortened(self, record: Record, by: timedelta) -> None:
        pass


class OneHoldsUpAll(ReferenceBackend):
    """While the user of any instance is not let in, nothing is ended."""

    def expire_due(self) -> int:
        holders = {record.user_id for record in self.records.values()}
        return 0 if self.barred & holders else super().expire_due()


class FlagsEndWithTheirTime(ReferenceBackend):
    """At the expiry a flag is wrong."""

    def recorded_flag(
        self, user_id: int, challenge_id: int, team_id: int | None = None
    ) -> str | None:
        record = self.records.get((account_key(user_id, team_id), challenge_id))
        if record is not None and record.expires_at <= self.clock.now():
            return None
        return super().recorded_flag(user_id, challenge_id, team_id)


class EarlierFlagStays(ReferenceBackend):
    """The flag on record is that of the first instance that has ended, not of the last."""

    def drop(self, record: Record) -> None:
        key = account_key(record.user_id, record.team_id), record.challenge_id
        before = self.ended.get(key)
        super().drop(record)
        if before is not None:
            self.ended[key] = before


class FlagsForEver(ReferenceBackend):
    """A flag that has counted counts for ever."""

    def recorded_flag(
        self, user_id: int, challenge_id: int, team_id: int | None = None
    ) -> str | None:
        now = self.clock._now
        self.clock._now = now - timedelta(seconds=100 * GRACE)
        try:
            return super().recorded_flag(user_id, challenge_id, team_id)
        finally:
            self.clock._now = now


class FlagsAreTheStarters(ReferenceBackend):
    """A flag is wrong for who has not started the instance."""

    def recorded_flag(
        self, user_id: int, challenge_id: int, team_id: int | None = None
    ) -> str | None:
        record = self.records.get((account_key(user_id, team_id), challenge_id))
        if record is not None and record.user_id != user_id:
            return "flag{of somebody else}"
        return super().recorded_flag(user_id, challenge_id, team_id)


class NamesTheStarter(ReferenceBackend):
    """An event names who has started the instance, whoever calls."""

    def extend_instance(
        self, user_id: int, challenge_id: int, team_id: int | None = None
    ) -> ActionResult:
        record = self.records.get((account_key(user_id, team_id), challenge_id))
        caller = user_id if record is None else record.user_id
        return super().extend_instance(caller, challenge_id, team_id)


class TakesNoTime(ReferenceBackend):
    """Every call took 0 ms."""

    def took(self) -> int:
        return 0


class LooksAndRemovesLater(ReferenceBackend):
    """A round notes what is known, and removes all else once it has thought about it."""

    def reconcile(self) -> int:
        known = {record.container.id for record in self.records.values()}
        self.pause()
        strays = [container for container in self.machine.containers if container not in known]
        for stray in strays:
            self.machine.remove(stray)
        return super().reconcile()


class RecordsWhenItIsDone(ReferenceBackend):
    """A start lets go of its lock between its container and the record."""

    def begin(self, user_id: int, challenge_id: int, team_id: int | None) -> Record:
        container = self.take(challenge_id) or self.launch(challenge_id)
        self.under_way.clear()
        self.pause()
        self.waiting.append(container)
        taken, self.take = self.take, lambda _: self.waiting.pop()  # type: ignore[method-assign] # once
        try:
            return super().begin(user_id, challenge_id, team_id)
        finally:
            self.take = taken  # type: ignore[method-assign] # the sound one


class FaultsGiveExtensionsBack(ReferenceBackend):
    """After a call that broke off an instance has no extension used."""

    def broke_off(self) -> ActionResult:
        for record in self.records.values():
            record.extensions = 0
        return super().broke_off()


class CertainOfTheUnknown(ReferenceBackend):
    """Whatever broke off is told as certain to have done nothing."""

    def start_broke_off(self) -> StartResult:
        return StartResult(False, "Out of reach", code=Code.UNAVAILABLE, retry_after=10.0)


class FollowsRedirects(ReferenceBackend):
    """A redirect is followed, wherever it points."""

    def start(
        self, user_id: int, challenge_id: int, team_id: int | None
    ) -> tuple[StartResult, Action]:
        if self.machine.elsewhere is not None:
            self.machine.elsewhere.append(f"start {challenge_id}, token of user {user_id}")
        return super().start(user_id, challenge_id, team_id)


class TheLostCount(ReferenceBackend):
    """What was lost holds its places and its port until its time is over."""

    def cleared(self, key: tuple[str, int]) -> None:
        if self.records[key].expires_at <= self.clock.now():
            super().cleared(key)

    def reconcile(self) -> int:
        return 0

    def taken_ports(self) -> set[str]:
        kept = {port for record in self.records.values() for port in record.container.ports}
        return super().taken_ports() | kept


class TheDeadWait(ReferenceBackend):
    """What died waiting for a start waits on."""

    def died_waiting(self, container: Container) -> bool:
        return False


class UncertainInAnOutage(ReferenceBackend):
    """A start while nothing gets through says that it never got an answer, and made nothing."""

    def start_broke_off(self) -> StartResult:
        return StartResult(
            *(False, "Something went wrong"),
            code=Code.INTERNAL,
            definite=True,
        )


class FullIsDown(ReferenceBackend):
    """A full system is told as one that cannot be reached."""

    def refusal(self, user_id: int, challenge_id: int, team_id: int | None) -> StartResult | None:
        result = super().refusal(user_id, challenge_id, team_id)
        if result is not None and result.code in (Code.CAPACITY, Code.LIMIT_REACHED):
            raise BackendUnavailable("no room")
        return result


class NothingIsKnownOfTheLost(ReferenceBackend):
    """A start whose answer was lost is told as certain, and nothing of it is looked for."""

    def start_broke_off(self) -> StartResult:
        self.doubts.clear()
        return StartResult(False, "Out of reach", code=Code.UNAVAILABLE, retry_after=10.0)


class FlagsOutliveTheirAccounts(ReferenceBackend):
    """Flags of what has ended go by numbers, whoever had them."""

    def another_ones(self, record: Record) -> bool:
        return False


class CertainOfStops(ReferenceBackend):
    """A stop that broke off is told as certain to have failed."""

    def broke_off(self) -> ActionResult:
        return ActionResult(False, "Out of reach", code=Code.UNAVAILABLE, retry_after=10.0)


class KnowsItsOwnExtensionsOnly(ReferenceBackend):
    """What was extended past the backend ends when it would have ended."""

    def renewed(self, record: Record) -> None:
        pass


class FailedExtendsStayAtWork(ReferenceBackend):
    """After an extend that broke off the next ones are told to wait."""

    stuck = False

    def extend(
        self, user_id: int, challenge_id: int, team_id: int | None, times: dict[str, str]
    ) -> ActionResult:
        if self.stuck:
            return ActionResult(False, "At work", code=Code.BUSY, retry_after=10.0)
        try:
            return super().extend(user_id, challenge_id, team_id, times)
        except BackendUnavailable:
            self.stuck = True
            raise


class CountsWhatIsHandedOver(ReferenceBackend):
    """A container of the pool and its start take a place each while it is handed over."""

    place = object()

    def begin(self, user_id: int, challenge_id: int, team_id: int | None) -> Record:
        container = self.take(challenge_id)
        if container is None:
            return super().begin(user_id, challenge_id, team_id)
        self.doubts += [self.place] * 2  # which all processes share
        self.pause()
        self.doubts.clear()
        self.waiting.insert(0, container)
        return super().begin(user_id, challenge_id, team_id)

    def held(self) -> int:
        return super().held() + self.doubts.count(self.place)


class CallsAreNotCounted(ReferenceBackend):
    """Over HTTP an account may call as often as it likes."""

    def throttle(self, user_id: int, team_id: int | None = None) -> float | None:
        return None


class AllHaveOneMinute(ReferenceBackend):
    """The calls of one account count for all."""

    def counted_as(self, user_id: int, team_id: int | None) -> str:
        return ""


class LastKnownIsTheNumbers(ReferenceBackend):
    """What is last known is told to whoever has the number now."""

    def last_known(
        self, user_id: int, challenge_id: int, team_id: int | None = None
    ) -> InstanceStatus | None:
        record = self.records.get((account_key(user_id, team_id), challenge_id))
        if record is None or record.expires_at <= self.clock.now():
            return None
        return self.describe(record)


class LeavesItToTheNext(ReferenceBackend):
    """What cannot be ended for want of access is the next owner's."""

    def lose(self, record: Record, action: Action = Action.LOST) -> None:
        if record.user_id in self.barred:
            record.owner = self.owners.get(account_key(record.user_id, record.team_id), 0)
        else:
            super().lose(record, action)


class StrangersTakePlaces(ReferenceBackend):
    """What somebody else has made counts towards the account's limit for ever."""

    def refusal(self, user_id: int, challenge_id: int, team_id: int | None) -> StartResult | None:
        if self.doubts and challenge_id == CHALLENGES.second:
            return StartResult(False, "Something else runs", code=Code.LIMIT_REACHED)
        return super().refusal(user_id, challenge_id, team_id)


class LiveUntilItIsRemoved(ReferenceBackend):
    """A container that ended at once is live until it can be removed."""

    def start(
        self, user_id: int, challenge_id: int, team_id: int | None
    ) -> tuple[StartResult, Action]:
        if challenge_id != CHALLENGES.exits_at_once or self.machine.fault is None:
            return super().start(user_id, challenge_id, team_id)
        fault, self.machine.fault = self.machine.fault, None
        self.begin(user_id, challenge_id, team_id)
        self.machine.fault = fault
        return self.start_broke_off(), Action.START_FAILED


CAUGHT_BY: dict[type[ReferenceBackend], tuple[str, ...]] = {
    LastKnownIsTheNumbers: ("ACCOUNT-030", "ACCOUNT-031"),
    LeavesItToTheNext: ("ACCOUNT-032",),
    StrangersTakePlaces: ("ACCOUNT-033",),
    LiveUntilItIsRemoved: ("FAULT-032",),
    TooLateToExtend: ("EXTEND-016",),
    KnownByItsPort: ("STATUS-017", "FAULT-028"),
    FlagsOutliveTheirAccounts: ("FLAG-019", "FLAG-020"),
    CertainOfStops: ("STOP-017", "STOP-018"),
    KnowsItsOwnExtensionsOnly: ("EXTEND-017",),
    FailedExtendsStayAtWork: ("FAULT-031",),
    CountsWhatIsHandedOver: ("POOL-009",),
    CallsAreNotCounted: ("HTTP-024",),
    AllHaveOneMinute: ("HTTP-024",),
    LastKnownIsTheUsers: ("ACCOUNT-027", "HTTP-023"),
    LetsAnybodyIn: ("ACCOUNT-028",),
    TokenInTheLog: ("ACCOUNT-034",),
    TimeIsAsItWas: ("STATUS-018",),
    OneHoldsUpAll: ("ACCOUNT-035",),
    ForgetsWhoIsLockedOut: ("ACCOUNT-029",),
    EarlierFlagStays: ("FLAG-021",),
    FlagsEndWithTheirTime: ("FLAG-015",),
    FlagsForEver: ("FLAG-014",),
    FlagsAreTheStarters: ("FLAG-006", "FLAG-018"),
    NamesTheStarter: ("AUDIT-022",),
    TakesNoTime: ("AUDIT-023",),
    LooksAndRemovesLater: ("CONC-022",),
    RecordsWhenItIsDone: ("CONC-023",),
    FaultsGiveExtensionsBack: ("FAULT-025",),
    CertainOfTheUnknown: ("FAULT-026", "FAULT-030"),
    FollowsRedirects: ("FAULT-027",),
    TheLostCount: ("LIMIT-013", "LIMIT-014", "LIMIT-015", "PORT-007"),
    TheDeadWait: ("POOL-008",),
    UncertainInAnOutage: ("SWAP-011", "SWAP-015"),
    FullIsDown: ("SWAP-012", "SWAP-013"),
    NothingIsKnownOfTheLost: ("SWAP-014", "SWAP-025"),
}
