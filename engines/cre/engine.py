"""ContainerRuntimeEngine: the contract on a container runtime, with its state in a database."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from math import ceil

from sqlalchemy.exc import SQLAlchemyError

from engines import replies
from engines.audit import Action
from engines.catalog import Catalog, ChallengeSpec
from engines.catalog_file import catalog_from
from engines.cleanup_worker import CleanupWorker
from engines.clock import Clock
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
from engines.cre.admission import Admission
from engines.cre.container_launcher import ContainerLauncher
from engines.cre.context import EngineContext
from engines.cre.deployment import deployment_name
from engines.cre.disk_watch import DiskWatch
from engines.cre.flags import new_flag
from engines.cre.instance_starter import InstanceStarter
from engines.cre.names import instance_name
from engines.cre.owner import database_id
from engines.cre.removal import InstanceRemoval
from engines.cre.repair import Repair
from engines.cre.reservations import Reservations
from engines.cre.rounds import ParallelRounds
from engines.cre.runtimes.base import Runtime
from engines.cre.runtimes.sdk import check_sdk
from engines.cre.tables import cre_instances
from engines.cre.warm_pool import WarmPool
from engines.deadline import looking
from engines.errors import BackendUnavailable, OutcomeUnknown
from engines.front import AuditedBackend, Call
from engines.heartbeat import LAPSE_SECONDS, Heartbeat
from engines.owners import Owners, Ownership
from engines.reasons import reason
from engines.settings import Settings
from engines.state.audit_log import AuditLog
from engines.state.database import Database, one_clock
from engines.state.given_flags import GivenFlags
from engines.state.instance_store import InstanceStore
from engines.state.instances import (
    AccountFull,
    ChallengeFull,
    Claimed,
    Instance,
    InstanceRequest,
    InstanceState,
    Obstacle,
    SystemFull,
    Taken,
    TooOften,
)
from engines.upkeep import Upkeep

log = logging.getLogger(__name__)

Solved = Callable[[Sequence[Instance]], frozenset[int]]
"""Gives the ids of those rows whose account has solved the challenge."""

ROUNDS = 5
"""How often a call looks again when others change the same row under its hands."""

TOLD_FOR = timedelta(hours=1)
"""How long a player is told why an instance was ended."""


class ContainerRuntimeEngine(AuditedBackend):
    """Runs one container per (account, challenge).

    Without arguments everything comes from :class:`engines.settings.Settings`; parts that are
    passed in are used instead, and closing them stays the caller's business.

    Args:
        solved: tells which rows' challenges their accounts have solved; such instances give way
            when every place is taken. None: nobody knows, and none does.
        owners: tells accounts and challenges from others with their numbers; where it is None the
            numbers are all there is.
    """

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        runtime: Runtime | None = None,
        catalog: Catalog | None = None,
        database: Database | None = None,
        clock: Clock | None = None,
        solved: Solved | None = None,
        owners: Owners | None = None,
    ) -> None:
        self.settings = settings or Settings.from_environ()
        self._own_database = database is None
        self._own_runtime = runtime is None
        self._database = database or Database(self.settings.state_url)
        clock = one_clock(self._database, clock)
        upkeep = Upkeep(self._database, clock, self.settings)
        super().__init__(clock, AuditLog(self._database), upkeep)
        self._runtime = runtime or _runtime(self.settings)
        self._catalog = catalog if catalog is not None else catalog_from(self.settings)
        self._deployment = self.settings.cre_deployment or deployment_name(self._database)
        self._store = InstanceStore(self._database, self.audit, cre_instances)
        self._parts = EngineContext(
            backend=self.name,
            deployment=self._deployment,
            owner=database_id(self._database),
            database=self._database,
            store=self._store,
            reservations=Reservations(self._database, self.clock),
            runtime=self._runtime,
            catalog=self._catalog,
            clock=self.clock,
            settings=self.settings,
            heartbeat=Heartbeat(self._database, self.clock, cre_instances),
            owners=Ownership(owners),
            flags=GivenFlags(
                self._database, self.name, timedelta(seconds=self.settings.flag_grace_seconds)
            ),
            rounds=ParallelRounds(
                self.settings.answer_seconds, self.settings.cre_parallel_removals
            ),
        )
        self._launcher = ContainerLauncher(self._parts)
        self._removal = InstanceRemoval(self._parts)
        self._pool = WarmPool(self._parts, self._launcher)
        self._starter = InstanceStarter(self._parts, self._launcher, self._pool, self._removal)
        self._repair = Repair(self._parts, self._pool, self._removal, self._launcher.lease)
        self._disk_watch = DiskWatch(self._parts, self._pool, self._removal)
        self._solved = solved
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
            flag_grace_seconds=self.settings.flag_grace_seconds,
            lapse_seconds=ceil(LAPSE_SECONDS),
        )

    @property
    def catalog(self) -> Catalog:
        """Where it looks challenges up."""
        return self._catalog

    @property
    def deployment(self) -> str:
        """Value of the label every container of this engine carries."""
        return self._deployment

    def recorded_flag(
        self, user_id: int, challenge_id: int, team_id: int | None = None
    ) -> str | None:
        return next(iter(self.counting_flags(user_id, challenge_id, team_id)), None)

    def counting_flags(
        self, user_id: int, challenge_id: int, team_id: int | None = None
    ) -> tuple[str, ...]:
        now, account = self.clock.now(), account_key(user_id, team_id)
        mark = self._parts.owners.mark(user_id, team_id, challenge_id)
        row = self._store.find(account, challenge_id)
        earlier = self._parts.flags.counting(account, challenge_id, mark, now)
        if row is None or row.expires_at is None or self._parts.owners.lost(row):
            return earlier
        counts = row.live(now) or now < row.expires_at + self._parts.flags.grace
        return (row.flag, *earlier) if counts else earlier

    def holds_any(self) -> bool:
        return not self._store.empty()

    def ends_on_solve(self, challenge_id: int) -> bool:
        spec = self._catalog.get(challenge_id)
        if spec is None or spec.ends_on_solve is None:
            return self.settings.ends_on_solve
        return spec.ends_on_solve

    def may_be_challenge(self, challenge_id: int) -> bool:
        return self._catalog.get(challenge_id) is not None

    def expire_due(self) -> int:
        """Remove every expired instance once, several at a time; one that fails to go is tried
        again in the next round and holds up no other."""
        self._repair.see_whose_rows()
        return self._removal.expire_due()

    def end_orphans(self) -> int:
        return self._removal.end_orphans(self._store.all())

    def reconcile(self) -> int:
        """Make rows and containers agree after a crash or an operator's hand.

        Rows that somebody abandoned half-way and rows whose container is gone are cleared,
        containers of this deployment that no row knows are removed.

        Raises:
            BackendUnavailable: the runtime cannot be asked; nothing was changed.
        """
        return self._repair.reconcile()

    def fill_pool(self) -> int:
        """Keep as many containers ready as the challenges' ``warm`` says; returns how many were
        made. What is of no use any more, as its challenge or image changed, goes.

        Raises:
            BackendUnavailable: the runtime cannot be asked.
        """
        return self._pool.fill()

    def why_ended(self, user_id: int, challenge_id: int, team_id: int | None = None) -> str | None:
        since = self.clock.now() - TOLD_FOR
        try:
            event = self.audit.newest(user_id, challenge_id, team_id, since)
        except SQLAlchemyError as error:
            log.warning("why an instance ended cannot be read: %s", reason(error))
            return None
        if event is None or event.action is not Action.DISK_FULL:
            return None
        return (
            "Your container was ended: it had written more than the "
            f"{event.metadata['disk_mb']} MB it may. You can start it again"
        )

    def watch(self) -> int:
        """End instances that have written more to the disk than they may; returns how many.

        Raises:
            BackendUnavailable: the runtime cannot be asked.
        """
        return self._disk_watch.look()

    def alarmed(self) -> bool:
        """Whether much was written to the disk since it was looked at."""
        return self._runtime.alarmed()

    def close(self) -> None:
        """Stop the worker and let go of connections; instances keep running."""
        self.cleanup_worker.stop()
        self._launcher.close()
        self._parts.heartbeat.close()
        if self._own_runtime:
            self._runtime.close()
        if self._own_database:
            self._database.close()

    # The four calls.

    def _start(self, call: Call) -> StartResult:
        spec = self._catalog.get(call.challenge_id)
        if spec is None or not spec.startable or self._parts.over(spec):
            return _refused(Code.CHALLENGE_UNAVAILABLE, "This challenge is not available")
        call.mark = self._parts.owners.mark(call.user_id, call.team_id, call.challenge_id)
        for _ in range(ROUNDS):
            admission = self._admission(call, spec)
            match self._store.claim(self._request(call, spec), self.clock.now(), admission):
                case Claimed(row):
                    with self._parts.heartbeat.kept(row.id, row.version, self._launcher.lease):
                        return self._starter.create(call, spec, row, admission.warm)
                case Taken(row):
                    if self._removal.clear_unless_live(row):
                        return self._already(row)
                case AccountFull(rows):
                    holding = [row for row in rows if self._removal.clear_unless_live(row)]
                    if len(holding) == len(rows):
                        return self._limit_reached(holding)
                case refusal:
                    if not self._make_room(refusal, spec.id):
                        return self._turned_away(refusal)
        return replies.busy_start()

    def _extend(self, call: Call) -> ActionResult:
        for _ in range(ROUNDS):
            row = self._store.find(call.account, call.challenge_id)
            if row is None:
                return replies.not_found()
            # Each look has its time: rounds that a busy database takes are not the engine's.
            with looking(self.settings.look_seconds):
                if self._removal.repair(row):
                    return replies.not_found()
                if row.state is not InstanceState.RUNNING:
                    return replies.busy()
                if row.expires_at is None or not self._removal.live(row):
                    return replies.not_found()
            maximum = self.settings.cre_max_extensions
            if row.extension_count >= maximum:
                return replies.extension_limit(maximum)
            step = self.settings.cre_extension_seconds
            expires_at = self._not_beyond_the_end(row, row.expires_at + timedelta(seconds=step))
            if expires_at <= row.expires_at:
                message = "This challenge ends then: its containers cannot be extended any more"
                return ActionResult(False, message, code=Code.EXTENSION_LIMIT)
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
                gained = round((expires_at - row.expires_at).total_seconds())
                message = f"Container extended by {_duration(gained)} ({count})"
                return ActionResult(True, message, code=Code.OK)
        return replies.busy()

    def _stop(self, call: Call, action: Action) -> ActionResult:
        for _ in range(ROUNDS):
            now = self.clock.now()
            row = self._store.find(call.account, call.challenge_id)
            if row is None or self._removal.repair(row):
                return replies.not_found()
            if row.state is not InstanceState.RUNNING:
                return replies.busy()
            if action is not Action.EXPIRED:
                if not row.live(now) or self._parts.owners.lost(row):
                    return replies.not_found()
                if not self._removal.is_running(row):
                    self._removal.clear_lost(row)
                    return replies.not_found()
            if self._ended(row, call, action):
                return replies.stopped()
        return replies.busy()

    def _ended(self, row: Instance, call: Call, action: Action) -> bool:
        """See :meth:`InstanceRemoval.end`; says so where the engine may have done it all the
        same."""
        try:
            return self._removal.end(row, call, action)
        except BackendUnavailable as error:
            if error.unanswered:
                raise OutcomeUnknown(str(error)) from error
            raise

    def _status(self, call: Call) -> InstanceStatus | None:
        row = self._store.find(call.account, call.challenge_id)
        with looking(self.settings.look_seconds):
            live = row is not None and self._removal.live(row)
        return self._starter.describe(row) if row is not None and live else None

    def _holds(self, call: Call) -> bool:
        row = self._store.find(call.account, call.challenge_id)
        if row is None:
            return False
        try:
            with looking(self.settings.look_seconds):
                return not self._removal.repair(row)
        except BackendUnavailable:
            return True  # what somebody who died has left may be there

    def _last_known(self, call: Call) -> InstanceStatus | None:
        row = self._store.find(call.account, call.challenge_id)
        if row is None or not row.live(self.clock.now()) or self._parts.owners.lost(row):
            return None
        return self._starter.describe(row)

    # Answers and their parts.

    def _make_room(self, refusal: Obstacle, challenge_id: int) -> bool:
        """End what gives way to a start that was refused for want of room; False when nothing
        does."""
        match refusal:
            case SystemFull():
                return self._pool.give_way() or self._solved_gives_way(None)
            case ChallengeFull():
                return self._solved_gives_way(challenge_id)
            case _:
                return False

    def _solved_gives_way(self, challenge_id: int | None) -> bool:
        """End one instance whose challenge is solved, so that a start has its place."""
        if self._solved is None:
            return False
        now = self.clock.now()
        rows = [row for row in self._store.all() if self._may_give_way(row, challenge_id, now)]
        try:
            solved = self._solved(rows) if rows else frozenset[int]()
            return any(self._removal.give_way(row) for row in rows if row.id in solved)
        except (BackendUnavailable, SQLAlchemyError) as error:
            log.warning("no solved instance gave way: %s", reason(error))
            return False

    def _may_give_way(self, row: Instance, challenge_id: int | None, now: datetime) -> bool:
        spec = self._catalog.get(row.challenge_id)
        return (
            row.state is InstanceState.RUNNING
            and row.live(now)
            and challenge_id in (None, row.challenge_id)
            and (spec is None or spec.ends_on_solve is not False)
        )

    def _request(self, call: Call, spec: ChallengeSpec) -> InstanceRequest:
        return InstanceRequest(
            account=call.account,
            challenge_id=call.challenge_id,
            user_id=call.user_id,
            team_id=call.team_id,
            flag=new_flag(spec),
            account_limit=self.settings.cre_account_limit,
            capacity=self.settings.cre_capacity,
            lease_seconds=self._parts.heartbeat.lease(self._launcher.lease).total_seconds(),
            mark=call.mark,
        )

    def _admission(self, call: Call, spec: ChallengeSpec) -> Admission:
        return Admission(
            settings=self.settings,
            store=self._store,
            pool=self._pool.rows,
            owner=f"{call.account} {call.mark.partition('.')[0]}" if call.mark else call.account,
            spec=spec,
            name=instance_name(self._deployment, self._parts.owner, call.account, spec.id),
            lease=self._launcher.lease,
        )

    def _not_beyond_the_end(self, row: Instance, expires_at: datetime) -> datetime:
        end = self._parts.end_of(self._catalog.get(row.challenge_id))
        return expires_at if end is None else min(expires_at, end)

    def _turned_away(self, obstacle: Obstacle) -> StartResult:
        if isinstance(obstacle, TooOften):
            message = "You have started too many containers; please wait a little"
            return _refused(Code.RATE_LIMITED, message, obstacle.retry_after)
        places = "places of this challenge" if isinstance(obstacle, ChallengeFull) else "places"
        message = f"All {places} are taken; please try again when somebody has finished"
        return _refused(Code.CAPACITY, message, self.settings.worker_seconds)

    def _already(self, row: Instance) -> StartResult:
        if row.state is not InstanceState.RUNNING:
            return replies.busy_start()
        return replies.already_running(self._starter.describe(row))

    def _limit_reached(self, rows: list[Instance]) -> StartResult:
        names = ", ".join(self._challenge_name(row.challenge_id) for row in rows)
        return replies.limit_reached(names)

    def _challenge_name(self, challenge_id: int) -> str:
        spec = self._catalog.get(challenge_id)
        number = f"challenge {challenge_id}"
        return number if spec is None else f"{spec.name} ({number})"


def _refused(code: Code, message: str, retry_after: float | None = None) -> StartResult:
    return StartResult(False, message, code=code, retry_after=retry_after)


def _runtime(settings: Settings) -> Runtime:
    check_sdk()
    from engines.cre.runtimes.chosen import runtime_from

    return runtime_from(settings)


def _duration(seconds: int) -> str:
    minutes, rest = divmod(seconds, 60)
    if rest:
        return f"{seconds} seconds"
    return "1 minute" if minutes == 1 else f"{minutes} minutes"
