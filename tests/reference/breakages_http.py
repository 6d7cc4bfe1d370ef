"""Ways to break what the endpoints show of a backend."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, cast

from engines.audit import Action, ContainerEvent
from engines.bulk_stop import InstanceSelection
from engines.contract import (
    LARGEST_ID,
    ActionResult,
    Code,
    InstanceStatus,
    StartResult,
    account_key,
)
from engines.errors import BackendUnavailable
from engines.web.overview import HistoryQuery
from reference.backend import Record, ReferenceBackend


class TellsNoHost(ReferenceBackend):
    """What a fresh start returns lacks a key."""

    def start(
        self, user_id: int, challenge_id: int, team_id: int | None
    ) -> tuple[StartResult, Action]:
        result, action = super().start(user_id, challenge_id, team_id)
        result.instance.pop("host", None)
        return result, action


class TellsAnotherExpiry(ReferenceBackend):
    """A second start tells of more time than there is."""

    def start(
        self, user_id: int, challenge_id: int, team_id: int | None
    ) -> tuple[StartResult, Action]:
        result, action = super().start(user_id, challenge_id, team_id)
        if action is Action.START_REPEATED:
            later = datetime.fromisoformat(result.instance["expires_at"]) + timedelta(hours=1)
            result.instance["expires_at"] = later.isoformat()
        return result, action


class ExtendsBackwards(ReferenceBackend):
    """An extend leaves less time than there was."""

    def later(self, record: Record) -> datetime:
        return self.clock.now() + timedelta(seconds=60)


class StopsInName(ReferenceBackend):
    """A stop says stopped and stops nothing."""

    def drop(self, record: Record) -> None:
        pass


class StatusTellsTooLittle(ReferenceBackend):
    """A status lacks a key that a start has."""

    def get_instance_status(
        self, user_id: int, challenge_id: int, team_id: int | None = None
    ) -> InstanceStatus | None:
        told = super().get_instance_status(user_id, challenge_id, team_id)
        if told is not None:
            cast(dict[str, Any], told).pop("max_extensions")
        return told


class FullInsteadOfLimit(ReferenceBackend):
    """An account at its limit is told that the whole system is full."""

    def refusal(self, user_id: int, challenge_id: int, team_id: int | None) -> StartResult | None:
        result = super().refusal(user_id, challenge_id, team_id)
        if result is not None and result.code is Code.LIMIT_REACHED:
            return StartResult(False, "All places are taken", code=Code.CAPACITY)
        return result


class StumblesOverTheUnknown(ReferenceBackend):
    """A start of what no challenge is raises."""

    def refusal(self, user_id: int, challenge_id: int, team_id: int | None) -> StartResult | None:
        if challenge_id not in (*self.known, LARGEST_ID):
            raise KeyError(challenge_id)
        return super().refusal(user_id, challenge_id, team_id)


class StopsNothingWell(ReferenceBackend):
    """A stop of what does not run is a success."""

    def stop(self, user_id: int, challenge_id: int, team_id: int | None) -> ActionResult:
        result = super().stop(user_id, challenge_id, team_id)
        if result.code is Code.NOT_FOUND:
            return ActionResult(True, "Container stopped", code=Code.OK)
        return result


class SmallNumbersOnly(ReferenceBackend):
    """Ids are kept in 32 bits."""

    def live(self, user_id: int, challenge_id: int, team_id: int | None) -> Record | None:
        challenge_id.to_bytes(4, "big")
        return super().live(user_id, challenge_id, team_id)


class ExtendsForAnybody(ReferenceBackend):
    """An extend finds the challenge's instance, whoever it belongs to."""

    def extend(
        self, user_id: int, challenge_id: int, team_id: int | None, times: dict[str, str]
    ) -> ActionResult:
        for record in self.records.values():
            if record.challenge_id == challenge_id:
                user_id, team_id = record.user_id, record.team_id
        return super().extend(user_id, challenge_id, team_id, times)


class NothingInAnOutage(ReferenceBackend):
    """Who cannot be asked is told of as having nothing."""

    def get_instance_status(
        self, user_id: int, challenge_id: int, team_id: int | None = None
    ) -> InstanceStatus | None:
        try:
            return super().get_instance_status(user_id, challenge_id, team_id)
        except BackendUnavailable:
            return None


class RemembersTooLong(ReferenceBackend):
    """What was last known is told for ever."""

    def get_instance_status(
        self, user_id: int, challenge_id: int, team_id: int | None = None
    ) -> InstanceStatus | None:
        self.machine.ask()
        return super().get_instance_status(user_id, challenge_id, team_id)

    def last_known(
        self, user_id: int, challenge_id: int, team_id: int | None = None
    ) -> InstanceStatus | None:
        record = self.records.get((account_key(user_id, team_id), challenge_id))
        return None if record is None else self.describe(record)


class EveryStartIsFresh(ReferenceBackend):
    """Whoever clicks at the same moment is told that it was the click that did it."""

    def start(
        self, user_id: int, challenge_id: int, team_id: int | None
    ) -> tuple[StartResult, Action]:
        result, action = super().start(user_id, challenge_id, team_id)
        if result.ok:
            return StartResult(True, "Started", result.instance, code=Code.OK), action
        return result, action


class KnowsNoTeams(ReferenceBackend):
    """Everybody is an account, in a team or not."""

    def live(self, user_id: int, challenge_id: int, team_id: int | None) -> Record | None:
        record = super().live(user_id, challenge_id, team_id)
        return record if record is not None and record.user_id == user_id else None


class ExtendsForEver(ReferenceBackend):
    """Nobody counts how often an instance was extended."""

    def extend(
        self, user_id: int, challenge_id: int, team_id: int | None, times: dict[str, str]
    ) -> ActionResult:
        record = self.live(user_id, challenge_id, team_id)
        if record is not None and record.extensions == self.options.max_extensions:
            record.extensions = 0
        return super().extend(user_id, challenge_id, team_id, times)


class NobodyDidIt(ReferenceBackend):
    """An admin's call is told as the player's own."""

    def actor(self) -> Mapping[str, Any]:
        return {}


class ListsTheExpired(ReferenceBackend):
    """Admins are shown what has expired, until the worker comes."""

    def listed(self) -> list[Record]:
        return list(self.records.values())


class PagesOverlap(ReferenceBackend):
    """The next page begins with the event that the last one ended with."""

    def told(self, query: HistoryQuery) -> list[tuple[int, ContainerEvent]]:
        before = None if query.before is None else query.before + 1
        return super().told(replace(query, before=before))


class HistoryIsEverybodys(ReferenceBackend):
    """Whose events were asked for is not looked at."""

    def told(self, query: HistoryQuery) -> list[tuple[int, ContainerEvent]]:
        return super().told(replace(query, user_id=None))


class AnyNamedIsEnough(ReferenceBackend):
    """Of several things that an admin names one is enough."""

    def meant(self, selection: InstanceSelection, record: Record) -> bool:
        named = (selection.challenge_id, selection.user_id, selection.team_id)
        has = (record.challenge_id, record.user_id, record.team_id)
        pairs = [pair for pair in zip(named, has, strict=True) if pair[0] is not None]
        return not pairs or any(one == other for one, other in pairs)


class RecordsAreOld(ReferenceBackend):
    """What is last known of an instance is what was known when it began."""

    def last_known(
        self, user_id: int, challenge_id: int, team_id: int | None = None
    ) -> InstanceStatus | None:
        known = super().last_known(user_id, challenge_id, team_id)
        return None if known is None else {**known, "extension_count": 0}


class RefusedCallsCountOn(ReferenceBackend):
    """Who has called too often has as good as no call in the next minute."""

    def throttle(self, user_id: int, team_id: int | None = None) -> float | None:
        wait = super().throttle(user_id, team_id)
        if wait is not None:
            in_advance = self.clock.now() + timedelta(seconds=60)
            for _ in range(self.calls.most):
                self.calls.count(self.counted_as(user_id, team_id), in_advance)
        return wait


CAUGHT_BY: dict[type[ReferenceBackend], tuple[str, ...]] = {
    TellsNoHost: ("HTTP-001",),
    TellsAnotherExpiry: ("HTTP-002",),
    ExtendsBackwards: ("HTTP-003",),
    StopsInName: ("HTTP-004",),
    StatusTellsTooLittle: ("HTTP-005",),
    FullInsteadOfLimit: ("HTTP-006",),
    StumblesOverTheUnknown: ("HTTP-007",),
    StopsNothingWell: ("HTTP-008",),
    SmallNumbersOnly: ("HTTP-009",),
    ExtendsForAnybody: ("HTTP-010",),
    NothingInAnOutage: ("HTTP-011",),
    EveryStartIsFresh: ("HTTP-012",),
    KnowsNoTeams: ("HTTP-013", "HTTP-037"),
    ExtendsForEver: ("HTTP-014",),
    RemembersTooLong: ("HTTP-015",),
    NobodyDidIt: ("HTTP-030", "HTTP-036"),
    ListsTheExpired: ("HTTP-031",),
    PagesOverlap: ("HTTP-032",),
    HistoryIsEverybodys: ("HTTP-032",),
    AnyNamedIsEnough: ("HTTP-034",),
    RecordsAreOld: ("HTTP-038",),
    RefusedCallsCountOn: ("HTTP-039",),
}
