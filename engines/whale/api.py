"""The four requests to Whale, as one of its users."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from typing import TypeVar

from engines.contract import Code
from engines.errors import WhaleFault
from engines.whale.client import RETRY_SECONDS, WhaleAnswer, WhaleClient
from engines.whale.credentials import Credentials
from engines.whale.dialects import DIALECTS, Dialect
from engines.whale.left_locks import LeftLocks
from engines.whale.traits import Traits
from engines.whale.wire import Another, Look
from engines.whale.write_queue import WriteQueue

log = logging.getLogger(__name__)

_ResultT = TypeVar("_ResultT")

CHALLENGES = "/api/v1/challenges"
"""CTFd's own list of what a user may see."""
_CTFDS_OWN = frozenset({"standard", "dynamic", "multiple_choice", "code"})
"""Types of challenges for which no Whale has instances."""


class WhaleAPI:
    """Speaks to one Whale. Every method may raise :class:`engines.errors.WhaleFault`.

    Args:
        dialect: what Whale speaks; None to find out on first contact.
        queue: where writes wait for their turn; None where nobody else writes.
        locks: which users need not try; None to have Whale refuse them.
        traits: what is known of this Whale; learns from every look.
    """

    def __init__(
        self,
        client: WhaleClient,
        dialect: Dialect | None,
        credentials: Credentials,
        queue: WriteQueue | None = None,
        locks: LeftLocks | None = None,
        traits: Traits | None = None,
    ) -> None:
        self._client = client
        self.traits = traits or Traits()
        self._queue = queue
        self._locks = locks
        self._pinned = dialect
        self._found = dialect
        self._before: Dialect | None = None
        self._credentials = credentials

    @property
    def dialect(self) -> str | None:
        """The name of the dialect, None while it is not known."""
        found = self._found
        return None if found is None else found.name

    def look(self, user_id: int, challenge_id: int) -> Look:
        """What the user has, asked about one challenge."""

        def ask() -> Look:
            dialect = self._dialect(user_id, challenge_id)
            found = dialect.look(self._call(dialect, "GET", user_id, challenge_id))
            if isinstance(found, Another):
                self.traits.told_of_another()
            return found

        return self._as(user_id, ask)

    def offered(self, user_id: int) -> frozenset[int] | None:
        """Challenges that CTFd shows to this user and Whale may run; None: it shows no list."""
        answer = self._client.call("GET", CHALLENGES, self._credentials.headers(user_id))
        body = answer.body if isinstance(answer.body, dict) else {}
        rows = body.get("data")
        if answer.status != 200 or body.get("success") is not True or not isinstance(rows, list):
            return None
        shown = [row for row in rows if isinstance(row, dict) and type(row.get("id")) is int]
        return frozenset(row["id"] for row in shown if row.get("type") not in _CTFDS_OWN)

    def create(self, user_id: int, challenge_id: int) -> None:
        """POST: destroys whatever the user has, then creates. Look first."""
        self._write("POST", user_id, challenge_id)

    def renew(self, user_id: int, challenge_id: int) -> None:
        """PATCH: sets the remaining time back to the full time-out."""
        self._write("PATCH", user_id, challenge_id)

    def destroy(self, user_id: int, challenge_id: int) -> None:
        """DELETE: destroys whatever the user has, whatever the challenge id. Look first."""
        self._write("DELETE", user_id, challenge_id)

    def close(self) -> None:
        """Close pooled connections."""
        self._client.close()

    def _write(self, method: str, user_id: int, challenge_id: int) -> None:
        queue, locks = self._queue, self._locks
        patience = 0.0 if queue is None else queue.patience()

        def ask() -> None:
            dialect = self._dialect(user_id, challenge_id)
            headers = self._credentials.headers(user_id)
            if locks is not None:
                locks.check(user_id)
            with nullcontext() if queue is None else queue.place(patience):
                answer = self._sent(dialect, method, challenge_id, headers)
            try:
                dialect.written(answer)
            except WhaleFault as fault:
                if locks is not None:
                    locks.note(user_id, answer, fault)
                raise

        self._as(user_id, ask)

    def _as(self, user_id: int, ask: Callable[[], _ResultT]) -> _ResultT:
        """``ask``; once more with new proof of who the user is, when the old one is refused.

        That is safe for writes too: whoever is not let in has not written anything.
        """
        try:
            return ask()
        except WhaleFault as fault:
            refused = fault.code is Code.UNAUTHENTICATED
            if not refused or not self._credentials.refresh(user_id):
                raise
        return ask()

    def _call(self, dialect: Dialect, method: str, user_id: int, challenge_id: int) -> WhaleAnswer:
        return self._sent(dialect, method, challenge_id, self._credentials.headers(user_id))

    def _sent(
        self, dialect: Dialect, method: str, challenge_id: int, headers: Mapping[str, str]
    ) -> WhaleAnswer:
        answer = self._client.call(method, dialect.path(challenge_id), headers)
        if _no_such_route(answer):
            # Perhaps another Whale has taken its place: ask again next time.
            self._before, self._found = self._found or self._before, self._pinned
            self.traits.forget()
        return answer

    def _dialect(self, user_id: int, challenge_id: int) -> Dialect:
        """What Whale speaks: the first dialect whose route is there and answers in kind."""
        if self._found is not None:
            return self._found
        for dialect in DIALECTS:
            answer = self._call(dialect, "GET", user_id, challenge_id)
            if _no_such_route(answer):
                continue
            try:
                dialect.look(answer)
            except WhaleFault as fault:
                if fault.code in (Code.UNAUTHENTICATED, Code.UNAVAILABLE):
                    raise  # says nothing about the route: CTFd's checks come before it
            log.info("Whale speaks the dialect %s", dialect.name)
            self._found = dialect
            return dialect
        if self._before is not None:
            # A legacy Whale answers so about a challenge that it does not show.
            self._found = self._before
            return self._before
        log.warning("no Whale answers at WHALE_API_URL; if it is a legacy one, set WHALE_DIALECT")
        raise WhaleFault(
            Code.UNAVAILABLE,
            "The challenge servers are not set up; please tell an organiser",
            retry_after=RETRY_SECONDS,
        )


def _no_such_route(answer: WhaleAnswer) -> bool:
    """Whether CTFd itself answers "not found", rather than Whale "no such challenge"."""
    own = isinstance(answer.body, dict) and "success" in answer.body
    return answer.status == 404 and not own
