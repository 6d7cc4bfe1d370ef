"""Logging in to CTFd with name and password, as a browser does, to get an access token.

The steps and what their pages look like: docs/whale-wire.md, "Who is asking".
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, timedelta

from engines.contract import Code
from engines.errors import WhaleFault
from engines.whale.client import RETRY_SECONDS, LoginPage, WhaleClient, parsed

SESSION_COOKIE = "session"
TOKEN_DAYS = 30
"""CTFd's own default for a token's life."""
LOGIN_LIMIT_SECONDS = 6.0
"""CTFd takes ten logins in five seconds from one address."""

_TOKEN = re.compile(r"[!-~]{1,512}")
_COOKIE_VALUE = re.compile(r"[!#-+\--:<-\[\]-~]{1,4096}")
"""RFC 6265's cookie-octets: nothing that would end the header, or begin another cookie."""
_FORM_NONCE = re.compile(r'name="nonce"[^>]*value="([0-9a-f]{64})"')
_PAGE_NONCE = re.compile(r"'csrfNonce': \"([0-9a-f]{64})\"")


@dataclass(frozen=True)
class Login:
    """A user's name and password."""

    user_id: int
    name: str = field(repr=False)
    password: str = field(repr=False)


class TokenMaker:
    """Makes access tokens for users whose password is known."""

    def __init__(self, client: WhaleClient, today: Callable[[], date]) -> None:
        self._client = client
        self._today = today

    def make(self, login: Login) -> str:
        """Log in, and make a token that is good for some weeks.

        Raises:
            WhaleFault: as :meth:`log_in`.
        """
        session = self.log_in(login)
        page = self._client.page("GET", "/user", session)
        return self._token({**session, "CSRF-Token": _nonce(_PAGE_NONCE, page)})

    def log_in(self, login: Login) -> dict[str, str]:
        """Log in; the header that shows the session.

        Raises:
            WhaleFault: ``UNAUTHENTICATED`` when name or password is wrong, ``RATE_LIMITED`` when
                too many have just logged in, ``UNAVAILABLE`` when this is not CTFd's page.
        """
        form = self._client.page("GET", "/login", {})
        answer = self._client.page(
            "POST",
            "/login",
            _cookie(form),
            body={
                "name": login.name,
                "password": login.password,
                "nonce": _nonce(_FORM_NONCE, form),
            },
        )
        if answer.status == 429:
            raise WhaleFault(
                Code.RATE_LIMITED,
                "Too many logins at once; please wait a few seconds",
                retry_after=LOGIN_LIMIT_SECONDS,
            )
        if answer.status != 302:
            raise WhaleFault(
                Code.UNAUTHENTICATED, "Whale does not accept your password; tell an organiser"
            )
        return _cookie(answer)

    def _token(self, headers: dict[str, str]) -> str:
        until = self._today() + timedelta(days=TOKEN_DAYS)
        answer = self._client.page(
            "POST",
            "/api/v1/tokens",
            {**headers, "Content-Type": "application/json"},
            body=json.dumps({"expiration": until.isoformat(), "description": "whale-ready"}),
        )
        body = parsed(answer.content)
        data = body.get("data") if isinstance(body, dict) else None
        value = data.get("value") if isinstance(data, dict) else None
        if answer.status != 200 or not isinstance(value, str) or not _TOKEN.fullmatch(value):
            raise _not_ctfd()
        return value


def _cookie(page: LoginPage) -> dict[str, str]:
    value = page.cookies.get(SESSION_COOKIE)
    if value is None or not _COOKIE_VALUE.fullmatch(value):
        raise _not_ctfd()
    return {"Cookie": f"{SESSION_COOKIE}={value}"}


def _nonce(pattern: re.Pattern[str], page: LoginPage) -> str:
    found = pattern.search(page.content.decode("utf-8", "replace"))
    if found is None:
        raise _not_ctfd()
    return found[1]


def _not_ctfd() -> WhaleFault:
    return WhaleFault(
        Code.UNAVAILABLE,
        "Whale's login page cannot be understood; please tell an organiser",
        retry_after=RETRY_SECONDS,
    )
