"""How an instance is started on Whale: look, POST, look again, wait until it answers."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from typing import TypeGuard

from engines import replies
from engines.audit import Action
from engines.contract import Code, StartResult
from engines.errors import WhaleFault
from engines.front import Call
from engines.replies import iso
from engines.settings import Settings
from engines.state.instance_store import InstanceStore
from engines.state.instances import Instance, InstanceState
from engines.whale.api import WhaleAPI
from engines.whale.ledger import LONGEST_RETRY_SECONDS, Ledger, settled_fault
from engines.whale.readiness import instance_answers
from engines.whale.wire import Another, Look, Nothing, RunningContainer

log = logging.getLogger(__name__)

Catalogue = Callable[[], Iterable[int]]
"""The challenges that Whale may have, by id."""
MOST_REMEMBERED = 10_000
"""Containers of which a process remembers that they answered."""


class WhaleStarter:
    """Carries out a start whose row is ours.

    Args:
        catalogue: challenges to look at beside those that CTFd lists; None: there is no catalogue.
    """

    def __init__(
        self,
        api: WhaleAPI,
        store: InstanceStore,
        ledger: Ledger,
        settings: Settings,
        catalogue: Catalogue | None = None,
    ) -> None:
        self._api = api
        self._store = store
        self._ledger = ledger
        self._settings = settings
        self._catalogue = catalogue
        self._answered: dict[str, None] = {}
        self._empty: int | None = None
        """A challenge of which the last user who was looked at everywhere had nothing."""

    def create(self, call: Call, row: Instance) -> StartResult | None:
        """Start on Whale what our row stands for; on failure nothing of it is left.

        None when it ran there already: the row says so by now.
        """
        try:
            found = self._api.look(row.user_id, row.challenge_id)
            if _fresh(found) and self._ledger.was_orphaned(row.user_id, found):
                self._api.destroy(row.user_id, row.challenge_id)
                found = Nothing()
            if _fresh(found):
                self._ledger.adopt(call, row, found)
                return None
            other = found if isinstance(found, Another) else None
            if self._api.traits.hides:  # an answer that names another challenge switches this off
                other = self._hidden(row)
                # A look at every challenge takes its time.
                mine = row.starting_again(self._ledger.lease_end())
                if not self._store.save(mine):
                    return replies.busy_start()
                row = mine
            if other is not None and self._stands(row.user_id, other):
                self._store.delete(row, None)
                return limit_reached(other.challenge_id)
        except WhaleFault:
            self._store.delete(row, None)  # only asked: nothing was done
            raise
        return self._activate(call, *self._post(row))

    def already(self, row: Instance) -> StartResult:
        """What a start says that met an instance of its own: that it runs, once it answers.

        Whale may have kept it although its start failed (docs/whale-wire.md, "Forks"). It is left
        alone: whose it is may have it stopped.
        """
        if row.state is InstanceState.RUNNING and not self._answers(row):
            message = "Your container does not answer; stop it and start it again, or try later"
            return StartResult(
                False, message, code=Code.NOT_READY, retry_after=LONGEST_RETRY_SECONDS
            )
        return self._ledger.already(row)

    def _answers(self, row: Instance) -> bool:
        if row.container_id in self._answered or not self._settings.whale_probe:
            return True
        found = self._api.look(row.user_id, row.challenge_id)
        if not isinstance(found, RunningContainer) or row.started_at is None:
            return True  # it has just gone: the next look tells
        age = (self._ledger.now() - row.started_at).total_seconds()
        left = max(self._settings.whale_ready_seconds - age, self._shortest)
        patience = replace(self._settings, whale_ready_seconds=left)
        if not instance_answers(found.access, found.uuid, patience):
            return False
        self._remember(found.uuid)
        return True

    @property
    def _shortest(self) -> float:
        """How long to ask an instance that had its time to get ready: one whole look."""
        return min(self._settings.whale_ready_seconds, 2 * self._settings.whale_direct_hold_seconds)

    def _remember(self, container_id: str) -> None:
        if len(self._answered) >= MOST_REMEMBERED:
            self._answered.clear()
        self._answered[container_id] = None

    def _hidden(self, row: Instance) -> Another | None:
        """Another challenge's live instance, which only a look at that challenge shows.

        Raises:
            WhaleFault: it cannot be seen whether there is one.
        """
        live = []
        self._empty = None
        for challenge_id in self._elsewhere(row):
            try:
                found = self._api.look(row.user_id, challenge_id)
            except WhaleFault as fault:
                if fault.code is not Code.CHALLENGE_UNAVAILABLE:
                    raise
                continue
            if isinstance(found, Another):
                return found
            if _fresh(found):
                live.append(challenge_id)
            elif isinstance(found, Nothing):
                self._empty = challenge_id
        if len(live) > 1:
            self._api.traits.ran_at_once()
        return Another(live[0]) if live and not self._api.traits.per_challenge else None

    def _elsewhere(self, row: Instance) -> list[int]:
        """Every challenge but the row's own of which the user may have something on Whale."""
        offered = self._api.offered(row.user_id)
        known = None if self._catalogue is None else frozenset(self._catalogue())
        if offered is None and known is None:
            log.error(
                "a start is refused: what else the user runs cannot be seen, as CTFd shows no list "
                "of challenges; see WHALE_SCOPE"
            )
            raise WhaleFault(
                Code.UNAVAILABLE,
                "It cannot be seen which containers you have; please tell an organiser",
                retry_after=LONGEST_RETRY_SECONDS,
            )
        ours = {instance.challenge_id for instance in self._store.of_user(row.user_id)}
        return sorted(((offered or ours) | (known or ours) | ours) - {row.challenge_id})

    def _learn(self, row: Instance) -> None:
        """Whether GET tells of other challenges' instances, now that one runs."""
        traits, empty = self._api.traits, self._empty
        if empty is None or empty == row.challenge_id:
            return
        if traits.per_challenge or traits.tells is not None:
            return
        with suppress(WhaleFault):
            found = self._api.look(row.user_id, empty)
            if isinstance(found, Nothing):
                traits.kept_to_itself()
            elif isinstance(found, RunningContainer):
                traits.ran_at_once()

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

    def _post(self, row: Instance) -> tuple[Instance, RunningContainer]:
        """POST, then read what came of it; returns the row as it is by then.

        Raises:
            WhaleFault: it did not start and our row is gone; or, when ``definite`` is False,
                nobody knows, and the row is left open.
        """
        refused = self._asked(row)
        failed = refused is not None and refused.definite and refused.code is Code.START_FAILED
        if refused is not None and failed and self._settings.whale_start_again_seconds > 0:
            row, refused = self._asked_again(row, refused)
        fault = refused or unknown()
        if not fault.definite:
            found = self._ledger.look_again(row, _fresh, fault)
            if found is not None and _fresh(found):
                return row, found
            if found is None or (refused is not None and refused.pending):
                self._ledger.leave_open(row)
                raise fault
            if refused is None or isinstance(found, RunningContainer):
                fault = _not_there(found)
        # Its event is the caller's to write: of a start that goes on elsewhere there is one only.
        self._store.delete(row, None)
        raise settled_fault(fault)

    def _asked(self, row: Instance) -> WhaleFault | None:
        """POST; None when Whale says that it is done, which a look has to show."""
        try:
            self._api.create(row.user_id, row.challenge_id)
        except WhaleFault as refused:
            return refused
        return None

    def _asked_again(
        self, row: Instance, refused: WhaleFault
    ) -> tuple[Instance, WhaleFault | None]:
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
        return mine, refused if second is not None and second.definite else second

    def _activate(self, call: Call, row: Instance, found: RunningContainer) -> StartResult:
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
        self._remember(found.uuid)
        self._learn(live)
        return replies.started(self._ledger.describe(live))

    def _undo(self, call: Call, row: Instance, live: Instance) -> StartResult:
        """Destroy a container that never answered. Until that is done it stays in the ledger, shown
        to no player, and every call about it and the worker try again."""
        live = live.condemn()
        if not self._store.save(live):
            return replies.busy_start()
        mine = live.stopping(self._ledger.lease_end())
        if not self._store.save(mine):
            return replies.busy_start()
        self._ledger.destroy(mine, live)
        seconds = f"{self._settings.whale_ready_seconds:g} s"
        event = call.event(
            Action.START_FAILED,
            Code.NOT_READY,
            container_id=live.container_id,
            reason=f"Whale's container runs and gave no answer within {seconds}",
        )
        call.recorded = self._store.delete(mine, event)
        message = "The container started but did not answer in time; please try again"
        return StartResult(False, message, code=Code.NOT_READY)


def limit_reached(challenge_id: int | None) -> StartResult:
    """The account's one place on Whale is taken by another challenge's instance."""
    return replies.limit_reached(
        "another challenge" if challenge_id is None else f"challenge {challenge_id}"
    )


def _fresh(found: Look) -> TypeGuard[RunningContainer]:
    """Whether a container of the challenge has time left; one that has expired is no start's."""
    return isinstance(found, RunningContainer) and found.remaining_seconds > 0


def _not_there(found: Look) -> WhaleFault:
    """Whale said that it is done, or that there is one, and a look shows no live container."""
    if isinstance(found, RunningContainer):
        # A fork that never replaces keeps one whose time is over: its cleaner is due.
        message = "Your last container is just being removed; please try again in a moment"
        return WhaleFault(Code.BUSY, message, retry_after=LONGEST_RETRY_SECONDS)
    return WhaleFault(Code.START_FAILED, "The container did not start; please tell an organiser")


def unknown() -> WhaleFault:
    """Whale said it is done, or said nothing, and nothing could be seen."""
    return WhaleFault(
        Code.UNAVAILABLE,
        "It is not known yet whether the container started; please look again in a moment",
        retry_after=replies.RETRY_SOON_SECONDS,
        definite=False,
    )
