"""What a run has started on a live Whale, kept book of and stopped again, and nothing else.

:class:`Book` hears of every start; :class:`Janitor` looks what the accounts of the world file hold,
past the adapter under test, and stops what is in the book.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from conformance.harnesses.world_file import Account, WorldFile
from engines.contract import Code, StartResult
from engines.errors import WhaleFault
from engines.settings import Settings
from engines.whale import StaticTokens
from engines.whale.api import WhaleAPI
from engines.whale.client import TlsIdentity, WhaleAnswer, WhaleClient
from engines.whale.dialects import dialect_named
from engines.whale.traits import Traits
from engines.whale.wire import LEFT_LOCK_SECONDS, Another, Look, Nothing, RunningContainer

BROKE_OFF_SECONDS = 10.0
"""How long to look for what became of a start that broke off before its answer."""
CLEAR_SECONDS = 60.0
"""Longest time to stop what accounts hold: Whale may refuse while one of its locks is left."""
PAUSE_SECONDS = 0.25

Sleep = Callable[[float], None]


class NotCleared(Exception):
    """An account is not, or may not be, free of instances; names account and challenge."""


@dataclass(frozen=True)
class AccountHoldings:
    """What an account has on Whale."""

    challenge_id: int | None
    uuid: str | None

    def __str__(self) -> str:
        number = self.challenge_id
        return "another challenge" if number is None else f"challenge {number}"


class Book:
    """What this run has, or may have, on Whale. Starts may come from many threads."""

    def __init__(self, users: Iterable[int]) -> None:
        self._users = frozenset(users)
        self._started: set[str] = set()
        self._doubtful: dict[int, float] = {}
        self._call = threading.local()
        self.used = False
        """Whether anything was started at all."""
        self.locked_until = 0.0
        """When (:func:`time.monotonic`) the last lock is over that a refusal left on Whale."""
        self.touched: set[int] = set()
        """Users for whom something was started since they were last seen to have nothing."""

    def observe(self, answer: WhaleAnswer) -> None:
        """Hear of Whale's answer to a request of the adapter."""
        if answer.method == "GET":
            return
        done = isinstance(answer.body, dict) and answer.body.get("success") is True
        if answer.status != 200 or not done:
            # Most refusals leave the user's lock behind; to wait for nothing does no harm.
            self.locked_until = time.monotonic() + LEFT_LOCK_SECONDS
        if answer.method == "POST" and (done or answer.status >= 500):
            self._call.posted = True  # some keep what a start made that ended in a 500

    def wait_for_locks(self, sleep: Sleep = time.sleep) -> None:
        """Until the last lock is over that a refusal left."""
        left = self.locked_until - time.monotonic()
        if left > 0:
            sleep(left)

    @contextmanager
    def starting(self, user_id: object) -> Iterator[Callable[[StartResult], None]]:
        """A start is at work inside this block; the block is to tell its result."""
        if type(user_id) is not int or user_id not in self._users:
            yield lambda _result: None
            return
        self.used = True
        self.touched.add(user_id)
        self._call.posted = False
        told = False

        def tell(result: StartResult) -> None:
            nonlocal told
            told = result.definite
            if result.ok and result.code is Code.OK:
                self._started.add(result.instance["container_id"])
            elif self._call.posted and told:
                # It shows at once if the adapter has left it there.
                self._doubtful.setdefault(user_id, 0.0)

        try:
            yield tell
        except ValueError:
            told = True  # invalid arguments: nothing was asked
            raise
        finally:
            if not told:
                self._doubtful[user_id] = time.monotonic() + BROKE_OFF_SECONDS

    def mine(self, user_ids: frozenset[int], found: AccountHoldings) -> bool:
        """Whether this run started it for one of them: known by its id, or by a start whose end is
        not known."""
        return found.uuid in self._started or not user_ids.isdisjoint(self._doubtful)

    def may_come(self, user_id: int) -> bool:
        """Whether to go on looking for a start that broke off."""
        return time.monotonic() < self._doubtful.get(user_id, 0.0)

    def nothing_runs(self, user_id: int) -> None:
        """The user was seen to have nothing."""
        self.touched.discard(user_id)
        if self._doubtful.get(user_id) == 0.0:
            del self._doubtful[user_id]

    def stopped(self, user_id: int) -> None:
        """What the run had started for the user was destroyed."""
        self._doubtful.pop(user_id, None)

    @property
    def never_seen(self) -> list[int]:
        """Users of starts that broke off and never showed."""
        return sorted(user for user, until in self._doubtful.items() if until)


class Janitor:
    """Looks what accounts hold on Whale, past the adapter under test, and stops what is ours."""

    def __init__(self, file: WorldFile, settings: Settings, book: Book, sleep: Sleep) -> None:
        challenges = file.challenges
        self._first = challenges.first
        self._others = [
            challenge
            for challenge in (
                challenges.second,
                challenges.missing_image,
                challenges.exits_at_once,
                challenges.subdomain,
                challenges.own_port,
            )
            if challenge is not None
        ]
        self._book = book
        self._sleep = sleep
        client = WhaleClient(
            str(settings.whale_api_url),
            call_seconds=settings.whale_call_seconds,
            identity=TlsIdentity(
                settings.whale_ca_file,
                settings.whale_client_certificate_file,
                settings.whale_client_key_file,
            ),
            observer=book.observe,
        )
        dialect = dialect_named(settings.whale_dialect)
        traits = Traits(settings.whale_scope)
        self._api = WhaleAPI(client, dialect, tokens_of(file.accounts), traits=traits)
        players = [account.player for account in file.mates]
        self._mates = {
            player.user_id: frozenset(
                mate.user_id for mate in players if mate.team_id == player.team_id
            )
            for player in players
        }

    @property
    def dialect(self) -> str | None:
        """What Whale speaks; None before the first look."""
        return self._api.dialect

    @property
    def traits(self) -> Traits:
        """What Whale was seen to do."""
        return self._api.traits

    def offers(self, user_id: int, challenge_id: int) -> bool:
        """Whether Whale knows the challenge and shows it to this user."""
        try:
            self._api.look(user_id, challenge_id)
        except WhaleFault as fault:
            if fault.code is Code.CHALLENGE_UNAVAILABLE:
                return False
            raise
        return True

    def look(self, user_id: int) -> list[AccountHoldings]:
        """What the user has. Where a look at one challenge may not tell of the others, each is
        looked at (docs/whale-wire.md, "Forks and generations")."""
        found: list[AccountHoldings] = []
        seen = self._api.look(user_id, self._first)
        challenge_id = self._first
        for other in (*self._others, None):
            if isinstance(seen, RunningContainer):
                found.append(AccountHoldings(challenge_id, seen.uuid))
            elif isinstance(seen, Another):
                return found or [self._named(user_id, seen)]
            if other is None or self._api.traits.tells:
                break
            challenge_id = other
            seen = self._look_at(user_id, challenge_id)
        return found

    def _named(self, user_id: int, other: Another) -> AccountHoldings:
        """The one instance of another challenge than the first, with its id where it shows."""
        known = other.challenge_id
        for challenge_id in self._others if known is None else [known]:
            found = self._look_at(user_id, challenge_id)
            if isinstance(found, RunningContainer):
                return AccountHoldings(challenge_id, found.uuid)
        return AccountHoldings(known, None)

    def _look_at(self, user_id: int, challenge_id: int) -> Look:
        try:
            return self._api.look(user_id, challenge_id)
        except WhaleFault as fault:
            if fault.code is not Code.CHALLENGE_UNAVAILABLE:
                raise
            return Nothing()  # hidden by now

    def clear(self, user_ids: Iterable[int], *, also_others: bool = False) -> None:
        """Stop what this run started for the users; all of them are tried.

        Raises:
            NotCleared: something of ours could not be stopped, something else runs there, or
                Whale cannot be asked.
        """
        problems = []
        deadline = time.monotonic() + CLEAR_SECONDS
        for user_id in user_ids:
            try:
                self._clear(user_id, deadline, also_others)
            except NotCleared as problem:
                problems.append(str(problem))
        if problems:
            raise NotCleared("; ".join(problems))

    def close(self) -> None:
        self._api.close()

    def _who(self, user_id: int) -> frozenset[int]:
        """The user and the mates, whose instance one of them shows where it is their team's."""
        return self._mates.get(user_id, frozenset({user_id}))

    def _clear(self, user_id: int, deadline: float, also_others: bool) -> None:
        found: list[AccountHoldings] = []
        while True:
            pause = PAUSE_SECONDS
            try:
                found = self.look(user_id)
                ours = [
                    holdings
                    for holdings in found
                    if also_others or self._book.mine(self._who(user_id), holdings)
                ]
                if not found:
                    self._book.nothing_runs(user_id)
                    if not self._book.may_come(user_id):
                        return
                elif not ours:
                    raise NotCleared(
                        f"user {user_id} has an instance of {found[0]} that this run did not "
                        "start; it was left alone"
                    )
                else:
                    for our in ours:
                        self._api.destroy(user_id, our.challenge_id or self._first)
                    self._book.stopped(user_id)
                    continue  # look whether it is gone
            except WhaleFault as fault:
                pause = max(pause, fault.retry_after or 0.0)
                owed = found or user_id in self._book.touched
                if not owed or time.monotonic() + pause > deadline:
                    what = f"stop the instance of {found[0]}" if found else "say what runs"
                    raise NotCleared(
                        f"user {user_id}: Whale does not {what} ({fault.code.value}); look at the "
                        "user's challenges, or into Whale's administration"
                    ) from None
            self._sleep(pause)


def tokens_of(accounts: Iterable[Account]) -> StaticTokens:
    """The accounts' own tokens, as the adapter takes them."""
    return StaticTokens({account.player.user_id: account.token for account in accounts})
