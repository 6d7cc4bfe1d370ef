"""How an instance begins: claimed from the warm pool, or made."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta

from sqlalchemy.engine import Connection

from engines import replies
from engines.audit import Action
from engines.catalog import ChallengeSpec
from engines.contract import Code, InstanceStatus, StartResult
from engines.cre.container_launcher import ContainerLauncher
from engines.cre.context import EngineContext
from engines.cre.evidence import FailureEvidence
from engines.cre.pool_store import Warm
from engines.cre.removal import InstanceRemoval
from engines.cre.runtimes.base import Launched
from engines.cre.warm_pool import WarmPool
from engines.errors import BackendUnavailable, Later, OutcomeUnknown, RuntimeFault
from engines.front import Call
from engines.printable import printable
from engines.state.instances import Instance

log = logging.getLogger(__name__)

_FAILURES = {
    Code.IMAGE_MISSING: "This challenge's image is missing; please tell an organiser",
    Code.START_FAILED: "The container did not start; please tell an organiser",
    Code.NOT_READY: "The container started but did not answer in time; please try again",
    Code.PORT_UNAVAILABLE: "No network port was free; please try again shortly",
    Code.CAPACITY: "All places are taken; please try again when somebody has finished",
}


class InstanceStarter:
    """Brings a claimed row to a running instance, or leaves nothing of it."""

    def __init__(
        self,
        parts: EngineContext,
        launcher: ContainerLauncher,
        pool: WarmPool,
        removal: InstanceRemoval,
    ) -> None:
        self._parts = parts
        self._launcher = launcher
        self._pool = pool
        self._removal = removal

    def create(
        self, call: Call, spec: ChallengeSpec, row: Instance, warm: Warm | None
    ) -> StartResult:
        """Bring the row to its end; ``warm`` is the container it has claimed, if any.

        Raises:
            BackendUnavailable: the runtime cannot be asked; what there may be is known.
        """
        if warm is not None:
            if self._usable(row, warm):
                launched = Launched(str(warm.container_id), warm.ports, warm.host)
                return self._activate(call, spec, row, launched, warm)
            self._pool.discard(warm)
        try:
            launched = self._launcher.launch(self._parts.name_of(row), spec, row.flag, row.id)
        except RuntimeFault as fault:
            return self._failed(call, spec, row, fault)
        except BackendUnavailable as error:
            self._give_up(row, nothing_made=error.untouched)
            if error.untouched:
                raise
            raise OutcomeUnknown(str(error)) from error
        return self._activate(call, spec, row, launched, None)

    def describe(self, row: Instance) -> InstanceStatus:
        """A live row as the contract shows it."""
        return replies.describe(
            row,
            now=self._parts.clock.now(),
            max_extensions=self._parts.settings.cre_max_extensions,
            backend=self._parts.backend,
        )

    def _usable(self, row: Instance, warm: Warm) -> bool:
        try:
            return self._pool.alive(warm)
        except BackendUnavailable:
            self._give_up(row, nothing_made=True)
            raise

    def _failed(
        self, call: Call, spec: ChallengeSpec, row: Instance, fault: RuntimeFault
    ) -> StartResult:
        level = logging.INFO if isinstance(fault, Later) else logging.WARNING
        why = FailureEvidence(printable(str(fault)), fault.output)
        log.log(level, "challenge %d did not start: %s", spec.id, why)
        event = call.event(Action.START_FAILED, fault.code, **why.detail())
        call.recorded = self._removal.forget(row, event)
        if isinstance(fault, Later):
            return StartResult(False, fault.message, code=fault.code, retry_after=fault.retry_after)
        return StartResult(False, _FAILURES[fault.code], code=fault.code)

    def _give_up(self, row: Instance, *, nothing_made: bool) -> None:
        """The runtime broke off a start: drop the row, or leave it to be repaired."""
        if nothing_made:
            self._removal.forget(row, None)
        else:
            # A container may exist: the row stays as abandoned work, and its repair removes both.
            self._parts.store.save(row.stopping(lease_until=self._parts.clock.now()))

    def _activate(
        self, call: Call, spec: ChallengeSpec, row: Instance, launched: Launched, warm: Warm | None
    ) -> StartResult:
        now = self._parts.clock.now()
        active = row.activated(
            container_id=launched.container_id,
            host=launched.host or spec.host or self._parts.settings.cre_public_host,
            ports=launched.ports,
            started_at=now,
            expires_at=self._expiry(spec, now),
            flag=warm.flag if warm is not None else None,
        )
        event = call.event(
            Action.STARTED,
            Code.OK,
            container_id=active.container_id,
            new_expiry=replies.iso(active.expires_at),
            **({"warm": True} if warm is not None else {}),
        )
        name = self._parts.name_of(row)

        def also(connection: Connection) -> bool:
            self._parts.flags.give(connection, active, active.flag, now)
            return warm is None or self._pool.hand_over(connection, warm, to=name)

        saved = self._parts.store.save(active, event, also=also)
        if not saved:
            # The lease ran out and somebody repaired the row: undo our part.
            self._removal.undo(launched.container_id)
            return replies.busy_start()
        call.recorded = True
        return replies.started(self.describe(active))

    def _expiry(self, spec: ChallengeSpec, now: datetime) -> datetime:
        life = spec.timeout_seconds or self._parts.settings.cre_timeout_seconds
        end = self._parts.end_of(spec)
        full = now + timedelta(seconds=life)
        return full if end is None else min(full, end)
