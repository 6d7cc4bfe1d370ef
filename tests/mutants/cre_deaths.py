"""ContainerRuntimeEngine on simulated containers: bugs of races, deaths and refusals."""

from __future__ import annotations

import hashlib
import secrets
import threading
from collections import Counter
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from crash.broken import ForgetsFirst, LeavesTheAbandoned, RowLast, TellsLater

from engines.audit import Action
from engines.catalog import ChallengeSpec
from engines.contract import ActionResult, Code, InstanceStatus, StartResult
from engines.cre import ContainerRuntimeEngine
from engines.cre.admission import Admission
from engines.cre.runtimes.base import Launch
from engines.front import Call
from engines.state.instances import Claimed, Instance, InstanceRequest, Obstacle, SystemFull
from mutants.slow import Crowd

__all__ = ["ForgetsFirst", "LeavesTheAbandoned", "RowLast", "TellsLater"]


class LooksThenInserts(ContainerRuntimeEngine):
    """Looks whether there is a row, and then inserts one under a key that keeps no other away."""

    def __init__(self, *args: Any, **parts: Any) -> None:
        super().__init__(*args, **parts)
        claim, lock, looking = self._store.claim, threading.Lock(), Counter[str]()
        self._crowd = Crowd()
        look = self._crowd.slow(lambda each: self._store.find(each.account, each.challenge_id))

        def blind(request: InstanceRequest, now: datetime, admit: Any = None) -> Claimed | Obstacle:
            with lock:
                beside = looking[request.account]
                looking[request.account] += 1
            nothing = look(request) is None
            with lock:
                looking[request.account] -= 1
            loose = replace(request, account=f"{request.account}.{beside}")
            return claim(loose if beside and nothing else request, now, admit)

        self._store.claim = blind  # type: ignore[method-assign] # the bug

    def _start(self, call: Call) -> StartResult:
        with self._crowd.call():
            return super()._start(call)


class ClearsWhatCameAfter(ContainerRuntimeEngine):
    """A start that was given up comes back and clears by name what a later one has made."""

    def __init__(self, *args: Any, **parts: Any) -> None:
        super().__init__(*args, **parts)
        launch = self._launcher.launch

        def unfenced(name: str, spec: ChallengeSpec, flag: str, _fence: int) -> Any:
            return launch(name, spec, flag, 0)

        self._launcher.launch = unfenced  # type: ignore[method-assign] # the bug


class ReusesFlags(ContainerRuntimeEngine):
    """The flag is reckoned from account and challenge, so that every start has the same."""

    def _request(self, call: Call, spec: ChallengeSpec) -> InstanceRequest:
        digest = hashlib.sha256(f"{call.account}/{spec.id}".encode()).hexdigest()[:32]
        return replace(super()._request(call, spec), flag=f"flag{{{digest}}}")


class OneTooMany(ContainerRuntimeEngine):
    """A full system is one that holds more than it may, not one that holds as much."""

    def _admission(self, call: Call, spec: ChallengeSpec) -> Admission:
        admission = super()._admission(call, spec)
        more = replace(admission.settings, cre_capacity=admission.settings.cre_capacity + 1)
        return replace(admission, settings=more)


class MakesThenAsks(ContainerRuntimeEngine):
    """Whether a port is free is found out when the container runs, and a refusal forgets it."""

    def _start(self, call: Call) -> StartResult:
        result = super()._start(call)
        spec = self._catalog.get(call.challenge_id)
        if result.code is Code.CAPACITY and spec is not None:
            self._runtime.launch(Launch("refused", self.deployment, spec, "flag{}", "127.0.0.1"))
        return result


class ReapsByTheFirstExpiry(ContainerRuntimeEngine):
    """The worker reckons the expiry from start and time-out, and has never heard of extensions."""

    def __init__(self, *args: Any, **parts: Any) -> None:
        super().__init__(*args, **parts)
        life = timedelta(seconds=self.settings.cre_timeout_seconds)

        def due(now: datetime) -> list[Instance]:
            rows = self._store.all()
            return [row for row in rows if row.started_at and row.started_at + life <= now]

        self._store.due = due  # type: ignore[method-assign] # the bug


class AuditsFirst(ContainerRuntimeEngine):
    """A start is told in a transaction of its own, before the container is made."""

    def __init__(self, *args: Any, **parts: Any) -> None:
        super().__init__(*args, **parts)
        launch, append = self._launcher.launch, self.audit.append

        def told_first(*launched: Any) -> Any:
            call = self._under_way
            self.audit.record(call.event(Action.STARTED, Code.OK))
            return launch(*launched)

        def once(connection: Any, event: Any) -> None:
            if event.action is not Action.STARTED or "container_id" not in event.metadata:
                append(connection, event)

        self._launcher.launch = told_first  # type: ignore[method-assign] # the bug
        self.audit.append = once  # type: ignore[method-assign] # the bug

    def _start(self, call: Call) -> StartResult:
        self._under_way = call
        return super()._start(call)


class LosesItsLock(ContainerRuntimeEngine):
    """The claim runs out while the image is pulled, and who has lost it leaves what it has made."""

    def __init__(self, *args: Any, **parts: Any) -> None:
        super().__init__(*args, **parts)
        self._crowd = Crowd()
        launch = self._crowd.slow(self._launcher.launch)

        def anew(name: str, *launched: Any) -> Any:
            return launch(f"{name}-{secrets.token_hex(2)}", *launched)

        self._launcher.launch = anew  # type: ignore[method-assign] # the bug
        self._removal.undo = lambda container_id: None  # type: ignore[method-assign] # the bug

    def _start(self, call: Call) -> StartResult:
        with self._crowd.call():
            return super()._start(call)

    def _request(self, call: Call, spec: ChallengeSpec) -> InstanceRequest:
        return replace(super()._request(call, spec), lease_seconds=0.0)


class LosesTheCode(ContainerRuntimeEngine):
    """A refusal at the limit of extensions says that something went wrong, and not what."""

    def _extend(self, call: Call) -> ActionResult:
        result = super()._extend(call)
        if result.code is not Code.EXTENSION_LIMIT:
            return result
        return ActionResult(False, result.message, code=Code.INTERNAL)


class NeverSaysWhen(ContainerRuntimeEngine):
    """A refusal by the start rate does not say when to come again."""

    def _turned_away(self, obstacle: Obstacle) -> StartResult:
        result = super()._turned_away(obstacle)
        if isinstance(obstacle, SystemFull) or result.code is not Code.RATE_LIMITED:
            return result
        return StartResult(False, result.message, code=result.code)


class ReadsStale(ContainerRuntimeEngine):
    """A status is kept for some seconds, whatever a stop has done meanwhile."""

    def __init__(self, *args: Any, **parts: Any) -> None:
        super().__init__(*args, **parts)
        self._kept: dict[tuple[str, int], tuple[datetime, InstanceStatus]] = {}

    def _start(self, call: Call) -> StartResult:
        result = super()._start(call)
        self._status(call)
        return result

    def _status(self, call: Call) -> InstanceStatus | None:
        key, now = (call.account, call.challenge_id), self.clock.now()
        if key in self._kept and now - self._kept[key][0] < timedelta(seconds=5):
            return self._kept[key][1]
        found = super()._status(call)
        if found is not None:
            self._kept[key] = now, found
        return found


class RepeatsAWrite(ContainerRuntimeEngine):
    """A double click on extend is two extensions: the request is sent again when it is slow."""

    def _extend(self, call: Call) -> ActionResult:
        first = super()._extend(call)
        if not first.ok:
            return first
        again = super()._extend(call)
        return again if again.ok else first


class FindsByChallenge(ContainerRuntimeEngine):
    """A renewal is looked up by the challenge, and meets whoever plays it."""

    def _extend(self, call: Call) -> ActionResult:
        for row in self._store.all():
            if row.challenge_id == call.challenge_id:
                call.account = row.account
        return super()._extend(call)
