"""WhaleAPIManager: the contract on a Whale that does not keep it.

What Whale does otherwise, and is kept from the call sites here, with the reasons in
docs/whale-wire.md: it replaces on start, ignores challenge_id on stop, knows no teams, and says
"created" before anything runs. So the adapter looks before it writes, keeps a ledger, and says
started only when the address answers. Forks that hold one instance per user and challenge are known
by what they are seen to do, or by WHALE_SCOPE (:mod:`engines.whale.traits`).
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta, timezone

import sqlalchemy as sa

from engines import replies
from engines.audit import Action
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
)
from engines.deadline import looking
from engines.errors import BackendUnavailable, SettingsError, WhaleFault
from engines.front import AuditedBackend, Call
from engines.owners import Owners, Ownership
from engines.replies import iso
from engines.settings import Settings
from engines.state.audit_log import AuditLog
from engines.state.database import Database, connectable, one_clock
from engines.state.instance_store import InstanceStore
from engines.state.instances import (
    AccountFull,
    Claimed,
    Instance,
    InstanceRequest,
    InstanceState,
    Taken,
    UserTaken,
    instance_table,
)
from engines.upkeep import Upkeep
from engines.whale.api import WhaleAPI
from engines.whale.client import WhaleAnswer, WhaleClient
from engines.whale.credentials import Credentials, CredentialsFile, StaticTokens
from engines.whale.ctfd_tokens import CtfdTokens
from engines.whale.dialects import dialect_named
from engines.whale.identity import identity_from
from engines.whale.ledger import Ledger, Standing, settled_fault
from engines.whale.left_locks import LeftLocks
from engines.whale.login import TokenMaker
from engines.whale.starter import Catalogue, WhaleStarter, limit_reached
from engines.whale.traits import Traits
from engines.whale.wire import RunningContainer
from engines.whale.write_queue import WriteQueue

whale_instances = instance_table("whale_instances", per_user=True)

LEASE_MARGIN_SECONDS = 30.0
CALLS_IN_A_LEASE = 8
"""Most requests to Whale that one of our calls makes while it holds its row."""
ROUNDS = 5
"""How often a call looks again when others change the same row under its hands."""


class WhaleAPIManager(AuditedBackend):
    """Runs instances on a ctfd-whale: one per account, or one of each challenge where Whale does.

    Without arguments everything comes from :class:`engines.settings.Settings`; parts that are
    passed in are used instead, and closing them stays the caller's business.

    Args:
        observer: told of every answer of Whale, for traces; never of a token.
        catalogue: the ids of all challenges that Whale may have, besides those that its CTFd lists.
        owners: tells accounts and challenges from others with their numbers.

    Raises:
        SettingsError: ``WHALE_API_URL`` is not set, or another setting is wrong.
    """

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        credentials: Credentials | None = None,
        database: Database | None = None,
        clock: Clock | None = None,
        observer: Callable[[WhaleAnswer], None] | None = None,
        catalogue: Catalogue | None = None,
        owners: Owners | None = None,
    ) -> None:
        self.settings = settings or Settings.from_environ()
        if self.settings.whale_api_url is None:
            raise SettingsError("WHALE_API_URL is not set; write the address of Whale's CTFd")
        dialect = dialect_named(self.settings.whale_dialect)
        self._own_database = database is None
        self._database = database or Database(self.settings.state_url)
        clock = one_clock(self._database, clock)
        upkeep = Upkeep(self._database, clock, self.settings)
        super().__init__(clock, AuditLog(self._database), upkeep)
        client = WhaleClient(
            self.settings.whale_api_url,
            call_seconds=self.settings.whale_call_seconds,
            look_seconds=self.settings.look_seconds,
            answer_seconds=self.settings.answer_seconds,
            identity=identity_from(self.settings),
            observer=observer,
        )
        self._ctfd: sa.engine.Engine | None = None
        shown = credentials or self._credentials_from_settings(client)
        queue = locks = None
        if self.settings.whale_parallel_writes:
            locks = LeftLocks(self.clock)
            queue = WriteQueue(
                self._database,
                self.clock,
                places=self.settings.whale_parallel_writes,
                wait_seconds=self.settings.whale_write_wait_seconds,
                call_seconds=self.settings.whale_call_seconds,
            )
        self.traits = Traits(self.settings.whale_scope, self._database)
        self._api = WhaleAPI(client, dialect, shown, queue, locks, self.traits)
        self._store = InstanceStore(self._database, self.audit, whale_instances)
        self._lease_seconds = (
            CALLS_IN_A_LEASE * self.settings.whale_call_seconds
            + self.settings.whale_write_wait_seconds
            + self.settings.whale_look_again_seconds
            + self.settings.whale_ready_seconds
            + LEASE_MARGIN_SECONDS
        )
        self._owners = Ownership(owners)
        self._ledger = Ledger(
            self.name,
            self._store,
            self._api,
            self.clock,
            lease_seconds=self._lease_seconds,
            settle_seconds=self.settings.whale_settle_seconds,
            look_again_seconds=self.settings.whale_look_again_seconds,
            lifetime=timedelta(seconds=self.settings.whale_timeout_seconds),
            max_extensions=self.settings.whale_max_extensions,
            owners=self._owners,
        )
        self._starter = WhaleStarter(self._api, self._store, self._ledger, self.settings, catalogue)
        self.cleanup_worker = CleanupWorker(
            self, self.settings.worker_seconds, database=self._database
        )

    @property
    def name(self) -> str:
        return "whale"

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(
            scope=Scope.PER_CHALLENGE if self.traits.per_challenge else Scope.PER_ACCOUNT,
            extend=ExtendMode.RESET,
            addressing=frozenset({Addressing.HOST_PORT, Addressing.SUBDOMAIN}),
            ready_on_start=self.settings.whale_probe,
            detects_loss=False,
            teams=True,
            multi_node=True,
            account_limit=self._account_limit,
            max_extensions=self.settings.whale_max_extensions,
            timeout_seconds=self.settings.whale_timeout_seconds,
            extension_seconds=self.settings.whale_timeout_seconds,
        )

    @property
    def _account_limit(self) -> int:
        return self.settings.whale_account_limit if self.traits.per_challenge else 1

    def holds_any(self) -> bool:
        return not self._store.empty()

    def ends_on_solve(self, challenge_id: int) -> bool:
        return self.settings.ends_on_solve

    def expire_due(self) -> int:
        """End what has expired, also where Whale's own cleaner has not come yet."""
        self.traits.publish()
        return self._ledger.expire_due()

    def end_orphans(self) -> int:
        return self._ledger.end_orphans()

    def reconcile(self) -> int:
        """Settle calls that broke off half-way."""
        return self._ledger.reconcile()

    def close(self) -> None:
        """Stop the worker and let go of connections; instances keep running."""
        self.cleanup_worker.stop()
        self._api.close()
        if self._ctfd is not None:
            self._ctfd.dispose()
        if self._own_database:
            self._database.close()

    def _credentials_from_settings(self, client: WhaleClient) -> Credentials:
        if self.settings.whale_ctfd_database_url is not None:
            self._ctfd = connectable(self.settings.whale_ctfd_database_url)
            return CtfdTokens(self._ctfd, self.clock)
        if self.settings.whale_tokens_file is None:
            return StaticTokens({})
        maker = TokenMaker(client, lambda: self.clock.now().astimezone(timezone.utc).date())
        return CredentialsFile(self.settings.whale_tokens_file, maker)

    # The four calls.

    def _start(self, call: Call) -> StartResult:
        try:
            for _ in range(ROUNDS):
                result = self._attempt(call)
                if result is not None:
                    return result
        except WhaleFault as fault:
            return _start_refused(call, fault)
        return replies.busy_start()

    def _attempt(self, call: Call) -> StartResult | None:
        """Start, or say what stands in the way; None when that has just come or gone: try again."""
        match self._store.claim(self._request(call), self.clock.now()):
            case Claimed(row):
                return self._starter.create(call, row)
            case Taken(row):
                return self._start_again(call, row)
            case AccountFull(rows):
                return self._full(call, rows)
            case UserTaken(row):
                return self._full(call, (row,))
            case _:
                return None

    def _full(self, call: Call, rows: tuple[Instance, ...]) -> StartResult | None:
        """A start that met as many instances as there may be; None when one of them has gone."""
        for row in rows:
            standing = self._ledger.confirm(row)
            if standing is None:
                return None
            if standing.open:
                return replies.busy_start(self._ledger.retry_after(standing))
        if rows[0].user_id == call.user_id and self._runs_beside(call):
            return None
        return limit_reached(rows[0].challenge_id)

    def _runs_beside(self, call: Call) -> bool:
        """Whether the user has an instance of this challenge too, beside one that is live: then
        Whale holds one of each challenge, which was not known."""
        if self.traits.scope is not None:
            return False
        try:
            found = self._api.look(call.user_id, call.challenge_id)
        except WhaleFault:
            return False
        if isinstance(found, RunningContainer) and found.remaining_seconds > 0:
            self.traits.ran_at_once()
        return self.traits.per_challenge

    def _start_again(self, call: Call, row: Instance) -> StartResult | None:
        """A start that met a row of its own: a double click, or a start that broke off."""
        if row.container_id is None and self._broke_off(row):
            resumed = self._starter.resume(call, row)
            if resumed is not None:
                return resumed
        standing = self._ledger.confirm(row)
        return None if standing is None else self._starter.already(standing)

    def _extend(self, call: Call) -> ActionResult:
        try:
            with looking(self.settings.look_seconds):
                row = self._current(call)
            if row is None:
                return replies.not_found()
            if row.state is not InstanceState.RUNNING:
                return replies.busy(self._ledger.retry_after(row))
            maximum = self.settings.whale_max_extensions
            if row.extension_count >= maximum:
                # Whale would refuse too, and leave its lock behind for ten seconds.
                return replies.extension_limit(maximum)
            mine = row.extending(self._ledger.lease_end())
            return self._renew(call, mine) if self._store.save(mine) else replies.busy()
        except WhaleFault as fault:
            return _refused(call, fault)

    def _stop(self, call: Call, action: Action) -> ActionResult:
        try:
            row = self._expiring(call) if action is Action.EXPIRED else self._current(call)
            if row is None:
                return replies.not_found()
            if row.state not in (
                InstanceState.RUNNING,
                InstanceState.STOP_OPEN,
            ):  # a stop may be repeated
                return replies.busy(self._ledger.retry_after(row))
            mine = row.stopping(self._ledger.lease_end())
            if not self._store.save(mine):
                return replies.busy()
            self._ledger.destroy(mine, row)
        except WhaleFault as fault:
            return _refused(call, fault)
        event = call.event(
            action, Code.OK, container_id=mine.container_id, old_expiry=iso(mine.expires_at)
        )
        call.recorded = self._store.delete(mine, event)
        return replies.stopped()

    def _status(self, call: Call) -> InstanceStatus | None:
        with looking(self.settings.look_seconds):
            return self._seen(call)

    def _seen(self, call: Call) -> InstanceStatus | None:
        try:
            row = self._store.find(call.account, call.challenge_id)
            if row is None:
                row = self._adopted(call)
                return None if row is None else self._ledger.describe(row)
            if self._ledger.lost(row):
                return None
            if row.state is InstanceState.STARTING and not row.abandoned(self.clock.now()):
                return None  # Whale may show it by halves: it is not live before its start ends
            if self._broke_off(row):
                settled = self._ledger.settle(row)
                live = settled is not None and settled.live(self.clock.now())
                return self._ledger.describe(settled) if settled is not None and live else None
            standing, row = self._ledger.examine(row)
        except WhaleFault as fault:
            raise BackendUnavailable("Whale cannot be asked") from fault
        return self._ledger.describe(row) if standing is Standing.LIVE else None

    def _holds(self, call: Call) -> bool:
        return self._store.find(call.account, call.challenge_id) is not None

    def _last_known(self, call: Call) -> InstanceStatus | None:
        row = self._store.find(call.account, call.challenge_id)
        if row is None or not row.live(self.clock.now()) or self._ledger.lost(row):
            return None
        return self._ledger.describe(row)

    # What the account has.

    def _current(self, call: Call) -> Instance | None:
        """The account's live row for this challenge, or one in somebody's hands, or None."""
        row = self._store.find(call.account, call.challenge_id)
        if row is None:
            return self._adopted(call)
        if self._ledger.lost(row):
            return None
        if row.state is not InstanceState.RUNNING:
            return self._ledger.confirm(row)
        standing, row = self._ledger.examine(row)
        return row if standing is Standing.LIVE else None

    def _expiring(self, call: Call) -> Instance | None:
        """The account's row whose container is still on Whale, expired or not."""
        row = self._store.find(call.account, call.challenge_id)
        if row is not None and self._broke_off(row):
            row = self._ledger.settle(row)
        if row is None or row.state is not InstanceState.RUNNING:
            return row
        standing, row = self._ledger.examine(row)
        if standing is not Standing.GONE:
            return row
        self._ledger.end(row, call, standing)
        return None

    def _broke_off(self, row: Instance) -> bool:
        """Whether nobody is at work on a row that is not simply running."""
        return row.open or row.abandoned(self.clock.now())

    def _adopted(self, call: Call) -> Instance | None:
        """Take a container into the ledger that the user started on Whale's own page."""
        theirs = self._store.of_user(call.user_id)
        if not self.traits.per_challenge and theirs:
            return None  # what the user has on Whale belongs to another account or challenge
        if any(row.challenge_id == call.challenge_id for row in theirs):
            return None  # another account's
        try:
            found = self._api.look(call.user_id, call.challenge_id)
        except WhaleFault as fault:
            if fault.code is Code.CHALLENGE_UNAVAILABLE:
                return None
            raise
        if not isinstance(found, RunningContainer) or found.remaining_seconds <= 0:
            return None
        if self._ledger.was_orphaned(call.user_id, found):
            return None
        claim = self._store.claim(self._request(call), self.clock.now())
        return self._ledger.adopt(call, claim.row, found) if isinstance(claim, Claimed) else None

    def _request(self, call: Call) -> InstanceRequest:
        return InstanceRequest(
            account=call.account,
            challenge_id=call.challenge_id,
            user_id=call.user_id,
            team_id=call.team_id,
            flag="",  # Whale makes the flag and keeps it to itself
            account_limit=self._account_limit,
            capacity=None,
            lease_seconds=self._lease_seconds,
            mark=self._owners.mark(call.user_id, call.team_id, call.challenge_id),
        )

    # Extending and stopping.

    def _renew(self, call: Call, mine: Instance) -> ActionResult:
        """PATCH for a row that is ours."""
        extended = mine.extended(self._renewed_expiry(mine))
        event = call.event(
            Action.EXTENDED,
            Code.OK,
            container_id=mine.container_id,
            old_expiry=iso(mine.expires_at),
            new_expiry=iso(extended.expires_at),
        )
        if not self._store.save(extended, event):
            return replies.busy()
        call.recorded = True
        count = f"extension {extended.extension_count}/{self.settings.whale_max_extensions}"
        message = f"Container renewed to its full time ({count})"
        return ActionResult(True, message, code=Code.OK)

    def _renewed_expiry(self, mine: Instance) -> datetime:
        """Send PATCH; what Whale made of the expiry, never earlier than it was.

        Raises:
            WhaleFault: it was not renewed and the row runs again; or, when ``definite`` is
                False, nobody knows, and the row runs again or is left open.
        """
        try:
            self._api.renew(mine.user_id, mine.challenge_id)
        except WhaleFault as fault:
            return self._renewed_after_all(mine, fault)
        try:
            found = self._api.look(mine.user_id, mine.challenge_id)
        except WhaleFault:
            found = None  # it said renewed; the next look will correct a setting that is off
        seconds: float = self.settings.whale_timeout_seconds
        if isinstance(found, RunningContainer):
            seconds = found.remaining_seconds
        renewed = self.clock.now() + timedelta(seconds=seconds)
        return renewed if mine.expires_at is None else max(renewed, mine.expires_at)

    def _renewed_after_all(self, mine: Instance, fault: WhaleFault) -> datetime:
        """The expiry after a PATCH that failed, when a look shows that it was moved all the same.

        Raises:
            WhaleFault: ``fault``, made definite where the look shows that nothing was done.
        """
        if fault.definite:
            self._store.save(mine.running_again())
            raise fault
        found = self._ledger.look_again(
            mine,
            lambda found: isinstance(found, RunningContainer) and self._ledger.renewed(mine, found),
            fault,
        )
        if isinstance(found, RunningContainer) and self._ledger.renewed(mine, found):
            return self._ledger.expiry(found)
        if found is None:
            self._ledger.leave_open(mine)
            raise fault
        # A renewal that shows later is followed, and Whale keeps its own count.
        self._store.save(mine.running_again())
        raise fault if fault.pending else settled_fault(fault)


def _noted(call: Call, fault: WhaleFault) -> None:
    """Let the call's event say why, for organisers."""
    if fault.said:
        call.detail["reason"] = fault.said


def _start_refused(call: Call, fault: WhaleFault) -> StartResult:
    _noted(call, fault)
    return StartResult(
        False,
        fault.message,
        code=fault.code,
        retry_after=fault.retry_after,
        definite=fault.definite,
    )


def _refused(call: Call, fault: WhaleFault) -> ActionResult:
    _noted(call, fault)
    return ActionResult(
        False,
        fault.message,
        code=fault.code,
        retry_after=fault.retry_after,
        definite=fault.definite,
    )
