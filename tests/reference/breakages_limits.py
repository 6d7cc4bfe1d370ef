"""Ways to break what an organiser may set: limits, the warm pool, ports, companions."""

from __future__ import annotations

import threading
from contextlib import nullcontext
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import islice

from conformance.harness import Options
from engines.contract import ActionResult, Code, InstanceStatus, StartResult, account_key
from engines.errors import BackendUnavailable
from reference.backend import CHALLENGES, STEP, Record, ReferenceBackend
from reference.limits import End, StartRate
from reference.machine import Container, inner_of


class RateNeverSaysWhen(ReferenceBackend):
    """A refusal by the start rate does not say when to try again."""

    def refusal(self, user_id: int, challenge_id: int, team_id: int | None) -> StartResult | None:
        result = super().refusal(user_id, challenge_id, team_id)
        if result is not None and result.code is Code.RATE_LIMITED:
            return StartResult(False, result.message, code=Code.RATE_LIMITED)
        return result


class RateOfOneProcess(ReferenceBackend):
    """Every process counts the starts that it has made itself."""

    def another(self) -> ReferenceBackend:
        other = super().another()
        other.rate = StartRate(self.rate.most, self.rate.window)
        return other


class _EndlessWindow(StartRate):
    def recent(self, account: str, now: datetime) -> list[datetime]:
        return self.starts.get(account, [])


class WindowNeverEnds(ReferenceBackend):
    """A start counts for good."""

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self.rate = _EndlessWindow(self.rate.most, self.rate.window)


class RefusalsCount(ReferenceBackend):
    """Who was refused for the start rate has started once more."""

    def refusal(self, user_id: int, challenge_id: int, team_id: int | None) -> StartResult | None:
        result = super().refusal(user_id, challenge_id, team_id)
        if result is not None and result.code is Code.RATE_LIMITED:
            self.rate.count(self.rated(user_id, team_id), self.clock.now())
        return result


class RateForAll(ReferenceBackend):
    """All accounts share one start rate."""

    def rated(self, user_id: int, team_id: int | None) -> str:
        return "everybody"


class RateOfEachMate(ReferenceBackend):
    """Every mate of a team has a start rate of their own."""

    def rated(self, user_id: int, team_id: int | None) -> str:
        return account_key(user_id, None)


class AsManyAsYouLike(ReferenceBackend):
    """A challenge's own limit is not looked at."""

    def live_of(self, challenge_id: int) -> int:
        return 0


class OneFullAllFull(ReferenceBackend):
    """When one challenge is full no other one starts either."""

    def full(self, challenge_id: int | None) -> bool:
        return self.live_of(CHALLENGES.limited or 0) >= 1 or super().full(challenge_id)


class PlaceNeverFreed(ReferenceBackend):
    """A challenge's limit counts what was stopped."""

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self.begun: list[int] = []

    def begin(self, user_id: int, challenge_id: int, team_id: int | None) -> Record:
        self.begun.append(challenge_id)
        return super().begin(user_id, challenge_id, team_id)

    def live_of(self, challenge_id: int) -> int:
        return self.begun.count(challenge_id)


class CountsTheExpired(ReferenceBackend):
    """What has expired counts until the worker comes."""

    def cleared(self, key: tuple[str, int]) -> None:
        if self.records[key].expires_at > self.clock.now():
            super().cleared(key)


class ExpiredHoldTheirChallenge(ReferenceBackend):
    """A challenge's limit counts what has expired."""

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self.expired: list[int] = []

    def cleared(self, key: tuple[str, int]) -> None:
        if key in self.records and self.records[key].expires_at <= self.clock.now():
            self.expired.append(key[1])
        super().cleared(key)

    def live_of(self, challenge_id: int) -> int:
        return super().live_of(challenge_id) + self.expired.count(challenge_id)


class LivesBeyondTheEnd(ReferenceBackend):
    """A start does not look at the end of the contest."""

    def last(self, expiry: datetime, challenge_id: int) -> datetime:
        return expiry


class ExtendsBeyondTheEnd(ReferenceBackend):
    """An extend does not look at the end of the contest."""

    def extend(
        self, user_id: int, challenge_id: int, team_id: int | None, times: dict[str, str]
    ) -> ActionResult:
        result = super().extend(user_id, challenge_id, team_id, times)
        record = self.live(user_id, challenge_id, team_id)
        if result.ok and record is not None and record.expires_at == self.end.at:
            record.expires_at += timedelta(seconds=STEP)
        return result


class StartsAfterTheEnd(ReferenceBackend):
    """A start after the end gets its whole life."""

    def over(self, challenge_id: int) -> bool:
        return challenge_id == CHALLENGES.ended

    def last(self, expiry: datetime, challenge_id: int) -> datetime:
        return expiry if self.end.passed(self.clock.now()) else super().last(expiry, challenge_id)


class NeverOver(ReferenceBackend):
    """A challenge's own end is not looked at."""

    def over(self, challenge_id: int) -> bool:
        return self.end.passed(self.clock.now())


class ColdStart(ReferenceBackend):
    """A start leaves the pool alone."""

    def take(self, challenge_id: int) -> Container | None:
        return None


class RecordsAnotherFlag(ReferenceBackend):
    """The flag that is recorded is made at the start, the container's was made before."""

    def take(self, challenge_id: int) -> Container | None:
        ready = super().take(challenge_id)
        return ready and replace(ready, flag=f"flag{{recorded-for-{ready.id}}}")


class EndsARoundEarly(ReferenceBackend):
    """The worker ends what would be over before its next round."""

    def expire_due(self) -> int:
        soon = self.clock.now() + timedelta(seconds=10)
        for record in list(self.records.values()):
            if record.expires_at <= soon:
                self.expire(record)
        return super().expire_due()


class OneFlagInThePool(ReferenceBackend):
    """Whatever waits has the flag of its challenge."""

    def launch(self, challenge_id: int | None) -> Container:
        made = super().launch(challenge_id)
        if challenge_id == CHALLENGES.warm:
            made.flag = "flag{one-for-the-whole-pool}"
        return made


class HandedOutTwice(ReferenceBackend):
    """Two starts look what is ready before either has taken it."""

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self.lock = nullcontext()
        self.arrived = threading.Condition()
        self.present = 0

    def take(self, challenge_id: int) -> Container | None:
        if challenge_id != CHALLENGES.warm:
            return None
        ready = self.waiting[0] if self.waiting else None
        with self.arrived:
            self.present += 1
            self.arrived.notify_all()
            self.arrived.wait_for(lambda: self.present >= 2, timeout=10)
            if ready in self.waiting:
                self.waiting.remove(ready)
        return ready


class FilledOnce(ReferenceBackend):
    """The worker fills the pool when it is new, and never again."""

    filled = False

    def refill(self) -> int:
        if self.filled:
            return 0
        self.filled = True
        return super().refill()


class WaitsForThePool(ReferenceBackend):
    """A start has to wait until something is ready."""

    def refusal(self, user_id: int, challenge_id: int, team_id: int | None) -> StartResult | None:
        if challenge_id == CHALLENGES.warm and not self.waiting:
            return StartResult(False, "Not ready yet", code=Code.BUSY, retry_after=10.0)
        return super().refusal(user_id, challenge_id, team_id)


class PoolTakesNoRoom(ReferenceBackend):
    """What waits does not count towards the system's capacity."""

    def held(self) -> int:
        return len(self.records)


class PoolOutlivesItsChallenge(ReferenceBackend):
    """The end of the challenge that has a warm pool is not looked at."""

    def ends_of(self, challenge_id: int) -> tuple[End, ...]:
        return (self.end,) if challenge_id == CHALLENGES.warm else super().ends_of(challenge_id)


class OldImage(ReferenceBackend):
    """What waits is handed out though its image has changed."""

    def clear_pool(self) -> None:
        return


class OldImageLeftRunning(ReferenceBackend):
    """What waits is forgotten when its image has changed, and runs on."""

    def clear_pool(self) -> None:
        self.waiting[:] = [each for each in self.waiting if each.image == self.machine.image]


class PortsInDisorder(ReferenceBackend):
    """Ports are told in another order than the challenge's."""

    def describe(self, record: Record) -> InstanceStatus:
        told = super().describe(record)
        told["ports"].reverse()
        return told


class FirstPortOnly(ReferenceBackend):
    """Of several ports the first is told."""

    def describe(self, record: Record) -> InstanceStatus:
        told = super().describe(record)
        del told["ports"][1:]
        return told


class PortGivenTwice(ReferenceBackend):
    """Nobody looks which ports are taken."""

    def taken_ports(self) -> set[str]:
        return set()


class AnyPort(ReferenceBackend):
    """Ports are taken from wherever there is one."""

    def free_ports(self, count: int) -> list[str]:
        beyond = (str(port) for port in range(self.ports.stop, 65536))
        taken = self.taken_ports()
        return list(islice((port for port in beyond if port not in taken), count))


class NoPortLeftOver(ReferenceBackend):
    """A start without a port is refused when container and record are made."""

    def refusal(self, user_id: int, challenge_id: int, team_id: int | None) -> StartResult | None:
        result = super().refusal(user_id, challenge_id, team_id)
        if result is not None and not self.free_ports(1):
            self.begin(user_id, challenge_id, team_id)
        return result


class PortsNeverGivenBack(ReferenceBackend):
    """A port that was taken once stays taken."""

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self.given: set[str] = set()

    def taken_ports(self) -> set[str]:
        self.given |= super().taken_ports()
        return self.given


class CompanionOutOfReach(ReferenceBackend):
    """The companion is on another network than its instance."""

    def launch(self, challenge_id: int | None) -> Container:
        made = super().launch(challenge_id)
        if challenge_id == CHALLENGES.companion:
            self.machine.containers[inner_of(made.id)].network = "another network"
        return made


class CompanionNotAwaited(ReferenceBackend):
    """A start is done as soon as the companion runs, whether or not it serves."""

    def wait_for(self, companion: Container) -> None:
        companion.serves = False


class CompanionLeftBehind(ReferenceBackend):
    """A stop removes the container that players know of, and no other."""

    def drop(self, record: Record) -> None:
        inner = self.machine.containers.get(inner_of(record.container.id))
        super().drop(record)
        if inner is not None:
            self.machine.containers[inner.id] = inner


class ItsOwnEndIsNone(ReferenceBackend):
    """Only the contest's end is looked at."""

    def ends_of(self, challenge_id: int) -> tuple[End, ...]:
        return (self.end,)


class FullCounts(ReferenceBackend):
    """A start that finds no room counts towards the start rate."""

    def refusal(self, user_id: int, challenge_id: int, team_id: int | None) -> StartResult | None:
        result = super().refusal(user_id, challenge_id, team_id)
        if result is not None and result.code is Code.CAPACITY:
            self.rate.count(self.rated(user_id, team_id), self.clock.now())
        return result


class WaitsAWholeWindow(ReferenceBackend):
    """Who started too often is told to wait as long as a window is."""

    def refusal(self, user_id: int, challenge_id: int, team_id: int | None) -> StartResult | None:
        result = super().refusal(user_id, challenge_id, team_id)
        if result is None or result.code is not Code.RATE_LIMITED:
            return result
        wait = float(self.options.start_window_seconds)
        return StartResult(False, "Too often", code=Code.RATE_LIMITED, retry_after=wait)


class OutagesUseThePoolUp(ReferenceBackend):
    """What a start in an outage was to get is thrown away."""

    def start_broke_off(self) -> StartResult:
        del self.waiting[:1]
        return super().start_broke_off()


class DeadHoldTheirPlaces(ReferenceBackend):
    """A container that a process died over takes a place for ever."""

    def launch(self, challenge_id: int | None) -> Container:
        self.editions[0] = self.editions.get(0, 0) + 1  # which all processes share
        try:
            made = super().launch(challenge_id)
        except BackendUnavailable:
            self.editions[0] -= 1
            raise
        self.editions[0] -= 1
        return made

    def held(self) -> int:
        return super().held() + self.editions.get(0, 0)


CAUGHT_BY: dict[type[ReferenceBackend], tuple[str, ...]] = {
    RateNeverSaysWhen: ("LIMIT-001", "LIMIT-003"),
    RateOfOneProcess: ("LIMIT-002",),
    WindowNeverEnds: ("LIMIT-003",),
    RefusalsCount: ("LIMIT-003",),
    RateForAll: ("LIMIT-004",),
    RateOfEachMate: ("LIMIT-005",),
    AsManyAsYouLike: ("LIMIT-006",),
    OneFullAllFull: ("LIMIT-006",),
    PlaceNeverFreed: ("LIMIT-007",),
    CountsTheExpired: ("EXPIRY-006",),
    ExpiredHoldTheirChallenge: ("LIMIT-012",),
    LivesBeyondTheEnd: ("LIMIT-008", "LIMIT-009"),
    ExtendsBeyondTheEnd: ("LIMIT-009",),
    StartsAfterTheEnd: ("LIMIT-010",),
    NeverOver: ("LIMIT-011",),
    ItsOwnEndIsNone: ("LIMIT-016",),
    FullCounts: ("LIMIT-017",),
    WaitsAWholeWindow: ("LIMIT-018",),
    EndsARoundEarly: ("EXPIRY-020",),
    OutagesUseThePoolUp: ("POOL-010",),
    DeadHoldTheirPlaces: ("CRASH-010",),
    ColdStart: ("POOL-001", "POOL-004", "POOL-006"),
    RecordsAnotherFlag: ("POOL-002",),
    OneFlagInThePool: ("POOL-002",),
    HandedOutTwice: ("POOL-003",),
    FilledOnce: ("POOL-004",),
    WaitsForThePool: ("POOL-005",),
    PoolTakesNoRoom: ("POOL-006",),
    PoolOutlivesItsChallenge: ("POOL-015",),
    OldImage: ("POOL-007",),
    OldImageLeftRunning: ("POOL-007",),
    PortsInDisorder: ("PORT-001",),
    FirstPortOnly: ("PORT-001",),
    PortGivenTwice: ("PORT-002", "PORT-003"),
    AnyPort: ("PORT-002",),
    NoPortLeftOver: ("PORT-003",),
    PortsNeverGivenBack: ("PORT-004", "PORT-005", "PORT-010"),
    CompanionOutOfReach: ("COMPANION-001",),
    CompanionNotAwaited: ("COMPANION-004",),
    CompanionLeftBehind: ("COMPANION-002", "COMPANION-003"),
}
"""Every breakage and the scenarios that must fail on it."""
