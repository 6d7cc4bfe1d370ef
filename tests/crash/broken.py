"""Engines that do not survive a kill, one bug each; they prove that the check can fail."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

from crash.verdict import Kind
from engines import replies
from engines.audit import Action
from engines.contract import ActionResult, Code, StartResult
from engines.cre import ContainerRuntimeEngine
from engines.cre.names import instance_name
from engines.cre.runtimes.base import Cleared, Launch, ListedResource
from engines.front import Call
from engines.state.instances import Instance, InstanceState


class IgnoresStrays(ContainerRuntimeEngine):
    """A repair looks at rows only."""

    def __init__(self, *args: Any, **parts: Any) -> None:
        super().__init__(*args, **parts)
        nothing: list[ListedResource] = []
        self._runtime.find = lambda deployment: nothing  # type: ignore[method-assign] # the bug


class RowLast(IgnoresStrays):
    """The row is inserted when its container runs."""

    def _start(self, call: Call) -> StartResult:
        spec = self._catalog.get(call.challenge_id)
        assert spec is not None
        request = self._request(call, spec)
        name = instance_name(self.deployment, self._parts.owner, call.account, call.challenge_id)
        if self._store.find(call.account, call.challenge_id) is None:
            self._runtime.launch(Launch(name, self.deployment, spec, request.flag, "127.0.0.1"))
        return super()._start(call)


class ForgetsFirst(IgnoresStrays):
    """A stop deletes the row, then removes the container."""

    def _stop(self, call: Call, action: Action) -> ActionResult:
        row = self._store.find(call.account, call.challenge_id)
        if row is None:
            return replies.not_found()
        call.recorded = self._store.delete(row, call.event(action, Code.OK))
        self._runtime.remove(row.container_id or "")
        return replies.stopped()


class LeavesTheAbandoned(ContainerRuntimeEngine):
    """A repair takes every row half-way for somebody's work."""

    def __init__(self, *args: Any, **parts: Any) -> None:
        super().__init__(*args, **parts)
        self._removal.repair = lambda row: False  # type: ignore[method-assign] # the bug


class ForgetsTheContainer(IgnoresStrays):
    """A repair drops a row and leaves what was made for it."""

    def __init__(self, *args: Any, **parts: Any) -> None:
        super().__init__(*args, **parts)
        self._runtime.clear = lambda *_: Cleared()  # type: ignore[method-assign] # the bug


class ClearsTheLiving(ContainerRuntimeEngine):
    """A repair takes every row that was once half-way for abandoned."""

    def __init__(self, *args: Any, **parts: Any) -> None:
        super().__init__(*args, **parts)
        repaired = self._removal.repair
        long_ago = timedelta(days=1)

        def careless(row: Instance) -> bool:
            if row.state is not InstanceState.RUNNING:
                return repaired(row)
            row = replace(
                row, state=InstanceState.STOPPING, lease_until=self.clock.now() - long_ago
            )
            return repaired(row)

        self._removal.repair = careless  # type: ignore[method-assign] # the bug


class TellsLater(ContainerRuntimeEngine):
    """An extension and its event are two transactions."""

    def _extend(self, call: Call) -> ActionResult:
        row = self._store.find(call.account, call.challenge_id)
        if row is None or row.expires_at is None:
            return replies.not_found()
        later = row.expires_at + timedelta(minutes=1)
        self._store.save(row.extended(later))
        event = call.event(
            Action.EXTENDED,
            Code.OK,
            container_id=row.container_id,
            old_expiry=row.expires_at.isoformat(),
            new_expiry=later.isoformat(),
        )
        self.audit.record(event)
        call.recorded = True
        return ActionResult(True, "Container extended", code=Code.OK)


CAUGHT_AS: dict[type[ContainerRuntimeEngine], tuple[str, str, Kind]] = {
    RowLast: ("start", "GET containers/*/json: answered", Kind.LEAK),
    LeavesTheAbandoned: ("start", "POST containers/create: answered", Kind.LEAK),
    ForgetsTheContainer: ("start", "POST containers/*/start: not sent", Kind.LEAK),
    ForgetsFirst: ("stop", "DELETE containers/*: not sent", Kind.LEAK),
    ClearsTheLiving: ("start", "transaction: not begun", Kind.LOST),
    TellsLater: ("extend", "UPDATE cre_instances: committed", Kind.WRONG),
}
"""The operation, the boundary and the finding that must come of it."""
