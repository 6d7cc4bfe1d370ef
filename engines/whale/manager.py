"""WhaleAPIManager: the contract on a Whale that does not keep it.

What Whale does otherwise, and is kept from the call sites here, with the reasons in
docs/whale-wire.md: it replaces on start, ignores challenge_id on stop, knows no teams, and says
"created" before anything runs. So the adapter looks before it writes, keeps a ledger, and says
started only when the address answers.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timedelta

from engines import replies
from engines.audit import Action, AuditLog
from engines.base import AuditedBackend, Call
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
)
from engines.database import Database
from engines.errors import BackendUnavailable, SettingsError, WhaleFault
from engines.instances import (
    AccountFull,
    Claimed,
    Instance,
    InstanceStore,
    Request,
    State,
    SystemFull,
    Taken,
    UserTaken,
    instance_table,
)
from engines.probe import answers_http, answers_tcp, wait_until
from engines.replies import iso
from engines.settings import Settings
from engines.whale.access import Access
from engines.whale.api import WhaleAPI
from engines.whale.client import Answer, WhaleClient
from engines.whale.credentials import Credentials, StaticTokens, load_tokens
from engines.whale.dialects import Another, Nothing, Running, dialect_named
from engines.whale.ledger import Ledger, Standing

log = logging.getLogger(__name__)

whale_instances = instance_table("whale_instances", one_per_user=True)

LEASE_MARGIN_SECONDS = 30.0
CALLS_IN_A_LEASE = 4
"""Most requests to Whale that one of our calls makes while it holds its row."""
ROUNDS = 5
"""How often a call looks again when others change the same row under its hands."""
UNBOUNDED = 2**31


class WhaleAPIManager(AuditedBackend):
    """Runs instances on a ctfd-whale, one per account.

    Without arguments everything comes from :class:`engines.settings.Settings`; parts that are
    passed in are used instead, and closing them stays the caller's business.

    Args:
        observer: told of every answer of Whale, for traces; never of a token.

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
        observer: Callable[[Answer], None] | None = None,
    ) -> None:
        self.settings = settings or Settings.from_environ()
        if self.settings.whale_api_url is None:
            raise SettingsError("WHALE_API_URL is not set; write the address of Whale's CTFd")
        dialect = dialect_named(self.settings.whale_dialect)
        self._own_database = database is None
        self._database = database or Database(self.settings.state_url)
        super().__init__(clock or SystemClock(), AuditLog(self._database))
        client = WhaleClient(
            self.settings.whale_api_url,
            call_seconds=self.settings.whale_call_seconds,
            observer=observer,
        )
        self._api = WhaleAPI(client, dialect, credentials or _credentials(self.settings))
        self._store = InstanceStore(self._database, self.audit, whale_instances)
        self._lease_seconds = (
            CALLS_IN_A_LEASE * self.settings.whale_call_seconds
            + self.settings.whale_ready_seconds
            + LEASE_MARGIN_SECONDS
        )
        self._ledger = Ledger(
            self.name,
            self._store,
            self._api,
            self.clock,
            lease_seconds=self._lease_seconds,
            lifetime=timedelta(seconds=self.settings.whale_timeout_seconds),
        )

    @property
    def name(self) -> str:
        return "whale"

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(
            scope=Scope.PER_ACCOUNT,
            extend=ExtendMode.RESET,
            addressing=frozenset({Addressing.HOST_PORT, Addressing.SUBDOMAIN}),
            ready_on_start=self.settings.whale_probe,
            detects_loss=False,
            teams=True,
            multi_node=True,
            account_limit=1,
            max_extensions=self.settings.whale_max_extensions,
            timeout_seconds=self.settings.whale_timeout_seconds,
            extension_seconds=self.settings.whale_timeout_seconds,
        )

    def expire_due(self) -> int:
        """End what has expired, also where Whale's own cleaner has not come yet."""
        return self._ledger.expire_due()

    def reconcile(self) -> int:
        """Settle calls that broke off half-way."""
        return self._ledger.reconcile()

    def close(self) -> None:
        """Let go of connections; instances keep running."""
        self._api.close()
        if self._own_database:
            self._database.close()

    # The four calls.

    def _start(self, call: Call) -> StartResult:
        try:
            for _ in range(ROUNDS):
                match self._store.claim(self._request(call), self.clock.now()):
                    case Claimed(row):
                        return self._create(call, row)
                    case Taken(row):
                        standing = self._ledger.confirmed(row)
                        if standing is not None:
                            return self._already(standing)
                    case AccountFull((row, *_)) | UserTaken(row):
                        standing = self._ledger.confirmed(row)
                        if standing is not None:
                            return _limit_reached(standing.challenge_id)
                    case AccountFull(()) | SystemFull():
                        break
        except WhaleFault as fault:
            return _start_refused(fault)
        return replies.busy_start()

    def _extend(self, call: Call) -> ActionResult:
        try:
            row = self._current(call)
            if row is None:
                return replies.not_found()
            if row.state is not State.RUNNING:
                return replies.busy()
            maximum = self.settings.whale_max_extensions
            if row.extension_count >= maximum:
                # Whale would refuse too, and leave its lock behind for ten seconds.
                return replies.extension_limit(maximum)
            mine = row.extending(self._ledger.lease_end())
            return self._renew(call, mine) if self._store.save(mine) else replies.busy()
        except WhaleFault as fault:
            return _refused(fault)

    def _stop(self, call: Call, action: Action) -> ActionResult:
        try:
            if action is Action.EXPIRED:
                row = self._store.find(call.account, call.challenge_id)
            else:
                row = self._current(call)
            if row is None:
                return replies.not_found()
            if row.state is not State.RUNNING:
                return replies.busy()
            mine = row.stopping(self._ledger.lease_end())
            return self._destroy(call, mine, action) if self._store.save(mine) else replies.busy()
        except WhaleFault as fault:
            return _refused(fault)

    def _status(self, call: Call) -> InstanceStatus | None:
        try:
            row = self._store.find(call.account, call.challenge_id)
            if row is None:
                row = self._adopted(call)
                return None if row is None else self._describe(row)
            standing, row = self._ledger.examine(row)
        except WhaleFault as fault:
            raise BackendUnavailable("Whale cannot be asked") from fault
        return self._describe(row) if standing is Standing.LIVE else None

    # What the account has.

    def _current(self, call: Call) -> Instance | None:
        """The account's live row for this challenge, or one in somebody's hands, or None."""
        row = self._store.find(call.account, call.challenge_id)
        if row is None:
            return self._adopted(call)
        if row.state is not State.RUNNING and not row.abandoned(self.clock.now()):
            return row
        if row.abandoned(self.clock.now()):
            return self._ledger.confirmed(row)
        standing, row = self._ledger.examine(row)
        return row if standing is Standing.LIVE else None

    def _adopted(self, call: Call) -> Instance | None:
        """Take a container into the ledger that the user started on Whale's own page."""
        if self._store.find_by_user(call.user_id) is not None:
            return None  # what the user has on Whale belongs to another account or challenge
        try:
            found = self._api.look(call.user_id, call.challenge_id)
        except WhaleFault as fault:
            if fault.code is Code.CHALLENGE_UNAVAILABLE:
                return None
            raise
        if not isinstance(found, Running) or found.remaining_seconds <= 0:
            return None
        claim = self._store.claim(self._request(call), self.clock.now())
        return self._adopt(call, claim.row, found) if isinstance(claim, Claimed) else None

    def _adopt(self, call: Call, row: Instance, found: Running) -> Instance | None:
        live = self._ledger.activated(row, found)
        event = call.event(
            Action.ADOPTED, Code.OK, container_id=found.uuid, new_expiry=iso(live.expires_at)
        )
        return live if self._store.save(live, event) else None

    # Starting.

    def _request(self, call: Call) -> Request:
        return Request(
            account=call.account,
            challenge_id=call.challenge_id,
            user_id=call.user_id,
            team_id=call.team_id,
            flag="",  # Whale makes the flag and keeps it to itself
            account_limit=1,
            capacity=UNBOUNDED,
            lease_seconds=self._lease_seconds,
        )

    def _create(self, call: Call, row: Instance) -> StartResult:
        """Start on Whale what our row stands for; on failure nothing of it is left."""
        try:
            found = self._api.look(row.user_id, row.challenge_id)
            if isinstance(found, Running) and found.remaining_seconds > 0:
                live = self._adopt(call, row, found)
                return replies.busy_start() if live is None else self._already(live)
            if isinstance(found, Another) and self._stands(row.user_id, found):
                self._store.delete(row, None)
                return _limit_reached(found.challenge_id)
        except WhaleFault:
            self._store.delete(row, None)  # only asked: nothing was done
            raise
        found = self._post(call, row)
        return self._activate(call, row, found)

    def _stands(self, user_id: int, other: Another) -> bool:
        """Whether another challenge's container is live; an expired one does not count."""
        if other.challenge_id is None:
            return True
        try:
            found = self._api.look(user_id, other.challenge_id)
        except WhaleFault as fault:
            if fault.code is Code.CHALLENGE_UNAVAILABLE:
                return True  # hidden by now, so its time cannot be read: it is not ours to replace
            raise
        return isinstance(found, Running) and found.remaining_seconds > 0

    def _post(self, call: Call, row: Instance) -> Running:
        """POST, then read what came of it.

        Raises:
            WhaleFault: it did not start and our row is gone; or, when ``definite`` is False,
                nobody knows, and the row is left to be settled by the next call.
        """
        try:
            self._api.create(row.user_id, row.challenge_id)
        except WhaleFault as fault:
            if fault.definite:
                event = call.event(Action.START_FAILED, fault.code)
                call.recorded = self._store.delete(row, event)
                raise
        try:
            found = self._api.look(row.user_id, row.challenge_id)
        except WhaleFault:
            found = Nothing()
        if isinstance(found, Running):
            return found
        self._ledger.leave_open(row)
        raise _unknown()

    def _activate(self, call: Call, row: Instance, found: Running) -> StartResult:
        live = self._ledger.activated(row, found)
        if not self._answers(found.access):
            return self._undo(call, row, live)
        event = call.event(
            Action.STARTED, Code.OK, container_id=found.uuid, new_expiry=iso(live.expires_at)
        )
        if not self._store.save(live, event):
            return (
                replies.busy_start()
            )  # our lease ran out; whoever took over has seen the container
        call.recorded = True
        return replies.started(self._describe(live))

    def _undo(self, call: Call, row: Instance, live: Instance) -> StartResult:
        """Destroy a container that never answered; until that is done it stays in the ledger."""
        if not self._store.save(live):
            return replies.busy_start()
        mine = live.stopping(self._ledger.lease_end())
        if not self._store.save(mine):
            return replies.busy_start()
        self._ledger.destroy(mine)
        event = call.event(Action.START_FAILED, Code.NOT_READY, container_id=live.container_id)
        call.recorded = self._store.delete(mine, event)
        message = "The container started but did not answer in time; please try again"
        return StartResult(False, message, code=Code.NOT_READY)

    def _answers(self, access: Access) -> bool:
        """Wait until the address answers, as far as the settings want to know."""
        if not self.settings.whale_probe:
            return True
        return wait_until(
            lambda timeout: self._answers_once(access, timeout), self.settings.whale_ready_seconds
        )

    def _answers_once(self, access: Access, timeout: float) -> bool:
        if access.scheme not in ("http", "https"):
            return answers_tcp(access.host, access.port, timeout=timeout)
        public = f"{access.host}:{access.port}"
        gateway = self.settings.whale_probe_gateway
        if gateway is not None:
            return answers_http(gateway, host_header=public, timeout=timeout)
        return answers_http(f"{access.scheme}://{public}/", timeout=timeout)

    # Extending and stopping.

    def _renew(self, call: Call, mine: Instance) -> ActionResult:
        """PATCH for a row that is ours."""
        try:
            self._api.renew(mine.user_id, mine.challenge_id)
        except WhaleFault as fault:
            if fault.definite:
                self._store.save(mine.running_again())
            else:
                self._ledger.leave_open(mine)
            raise
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
        """What Whale made of the expiry, never earlier than it was."""
        seconds = self.settings.whale_timeout_seconds
        try:
            found = self._api.look(mine.user_id, mine.challenge_id)
        except WhaleFault:
            found = Nothing()  # it said renewed; the next look will correct a setting that is off
        if isinstance(found, Running):
            seconds = found.remaining_seconds
        renewed = self.clock.now() + timedelta(seconds=seconds)
        return renewed if mine.expires_at is None else max(renewed, mine.expires_at)

    def _destroy(self, call: Call, mine: Instance, action: Action) -> ActionResult:
        """DELETE for a row that is ours."""
        self._ledger.destroy(mine)
        event = call.event(
            action, Code.OK, container_id=mine.container_id, old_expiry=iso(mine.expires_at)
        )
        call.recorded = self._store.delete(mine, event)
        return replies.stopped()

    def _already(self, row: Instance) -> StartResult:
        if row.state is not State.RUNNING:
            return replies.busy_start()
        return replies.already_running(self._describe(row))

    def _describe(self, row: Instance) -> InstanceStatus:
        return replies.describe(
            row,
            now=self.clock.now(),
            max_extensions=self.settings.whale_max_extensions,
            backend=self.name,
        )


def _credentials(settings: Settings) -> Credentials:
    if settings.whale_tokens_file is None:
        return StaticTokens({})
    return load_tokens(settings.whale_tokens_file)


def _limit_reached(challenge_id: int | None) -> StartResult:
    return replies.limit_reached(
        "another challenge" if challenge_id is None else f"challenge {challenge_id}"
    )


def _start_refused(fault: WhaleFault) -> StartResult:
    return StartResult(
        False,
        fault.message,
        code=fault.code,
        retry_after=fault.retry_after,
        definite=fault.definite,
    )


def _refused(fault: WhaleFault) -> ActionResult:
    return ActionResult(
        False,
        fault.message,
        code=fault.code,
        retry_after=fault.retry_after,
        definite=fault.definite,
    )


def _unknown() -> WhaleFault:
    return WhaleFault(
        Code.UNAVAILABLE,
        "It is not known yet whether the container started; please look again in a moment",
        retry_after=replies.RETRY_SOON_SECONDS,
        definite=False,
    )
