"""How an instance is started on Whale: look, POST, look again, wait until it answers."""

from __future__ import annotations

import time
from typing import TypeGuard

from engines import replies
from engines.audit import Action
from engines.base import Call
from engines.contract import Code, StartResult
from engines.errors import WhaleFault
from engines.instance_store import InstanceStore
from engines.instances import Instance
from engines.replies import iso
from engines.settings import Settings
from engines.whale.api import WhaleAPI
from engines.whale.ledger import Ledger, settled_fault
from engines.whale.readiness import instance_answers
from engines.whale.wire import Another, Look, Nothing, Running


class Starter:
    """Carries out a start whose row is ours."""

    def __init__(
        self, api: WhaleAPI, store: InstanceStore, ledger: Ledger, settings: Settings
    ) -> None:
        self._api = api
        self._store = store
        self._ledger = ledger
        self._settings = settings

    def create(self, call: Call, row: Instance) -> StartResult:
        """Start on Whale what our row stands for; on failure nothing of it is left."""
        try:
            found = self._api.look(row.user_id, row.challenge_id)
            if _fresh(found):
                live = self._ledger.adopt(call, row, found)
                return replies.busy_start() if live is None else self._ledger.already(live)
            if isinstance(found, Another) and self._stands(row.user_id, found):
                self._store.delete(row, None)
                return limit_reached(found.challenge_id)
        except WhaleFault:
            self._store.delete(row, None)  # only asked: nothing was done
            raise
        return self._activate(call, *self._post(row))

    def resume(self, call: Call, row: Instance) -> StartResult | None:
        """Bring a start to its end that broke off; None when no container of it shows."""
        found = self._api.look(row.user_id, row.challenge_id)
        if not _fresh(found):
            return None
        mine = row.starting_again(self._ledger.lease_end())
        if not self._store.save(mine):
            return replies.busy_start()
        return self._activate(call, mine, found)

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
        return _fresh(found)

    def _post(self, row: Instance) -> tuple[Instance, Running]:
        """POST, then read what came of it; returns the row as it is by then.

        Raises:
            WhaleFault: it did not start and our row is gone; or, when ``definite`` is False,
                nobody knows, and the row is left open.
        """
        fault = self._asked(row)
        failed = fault.definite and fault.code is Code.START_FAILED
        if failed and self._settings.whale_start_again_seconds > 0:
            row, fault = self._asked_again(row, fault)
        if not fault.definite:
            found = self._ledger.look_again(row, _fresh, fault)
            if found is not None and _fresh(found):
                return row, found
            if fault.pending or found is None:
                self._ledger.leave_open(row)
                raise fault
        # Its event is the caller's to write: of a start that goes on elsewhere there is one only.
        self._store.delete(row, None)
        raise settled_fault(fault)

    def _asked(self, row: Instance) -> WhaleFault:
        """POST; what is to be thought of it until a look shows more."""
        try:
            self._api.create(row.user_id, row.challenge_id)
        except WhaleFault as refused:
            return refused
        return unknown()

    def _asked_again(self, row: Instance, refused: WhaleFault) -> tuple[Instance, WhaleFault]:
        """POST once more, if nothing was made: another's write may have been in the way.

        frpc refuses a reload while its file is half written, and Whale says so in the words that it
        has for every failure (docs/whale-wire.md, "frp").
        """
        time.sleep(self._settings.whale_start_again_seconds)  # the failure left a lock behind
        mine = row.starting_again(self._ledger.lease_end())
        if not self._store.save(mine):
            return row, refused
        try:
            if not isinstance(self._api.look(mine.user_id, mine.challenge_id), Nothing):
                return mine, refused
        except WhaleFault:
            return mine, refused
        second = self._asked(mine)
        return mine, refused if second.definite else second

    def _activate(self, call: Call, row: Instance, found: Running) -> StartResult:
        live = self._ledger.activated(row, found)
        if not instance_answers(found.access, found.uuid, self._settings):
            return self._undo(call, row, live)
        event = call.event(
            Action.STARTED, Code.OK, container_id=found.uuid, new_expiry=iso(live.expires_at)
        )
        if not self._store.save(live, event):
            # Our lease ran out; whoever took the row over has seen the container.
            return replies.busy_start()
        call.recorded = True
        return replies.started(self._ledger.describe(live))

    def _undo(self, call: Call, row: Instance, live: Instance) -> StartResult:
        """Destroy a container that never answered; until that is done it stays in the ledger."""
        if not self._store.save(live):
            return replies.busy_start()
        mine = live.stopping(self._ledger.lease_end())
        if not self._store.save(mine):
            return replies.busy_start()
        self._ledger.destroy(mine, live)
        event = call.event(Action.START_FAILED, Code.NOT_READY, container_id=live.container_id)
        call.recorded = self._store.delete(mine, event)
        message = "The container started but did not answer in time; please try again"
        return StartResult(False, message, code=Code.NOT_READY)


def limit_reached(challenge_id: int | None) -> StartResult:
    """The account's one place on Whale is taken by another challenge's instance."""
    return replies.limit_reached(
        "another challenge" if challenge_id is None else f"challenge {challenge_id}"
    )


def _fresh(found: Look) -> TypeGuard[Running]:
    """Whether a container of the challenge has time left; one that has expired is no start's."""
    return isinstance(found, Running) and found.remaining_seconds > 0


def unknown() -> WhaleFault:
    """Whale said it is done, or said nothing, and nothing shows."""
    return WhaleFault(
        Code.UNAVAILABLE,
        "It is not known yet whether the container started; please look again in a moment",
        retry_after=replies.RETRY_SOON_SECONDS,
        definite=False,
    )
