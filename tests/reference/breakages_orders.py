"""Ways to break what is so among parallel calls only; call by call nothing of them shows."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from conformance.harness import Options
from engines.audit import Action
from engines.contract import ActionResult, Code, InstanceStatus, StartResult, account_key
from engines.replies import busy_start
from reference.backend import RETRY_SECONDS, Key, Record, ReferenceBackend

PATIENCE_SECONDS = 0.02
GIVEN_UP_AFTER = timedelta(minutes=10)


class Crowd(ReferenceBackend):
    """Sound; every call waits a moment for company, and knows whether it has any."""

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self.door = threading.Condition()
        self.present = 0
        self.seen_last: dict[Key, InstanceStatus] = {}
        """What a status has shown last of instances that are gone."""

    @contextmanager
    def inside(self) -> Iterator[bool]:
        """Gives whether others are inside too."""
        with self.door:
            self.present += 1
            self.door.notify_all()
            crowded = self.door.wait_for(lambda: self.present > 1, timeout=PATIENCE_SECONDS)
        try:
            yield crowded
        finally:
            with self.door:
                self.present -= 1

    def start_instance(
        self, user_id: int, challenge_id: int, team_id: int | None = None
    ) -> StartResult:
        with self.inside() as crowded:
            return self.started(user_id, challenge_id, team_id, crowded)

    def extend_instance(self, *who: Any, **named: Any) -> ActionResult:
        with self.inside():
            return super().extend_instance(*who, **named)

    def stop_instance(
        self,
        user_id: int,
        challenge_id: int,
        team_id: int | None = None,
        auto_cleanup: bool = False,
    ) -> ActionResult:
        with self.inside() as crowded:
            if crowded and (result := self.hurried_stop(auto_cleanup)) is not None:
                return result
            return super().stop_instance(user_id, challenge_id, team_id, auto_cleanup)

    def get_instance_status(
        self, user_id: int, challenge_id: int, team_id: int | None = None
    ) -> InstanceStatus | None:
        with self.inside() as crowded:
            key = account_key(user_id, team_id), challenge_id
            if crowded and self.reads_old(team_id) and key in self.seen_last:
                return self.seen_last[key]
            return super().get_instance_status(user_id, challenge_id, team_id)

    def drop(self, record: Record) -> None:
        told = self.describe(record)
        super().drop(record)
        told["remaining_seconds"] = max(0, told["remaining_seconds"])
        self.seen_last[account_key(record.user_id, record.team_id), record.challenge_id] = told

    # What the breakages override.

    def started(
        self, user_id: int, challenge_id: int, team_id: int | None, crowded: bool
    ) -> StartResult:
        return super().start_instance(user_id, challenge_id, team_id)

    def hurried_stop(self, auto_cleanup: bool) -> ActionResult | None:
        """What a stop in company answers without doing anything; None to do its work."""
        return None

    def reads_old(self, team_id: int | None) -> bool:
        """Whether a status in company is read from what was so before."""
        return False


class StaleAfterStop(Crowd):
    """A status among other calls shows what a stop has ended already."""

    def reads_old(self, team_id: int | None) -> bool:
        return True


class StaleForTeams(Crowd):
    """The same for teams only."""

    def reads_old(self, team_id: int | None) -> bool:
        return team_id is not None


class MakesRoom(Crowd):
    """From the first crowd on a start at the limit ends what is in its way, as Whale does."""

    met = False

    def started(
        self, user_id: int, challenge_id: int, team_id: int | None, crowded: bool
    ) -> StartResult:
        with self.lock:
            self.met = self.met or crowded
            for (account, other), record in list(self.records.items()):
                if self.met and account == account_key(user_id, team_id) and other != challenge_id:
                    self.drop(record)
            return super().started(user_id, challenge_id, team_id, crowded)


class BusyWithOthers(Crowd):
    """A stop is sent away while anybody, of whatever account, is at work."""

    def hurried_stop(self, auto_cleanup: bool) -> ActionResult | None:
        if auto_cleanup:
            return None
        return ActionResult(False, "Not now", code=Code.BUSY, retry_after=RETRY_SECONDS)


class ExpiresInQuiet(Crowd):
    """From the first crowd on nothing expires."""

    met = False

    @contextmanager
    def inside(self) -> Iterator[bool]:
        with super().inside() as crowded:
            self.met = self.met or crowded
            yield crowded

    def live(self, user_id: int, challenge_id: int, team_id: int | None) -> Record | None:
        if not self.met:
            return super().live(user_id, challenge_id, team_id)
        return self.records.get((account_key(user_id, team_id), challenge_id))

    def cleared(self, key: Key) -> None:
        if not self.met:
            super().cleared(key)

    def describe(self, record: Record) -> InstanceStatus:
        told = super().describe(record)
        told["remaining_seconds"] = max(0, told["remaining_seconds"])
        return told


class CleansUpOnPaper(Crowd):
    """A clean-up among other calls says done and leaves the work to them."""

    def hurried_stop(self, auto_cleanup: bool) -> ActionResult | None:
        return ActionResult(True, "Cleaned up", code=Code.OK) if auto_cleanup else None


class OnePlaceMore(Crowd):
    """From the first crowd on places are not counted any more."""

    hurried = False

    def started(
        self, user_id: int, challenge_id: int, team_id: int | None, crowded: bool
    ) -> StartResult:
        with self.lock:
            self.hurried = self.hurried or crowded
            return super().started(user_id, challenge_id, team_id, crowded)

    def full(self, challenge_id: int | None) -> bool:
        return not self.hurried and super().full(challenge_id)


class LockLostInThePull(ReferenceBackend):
    """A start that has looked, and then pulled for long, makes its container whatever has come."""

    def start_instance(
        self, user_id: int, challenge_id: int, team_id: int | None = None
    ) -> StartResult:
        free = self.live(user_id, challenge_id, team_id) is None
        slow = self.machine.turnstile.is_shut
        with self.machine.turnstile.passing(), self.lock:
            if not (slow and free and self.live(user_id, challenge_id, team_id)):
                return super().start_instance(user_id, challenge_id, team_id)
            told = dict(self.describe(self.begin(user_id, challenge_id, team_id)))
            self.audit(Action.STARTED, Code.OK, user_id, challenge_id, team_id)
            return StartResult(True, "Container started", told, code=Code.OK)


class ClearsWhatCameAfter(ReferenceBackend):
    """A start that was given up comes back and clears what bears its name: the younger one's."""

    def start_instance(
        self, user_id: int, challenge_id: int, team_id: int | None = None
    ) -> StartResult:
        given_up = self.clock.now() + GIVEN_UP_AFTER
        with self.machine.turnstile.passing(), self.lock:
            younger = self.live(user_id, challenge_id, team_id)
            if younger is None or self.clock.now() < given_up:
                return super().start_instance(user_id, challenge_id, team_id)
            self.machine.containers.pop(younger.container.id)
            self.audit(Action.START_FAILED, Code.BUSY, user_id, challenge_id, team_id)
            return busy_start()


CAUGHT_BY: dict[type[ReferenceBackend], tuple[str, ...]] = {
    StaleAfterStop: ("CONC-013",),
    StaleForTeams: ("CONC-014",),
    MakesRoom: ("CONC-015",),
    BusyWithOthers: ("CONC-016",),
    ExpiresInQuiet: ("CONC-017",),
    CleansUpOnPaper: ("CONC-018",),
    OnePlaceMore: ("CONC-019",),
    LockLostInThePull: ("CONC-020",),
    ClearsWhatCameAfter: ("CONC-021",),
}
