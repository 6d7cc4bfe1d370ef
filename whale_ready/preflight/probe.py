"""One start on Whale by an account that the organiser names: what only a start can show.

Nothing but what it has started itself is renewed or stopped, and it is stopped again at the end,
also after an error or Ctrl-C. Facts about Whale: docs/whale-wire.md.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from engines.contract import Code
from engines.errors import WhaleFault
from engines.whale import StaticTokens
from engines.whale.api import WhaleAPI
from engines.whale.client import Answer
from engines.whale.dialects import dialect_named
from engines.whale.readiness import instance_answers
from engines.whale.wire import LEFT_LOCK_SECONDS, Look, Nothing, Running
from whale_ready.preflight.credentials import ADMIN_LIST, access, accounts
from whale_ready.preflight.dialect import contact, startable
from whale_ready.preflight.items import NotCheckable
from whale_ready.preflight.site import Site

HOW = (
    "name an account that may start and stop one instance: --probe-account USER_ID (about forty "
    "seconds)"
)
LOCK_SECONDS = LEFT_LOCK_SECONDS + 1.0
"""After a refusal Whale holds the account's lock; this is longer."""
WAITED_SECONDS = 1.2
"""How long a pair of writes waits for the end of a lock; Whale's patience is 1.95 s."""
CLEARING_TRIES = 4


@dataclass
class Shown:
    """What the probe has shown; None where it came to no answer."""

    user_id: int
    challenge_id: int
    refused: str = ""
    """Why Whale did not take the start; empty when it did."""
    remaining: int | None = None
    """Seconds that the fresh instance had."""
    address: str = ""
    """Where Whale says it is reached."""
    answered: bool | None = None
    admin_page: Answer | None = None
    """The admin's list while the instance ran."""
    renewals: int | None = None
    """How many it took one after the other, up to one more than our setting."""
    side_by_side: bool | None = None
    """Whether a look was answered while a write waited for its lock."""
    lost: int | None = None
    """How many of two renewals at once were not counted."""
    left: bool = False
    """The instance could not be stopped."""


def probe(site: Site) -> Shown:
    """Start, look, renew, stop.

    Raises:
        NotCheckable: no account was named, or it has an instance.
    """
    user_id = site.wishes.probe_account
    if user_id is None:
        raise NotCheckable("only a start shows it", HOW)
    if user_id not in site.fact(access).good:
        raise NotCheckable(f"user {user_id}, named by --probe-account, is not let in", HOW)
    dialect = site.fact(contact).api.dialect
    token = site.fact(accounts).token_to_write(user_id)
    assert dialect is not None  # noqa: S101 - a contact has one
    api = WhaleAPI(site.client, dialect_named(dialect), StaticTokens({user_id: token}))
    shown = Shown(user_id, site.wishes.probe_challenge or startable(site)[0])
    return _Probe(site, api, shown).run()


def probed(site: Site) -> Shown | None:
    """What :func:`probe` has shown, for who has other evidence too; None when it shows nothing."""
    try:
        return site.fact(probe)
    except (NotCheckable, WhaleFault):
        return None


class _Probe:
    def __init__(self, site: Site, api: WhaleAPI, shown: Shown) -> None:
        self._site = site
        self._api = api
        self._shown = shown
        self._locked = False
        """A refusal may have left the account's lock, so that the next write would be refused."""
        self._doubtful = False
        """Nobody knows whether Whale took the start, or still will."""

    def run(self) -> Shown:
        shown = self._shown
        if self._look() != Nothing():
            raise NotCheckable(
                f"user {shown.user_id} has an instance; a probe stops only what it started",
                "stop it, or name another account with --probe-account",
            )
        self._site.tell(
            f"starting challenge {shown.challenge_id} as user {shown.user_id}; it is stopped again "
            "in about forty seconds"
        )
        try:
            with suppress(WhaleFault):  # what was shown before counts
                self._started()
        finally:
            self._clear()
        return shown

    def _started(self) -> None:
        shown, site = self._shown, self._site
        try:
            self._api.create(shown.user_id, shown.challenge_id)
        except WhaleFault as fault:
            shown.refused = fault.code.value
            self._locked = True
            self._doubtful = not fault.definite
            return
        found = self._look()
        if not isinstance(found, Running):
            shown.refused = "Whale took the start, and shows no instance"
            return
        access = found.access
        shown.remaining = found.remaining_seconds
        shown.address = f"{access.scheme}://{access.host}:{access.port}"
        if site.settings.whale_probe:
            shown.answered = instance_answers(access, found.uuid, site.settings)
        if site.wishes.admin is not None:
            headers = site.fact(accounts).headers(site.wishes.admin)
            shown.admin_page = site.client.call("GET", ADMIN_LIST, headers)
        taken, last = self._renewed(site.settings.whale_max_extensions + 1)
        if last in (Code.OK, Code.EXTENSION_LIMIT):
            shown.renewals = taken
        if last is Code.EXTENSION_LIMIT:
            # The refusal has left the account's lock: the next write waits for it, a look does not.
            shown.side_by_side = self._side_by_side()
            if shown.side_by_side:
                self._at_once(taken)

    def _at_once(self, limit: int) -> None:
        """Renew twice at once, and count how many were counted.

        A renewal for another challenge is refused and leaves the account's lock; both renewals are
        sent while it is held. So both have begun, and have read the database, before either
        writes: under REPEATABLE-READ both write the same count, and one is lost.
        """
        shown = self._shown
        another = self._another_challenge()
        if limit < 2 or another is None:
            return
        self._site.pause(LOCK_SECONDS)
        self._api.create(shown.user_id, shown.challenge_id)  # replaces our own: none is counted yet
        if self._renew(another) is not Code.NOT_FOUND:
            return
        self._site.pause(LEFT_LOCK_SECONDS - WAITED_SECONDS)
        if not self._pair():
            return
        further, last = self._renewed(limit)
        if last is Code.EXTENSION_LIMIT:
            shown.lost = 2 + further - limit

    def _pair(self) -> bool:
        """Two renewals at once; whether both waited for the lock and were taken."""
        writes = [_Write(self._renew) for _ in range(2)]
        time.sleep(self._site.head_start)
        waited = not any(write.over.is_set() for write in writes)
        return [write.result() for write in writes] == [Code.OK, Code.OK] and waited

    def _another_challenge(self) -> int | None:
        mine = self._shown.challenge_id
        return next((each for each in startable(self._site) if each != mine), None)

    def _renewed(self, most: int) -> tuple[int, Code]:
        """Renew until Whale refuses, or ``most`` times; how often, and what came last."""
        for number in range(most):
            code = self._renew()
            if code is not Code.OK:
                return number, code
        return most, Code.OK

    def _renew(self, challenge_id: int | None = None) -> Code:
        shown = self._shown
        try:
            self._api.renew(shown.user_id, challenge_id or shown.challenge_id)
        except WhaleFault as fault:
            self._locked = True
            return fault.code
        return Code.OK

    def _side_by_side(self) -> bool | None:
        """Whether Whale answers a look while a write waits; None when the write did not wait."""
        write = _Write(self._renew)
        if write.over.wait(self._site.head_start):
            return None
        self._look()
        # Where calls wait in line the write is answered first: its thread may need a moment.
        in_line = write.over.wait(self._site.head_start / 2)
        return not in_line if write.result() is Code.RATE_LIMITED else None

    def _look(self) -> Look:
        return self._api.look(self._shown.user_id, self._shown.challenge_id)

    def _clear(self) -> None:
        """Stop what was started; a lock that a refusal has left is waited for."""
        shown = self._shown
        for _ in range(CLEARING_TRIES):
            if self._locked:
                self._site.pause(LOCK_SECONDS)
            self._locked = True
            try:
                if isinstance(self._look(), Running):
                    self._api.destroy(shown.user_id, shown.challenge_id)
                shown.left = self._doubtful
                break
            except WhaleFault:
                shown.left = True
        if shown.left:
            self._site.tell(
                f"an instance of challenge {shown.challenge_id} may be left for user "
                f"{shown.user_id} on Whale; stop it on that user's page of the challenge"
            )


class _Write:
    """One write on a thread of its own."""

    def __init__(self, write: Callable[[], Code]) -> None:
        self.over = threading.Event()
        """Whale has answered."""
        self._code = Code.INTERNAL
        self._write = write
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def result(self) -> Code:
        """Wait for the answer."""
        self._thread.join()
        return self._code

    def _run(self) -> None:
        try:
            self._code = self._write()
        finally:
            self.over.set()
