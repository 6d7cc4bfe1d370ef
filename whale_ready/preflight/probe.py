"""One start on Whale by an account that the organiser names: what only a start can show.

Nothing but what it has started itself is renewed or stopped, and it is stopped again at the end,
also after an error or Ctrl-C. Facts about Whale: docs/whale-wire.md.
"""

from __future__ import annotations

import threading
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
from whale_ready.preflight.dialect import contact, some_challenge
from whale_ready.preflight.items import NotCheckable
from whale_ready.preflight.site import Site

HOW = (
    "name an account that may start and stop one instance: --probe-account USER_ID (about half a "
    "minute)"
)
LOCK_SECONDS = LEFT_LOCK_SECONDS + 1.0
"""After a refusal Whale holds the account's lock; this is longer."""
HEAD_START_SECONDS = 0.5
"""For a write to reach Whale before a look is sent after it."""
PAIRS = 3
"""Most pairs of renewals at once."""
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
    pairs: int = 0
    """Pairs of renewals at once."""
    lost: int | None = None
    """How many of those renewals were not counted."""
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
    shown = Shown(user_id, site.wishes.probe_challenge or some_challenge(site))
    return _Probe(site, api, shown).run()


class _Probe:
    def __init__(self, site: Site, api: WhaleAPI, shown: Shown) -> None:
        self._site = site
        self._api = api
        self._shown = shown
        self._doubtful = False
        """Nobody knows whether Whale took the start, or still will."""

    def run(self) -> Shown:
        if self._look() != Nothing():
            raise NotCheckable(
                f"user {self._shown.user_id} has an instance; a probe stops only what it started",
                "stop it, or name another account with --probe-account",
            )
        try:
            self._started()
        finally:
            self._clear()
        return self._shown

    def _started(self) -> None:
        shown, site = self._shown, self._site
        try:
            self._api.create(shown.user_id, shown.challenge_id)
        except WhaleFault as fault:
            shown.refused = fault.code.value
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
            shown.answered = instance_answers(access, site.settings)
        if site.wishes.admin is not None:
            headers = site.fact(accounts).headers(site.wishes.admin)
            shown.admin_page = site.client.call("GET", ADMIN_LIST, headers)
        most = site.settings.whale_max_extensions + 1
        shown.renewals, refused = self._renewed(most)
        if refused is Code.EXTENSION_LIMIT:
            # The refusal has left the account's lock: the next write waits for it, a look does not.
            shown.side_by_side = self._side_by_side()
            site.pause(LOCK_SECONDS)
            self._at_once(shown.renewals)

    def _at_once(self, limit: int) -> None:
        """Renew twice at once; under REPEATABLE-READ both read the same count, and one is lost."""
        shown = self._shown
        pairs = min(PAIRS, limit // 2)
        if pairs == 0:
            return
        self._api.create(shown.user_id, shown.challenge_id)  # replaces our own: none is counted yet
        for _ in range(pairs):
            if self._pair() != 2:
                return
            shown.pairs += 1
        further, refused = self._renewed(limit)
        if refused is Code.EXTENSION_LIMIT:
            shown.lost = 2 * shown.pairs + further - limit

    def _pair(self) -> int:
        """Two renewals at once; how many were taken."""
        taken: list[int] = []
        together = threading.Barrier(2)

        def renew() -> None:
            together.wait(HEAD_START_SECONDS * 10)
            if self._renew() is Code.OK:
                taken.append(1)

        threads = [threading.Thread(target=renew, daemon=True) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return len(taken)

    def _renewed(self, most: int) -> tuple[int, Code]:
        """Renew until Whale refuses, or ``most`` times; how often, and what came last."""
        for number in range(most):
            code = self._renew()
            if code is not Code.OK:
                return number, code
        return most, Code.OK

    def _renew(self) -> Code:
        try:
            self._api.renew(self._shown.user_id, self._shown.challenge_id)
        except WhaleFault as fault:
            return fault.code
        return Code.OK

    def _side_by_side(self) -> bool | None:
        """Whether Whale answers a look while a write waits; None when the write did not wait."""
        came: list[Code] = []
        over = threading.Event()

        def wait_for_lock() -> None:
            came.append(self._renew())
            over.set()

        writer = threading.Thread(target=wait_for_lock, daemon=True)
        writer.start()
        if over.wait(HEAD_START_SECONDS):
            return None
        self._look()
        # Where calls wait in line the write is answered first: its thread may need a moment.
        in_line = over.wait(HEAD_START_SECONDS / 2)
        writer.join()
        return None if came != [Code.RATE_LIMITED] else not in_line

    def _look(self) -> Look:
        return self._api.look(self._shown.user_id, self._shown.challenge_id)

    def _clear(self) -> None:
        """Stop what was started; a lock that a refusal has left is waited for."""
        shown = self._shown
        for attempt in range(CLEARING_TRIES):
            if attempt:
                self._site.pause(LOCK_SECONDS)
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
