"""Ways to break the reference backend, each with the scenarios that must notice."""

from __future__ import annotations

import logging
import threading
from contextlib import nullcontext
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from conformance.harness import Options
from engines.audit import Action
from engines.contract import (
    ActionResult,
    Code,
    InstanceStatus,
    StartResult,
    account_key,
    validate_ids,
)
from engines.errors import BackendUnavailable
from reference import (
    breakages_audit,
    breakages_contest,
    breakages_deaths,
    breakages_hangs,
    breakages_http,
    breakages_limits,
    breakages_nodes,
    breakages_orders,
    breakages_outages,
    breakages_swap,
    breakages_wider,
)
from reference.backend import CHALLENGES, STEP, Key, Record, ReferenceBackend
from reference.inside import Wall
from reference.machine import Container

log = logging.getLogger(__name__)


class SecondContainer(ReferenceBackend):
    """A double click makes another container, which nobody knows."""

    def start(
        self, user_id: int, challenge_id: int, team_id: int | None
    ) -> tuple[StartResult, Action]:
        result = super().start(user_id, challenge_id, team_id)
        if result[1] is Action.START_REPEATED:
            self.machine.run([])
        return result


class RenewedByStart(ReferenceBackend):
    """A double click gives the full time again."""

    def start(
        self, user_id: int, challenge_id: int, team_id: int | None
    ) -> tuple[StartResult, Action]:
        record = self.live(user_id, challenge_id, team_id)
        if record is not None:
            life = timedelta(seconds=self.options.timeout_seconds)
            record.expires_at = self.clock.now() + life
        return super().start(user_id, challenge_id, team_id)


class ForgetfulStop(ReferenceBackend):
    """A stop forgets the instance, but its container runs on."""

    def drop(self, record: Record) -> None:
        kept = self.machine.containers.get(record.container.id)
        super().drop(record)
        if kept is not None:
            self.machine.containers[kept.id] = kept


class ShorteningExtend(ReferenceBackend):
    """An extend counts its step from now."""

    def later(self, record: Record) -> datetime:
        return self.clock.now() + timedelta(seconds=900)


class OneExtensionMore(ReferenceBackend):
    """The limit of extensions is off by one."""

    def extend(
        self, user_id: int, challenge_id: int, team_id: int | None, times: dict[str, str]
    ) -> ActionResult:
        record = self.live(user_id, challenge_id, team_id)
        if record is not None and record.extensions == self.options.max_extensions:
            record.extensions -= 1
        return super().extend(user_id, challenge_id, team_id, times)


class Undead(ReferenceBackend):
    """An expired instance is live until the worker comes."""

    def live(self, user_id: int, challenge_id: int, team_id: int | None) -> Record | None:
        now, self.clock._now = self.clock._now, datetime.min.replace(tzinfo=self.clock._now.tzinfo)
        try:
            return super().live(user_id, challenge_id, team_id)
        finally:
            self.clock._now = now

    def describe(self, record: Record) -> InstanceStatus:
        told = super().describe(record)
        told["remaining_seconds"] = max(0, told["remaining_seconds"])
        return told


class StopsWithItsNetworkOnly(ReferenceBackend):
    """A stop is done when nothing is left, and until then the instance is said to run."""

    def drop(self, record: Record) -> None:
        if record.container.id in self.machine.held:
            raise BackendUnavailable("the network is in use")
        super().drop(record)


class KeepsNetworksOfEarlierOnes(ReferenceBackend):
    """A network that others held on to when its instance was stopped stays."""

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self.kept: set[str] = set()

    def drop(self, record: Record) -> None:
        self.kept |= self.machine.held & {record.container.id}
        super().drop(record)

    def networks(self) -> set[str]:
        return super().networks() | self.kept


class WaitsForItsNetwork(ReferenceBackend):
    """A start waits for what is left of the instance before, and others keep that."""

    def refusal(self, user_id: int, challenge_id: int, team_id: int | None) -> StartResult | None:
        if self.machine.held - self.machine.containers.keys():
            return StartResult(False, "Being cleared", code=Code.BUSY, retry_after=1.0)
        return super().refusal(user_id, challenge_id, team_id)


class AnyChallengeStops(ReferenceBackend):
    """A stop takes whatever the account has running, as Whale's DELETE does."""

    def stop_instance(
        self,
        user_id: int,
        challenge_id: int,
        team_id: int | None = None,
        auto_cleanup: bool = False,
    ) -> ActionResult:
        validate_ids(user_id, challenge_id, team_id)
        for record in list(self.records.values()):
            if (record.user_id, record.team_id) == (user_id, team_id):
                challenge_id = record.challenge_id
        return super().stop_instance(user_id, challenge_id, team_id, auto_cleanup)


class FlagsEndWithTheirContainers(ReferenceBackend):
    """Whoever reads a flag and brings the service down by it has read it for nothing."""

    def recorded_flag(
        self, user_id: int, challenge_id: int, team_id: int | None = None
    ) -> str | None:
        record = self.live(user_id, challenge_id, team_id)
        return None if record is None else record.container.flag


class NumbersAreOwners(ReferenceBackend):
    """Whoever has the number is the owner."""

    def of_another_account(self, record: Record) -> bool:
        return False


class NumbersAreChallenges(ReferenceBackend):
    """An instance belongs to whatever challenge has the number."""

    def of_another_challenge(self, record: Record) -> bool:
        return False


class OneFlagForAll(ReferenceBackend):
    """Every container gets the same flag."""

    def start(
        self, user_id: int, challenge_id: int, team_id: int | None
    ) -> tuple[StartResult, Action]:
        result = super().start(user_id, challenge_id, team_id)
        for container in self.machine.containers.values():
            container.flag = "flag{the-same-for-everybody}"
        return result


class SilentStart(ReferenceBackend):
    """A start leaves no trace in the audit log."""

    def audit(self, action: Action, *rest: Any, **metadata: Any) -> None:
        if action is not Action.STARTED:
            super().audit(action, *rest, **metadata)


class ToldOnce(ReferenceBackend):
    """A refusal that repeats is not told again."""

    def audit(self, action: Action, code: Code, *of: Any, **metadata: Any) -> None:
        told = [(e.action, e.code, e.user_id, e.challenge_id, e.team_id) for e in self.events]
        if code is Code.OK or (action, code, *of) not in told:
            super().audit(action, code, *of, **metadata)


class ChangesToldTogether(ReferenceBackend):
    """Equal events are told by one, whatever they tell of."""

    def audit(self, action: Action, code: Code, *of: Any, **metadata: Any) -> None:
        for number, e in enumerate(self.events):
            if (action, code, *of) == (e.action, e.code, e.user_id, e.challenge_id, e.team_id):
                self.events[number] = replace(e, times=e.times + 1, last_at=self.clock.now())
                return
        super().audit(action, code, *of, **metadata)


class UnexplainedFailure(ReferenceBackend):
    """A start that failed says so, and nobody is told why."""

    def why(self, challenge_id: int) -> dict[str, str]:
        return {}


class UnexplainedLoss(ReferenceBackend):
    """A lost instance is told, and not what became of it."""

    def why_lost(self, record: Record) -> dict[str, str]:
        return {}


class LostForWhateverReason(ReferenceBackend):
    """All losses are told in the same words."""

    def why_lost(self, record: Record) -> dict[str, str]:
        return {"reason": "it does not run"}


class FrankFailure(ReferenceBackend):
    """A player is told what only organisers are to know."""

    def refusal(self, user_id: int, challenge_id: int, team_id: int | None) -> StartResult | None:
        result = super().refusal(user_id, challenge_id, team_id)
        if result is None or result.code is not Code.START_FAILED:
            return result
        why = self.why(challenge_id).get("reason", "")
        return StartResult(False, f"{result.message}: {why}", code=result.code)


class ErrorAsSuccess(ReferenceBackend):
    """An outage is told as success."""

    def stop_instance(
        self,
        user_id: int,
        challenge_id: int,
        team_id: int | None = None,
        auto_cleanup: bool = False,
    ) -> ActionResult:
        result = super().stop_instance(user_id, challenge_id, team_id, auto_cleanup)
        if result.code is Code.UNAVAILABLE:
            return ActionResult(True, "Container stopped", code=Code.OK)
        return result


class UnknownAsNone(ReferenceBackend):
    """Status says none when it cannot ask."""

    def get_instance_status(
        self, user_id: int, challenge_id: int, team_id: int | None = None
    ) -> InstanceStatus | None:
        try:
            return super().get_instance_status(user_id, challenge_id, team_id)
        except BackendUnavailable:
            return None


class FlagInTheMessage(ReferenceBackend):
    """The player is told the flag."""

    def start(
        self, user_id: int, challenge_id: int, team_id: int | None
    ) -> tuple[StartResult, Action]:
        result, action = super().start(user_id, challenge_id, team_id)
        record = self.live(user_id, challenge_id, team_id)
        if not result.ok or record is None:
            return result, action
        message = f"Started with {record.container.flag}"
        return StartResult(True, message, result.instance, code=result.code), action


class FlagInTheAudit(ReferenceBackend):
    """The audit log holds the flag."""

    def audit(self, action: Action, *rest: Any, **metadata: Any) -> None:
        for container in self.machine.containers.values():
            metadata["environment"] = {"FLAG": container.flag}
        super().audit(action, *rest, **metadata)


class FlagInTheLog(ReferenceBackend):
    """The program's log holds the flag."""

    def audit(self, action: Action, *rest: Any, **metadata: Any) -> None:
        for container in self.machine.containers.values():
            log.debug("running with %s", container.flag)
        super().audit(action, *rest, **metadata)


class HtmlMessage(ReferenceBackend):
    """Whale's refusal is passed on as it came."""

    def refusal(self, user_id: int, challenge_id: int, team_id: int | None) -> StartResult | None:
        if challenge_id == CHALLENGES.unknown:
            message = 'Not this one (<a href="/challenges">First</a>)'
            return StartResult(False, message, code=Code.CHALLENGE_UNAVAILABLE)
        return super().refusal(user_id, challenge_id, team_id)


class RaisingExtend(ReferenceBackend):
    """An extend of nothing raises."""

    def extend(
        self, user_id: int, challenge_id: int, team_id: int | None, times: dict[str, str]
    ) -> ActionResult:
        if self.live(user_id, challenge_id, team_id) is None:
            raise KeyError(challenge_id)
        return super().extend(user_id, challenge_id, team_id, times)


class TrueIsOne(ReferenceBackend):
    """Ids are converted instead of checked."""

    def start_instance(
        self, user_id: int, challenge_id: int, team_id: int | None = None
    ) -> StartResult:
        user_id = int(user_id) if isinstance(user_id, bool | float | str) else user_id
        return super().start_instance(user_id, challenge_id, team_id)


class NaiveTimes(ReferenceBackend):
    """Times are told without their zone."""

    def describe(self, record: Record) -> InstanceStatus:
        told = super().describe(record)
        told["expires_at"] = told["expires_at"].removesuffix("+00:00")
        return told


class NumericPorts(ReferenceBackend):
    """Ports are ints."""

    def describe(self, record: Record) -> InstanceStatus:
        told = super().describe(record)
        told["ports"] = [int(port) for port in told["ports"]]  # type: ignore[misc] # the breakage
        return told


class TeamIsUser(ReferenceBackend):
    """Teams and users are told apart by their number only."""

    def live(self, user_id: int, challenge_id: int, team_id: int | None) -> Record | None:
        number = team_id or user_id
        for record in self.records.values():
            same = (record.team_id or record.user_id, record.challenge_id) == (number, challenge_id)
            if same:
                return super().live(record.user_id, challenge_id, record.team_id)
        return None


class NoMates(ReferenceBackend):
    """Teams are declared, but every mate has an instance of their own, as on Whale."""

    def live(self, user_id: int, challenge_id: int, team_id: int | None) -> Record | None:
        record = super().live(user_id, challenge_id, team_id)
        return record if record is not None and record.user_id == user_id else None


class HeldUpWorker(ReferenceBackend):
    """The worker ends its round at the first container it cannot remove."""

    def expire_due(self) -> int:
        removed = 0
        for record in list(self.records.values()):
            if record.expires_at <= self.clock.now():
                try:
                    self.expire(record)
                except BackendUnavailable:
                    break
                removed += 1
        return removed


class RepeatingWorker(ReferenceBackend):
    """The worker audits the same expiry in every round."""

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self.expired: list[Record] = []

    def expire_due(self) -> int:
        due = [each for each in self.records.values() if each.expires_at <= self.clock.now()]
        for record in self.expired:
            owner = (record.user_id, record.challenge_id, record.team_id)
            self.audit(Action.EXPIRED, Code.OK, *owner)
        self.expired += due
        return super().expire_due()


class ForgottenInOutage(ReferenceBackend):
    """A stop that failed drops the record all the same."""

    def stop_instance(
        self,
        user_id: int,
        challenge_id: int,
        team_id: int | None = None,
        auto_cleanup: bool = False,
    ) -> ActionResult:
        result = super().stop_instance(user_id, challenge_id, team_id, auto_cleanup)
        if result.code is Code.UNAVAILABLE:
            self.records.clear()
        return result


class LeftOver(ReferenceBackend):
    """A failed start leaves its container behind."""

    def refusal(self, user_id: int, challenge_id: int, team_id: int | None) -> StartResult | None:
        result = super().refusal(user_id, challenge_id, team_id)
        if result is not None and result.code is Code.START_FAILED:
            self.machine.run([])
        return result


class PlainTuple(ReferenceBackend):
    """Answers carry no code."""

    def start_instance(
        self, user_id: int, challenge_id: int, team_id: int | None = None
    ) -> StartResult:
        result = super().start_instance(user_id, challenge_id, team_id)
        return tuple(result)  # type: ignore[return-value] # the breakage


class SharedPort(ReferenceBackend):
    """All containers are given one port."""

    def start(
        self, user_id: int, challenge_id: int, team_id: int | None
    ) -> tuple[StartResult, Action]:
        for container in self.machine.containers.values():
            _same_address(container)
        result, action = super().start(user_id, challenge_id, team_id)
        for container in self.machine.containers.values():
            _same_address(container)
        record = self.live(user_id, challenge_id, team_id)
        told = dict(self.describe(record)) if result.ok and record is not None else None
        return StartResult(result.ok, result.message, told, code=result.code), action


class NamelessLimit(ReferenceBackend):
    """The refusal at the limit does not say what is running."""

    def refusal(self, user_id: int, challenge_id: int, team_id: int | None) -> StartResult | None:
        result = super().refusal(user_id, challenge_id, team_id)
        if result is not None and result.code is Code.LIMIT_REACHED:
            return StartResult(False, "You have one already", code=Code.LIMIT_REACHED)
        return result


class StrangersExtend(ReferenceBackend):
    """Anybody may extend anybody's instance."""

    def extend(
        self, user_id: int, challenge_id: int, team_id: int | None, times: dict[str, str]
    ) -> ActionResult:
        for record in self.records.values():
            if record.challenge_id == challenge_id:
                user_id, team_id = record.user_id, record.team_id
        return super().extend(user_id, challenge_id, team_id, times)


class UnlockedStart(ReferenceBackend):
    """Nothing keeps a start from looking while another one is about to make its container."""

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self.lock = nullcontext()
        self.arrived = threading.Condition()
        self.present = 0

    def launch(self, challenge_id: int | None) -> Container:
        with self.arrived:
            self.present += 1
            self.arrived.notify_all()
            self.arrived.wait_for(lambda: self.present >= 2, timeout=10)
        return super().launch(challenge_id)


class BusyDoubleClick(ReferenceBackend):
    """A second start is sent away and not told for how long."""

    def start(
        self, user_id: int, challenge_id: int, team_id: int | None
    ) -> tuple[StartResult, Action]:
        result, action = super().start(user_id, challenge_id, team_id)
        if action is Action.START_REPEATED:
            return StartResult(False, "Not so fast", code=Code.BUSY), Action.START_FAILED
        return result, action


class StopSaidTwice(ReferenceBackend):
    """A stop of what somebody else has just stopped says that it did it."""

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self.stopped: set[Key] = set()

    def stop(self, user_id: int, challenge_id: int, team_id: int | None) -> ActionResult:
        key = account_key(user_id, team_id), challenge_id
        result = super().stop(user_id, challenge_id, team_id)
        if result.ok:
            self.stopped.add(key)
        elif key in self.stopped:
            return ActionResult(True, "Container stopped", code=Code.OK)
        return result


class UncountedExtend(ReferenceBackend):
    """An extend writes back the count it had read before another one's."""

    def extend(
        self, user_id: int, challenge_id: int, team_id: int | None, times: dict[str, str]
    ) -> ActionResult:
        result = super().extend(user_id, challenge_id, team_id, times)
        record = self.live(user_id, challenge_id, team_id)
        if record is not None:
            record.extensions = min(record.extensions, 1)
        return result


class StrangersStatus(ReferenceBackend):
    """The status is that of whoever plays the challenge."""

    def get_instance_status(
        self, user_id: int, challenge_id: int, team_id: int | None = None
    ) -> InstanceStatus | None:
        with self.lock:
            for record in self.records.values():
                if record.challenge_id == challenge_id:
                    user_id, team_id = record.user_id, record.team_id
            return super().get_instance_status(user_id, challenge_id, team_id)


class ExpiredTwice(ReferenceBackend):
    """Each of two workers tells of an expiry."""

    def expire(self, record: Record) -> None:
        super().expire(record)
        owner = (record.user_id, record.challenge_id, record.team_id)
        self.audit(Action.EXPIRED, Code.OK, *owner)


class CleanUpToldAgain(ReferenceBackend):
    """A clean-up that finds nothing tells of an expiry all the same."""

    def stop_instance(
        self,
        user_id: int,
        challenge_id: int,
        team_id: int | None = None,
        auto_cleanup: bool = False,
    ) -> ActionResult:
        result = super().stop_instance(user_id, challenge_id, team_id, auto_cleanup)
        if auto_cleanup and result.message == "Nothing to clean up":
            self.audit(Action.EXPIRED, Code.OK, user_id, challenge_id, team_id)
        return result


class NeverSaysWhen(ReferenceBackend):
    """A refusal that will not last does not say when to try again."""

    def start_broke_off(self) -> StartResult:
        return StartResult(False, "Out of reach", code=Code.UNAVAILABLE)

    def broke_off(self) -> ActionResult:
        return ActionResult(False, "Out of reach", code=Code.UNAVAILABLE)


class PhantomStart(ReferenceBackend):
    """A start that broke off is told as success, with an instance nobody made."""

    def start_instance(
        self, user_id: int, challenge_id: int, team_id: int | None = None
    ) -> StartResult:
        result = super().start_instance(user_id, challenge_id, team_id)
        if result.code is not Code.UNAVAILABLE:
            return result
        now = self.clock.now()
        phantom = Container("phantom", "phantom.ctf.example.com", ["20000"], "flag{phantom}")
        record = Record(user_id, team_id, challenge_id, phantom, now, now + timedelta(hours=1))
        return StartResult(True, "Container started", self.describe(record), code=Code.OK)


class ExtendedOnPaper(ReferenceBackend):
    """An extend that broke off is told as success."""

    def broke_off(self) -> ActionResult:
        return ActionResult(True, "Container extended", code=Code.OK)


class StatusThatWrites(ReferenceBackend):
    """A status is not told while writes are refused."""

    def get_instance_status(
        self, user_id: int, challenge_id: int, team_id: int | None = None
    ) -> InstanceStatus | None:
        self.machine.renew()
        return super().get_instance_status(user_id, challenge_id, team_id)


class LostAnswerForgotten(ReferenceBackend):
    """A start whose answer was lost is taken for one that made nothing."""

    def launch(self, challenge_id: int | None) -> Container:
        return self.machine.run(self.free_ports(self.port_count(challenge_id)))


class BelievesItsRecords(ReferenceBackend):
    """What the record says is live, whether or not it runs."""

    def live(self, user_id: int, challenge_id: int, team_id: int | None) -> Record | None:
        self.machine.ask()
        record = self.records.get((account_key(user_id, team_id), challenge_id))
        return record if record is None or self.clock.now() < record.expires_at else None

    def reconcile(self) -> int:
        with self.lock:
            return self.clear_doubt()


class FailureClearsAll(ReferenceBackend):
    """A start that broke off is cleared up after with a broad brush."""

    def start_broke_off(self) -> StartResult:
        self.records.clear()
        return super().start_broke_off()


class WorkerGivesUp(ReferenceBackend):
    """The worker forgets what it could not remove."""

    def expire(self, record: Record) -> None:
        try:
            super().expire(record)
        except BackendUnavailable:
            key = account_key(record.user_id, record.team_id), record.challenge_id
            self.records.pop(key, None)


class RecordsInLocalTime(ReferenceBackend):
    """Times are told in the machine's zone."""

    def describe(self, record: Record) -> InstanceStatus:
        told = super().describe(record)
        told["expires_at"] = record.expires_at.astimezone().isoformat()
        return told


class CountsFromTheClock(ReferenceBackend):
    """The remaining time is whatever lies between the clock and the expiry."""

    def describe(self, record: Record) -> InstanceStatus:
        told = super().describe(record)
        left = (record.expires_at - self.clock.now()).total_seconds()
        told["remaining_seconds"] = int(left)
        return told


class ExtendsFromTheClock(ReferenceBackend):
    """An extend counts from now, not from the expiry."""

    def later(self, record: Record) -> datetime:
        left = record.expires_at - record.started_at
        return self.clock.now() + left + timedelta(seconds=STEP)


class StopsWithoutRoom(ReferenceBackend):
    """A stop forgets the record though it could not remove the container."""

    def drop(self, record: Record) -> None:
        try:
            super().drop(record)
        except BackendUnavailable:
            del self.records[account_key(record.user_id, record.team_id), record.challenge_id]


class DeadButListed(ReferenceBackend):
    """What the machine lists is taken for live."""

    def live(self, user_id: int, challenge_id: int, team_id: int | None) -> Record | None:
        self.machine.ask()
        record = self.records.get((account_key(user_id, team_id), challenge_id))
        if record is None or record.expires_at <= self.clock.now():
            return None
        return record if record.container.id in self.machine.containers else None


class TrustsItsTables(ReferenceBackend):
    """Tables that are there, or were once, are taken for right."""

    def look_at_tables(self) -> None:
        """They are said to be of the newest version."""


class BeginsFromNothing(ReferenceBackend):
    """Tables that are not right are made anew, and the rows in them are lost."""

    def look_at_tables(self) -> None:
        if self.tables.replaced:
            self.records.clear()
        super().look_at_tables()


def _same_address(container: Container) -> None:
    container.host, container.ports = "ctf.example.com", ["20000"]


class OpenBetweenSiblings(ReferenceBackend):
    missing_walls = frozenset({Wall.SIBLINGS})


class OpenToTheHost(ReferenceBackend):
    missing_walls = frozenset({Wall.HOST})


class EngineInside(ReferenceBackend):
    missing_walls = frozenset({Wall.ENGINE})


class OpenToTheInternet(ReferenceBackend):
    missing_walls = frozenset({Wall.INTERNET})


class OpenToPrivateNetworks(ReferenceBackend):
    missing_walls = frozenset({Wall.PRIVATE_NETWORKS})


class NoWayOut(ReferenceBackend):
    missing_walls = frozenset({Wall.WAY_OUT})


class TooManyRights(ReferenceBackend):
    missing_walls = frozenset({Wall.CAPABILITIES, Wall.NO_NEW_PRIVILEGES, Wall.READ_ONLY})


class TellingNames(ReferenceBackend):
    missing_walls = frozenset({Wall.NAMES})


class OneNameForEver(ReferenceBackend):
    missing_walls = frozenset({Wall.FRESH_NAMES})


class TellsItsDeployment(ReferenceBackend):
    missing_walls = frozenset({Wall.TRACES})


class TellsItsOwner(ReferenceBackend):
    missing_walls = frozenset({Wall.OWNER})


class NoLimits(ReferenceBackend):
    missing_walls = frozenset({Wall.MEMORY, Wall.PROCESSES, Wall.FILES})


CAUGHT_BY: dict[type[ReferenceBackend], tuple[str, ...]] = {
    SecondContainer: ("START-004",),
    RenewedByStart: ("START-005",),
    ForgetfulStop: (
        *("STOP-002", "REACH-003", "EXPIRY-007", "CONC-008", "RESTART-009"),
        *("SWAP-003", "SWAP-008"),
    ),
    StopsWithItsNetworkOnly: ("STOP-016",),
    WaitsForItsNetwork: ("STOP-016",),
    KeepsNetworksOfEarlierOnes: ("STOP-020",),
    ShorteningExtend: ("EXTEND-002", "EXTEND-004", "SWAP-002"),
    OneExtensionMore: ("EXTEND-007",),
    Undead: ("EXPIRY-001", "EXPIRY-003", "EXPIRY-004", "TIME-006"),
    AnyChallengeStops: ("STOP-005", "STOP-006", "STOP-011"),
    FlagsEndWithTheirContainers: ("FLAG-010", "FLAG-011"),
    NumbersAreOwners: ("ACCOUNT-017", "ACCOUNT-018", "ACCOUNT-019", "FLAG-012"),
    NumbersAreChallenges: ("ACCOUNT-020", "ACCOUNT-021", "ACCOUNT-022", "FLAG-013"),
    OneFlagForAll: ("FLAG-002", "FLAG-003"),
    SilentStart: ("AUDIT-001", "TIME-007"),
    UnexplainedFailure: ("AUDIT-018",),
    ToldOnce: ("AUDIT-020",),
    ChangesToldTogether: ("AUDIT-021",),
    FrankFailure: ("AUDIT-018",),
    UnexplainedLoss: ("AUDIT-019",),
    LostForWhateverReason: ("AUDIT-019",),
    ErrorAsSuccess: ("STOP-012", "FAULT-001", "FAULT-005", "FAULT-012", "RESTART-001"),
    UnknownAsNone: ("STATUS-015", "FAULT-014", "RESTART-001", "SWAP-010"),
    FlagInTheMessage: ("FLAG-007",),
    FlagInTheAudit: ("FLAG-008",),
    FlagInTheLog: ("FLAG-009",),
    HtmlMessage: ("INPUT-009",),
    RaisingExtend: ("INPUT-008",),
    TrueIsOne: ("INPUT-001",),
    NaiveTimes: ("STATUS-008",),
    NumericPorts: ("STATUS-001",),
    TeamIsUser: ("ACCOUNT-016",),
    NoMates: ("ACCOUNT-006", "ACCOUNT-009", "CONC-009"),
    HeldUpWorker: ("EXPIRY-012",),
    RepeatingWorker: ("EXPIRY-008",),
    ForgottenInOutage: ("STOP-013", "FAULT-002", "FAULT-005", "FAULT-012"),
    LeftOver: ("START-011", "START-013", "REACH-011"),
    PlainTuple: ("START-019",),
    SharedPort: ("REACH-004", "CONC-004", "ISOLATION-017"),
    NamelessLimit: ("START-007",),
    StrangersExtend: ("ACCOUNT-003",),
    UnlockedStart: ("CONC-001", "CONC-002", "CONC-005", "CONC-009"),
    BusyDoubleClick: ("START-003", "CONC-003"),
    StopSaidTwice: ("STOP-007", "CONC-006"),
    UncountedExtend: ("EXTEND-006", "CONC-007"),
    StrangersStatus: ("ACCOUNT-002", "CONC-010", "SWAP-005"),
    ExpiredTwice: ("EXPIRY-008", "CONC-011", "RESTART-010"),
    CleanUpToldAgain: ("STOP-010", "CONC-012"),
    NeverSaysWhen: ("FAULT-001", "FAULT-016"),
    PhantomStart: ("START-020", "FAULT-003", "FAULT-007", "FAULT-011", "FAULT-013"),
    ExtendedOnPaper: ("EXTEND-013", "FAULT-004", "FAULT-009"),
    StatusThatWrites: ("FAULT-006",),
    LostAnswerForgotten: ("FAULT-007", "FAULT-008"),
    BelievesItsRecords: ("STATUS-011", "FAULT-010"),
    FailureClearsAll: ("FAULT-015",),
    WorkerGivesUp: ("EXPIRY-013", "FAULT-017", "RESTART-010", "STATE-008"),
    OpenBetweenSiblings: ("ISOLATION-001", "ISOLATION-002"),
    OpenToTheHost: ("ISOLATION-003", "ISOLATION-004"),
    EngineInside: ("ISOLATION-005",),
    OpenToTheInternet: ("ISOLATION-006", "ISOLATION-007"),
    OpenToPrivateNetworks: ("ISOLATION-009",),
    NoWayOut: ("ISOLATION-008",),
    TooManyRights: ("ISOLATION-010", "ISOLATION-011", "ISOLATION-012", "ISOLATION-013"),
    NoLimits: ("ISOLATION-014", "ISOLATION-015", "ISOLATION-016"),
    TellingNames: ("ISOLATION-018",),
    OneNameForEver: ("ISOLATION-018",),
    TellsItsDeployment: ("ISOLATION-019",),
    TellsItsOwner: ("ISOLATION-019",),
    RecordsInLocalTime: ("TIME-007", "TIME-008"),
    CountsFromTheClock: ("TIME-001",),
    ExtendsFromTheClock: ("TIME-002",),
    StopsWithoutRoom: ("STATE-003", "STATE-006"),
    TrustsItsTables: ("STATE-009", "STATE-010"),
    BeginsFromNothing: ("STATE-009",),
    DeadButListed: ("STATUS-013", "RESTART-002", "RESTART-004"),
    **breakages_audit.CAUGHT_BY,
    **breakages_contest.CAUGHT_BY,
    **breakages_limits.CAUGHT_BY,
    **breakages_nodes.CAUGHT_BY,
    **breakages_outages.CAUGHT_BY,
    **breakages_hangs.CAUGHT_BY,
    **breakages_deaths.CAUGHT_BY,
    **breakages_orders.CAUGHT_BY,
    **breakages_http.CAUGHT_BY,
    **breakages_swap.CAUGHT_BY,
    **breakages_wider.CAUGHT_BY,
}
"""Every breakage and the scenarios that must fail on it."""
