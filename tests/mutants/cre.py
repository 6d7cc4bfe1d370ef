"""ContainerRuntimeEngine on simulated containers, broken in one way each."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import replace
from datetime import timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from conformance.harness import Harness, Options, World
from conformance.harnesses.cre import MemoryHarness, MemoryWorld
from engines import replies
from engines.audit import Action
from engines.catalog import ChallengeSpec
from engines.contract import ActionResult, Code, InstanceStatus, StartResult
from engines.cre import ContainerRuntimeEngine
from engines.cre.instance_starter import InstanceStarter
from engines.cre.pool_store import Warm, pool
from engines.cre.runtimes.base import Launch, Launched
from engines.errors import BackendUnavailable
from engines.front import Call
from engines.settings import Settings
from engines.state.instances import Instance, InstanceRequest


class StartsTwice(ContainerRuntimeEngine):
    """A second start makes a second container."""

    def _start(self, call: Call) -> StartResult:
        result = super()._start(call)
        spec = self._catalog.get(call.challenge_id)
        if result.code is not Code.ALREADY_RUNNING or spec is None:
            return result
        second = self._runtime.launch(
            Launch("second", self.deployment, spec, "flag{second}", "127.0.0.1")
        )
        instance = {**result.instance, "container_id": second.container_id}
        return StartResult(True, "Container started", instance, code=Code.OK)


class StopForgets(ContainerRuntimeEngine):
    """A stop drops the record and leaves the container."""

    def _stop(self, call: Call, action: Action) -> ActionResult:
        row = self._store.find(call.account, call.challenge_id)
        if row is None:
            return replies.not_found()
        call.recorded = self._store.delete(row, call.event(action, Code.OK))
        return replies.stopped()


class ExtendShortens(ContainerRuntimeEngine):
    """An extend moves the expiry earlier."""

    def _extend(self, call: Call) -> ActionResult:
        row = self._store.find(call.account, call.challenge_id)
        if row is None or row.expires_at is None or not self._removal.live(row):
            return replies.not_found()
        earlier = row.expires_at - timedelta(minutes=1)
        event = call.event(
            Action.EXTENDED,
            Code.OK,
            old_expiry=row.expires_at.isoformat(),
            new_expiry=earlier.isoformat(),
        )
        call.recorded = self._store.save(row.extended(earlier), event)
        return ActionResult(True, "Container extended", code=Code.OK)


class ShowsTheExpired(ContainerRuntimeEngine):
    """The status of an expired instance says active until the worker has come."""

    def _status(self, call: Call) -> InstanceStatus | None:
        row = self._store.find(call.account, call.challenge_id)
        if row is None or not self._removal.is_running(row):
            return None
        return self._starter.describe(row)


class StopIgnoresChallenge(ContainerRuntimeEngine):
    """A stop ends whatever the account has, as Whale does."""

    def _stop(self, call: Call, action: Action) -> ActionResult:
        for row in self._store.all():
            if row.account == call.account:
                call.challenge_id = row.challenge_id
        return super()._stop(call, action)


class SharesFlags(ContainerRuntimeEngine):
    """All instances of a challenge have one flag."""

    def _request(self, call: Call, spec: ChallengeSpec) -> InstanceRequest:
        return replace(super()._request(call, spec), flag=f"flag{{shared-{spec.id}}}")


class ForgetsAudit(ContainerRuntimeEngine):
    """An extend writes no event."""

    def __init__(self, *args: Any, **parts: Any) -> None:
        super().__init__(*args, **parts)
        append = self.audit.append

        def forgetful(connection: Any, event: Any) -> None:
            if event.action is not Action.EXTENDED:
                append(connection, event)

        self.audit.append = forgetful  # type: ignore[method-assign] # the bug


class SwallowsErrors(ContainerRuntimeEngine):
    """A stop that could not reach the runtime is told as done."""

    def stop_instance(
        self,
        user_id: int,
        challenge_id: int,
        team_id: int | None = None,
        auto_cleanup: bool = False,
    ) -> ActionResult:
        result = super().stop_instance(user_id, challenge_id, team_id, auto_cleanup)
        return replies.stopped() if result.code is Code.UNAVAILABLE else result


class _OtherStarter(ContainerRuntimeEngine):
    """Leaves starting and describing to a starter that is broken."""

    starter: type[InstanceStarter]

    def __init__(self, *args: Any, **parts: Any) -> None:
        super().__init__(*args, **parts)
        self._starter = self.starter(self._parts, self._launcher, self._pool, self._removal)


class _UnsavedStarter(InstanceStarter):
    def _activate(
        self, call: Call, spec: ChallengeSpec, row: Instance, launched: Launched, warm: Warm | None
    ) -> StartResult:
        try:
            return super()._activate(call, spec, row, launched, warm)
        except SQLAlchemyError:
            now = self._parts.clock.now()
            told = row.activated(
                container_id=launched.container_id,
                host="127.0.0.1",
                ports=launched.ports,
                started_at=now,
                expires_at=now + timedelta(hours=1),
            )
            return replies.started(self.describe(told))


class SaysStartedUnsaved(_OtherStarter):
    """A start whose record had no room any more is told as done."""

    starter = _UnsavedStarter


class LeaksWithoutRoom(ContainerRuntimeEngine):
    """What a start left whose record had no room is never looked for."""

    def reconcile(self) -> int:
        return 0


class ExtendsWithoutRoom(ContainerRuntimeEngine):
    """An extend that could not be recorded is told as done."""

    def _extend(self, call: Call) -> ActionResult:
        try:
            return super()._extend(call)
        except SQLAlchemyError:
            return ActionResult(True, "Container extended", code=Code.OK)


class ListedIsLive(ContainerRuntimeEngine):
    """What the runtime lists is taken for live, as after a restart of Docker."""

    def __init__(self, *args: Any, **parts: Any) -> None:
        super().__init__(*args, **parts)
        runtime, deployment = self._runtime, self.deployment
        runtime.is_running = lambda container_id: (  # type: ignore[method-assign] # the bug
            container_id in [found.id for found in runtime.find(deployment)]
        )


class ForgetsTheLost(ContainerRuntimeEngine):
    """The worker leaves the rows of dead containers where they are."""

    def __init__(self, *args: Any, **parts: Any) -> None:
        super().__init__(*args, **parts)
        self._removal.clear_lost = lambda row: False  # type: ignore[method-assign] # the bug


class DownIsNothing(ContainerRuntimeEngine):
    """While Docker is down a player is told that nothing runs."""

    def _status(self, call: Call) -> InstanceStatus | None:
        try:
            return super()._status(call)
        except BackendUnavailable:
            return None


class RetriesWithoutEnd(ContainerRuntimeEngine):
    """A status that Docker does not answer is asked again until it does."""

    def _status(self, call: Call) -> InstanceStatus | None:
        while True:
            try:
                return super()._status(call)
            except BackendUnavailable as error:
                if not (error.unanswered or "does not answer" in str(error)):
                    raise
                time.sleep(0.01)


class _ClockStarter(InstanceStarter):
    def describe(self, row: Instance) -> InstanceStatus:
        told = super().describe(row)
        if row.expires_at is not None:
            left = (row.expires_at - self._parts.clock.now()).total_seconds()
            told["remaining_seconds"] = max(0, int(left))
        return told


class CountsFromTheClock(_OtherStarter):
    """The remaining time is whatever lies between the clock and the expiry."""

    starter = _ClockStarter


class _LocalStarter(InstanceStarter):
    def describe(self, row: Instance) -> InstanceStatus:
        told = super().describe(row)
        if row.expires_at is not None:
            told["expires_at"] = row.expires_at.astimezone().isoformat()
        return told


class TellsLocalTime(_OtherStarter):
    """The expiry is told in the machine's own zone."""

    starter = _LocalStarter


class _WallStarter(InstanceStarter):
    def describe(self, row: Instance) -> InstanceStatus:
        told = super().describe(row)
        if row.expires_at is not None:
            wall = row.expires_at.astimezone().replace(tzinfo=None)
            left = wall - self._parts.clock.now().astimezone().replace(tzinfo=None)
            told["remaining_seconds"] = max(0, int(left.total_seconds()))
        return told


class CountsInLocalTime(_OtherStarter):
    """What remains is counted in the wall's time, an hour off where clocks are changed."""

    starter = _WallStarter


class HandsOutTwice(ContainerRuntimeEngine):
    """A container of the warm pool is looked at, not claimed."""

    def __init__(self, *args: Any, **parts: Any) -> None:
        super().__init__(*args, **parts)
        rows = self._pool.rows
        rows._save = lambda connection, after: True  # type: ignore[method-assign] # the bug
        self._pool.hand_over = lambda *_, **named: True  # type: ignore[method-assign] # the bug

    def fill_pool(self) -> int:
        rows = self._pool.rows
        del rows._save  # filling is sound
        try:
            return super().fill_pool()
        finally:
            rows._save = lambda connection, after: True  # type: ignore[method-assign] # the bug


class RecordsAnotherFlag(ContainerRuntimeEngine):
    """An instance from the warm pool is judged by a flag that its container does not have."""

    def __init__(self, *args: Any, **parts: Any) -> None:
        super().__init__(*args, **parts)
        activate = self._starter._activate

        def otherwise(
            call: Call, spec: ChallengeSpec, row: Instance, launched: Launched, warm: Warm | None
        ) -> StartResult:
            other = None if warm is None else replace(warm, flag=row.flag)
            return activate(call, spec, row, launched, other)

        self._starter._activate = otherwise  # type: ignore[method-assign] # the bug


class PoolTakesNoRoom(ContainerRuntimeEngine):
    """Waiting containers are not counted."""

    def __init__(self, *args: Any, **parts: Any) -> None:
        super().__init__(*args, **parts)
        self._pool.rows.count = lambda connection: 0  # type: ignore[method-assign] # the bug


class HandedOverTakesTwoPlaces(ContainerRuntimeEngine):
    """A container that a start has claimed still counts as waiting."""

    def __init__(self, *args: Any, **parts: Any) -> None:
        super().__init__(*args, **parts)
        counted = sa.select(sa.func.count()).select_from(pool)
        self._pool.rows.count = (  # type: ignore[method-assign] # the bug
            lambda connection: int(connection.execute(counted).scalar_one())
        )


class LivesOn(ContainerRuntimeEngine):
    """The end of the contest ends nothing."""

    def __init__(self, settings: Settings, **parts: Any) -> None:
        super().__init__(replace(settings, cre_ends_at=None), **parts)


class KeepsPorts(ContainerRuntimeEngine):
    """What was reserved for an instance is never given back."""

    def __init__(self, *args: Any, **parts: Any) -> None:
        super().__init__(*args, **parts)
        reservations = self._parts.reservations
        reservations.release = lambda connection, owner: None  # type: ignore[method-assign] # the bug


class SharesPorts(ContainerRuntimeEngine):
    """Ports are chosen from the range without a look at who has which."""

    def __init__(self, *args: Any, **parts: Any) -> None:
        super().__init__(*args, **parts)
        reservations = self._parts.reservations
        reservations.reserve = (  # type: ignore[method-assign] # the bug
            lambda kind, among, count, owner, avoiding=(): tuple(among[:count])
        )


class RateInMemory(ContainerRuntimeEngine):
    """Each process counts the starts it has made by itself."""

    def __init__(self, settings: Settings, **parts: Any) -> None:
        super().__init__(replace(settings, cre_start_limit=0), **parts)
        self._limit = settings.cre_start_limit
        self._made: Counter[str] = Counter()

    def _start(self, call: Call) -> StartResult:
        if self._limit and self._made[call.account] >= self._limit:
            return StartResult(False, "Not so fast", code=Code.RATE_LIMITED, retry_after=60)
        self._made[call.account] += 1
        return super()._start(call)


def on_memory(broken: type[ContainerRuntimeEngine]) -> type[Harness]:
    """The harness of a broken engine."""

    class BrokenWorld(MemoryWorld):
        engine_class = broken

    class BrokenHarness(MemoryHarness):
        kind = f"broken on purpose: {broken.__doc__}"

        def world(self, options: Options) -> World:
            return BrokenWorld(options, self.database())

    return BrokenHarness


stop_forgets = on_memory(StopForgets)
"""The one that docs/tutorial.md shows; the others are :mod:`mutants.registry`'s."""
