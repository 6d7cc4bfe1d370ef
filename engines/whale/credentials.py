"""As whom the adapter speaks to Whale, and how it proves that.

Whatever the source, secrets never appear in a repr, a log or an error.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Protocol

from msgspec import Meta

from engines.contract import Code
from engines.errors import SettingsError, WhaleFault
from engines.typed_input import Unfit, toml_file, typed
from engines.whale.login import Login, TokenMaker


class Credentials(Protocol):
    """Where the proof of a user's identity comes from."""

    def headers(self, user_id: int) -> Mapping[str, str]:
        """HTTP headers that make a request this user's.

        Raises:
            WhaleFault: with ``UNAUTHENTICATED`` when there is nothing for this user, with
                ``UNAVAILABLE`` when it cannot be had just now.
        """
        ...

    def refresh(self, user_id: int) -> bool:
        """Whale refused the last headers: whether :meth:`headers` now has others to try."""
        ...


class StaticTokens:
    """CTFd access tokens by user id."""

    def __init__(self, tokens: Mapping[int, str]) -> None:
        self._tokens = dict(tokens)

    def headers(self, user_id: int) -> Mapping[str, str]:
        token = self._tokens.get(user_id)
        if token is None:
            raise nobody()
        return authorization(token)

    def refresh(self, user_id: int) -> bool:
        return False

    def __repr__(self) -> str:
        return f"StaticTokens({len(self._tokens)} users)"


class CredentialsFile:
    """Tokens, or names and passwords, from a TOML file; read again when Whale refuses one.

    ::

        [tokens]
        "7" = "ctfd_…"

        [logins]
        "8" = { name = "carol", password = "…" }

    A login is used once, to make a token: a session may write once a minute only.

    Args:
        maker: logs in; None when the file may hold tokens only.

    Raises:
        SettingsError: unreadable, readable by others than its owner, or a wrong entry.
    """

    def __init__(self, path: Path, maker: TokenMaker | None = None) -> None:
        self._path = path
        self._maker = maker
        self._lock = threading.Lock()
        self._content = read_credentials(path)
        self._made: dict[int, str] = {}

    def headers(self, user_id: int) -> Mapping[str, str]:
        content = self._content
        token = content.tokens.get(user_id) or self._made.get(user_id)
        if token is None:
            token = self._log_in(user_id, content.logins.get(user_id))
        return authorization(token)

    def refresh(self, user_id: int) -> bool:
        with self._lock:
            try:
                content = read_credentials(self._path)
            except SettingsError:
                return False
            before, self._content = self._content, content
            if self._made.pop(user_id, None) is not None:
                return True
            token = content.tokens.get(user_id)
            return token is None or token != before.tokens.get(user_id)

    def __repr__(self) -> str:
        content = self._content
        return f"CredentialsFile({len(content.tokens)} tokens, {len(content.logins)} logins)"

    def _log_in(self, user_id: int, login: Login | None) -> str:
        if login is None or self._maker is None:
            raise nobody()
        with self._lock:
            if user_id not in self._made:
                self._made[user_id] = self._maker.make(login)
            return self._made[user_id]


@dataclass(frozen=True)
class BrowserSession:
    """What a player's own browser is logged in to CTFd with."""

    user_id: int
    cookie: str = field(repr=False)
    """Value of CTFd's ``session`` cookie."""
    nonce: str = field(repr=False)
    """What the session's ``CSRF-Token`` must be."""


class RequestSession:
    """The session of the request that is being served, for a CTFd that runs Whale itself.

    Only the player who asks is let in: what a team mate owns cannot be changed with it, and one
    session may write once a minute (docs/whale-wire.md). Tokens have neither limit.

    Args:
        current: the running request's session, None outside a request.
    """

    def __init__(self, current: Callable[[], BrowserSession | None]) -> None:
        self._current = current

    def headers(self, user_id: int) -> Mapping[str, str]:
        session = self._current()
        if session is None or session.user_id != user_id:
            raise nobody()
        return {"Cookie": f"session={session.cookie}", "CSRF-Token": session.nonce}

    def refresh(self, user_id: int) -> bool:
        return False

    def __repr__(self) -> str:
        return "RequestSession()"


def nobody() -> WhaleFault:
    """There is no proof of who this user is."""
    return WhaleFault(
        Code.UNAUTHENTICATED, "There is no access to Whale for you; tell an organiser"
    )


def authorization(token: str) -> Mapping[str, str]:
    """The header that shows an access token."""
    return {"Authorization": f"Token {token}"}


Token = Annotated[str, Meta(pattern=r"^[ -~]+\Z", description="a plain text")]


@dataclass(frozen=True)
class FileContent:
    """What a credentials file holds, by user id."""

    tokens: Mapping[int, str] = field(repr=False)
    logins: Mapping[int, Login] = field(repr=False)


_NotEmpty = Annotated[str, Meta(min_length=1, description="a text that is not empty")]


@dataclass(frozen=True, repr=False)
class _Login:
    name: _NotEmpty
    password: _NotEmpty


@dataclass(frozen=True, repr=False)
class _File:
    tokens: Annotated[Mapping[str, Token], Meta(title="a table, [tokens]")] = field(
        default_factory=dict
    )
    logins: Annotated[
        Mapping[str, Annotated[_Login, Meta(title='{ name = "…", password = "…" }')]],
        Meta(title="a table, [logins]"),
    ] = field(default_factory=dict)


def read_credentials(path: Path) -> FileContent:
    """Read and check a credentials file.

    Raises:
        SettingsError: unreadable, readable by others than its owner, or a wrong entry.
    """
    try:
        found = typed(toml_file(path, private="whale.md"), _File)
        tokens = {_user_id(key): token for key, token in found.tokens.items()}
        logins = {_user_id(key): login for key, login in found.logins.items()}
    except Unfit as error:
        raise SettingsError(f"WHALE_TOKENS_FILE: {error}") from None
    if not tokens and not logins:
        raise SettingsError(
            'WHALE_TOKENS_FILE: write a table [tokens] with lines like "7" = "…", or [logins]'
        )
    return FileContent(
        tokens, {key: Login(key, login.name, login.password) for key, login in logins.items()}
    )


def _user_id(key: str) -> int:
    if not key.isascii() or not key.isdecimal() or int(key) < 1:
        raise Unfit((), f"{key!r} is not a user id; write a positive number")
    return int(key)
