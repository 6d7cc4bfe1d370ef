"""ContainerRuntimeEngine: the contract on a container runtime, with its state in a database."""

from __future__ import annotations

import logging
import secrets
from datetime import timedelta

from engines import replies
from engines.audit import Action, AuditLog
from engines.base import AuditedBackend, Call
from engines.catalog import Catalog, ChallengeSpec, StaticCatalog
from engines.catalog_file import load_catalog
from engines.cleanup_worker import CleanupWorker
from engines.clock import Clock, SystemClock
from engines.contract import (
    ActionResult,
    Addressing,
    Capabilities,
    Code,
    ExtendMode,
    InstanceStatus,
    Scope,
    StartResult,
    account_key,
)
from engines.cre.deployment import deployment_name
from engines.cre.removal import Removal
from engines.cre.runtimes.base import Launch, Launched, Runtime
from engines.cre.runtimes.docker import DockerRuntime
from engines.database import Database
from engines.errors import BackendUnavailable, RuntimeFault
from engines.instances import (
    AccountFull,
    Claimed,
    Instance,
    InstanceStore,
    Request,
    State,
    SystemFull,
    Taken,
    instance_table,
)
from engines.settings import Settings

log = logging.getLogger(__name__)

LEASE_MARGIN_SECONDS = 120.0
"""How long, beyond the ready time-out, a row in a passing state belongs to who set it."""
ROUNDS = 5
"""How often a call looks again when others change the same row under its hands."""

cre_instances = instance_table("cre_instances", one_per_user=False)

_START_FAILURES = {
    Code.IMAGE_MISSING: "This challenge's image is missing; please tell an organiser",
    Code.START_FAILED: "The container did not start; please tell an organiser",
    Code.NOT_READY: "The container started but did not answer in time; please try again",
    Code.CAPACITY: "No machine has room for this challenge now; please try again shortly",
    Code.PORT_UNAVAILABLE: "No network port was free; please try again shortly",
}


class ContainerRuntimeEngine(AuditedBackend):
    """Runs one container per (account, challenge).

    Without arguments everything comes from :class:`engines.settings.Settings`; parts that are
    passed in are used instead, and closing them stays the caller's business.
    """

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        runtime: Runtime | None = None,
        catalog: Catalog | None = None,
        database: Database | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.settings = settings or Settings.from_environ()
        self._own_database = database is None
        self._own_runtime = runtime is None
        self._database = database or Database(self.settings.state_url)
        super().__init__(clock or SystemClock(), AuditLog(self._database))
        self._store = InstanceStore(self._database, self.audit, cre_instances)
        self._runtime = runtime or DockerRuntime()
        self._catalog = catalog if catalog is not None else _catalog(self.settings)
        self._deployment = self.settings.cre_deployment or deployment_name(self._database)
        self._removal = Removal(self.name, self._store, self._runtime, self.clock, self._deployment)
        self.cleanup_worker = CleanupWorker(
            self, self.settings.worker_seconds, database=self._database
        )

    @property
    def name(self) -> str:
        return "cre"

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(
            scope=Scope.PER_CHALLENGE,
            extend=ExtendMode.ADDITIVE,
            addressing=frozenset({Addressing.HOST_PORT}),
            ready_on_start=True,
            detects_loss=True,
            teams=True,
            multi_node=self._runtime.multi_node,
            account_limit=self.settings.cre_account_limit,
            max_extensions=self.settings.cre_max_extensions,
            timeout_seconds=self.settings.cre_timeout_seconds,
            extension_seconds=self.settings.cre_extension_seconds,
            isolation=self._runtime.isolation,
        )

    @property
    def deployment(self) -> str:
        """Value of the label every container of this engine carries."""
        return self._deployment

    def recorded_flag(
        self, user_id: int, challenge_id: int, team_id: int | None = None
    ) -> str | None:
        """The flag a submission is compared with, or None when no instance is live."""
        row = self._store.find(account_key(user_id, team_id), challenge_id)
        return row.flag if row is not None and row.live(self.clock.now()) else None

    def expire_due(self) -> int:
        """Remove every expired instance once, several at a time; one that fails to go is tried
        again in the next round and holds up no other."""
        return self._removal.expire_due()

    def reconcile(self) -> int:
        """Make rows and containers agree after a crash or an operator's hand.

        Rows that somebody abandoned half-way and rows whose container is gone are cleared,
        containers of this deployment that no row knows are removed.

        Raises:
            BackendUnavailable: the runtime cannot be asked; nothing was changed.
        """
        return self._removal.reconcile()

    def close(self) -> None:
        """Stop the worker and let go of connections; instances keep running."""
        self.cleanup_worker.stop()
        if self._own_runtime:
            self._runtime.close()
        if self._own_database:
            self._database.close()

    # The four calls.

    def _start(self, call: Call) -> StartResult:
        spec = self._catalog.get(call.challenge_id)
        if spec is None or not spec.startable:
            return StartResult(
                False, "This challenge is not available", code=Code.CHALLENGE_UNAVAILABLE
            )
        for _ in range(ROUNDS):
            match self._store.claim(self._request(call, spec), self.clock.now()):
                case Claimed(row):
                    return self._launch(call, spec, row)
                case Taken(row):
                    if self._removal.in_the_way(row):
                        return self._already(row)
                case AccountFull(rows):
                    holding = [row for row in rows if self._removal.in_the_way(row)]
                    if len(holding) == len(rows):
                        return self._limit_reached(holding)
                case SystemFull():
                    return StartResult(
                        False,
                        "All places are taken; please try again when somebody has finished",
                        code=Code.CAPACITY,
                        retry_after=self.settings.worker_seconds,
                    )
        return replies.busy_start()

    def _extend(self, call: Call) -> ActionResult:
        for _ in range(ROUNDS):
            row = self._store.find(call.account, call.challenge_id)
            if row is None or self._removal.repaired(row):
                return replies.not_found()
            if row.state is not State.RUNNING:
                return replies.busy()
            if row.expires_at is None or not self._removal.live(row):
                return replies.not_found()
            maximum = self.settings.cre_max_extensions
            if row.extension_count >= maximum:
                return replies.extension_limit(maximum)
            step = self.settings.cre_extension_seconds
            expires_at = row.expires_at + timedelta(seconds=step)
            event = call.event(
                Action.EXTENDED,
                Code.OK,
                container_id=row.container_id,
                old_expiry=row.expires_at.isoformat(),
                new_expiry=expires_at.isoformat(),
            )
            extended = row.extended(expires_at)
            if self._store.save(extended, event):
                call.recorded = True
                count = f"extension {extended.extension_count}/{maximum}"
                message = f"Container extended by {_duration(step)} ({count})"
                return ActionResult(True, message, code=Code.OK)
        return replies.busy()

    def _stop(self, call: Call, action: Action) -> ActionResult:
        for _ in range(ROUNDS):
            now = self.clock.now()
            row = self._store.find(call.account, call.challenge_id)
            if row is None or self._removal.repaired(row):
                return replies.not_found()
            if row.state is not State.RUNNING:
                return replies.busy()
            if action is not Action.EXPIRED:
                if not row.live(now):
                    return replies.not_found()
                if not self._removal.is_running(row):
                    self._removal.clear_lost(row)
                    return replies.not_found()
            if self._removal.end(row, call, action):
                return replies.stopped()
        return replies.busy()

    def _status(self, call: Call) -> InstanceStatus | None:
        row = self._store.find(call.account, call.challenge_id)
        return self._describe(row) if row is not None and self._removal.live(row) else None

    # Starting.

    def _request(self, call: Call, spec: ChallengeSpec) -> Request:
        return Request(
            account=call.account,
            challenge_id=call.challenge_id,
            user_id=call.user_id,
            team_id=call.team_id,
            flag=f"{spec.flag_prefix}{{{secrets.token_hex(16)}}}",
            account_limit=self.settings.cre_account_limit,
            capacity=self.settings.cre_capacity,
            lease_seconds=self.settings.cre_ready_seconds + LEASE_MARGIN_SECONDS,
        )

    def _launch(self, call: Call, spec: ChallengeSpec, row: Instance) -> StartResult:
        """Make the container of a row that is ours; on failure nothing of it is left."""
        launch = Launch(
            name=self._removal.container_name(row.account, row.challenge_id),
            deployment=self._deployment,
            spec=spec,
            flag=row.flag,
            bind_address=self.settings.cre_bind_address,
        )
        try:
            launched = self._runtime.launch(launch)
            self._await_ready(launch, launched)
        except RuntimeFault as fault:
            log.warning("challenge %d did not start: %s", spec.id, fault)
            event = call.event(Action.START_FAILED, fault.code)
            call.recorded = self._store.delete(row, event)
            return StartResult(False, _START_FAILURES[fault.code], code=fault.code)
        except BackendUnavailable as error:
            self._give_up(row, nothing_made=error.untouched)
            raise
        return self._activate(call, row, launched)

    def _await_ready(self, launch: Launch, launched: Launched) -> None:
        """Wait until the container answers; one that does not is removed.

        Raises:
            RuntimeFault: it did not, and it is gone.
            BackendUnavailable: it may still be there.
        """
        try:
            try:
                self._runtime.wait_ready(launch, launched, self.settings.cre_ready_seconds)
            except RuntimeFault:
                self._runtime.remove(launched.container_id)
                raise
        except BackendUnavailable as error:
            raise BackendUnavailable("the runtime broke off a start") from error

    def _give_up(self, row: Instance, *, nothing_made: bool) -> None:
        """The runtime broke off a start: drop the row, or leave it to be repaired."""
        if nothing_made:
            self._store.delete(row, None)
        else:
            # A container may exist: the row stays as abandoned work, and its repair removes both.
            self._store.save(row.stopping(lease_until=self.clock.now()))

    def _activate(self, call: Call, row: Instance, launched: Launched) -> StartResult:
        now = self.clock.now()
        active = row.activated(
            container_id=launched.container_id,
            host=launched.host or self.settings.cre_public_host,
            ports=launched.ports,
            started_at=now,
            expires_at=now + timedelta(seconds=self.settings.cre_timeout_seconds),
        )
        event = call.event(
            Action.STARTED,
            Code.OK,
            container_id=active.container_id,
            new_expiry=replies.iso(active.expires_at),
        )
        if not self._store.save(active, event):
            # The lease ran out and somebody repaired the row: undo our part.
            self._runtime.remove(launched.container_id)
            return replies.busy_start()
        call.recorded = True
        return replies.started(self._describe(active))

    def _already(self, row: Instance) -> StartResult:
        if row.state is not State.RUNNING:
            return replies.busy_start()
        return replies.already_running(self._describe(row))

    def _limit_reached(self, rows: list[Instance]) -> StartResult:
        names = ", ".join(self._challenge_name(row.challenge_id) for row in rows)
        return replies.limit_reached(names)

    def _challenge_name(self, challenge_id: int) -> str:
        spec = self._catalog.get(challenge_id)
        number = f"challenge {challenge_id}"
        return number if spec is None else f"{spec.name} ({number})"

    def _describe(self, row: Instance) -> InstanceStatus:
        return replies.describe(
            row,
            now=self.clock.now(),
            max_extensions=self.settings.cre_max_extensions,
            backend=self.name,
        )


def _catalog(settings: Settings) -> Catalog:
    if settings.challenges_file is None:
        return StaticCatalog()
    return load_catalog(settings.challenges_file)


def _duration(seconds: int) -> str:
    minutes, rest = divmod(seconds, 60)
    if rest:
        return f"{seconds} seconds"
    return "1 minute" if minutes == 1 else f"{minutes} minutes"
