"""What the adapter under test shows a fake Whale for its users, some of whom are locked out."""

from __future__ import annotations

import os
import secrets
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import date, datetime, timezone
from pathlib import Path

from conformance.harness import Lockout
from engines.whale import StaticTokens
from engines.whale.client import WhaleClient
from engines.whale.credentials import CredentialsFile
from engines.whale.login import TokenMaker
from fake_whale import FakeWhale

ENDED_SESSION = {"Cookie": "session=ended", "CSRF-Token": "ended"}
"""What a browser shows whose session CTFd does not know any more."""
NOBODY = 0
_CALL_SECONDS = 10.0


class Access:
    """Who is let in, for all adapters of one world.

    A user whose access is to be revoked first becomes one who is known by name and password, as an
    organiser may have it, so that the token which is revoked is one that the adapter has made.

    Args:
        url: where Whale's CTFd is.
    """

    def __init__(self, fake: FakeWhale, url: str) -> None:
        self._fake = fake
        self._url = url
        self.reasons: dict[int, Lockout] = {}
        """Of those who are locked out."""
        self.logins: dict[int, CredentialsFile] = {}
        """Of those who are known by name and password."""
        self._closing = ExitStack()

    @contextmanager
    def barred(self, user_id: int, why: Lockout) -> Iterator[None]:
        """Inside the block this user is not let in."""
        if why is Lockout.REVOKED:
            with self._revoked(user_id):
                yield
            return
        self.reasons[user_id] = why
        try:
            yield
        finally:
            del self.reasons[user_id]

    @contextmanager
    def _revoked(self, user_id: int) -> Iterator[None]:
        directory = self._fake.machine.directory
        password = f"the password of user {user_id}"
        directory.change_user(user_id, password=password)
        if user_id not in self.logins:
            self.logins[user_id] = self._by_name(user_id, password)
        self.logins[user_id].headers(user_id)  # as the first call has it
        directory.change_user(user_id, password=secrets.token_hex(16))
        for token in directory.tokens_of(user_id):
            directory.remove_token(token.id, user_id)
        try:
            yield
        finally:
            directory.change_user(user_id, password=password)

    def _by_name(self, user_id: int, password: str) -> CredentialsFile:
        """The file in which an organiser has the user's name and password."""
        user = self._fake.machine.directory.user(user_id)
        name = "" if user is None else user.name
        handle, path = tempfile.mkstemp(dir=self._folder())
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(f'[logins]\n"{user_id}" = {{ name = "{name}", password = "{password}" }}\n')
        client = WhaleClient(self._url, call_seconds=_CALL_SECONDS)
        self._closing.callback(client.close)
        return CredentialsFile(Path(path), TokenMaker(client, self._today))

    def _folder(self) -> str:
        return self._closing.enter_context(tempfile.TemporaryDirectory(prefix="whale-ready-"))

    def _today(self) -> date:
        return datetime.fromtimestamp(self._fake.clock.time(), timezone.utc).date()

    def close(self) -> None:
        """Let go of files and connections."""
        self._closing.close()


class Tokens(StaticTokens):
    """Tokens of users, some of whom are locked out or known by name and password."""

    def __init__(self, tokens: Mapping[int, str], access: Access) -> None:
        super().__init__(tokens)
        self._access = access

    def headers(self, user_id: int) -> Mapping[str, str]:
        why = self._access.reasons.get(user_id)
        if why is Lockout.NO_ACCESS:
            return super().headers(NOBODY)
        if why is Lockout.LOGGED_OUT:
            return ENDED_SESSION
        login = self._access.logins.get(user_id)
        return super().headers(user_id) if login is None else login.headers(user_id)

    def refresh(self, user_id: int) -> bool:
        login = self._access.logins.get(user_id)
        return login is not None and login.refresh(user_id)
