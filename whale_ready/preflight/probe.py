"""Starts on Whale by an account that the organiser names: what only a start can show.

Nothing but what it has started itself is renewed or stopped, and it is stopped again at the end,
also after an error or Ctrl-C. Facts about Whale: docs/whale-wire.md.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Generic, TypeVar

from engines.contract import Code
from engines.errors import WhaleFault
from engines.whale import StaticTokens
from engines.whale.access import Access
from engines.whale.api import WhaleAPI
from engines.whale.client import WhaleAnswer
from engines.whale.dialects import dialect_named
from engines.whale.readiness import instance_answers
from engines.whale.wire import LEFT_LOCK_SECONDS, Look, Nothing, RunningContainer
from whale_ready.preflight.credentials import ADMIN_LIST, access, accounts
from whale_ready.preflight.dialect import contact, startable
from whale_ready.preflight.items import NotCheckable
from whale_ready.preflight.site import PreflightSite
from whale_ready.preflight.theirs import redirect_types

HOW = (
    "name an account that may start and stop one instance: --probe-account USER_ID (about forty "
    "seconds)"
)
LOCK_SECONDS = LEFT_LOCK_SECONDS + 1.0
"""After a refusal Whale holds the account's lock; this is longer."""
WAITED_SECONDS = 1.2
"""How long a pair of writes waits for the end of a lock; Whale's patience is 1.95 s."""
CLEARING_TRIES = 4
DEAD_SECONDS = 20.0
"""How long to wait for frpc to close a connection that leads nowhere: 8.7 s were seen with a
resolver that cannot be reached."""


@dataclass
class Started:
    """What one start has shown; None where it came to no answer."""

    user_id: int
    challenge_id: int
    refused: str = ""
    """Why Whale did not take the start; empty when it did."""
    remaining: int | None = None
    """Seconds that the fresh instance had."""
    access: Access | None = None
    """Where Whale says it is reached."""
    answered: bool | None = None
    left: bool = False
    """The instance could not be stopped."""

    @property
    def direct(self) -> bool:
        """Whether it is on a port of its own."""
        return self.access is not None and self.access.scheme not in ("http", "https")

    @property
    def address(self) -> str:
        """The same, for people; empty when there is none."""
        found = self.access
        return "" if found is None else f"{found.scheme}://{found.host}:{found.port}"


_S = TypeVar("_S", bound=Started)


@dataclass
class Shown(Started):
    """What the probe has shown with its first challenge."""

    admin_page: WhaleAnswer | None = None
    """The admin's list while the instance ran."""
    renewals: int | None = None
    """How many it took one after the other, up to one more than our setting."""
    side_by_side: bool | None = None
    """Whether a look was answered while a write waited for its lock."""
    locked: bool | None = None
    """Whether the lock that a refusal leaves kept the account's next write out."""
    lost: int | None = None
    """How many of two renewals at once were not counted."""


@dataclass
class Missing(Started):
    """What was seen of an instance whose image does not exist."""

    dead_seconds: float | None = None
    """How long a connection to its port stayed open; None: longer than we waited, or no port."""


def probe(site: PreflightSite) -> Shown:
    """Start, look, renew, stop.

    Raises:
        NotCheckable: no account was named, or it has an instance.
    """
    user_id, api = site.fact(_writer)
    shown = Shown(user_id, _to_start(site)[0])
    _Probe(site, api, shown).run()
    return shown


def further(site: PreflightSite) -> Sequence[Started]:
    """Start, look and stop the other challenges that were named. Raises as :func:`probe`."""
    user_id, api = site.fact(_writer)
    return [_Start(site, api, Started(user_id, each)).run() for each in _to_start(site)[1:]]


def missing(site: PreflightSite) -> Sequence[Missing]:
    """The same with challenges whose image does not exist. Raises as :func:`probe`."""
    user_id, api = site.fact(_writer)
    return [_Counter(site, api, Missing(user_id, n)).run() for n in site.wishes.probe_missing]


def _writer(site: PreflightSite) -> tuple[int, WhaleAPI]:
    """The probe's account and its way to write. Raises as :func:`probe`."""
    user_id = site.wishes.probe_account
    if user_id is None:
        raise NotCheckable("only a start shows it", HOW)
    if user_id not in site.fact(access).good:
        raise NotCheckable(f"user {user_id}, named by --probe-account, is not let in", HOW)
    dialect = site.fact(contact).api.dialect
    token = site.fact(accounts).token_to_write(user_id)
    assert dialect is not None  # noqa: S101 - a contact has one
    return user_id, WhaleAPI(site.client, dialect_named(dialect), StaticTokens({user_id: token}))


def _to_start(site: PreflightSite) -> Sequence[int]:
    """What was named; else one challenge of each redirect type, as far as they are known."""
    if site.wishes.probe_challenges:
        return site.wishes.probe_challenges
    offered = startable(site)
    try:
        types = site.fact(redirect_types)
    except NotCheckable:
        return offered[:1]
    firsts = {types.get(each): each for each in reversed(offered)}
    first = offered[0]
    return [first, *(each for kind, each in firsts.items() if each != first and kind)]


def probed(site: PreflightSite) -> Shown | None:
    """What :func:`probe` has shown, for who has other evidence too; None when it shows nothing."""
    try:
        return site.fact(probe)
    except (NotCheckable, WhaleFault):
        return None


class _Start(Generic[_S]):
    """One start, a look whether it answers, and its stop."""

    def __init__(self, site: PreflightSite, api: WhaleAPI, shown: _S) -> None:
        self._site = site
        self._api = api
        self._shown = shown
        self._locked = False
        """A refusal may have left the account's lock, so that the next write would be refused."""
        self._doubtful = False
        """Nobody knows whether Whale took the start, or still will."""

    def run(self) -> _S:
        shown = self._shown
        if self._look() != Nothing():
            raise NotCheckable(
                f"user {shown.user_id} has an instance; a probe stops only what it started",
                "stop it, or name another account with --probe-account",
            )
        self._site.tell(
            f"starting challenge {shown.challenge_id} as user {shown.user_id}; it is stopped again "
            f"in about {self._takes()}"
        )
        try:
            with suppress(WhaleFault):  # what was shown before counts
                self._started()
        finally:
            self._clear()
        return shown

    def _takes(self) -> str:
        return f"{self._site.settings.whale_ready_seconds:g} s at the latest"

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
        if not isinstance(found, RunningContainer):
            shown.refused = "Whale took the start, and shows no instance"
            return
        shown.access = found.access
        shown.remaining = found.remaining_seconds
        if site.settings.whale_probe:
            shown.answered = instance_answers(found.access, found.uuid, site.settings)
        self._seen(found.access)

    def _seen(self, access: Access) -> None:
        """More to look at while it runs."""

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
                if isinstance(self._look(), RunningContainer):
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


class _Counter(_Start[Missing]):
    def _seen(self, access: Access) -> None:
        if self._shown.direct:
            self._shown.dead_seconds = _dead_seconds(access.host, access.port)


def _dead_seconds(host: str, port: int) -> float | None:
    """How long a connection stays open that leads nowhere; None: longer than we wait."""
    try:
        with socket.create_connection((host, port), DEAD_SECONDS) as connection:
            begun = time.monotonic()
            connection.settimeout(DEAD_SECONDS)
            connection.recv(1)
            return time.monotonic() - begun
    except TimeoutError:
        return None
    except OSError:
        return 0.0  # refused, or reset at once


class _Probe(_Start[Shown]):
    def _takes(self) -> str:
        return "forty seconds"

    def _seen(self, access: Access) -> None:
        shown, site = self._shown, self._site
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
        waited = not write.over.wait(self._site.head_start)
        in_line = False
        if waited:
            self._look()
            # Where calls wait in line the write is answered first: its thread may need a moment.
            in_line = write.over.wait(self._site.head_start / 2)
        code = write.result()
        if code in (Code.RATE_LIMITED, Code.EXTENSION_LIMIT):
            self._shown.locked = code is Code.RATE_LIMITED
        return not in_line if waited and code is Code.RATE_LIMITED else None


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
