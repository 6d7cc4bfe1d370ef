"""As whom the adapter speaks to Whale: one access token per user."""

from __future__ import annotations

import stat
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from engines.contract import Code
from engines.errors import SettingsError, WhaleFault


class Credentials(Protocol):
    """Where the proof of a user's identity comes from."""

    def headers(self, user_id: int) -> Mapping[str, str]:
        """HTTP headers that make a request this user's.

        Raises:
            WhaleFault: with ``Code.UNAUTHENTICATED`` when there is nothing for this user.
        """
        ...


class StaticTokens:
    """CTFd access tokens by user id. Tokens never appear in its repr."""

    def __init__(self, tokens: Mapping[int, str]) -> None:
        self._tokens = dict(tokens)

    def headers(self, user_id: int) -> Mapping[str, str]:
        token = self._tokens.get(user_id)
        if token is None:
            raise WhaleFault(
                Code.UNAUTHENTICATED, "There is no access to Whale for you; tell an organiser"
            )
        return {"Authorization": f"Token {token}"}

    def __repr__(self) -> str:
        return f"StaticTokens({len(self._tokens)} users)"


def load_tokens(path: Path) -> StaticTokens:
    """Read a TOML file: one table ``[tokens]`` of user ids and their CTFd access tokens.

    Raises:
        SettingsError: unreadable, readable by others than its owner, or a wrong entry.
    """
    try:
        mode = path.stat().st_mode
        if mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise SettingsError(
                f"WHALE_TOKENS_FILE: {path.name} can be read by others; run chmod 600 on it"
            )
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"WHALE_TOKENS_FILE: cannot be read: {error.strerror}") from None
    except (UnicodeDecodeError, tomllib.TOMLDecodeError):
        # The parser's own message could quote a token.
        raise SettingsError("WHALE_TOKENS_FILE: is not TOML; see docs/whale.md") from None
    table = document.get("tokens")
    if not isinstance(table, dict):
        raise SettingsError('WHALE_TOKENS_FILE: write a table [tokens] with lines like "7" = "…"')
    return StaticTokens({_user_id(key): _token(key, value) for key, value in table.items()})


def _user_id(key: str) -> int:
    if not key.isascii() or not key.isdecimal() or int(key) < 1:
        raise SettingsError(f"WHALE_TOKENS_FILE: {key!r} is not a user id; write a positive number")
    return int(key)


def _token(key: str, value: object) -> str:
    if not isinstance(value, str) or not value.isascii() or not value.isprintable() or not value:
        raise SettingsError(f"WHALE_TOKENS_FILE: the token of user {key} must be a plain text")
    return value
